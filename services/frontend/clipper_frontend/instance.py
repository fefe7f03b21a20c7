"""Shows this process to people: registers it with the manager and renews its lease.

Nothing depends on it: a frontend whose lease has ended answers all the same.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from clipper_frontend.backoff import Backoff
from clipper_rpc.errors import ClipperError, LeaseEnded

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """A registration, and how long it lasts from its last renewal."""

    lease_id: str
    ttl_ns: int


class Registers(Protocol):
    """The registry, as this room sees it."""

    async def register(self, instance_id: str, address: str, build: str, started_ns: int) -> Lease:
        """Registers a process."""

    async def renew(self, lease_id: str) -> None:
        """Renews a lease. Raises LeaseEnded when there is none any more."""

    async def end(self, lease_id: str) -> None:
        """Ends a lease."""


class Registration:
    """Keeps this process registered.

    Args:
        address: where others reach it.
        build: its version of Clipper.
        sleep: waits so many nanoseconds.
    """

    def __init__(self, registry: Registers, address: str, build: str, sleep: Callable[[int], Awaitable[None]]) -> None:
        self._registry = registry
        self._address = address
        self._build = build
        self._sleep = sleep
        self._instance_id = uuid.uuid4().hex
        self._started_ns = time.time_ns()  # wall clock, for people
        self._lease: Lease | None = None

    async def run(self) -> None:
        """Registers and renews for ever; registers again when the lease has ended."""
        backoff = Backoff()
        while True:
            try:
                if self._lease is None:
                    self._lease = await self._registry.register(
                        self._instance_id, self._address, self._build, self._started_ns
                    )
                else:
                    await self._registry.renew(self._lease.lease_id)
            except LeaseEnded:
                self._lease = None
                continue
            except ClipperError as error:
                _log.debug("lease_not_renewed", extra={"problem": error.message})
                await self._sleep(backoff.wait_ns())
                continue
            backoff.reset()
            await self._sleep(self._lease.ttl_ns // 3)

    async def end(self) -> None:
        """Takes the process out of the list, if a manager answers."""
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                await self._registry.end(lease.lease_id)
            except ClipperError as error:
                _log.debug("lease_not_ended", extra={"problem": error.message})
