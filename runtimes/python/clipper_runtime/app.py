"""The runtime process: reads the settings, opens the model, serves it, registers it, and stops in the reverse order.

Start   check the model directory -> listen (NOT_SERVING) -> load the model -> SERVING -> ready -> register
Stop    NOT_SERVING -> give the lease back, so that frontends send nothing more -> refuse -> drain -> exit
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib.metadata
import io
import json
import logging
import os
import platform
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from clipper_rpc import choose, lifecycle, logs
from clipper_rpc.health import Health
from clipper_rpc.lifecycle import StopRequest
from clipper_rpc.reflection import reflection_methods
from clipper_rpc.telemetry.endpoint import serving, text_page
from clipper_rpc.telemetry.export import Exposition
from clipper_rpc.telemetry.tracing import tracing_of
from clipper_rpc.transport import Transport
from clipper_runtime.client import RegistryClient, Replica
from clipper_runtime.errors import CannotListen, RuntimeFault
from clipper_runtime.lease import LeaseKeeper
from clipper_runtime.metrics import of_this_process
from clipper_runtime.model import Model
from clipper_runtime.model_dir import load_class, open_model_dir
from clipper_runtime.names import InputType
from clipper_runtime.service import SERVICE, ModelInfo, ModelService
from clipper_runtime.settings import Settings
from clipper_runtime.worker import Worker

_log = logging.getLogger(__name__)

_END_LEASE_TIMEOUT_S = 1.0
_CLOSE_GRACE_S = 0.2
"""For the last answers to leave; streams that watch health never end by themselves."""
_SWITCH_INTERVAL_S = 0.0005
"""How long a model's Python code keeps the event loop from the interpreter, at most. The default of 5 ms would be
added to every answer that is handed back while the next batch is computed already."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to serve, and how to get it."""

    info: ModelInfo
    load: Callable[[], Model]


def _refuse_incomplete(settings: Settings) -> None:
    if settings.model_class is None and settings.model_dir is None:
        raise click.UsageError("Give --model-dir, or --model-class with --name and --version. See --help.")
    if settings.model_class is not None and (settings.name is None or settings.version is None):
        raise click.UsageError("--model-class needs --name and --version, since it has no manifest.")


def _plan(settings: Settings) -> _Plan:
    """Checks everything that can be checked before the model's code runs."""
    if settings.model_class is not None:
        return _class_plan(settings, settings.model_class)
    assert settings.model_dir is not None
    directory = open_model_dir(settings.model_dir, check_environment=settings.environment_check)
    for warning in directory.warnings:
        _log.warning("environment_differs", extra={"problem": warning})
    manifest = directory.manifest
    for flag, given, found in (
        ("--name", settings.name, manifest.name),
        ("--version", settings.version, manifest.version),
        ("--input-type", settings.input_type, manifest.input_type),
    ):
        if given is not None and given != found:
            raise click.UsageError(f"{flag} says {given}, the manifest in {directory.path} says {found}.")
    return _Plan(ModelInfo(manifest.name, manifest.version, manifest.input_type, _runtime()), directory.load)


def _class_plan(settings: Settings, name: str) -> _Plan:
    assert settings.name is not None
    assert settings.version is not None
    directory = settings.model_dir or Path.cwd()
    info = ModelInfo(settings.name, settings.version, settings.input_type or InputType.DOUBLES, _runtime())
    return _Plan(info, lambda: load_class(name, directory))


def _runtime() -> str:
    return f"clipper-runtime {importlib.metadata.version('clipper-serve')} (Python {platform.python_version()})"


async def serve(settings: Settings, plan: _Plan, stop: StopRequest) -> None:
    """Serves a model until it is asked to stop.

    Raises:
        RuntimeFault: the address cannot be listened on, or the model cannot be loaded.
    """
    worker = Worker(settings.threads)
    tracing = tracing_of("runtime")
    transport = choose.transport(settings.transport)
    service = ModelService(
        plan.info, worker, max_waiting=settings.max_waiting, isolate=settings.isolate, tracing=tracing
    )
    service.tally.waiting = lambda: worker.waiting
    exposition = Exposition(
        [service.tally.families], process="runtime", transport=transport.name, collectors=[of_this_process()]
    )
    try:
        async with serving({"/metrics": text_page(exposition.text)}, settings.host, settings.metrics_port) as metrics:
            worker.start()
            await _serve(settings, plan, stop, worker, service, transport, metrics)
    finally:
        if tracing is not None:
            await tracing.close()


async def _serve(
    settings: Settings,
    plan: _Plan,
    stop: StopRequest,
    worker: Worker,
    service: ModelService,
    transport: Transport,
    metrics: str,
) -> None:
    health = Health(SERVICE)
    methods = {**service.methods(), **health.methods(), **reflection_methods([SERVICE, "grpc.health.v1.Health"])}
    try:
        server = await transport.serve(methods, _joined(settings.host, settings.port))
    except OSError as error:
        raise CannotListen(str(error)) from error
    grace_s = 0.0
    keeper: LeaseKeeper | None = None
    try:
        address = settings.advertise or _reachable(settings.host, server.port, settings.manager)
        _log.info("listening", extra={"address": address, "metrics": metrics, "transport": transport.name})
        if not await _until_loaded(service.load(plan.load), stop):
            return
        gc.collect()
        gc.freeze()  # the model stays: the collector need not look at it again
        health.set_serving(True)
        grace_s = settings.grace_s
        _log.info("model_ready", extra={"model": plan.info.name, "version": plan.info.version, "address": address})
        _tell_ready(settings, address, metrics)
        if settings.manager:
            keeper = LeaseKeeper(RegistryClient(settings.manager), _replica(plan.info, address))
            keeper.start()
        await stop.wait()
    finally:
        health.end()
        if keeper is not None:
            await asyncio.to_thread(keeper.stop, _END_LEASE_TIMEOUT_S)
        _log.info("draining")
        await service.stop(grace_s)
        await server.stop(_CLOSE_GRACE_S if grace_s else 0)
        worker.stop()
        _log.info("stopped")


async def _until_loaded(loading: Coroutine[Any, Any, None], stop: StopRequest) -> bool:
    """Whether the model was loaded before the process was asked to stop."""
    load, stopped = asyncio.ensure_future(loading), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((load, stopped), return_when=asyncio.FIRST_COMPLETED)
        if load.done():
            await load
        return load.done()
    finally:
        load.cancel()
        stopped.cancel()


def _replica(info: ModelInfo, address: str) -> Replica:
    host = f"{socket.gethostname()}:{os.getpid()}"
    return Replica(info.name, info.version, info.input_type, address, host, info.runtime)


def _reachable(host: str, port: int, managers: tuple[str, ...]) -> str:
    """The address that others reach us at: for a wildcard, that of the interface that leads to the manager."""
    if host in {"0.0.0.0", "::", "[::]", ""}:  # noqa: S104  # compared to, not bound
        target = managers[0].rpartition(":")[0].strip("[]") if managers else "192.0.2.1"  # RFC 5737: never used
        try:
            family, _, _, _, sockaddr = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(sockaddr)  # sends nothing
                host = str(probe.getsockname()[0])
        except OSError:
            host = socket.gethostname()
    return _joined(host, port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _tell_ready(settings: Settings, address: str, metrics: str) -> None:
    if settings.ready_file is not None:
        settings.ready_file.touch()
    if settings.ready_fd is not None:
        try:
            with os.fdopen(settings.ready_fd, "w", encoding="utf-8") as ready:
                ready.write(json.dumps({"address": address, "metrics": metrics, "pid": os.getpid()}) + "\n")
        except OSError as error:  # whoever started it does not listen any more
            _log.warning("ready_fd_closed", extra={"problem": str(error)})


_HELP = """Serves one model over gRPC (clipper.model.v1.ModelService) and keeps it registered with a manager.

The model is a directory that clipper_runtime.save_function or save_class wrote (clipper_admin's deployers do that), or
a class of your own with predict(inputs) and, optionally, load(directory).

\b
Examples:
  # a model directory, registered with a manager on this machine
  python -m clipper_runtime --model-dir models/sum-model/1
\b
  # two managers, reached from other machines
  python -m clipper_runtime --model-dir DIR --manager 10.0.0.5:7001,10.0.0.6:7001 --host 0.0.0.0 --port 7100
\b
  # a class of your own, without a manifest and without a manager
  python -m clipper_runtime --model-class my_models:Ranker --name ranker --version 3 --input-type strings --manager none

Every flag is also a variable: CLIPPER_RUNTIME_MODEL_DIR and so on. The variables of Clipper's containers are understood
too: CLIPPER_MODEL_NAME, CLIPPER_MODEL_VERSION, CLIPPER_INPUT_TYPE, CLIPPER_MODEL_PATH, CLIPPER_IP, CLIPPER_PORT.

\b
Exit codes:
  2  wrong flags
  3  the model imports a module that is not installed here
  4  the model directory or its manifest is not valid, or a file is not what was saved
  5  the model was saved with another Python or other major versions of packages
  6  the model's own code raised while it was loaded
  7  the address cannot be listened on
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--model-dir", metavar="DIR", help="The model directory.")
@click.option("--model-class", metavar="MODULE:CLASS", help="A class to serve without a manifest.")
@click.option("--name", help="The model's name. Default: the manifest's.")
@click.option("--version", help="The model's version. Default: the manifest's.")
@click.option("--input-type", help=f"One of {', '.join(InputType)}. Default: the manifest's, else doubles.")
@click.option("--manager", metavar="HOST:PORT[,...]", help='Managers, or "none". Default: 127.0.0.1:7001.')
@click.option("--host", help="The address to listen on. Default: 127.0.0.1.")
@click.option("--port", type=int, help="The port to listen on; 0 takes a free one. Default: 0.")
@click.option("--advertise", metavar="HOST:PORT", help="Where frontends reach it. Default: where it listens.")
@click.option("--threads", type=int, help="Batches predicted at a time. Default: 1.")
@click.option("--max-waiting", type=int, help="Calls that may wait for the model; more are refused. Default: 256.")
@click.option("--isolate/--no-isolate", default=None, help="Ask a failing batch again in parts. Default: isolate.")
@click.option(
    "--environment-check/--no-environment-check", default=None, help="Refuse other major versions. Default: check."
)
@click.option("--metrics-port", type=int, help="The port of its metrics; 0 takes a free one, -1: off. Default: 0.")
@click.option("--grace-s", type=float, help="Seconds that running predictions get on SIGTERM. Default: 10.")
@click.option("--transport", type=click.Choice(["auto", "native", "grpcio"]), help="What carries gRPC. Default: auto.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
@click.option("--ready-fd", type=int, metavar="N", help="A descriptor that gets a line of JSON once the model serves.")
@click.option("--ready-file", metavar="PATH", help="A file that is made once the model serves.")
def main(**flags: Any) -> None:
    """Runs the process. See _HELP."""
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise click.UsageError("\n".join(_told(each) for each in error.errors())) from None
    _refuse_incomplete(settings)
    _prepare_process(settings)
    try:
        plan = _plan(settings)
        lifecycle.run(lambda stop: serve(settings, plan, stop))
    except RuntimeFault as fault:
        cause = fault.__cause__
        _log.error("cannot_serve", exc_info=cause, extra={"problem": str(fault), "exit_code": fault.exit_code})
        if sys.stderr.isatty():
            click.echo(f"Error: {fault}", err=True)
        sys.exit(fault.exit_code)


def _prepare_process(settings: Settings) -> None:
    logs.configure("runtime", settings.log_level)
    logging.captureWarnings(capture=True)
    faulthandler.enable()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a model prints is seen at once


def _told(error: Any) -> str:
    flag = "--" + "-".join(str(part) for part in error["loc"][:1]).replace("_", "-").lower()
    return f"{flag}: {str(error['msg']).removeprefix('Value error, ')} (given: {error['input']!r})"
