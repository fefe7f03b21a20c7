"""Keeps the replica registered, from a thread of its own, however long a prediction runs.

It registers, renews every third of the lease's time, registers again when the lease has ended, and goes from manager to
manager with a growing pause while none answers. It never gives up and never raises.

(The thread needs the interpreter lock for some microseconds each time. Native code that holds the lock for a whole
lease term, without ever letting go, stops it as it stops everything else in the process.)
"""

from __future__ import annotations

import logging
import random
from threading import Event, Thread
from typing import Protocol

from clipper_rpc.errors import ClipperError, Code, LeaseEnded
from clipper_runtime.client import Lease, Replica

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_TRY_ANOTHER = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNKNOWN})


class Registry(Protocol):
    """The manager, as this file sees it; `client` is the real one."""

    @property
    def address(self) -> str:
        """The manager that is asked next."""

    def register(self, replica: Replica) -> Lease:
        """Registers a replica, or raises a ClipperError."""

    def renew(self, lease: Lease) -> Lease:
        """Renews a lease, or raises a ClipperError."""

    def end(self, lease: Lease, timeout_s: float) -> None:
        """Ends a lease, or raises a ClipperError."""

    def switch(self) -> None:
        """Asks the next manager from now on."""

    def cancel(self) -> None:
        """Ends the call that is under way; called from another thread."""

    def close(self) -> None:
        """Closes the connection."""


class LeaseKeeper:
    """Keeps one replica registered from `start` to `stop`."""

    def __init__(self, registry: Registry, replica: Replica) -> None:
        self._registry = registry
        self._replica = replica
        self._lease: Lease | None = None
        self._failures = 0
        self._stopping = Event()
        self._end_timeout_s = 1.0
        self._thread = Thread(target=self._keep, name="lease", daemon=True)

    @property
    def lease(self) -> Lease | None:
        """The lease that is held, as far as is known."""
        return self._lease

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the lease and the thread; blocks until that is done, at most twice `timeout_s`.

        A call that is under way may end by itself first: a registration cut off in the middle would leave a replica
        behind that nobody gives back.
        """
        self._end_timeout_s = timeout_s
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
            self._registry.cancel()
            self._thread.join(timeout_s)

    def step(self) -> float:
        """Registers or renews once; returns for how many seconds there is nothing to do."""
        try:
            if self._lease is None:
                self._register()
            else:
                self._lease = self._registry.renew(self._lease)
        except LeaseEnded:
            _log.warning("lease_ended", extra={"manager": self._registry.address})
            self._lease = None
            return 0.0
        except ClipperError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001  # whatever it was, the next try may do
            _log.error("lease_failed", exc_info=error)
            return self._failed(None)
        if self._failures:
            self._failures = 0
            _log.info("manager_answers_again", extra={"manager": self._registry.address})
        return self._lease.ttl_s / 3 if self._lease else 0.0

    def _register(self) -> None:
        self._lease = self._registry.register(self._replica)
        _log.info(
            "registered",
            extra={
                "manager": self._registry.address,
                "model": self._replica.model,
                "version": self._replica.version,
                "replica_id": self._lease.replica_id,
                "address": self._replica.address,
            },
        )

    def _failed(self, error: ClipperError | None) -> float:
        """Notes a failure, told once per series, and returns the pause: doubled each time, with jitter."""
        self._failures += 1
        if error is not None:
            level = logging.WARNING if self._failures == 1 else logging.DEBUG
            what = "registering_failed" if self._lease is None else "renewing_failed"
            _log.log(level, what, extra={"manager": self._registry.address, "problem": error.message})
        if error is None or error.code in _TRY_ANOTHER:
            self._registry.switch()
        longest_s = min(_LONGEST_PAUSE_S, self._lease.ttl_s / 3) if self._lease else _LONGEST_PAUSE_S
        pause_s = min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 10))
        return pause_s * random.uniform(0.5, 1.0)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.step())
        if self._lease is not None:
            try:
                self._registry.end(self._lease, self._end_timeout_s)
                _log.info("lease_given_back", extra={"manager": self._registry.address})
            except ClipperError as error:
                _log.warning("ending_lease_failed", extra={"problem": error.message})
            self._lease = None
        self._registry.close()
