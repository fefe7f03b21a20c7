"""The manager process: settings, wiring, start and stop.

Start   listen (NOT_SERVING) -> read the configuration from Redis, for as long as that takes -> SERVING -> ready
Stop    NOT_SERVING -> end its own lease -> end watches, which go on elsewhere -> drain calls -> let go of Redis
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import os
import secrets
import socket
import sys
from typing import Any

import click
from pydantic import ValidationError

from clipper.registry.v1 import registry_pb2
from clipper.v1 import admin_pb2, trial_pb2
from clipper_manager.feed import Feed
from clipper_manager.learned import States, forget_what_ended
from clipper_manager.leases import Presence, end_leases
from clipper_manager.ledger import Ledger
from clipper_manager.metrics import families
from clipper_manager.redis_store import RedisStore
from clipper_manager.registry import Registry
from clipper_manager.replica import DialBack, TrialService
from clipper_manager.resources import Instance, InstanceKind
from clipper_manager.selection_store import SelectionStore
from clipper_manager.service import AdminService, RegistryService
from clipper_manager.settings import Settings, options
from clipper_rpc import choose, lifecycle, logs
from clipper_rpc.health import Health
from clipper_rpc.lifecycle import StopRequest
from clipper_rpc.reflection import reflection_methods
from clipper_rpc.services import typed_methods
from clipper_rpc.telemetry.calls import CallTally
from clipper_rpc.telemetry.endpoint import serving, text_page
from clipper_rpc.telemetry.export import Exposition
from clipper_rpc.transport import Methods

_log = logging.getLogger(__name__)

_ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
_REGISTRY = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]
_TRIAL = trial_pb2.DESCRIPTOR.services_by_name["TrialService"]
_SERVICES = (_ADMIN.full_name, _REGISTRY.full_name, _TRIAL.full_name)


class Manager:
    """All parts of one manager, wired but not started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport = choose.transport(settings.transport)
        self._store = RedisStore(
            settings.redis_url, settings.cluster, lease_ttl_s=settings.lease_ttl_s, history=settings.history
        )
        self._feed = Feed(self._store, history=settings.history)
        self._registry = Registry(self._store, Ledger(self._store, self._feed), DialBack(self._transport))
        self._learned = SelectionStore(settings.redis_url, settings.cluster)
        self._health = Health(*_SERVICES)
        self._calls = CallTally()

    async def run(self, stop: StopRequest) -> None:
        """Serves until it is asked to stop.

        Raises:
            OSError: the address cannot be listened on.
        """
        told = [families(self._feed.mirror, lambda: self._feed.connected_at_s is not None), self._calls.families]
        exposition = Exposition(told, process="manager", transport=self._transport.name)
        pages = {"/metrics": text_page(exposition.text)}
        async with serving(pages, self._settings.host, self._settings.metrics_port) as metrics:
            await self._serve(stop, metrics)

    async def _serve(self, stop: StopRequest, metrics: str) -> None:
        settings = self._settings
        server = await self._transport.serve(self._methods(), f"{settings.host}:{settings.port}")
        address = settings.advertise or _reachable(settings.host, server.port)
        _log.info("listening", extra={"address": address, "metrics": metrics, "transport": self._transport.name})
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed.run())
                ending = tasks.create_task(end_leases(self._store, self._feed, ttl_s=settings.lease_ttl_s))
                presence = Presence(self._registry, self._feed, _instance(address), ttl_s=settings.lease_ttl_s)
                registering = tasks.create_task(presence.run())
                announcing = tasks.create_task(self._announce(address, metrics))
                forgetting = tasks.create_task(forget_what_ended(self._feed, self._learned))
                await stop.wait()
                await _cancelled(announcing)
                self._health.end()
                await _cancelled(registering)
                await presence.end()
                self._feed.close()
                await server.stop(settings.grace_s)
                await _cancelled(forgetting)
                await _cancelled(ending)
                await _cancelled(feeding)
        finally:
            await self._learned.close()
            await self._store.close()
        _log.info("stopped")

    async def _announce(self, address: str, metrics: str) -> None:
        await self._feed.connected()
        self._health.set_serving(True)
        _log.info("serving", extra={"address": address, "cluster": self._settings.cluster})
        if self._settings.ready_fd is not None:
            _tell_ready(self._settings.ready_fd, address, metrics)

    def _methods(self) -> Methods:
        registry_service = RegistryService(self._registry, lease_ttl_s=self._settings.lease_ttl_s)
        return {
            **typed_methods(
                _ADMIN,
                AdminService(self._registry, States(self._registry, self._learned)),
                process="manager",
                calls=self._calls,
            ),
            **typed_methods(_REGISTRY, registry_service, process="manager", calls=self._calls),
            **typed_methods(
                _TRIAL, TrialService(self._registry, self._transport), process="manager", calls=self._calls
            ),
            **self._health.methods(),
            **reflection_methods((*_SERVICES, "grpc.health.v1.Health")),
        }


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancels a task until it has ended.

    Once is not enough before Python 3.12: there asyncio.wait_for, which redis-py calls, loses a cancellation that
    comes just as its future is done.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=0.1)


def _instance(address: str) -> Instance:
    build = importlib.metadata.version("clipper-serve")
    return Instance(InstanceKind.MANAGER, f"manager-{secrets.token_hex(8)}", address, lease_id="", build=build)


def _reachable(host: str, port: int) -> str:
    """Where others reach it: a wildcard is no address to call."""
    if host in {"0.0.0.0", "::", "[::]", ""}:  # noqa: S104  # compared to, not bound
        host = socket.gethostname()
    return f"{host}:{port}"


def _tell_ready(ready_fd: int, address: str, metrics: str) -> None:
    try:
        with os.fdopen(ready_fd, "w", encoding="utf-8") as ready:
            ready.write(json.dumps({"address": address, "metrics": metrics, "pid": os.getpid()}) + "\n")
    except OSError as error:  # whoever started this process does not read it any more
        _log.info("nobody_waits_for_ready", extra={"problem": str(error)})


_HELP = """Keeps a cluster's configuration in Redis and tells frontends of every change.

Serves clipper.v1.AdminService and clipper.registry.v1.RegistryService, with health and reflection. Any number of
managers may share one Redis: all see the same configuration. While Redis is away, reads and watches go on and changes
are refused.

\b
Examples:
  # with a Redis on this machine
  clipper-manager
\b
  # for other machines, with a Redis elsewhere
  clipper-manager --host 0.0.0.0 --redis-url redis://10.0.0.9:6379/0 --cluster production
\b
  # on a free port, with a Redis at a socket
  clipper-manager --port 0 --redis-url unix:///run/redis.sock

Every flag is also a variable: CLIPPER_MANAGER_REDIS_URL and so on.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@options
def main(**flags: Any) -> None:
    """Runs the process. See _HELP."""
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise click.UsageError("\n".join(_told(each) for each in error.errors())) from None
    logs.configure("manager", settings.log_level)
    try:
        lifecycle.run(lambda stop: Manager(settings).run(stop))
    except OSError as error:
        _log.error("cannot_listen", extra={"problem": str(error)})  # an operator's mistake, not ours
        sys.exit(f"Error: {error}. Is another manager running? --port 0 takes a free port.")


def _told(error: Any) -> str:
    field = str(error["loc"][0])
    given = "" if field == "redis_url" else f" (given: {error['input']!r})"  # that one may hold a password
    return f"--{field.replace('_', '-')}: {str(error['msg']).removeprefix('Value error, ')}{given}"
