"""Brings queries to the pool of their version, and keeps all deadlines.

The driver of the engine: it acts on what the pure rooms decide, with time from an injected clock, and knows replicas
only as `runtime.Runtime`. Everything happens on one thread, in callbacks: no task per query or batch, nothing polls.
"""

from __future__ import annotations

from clipper_frontend.batch_policies import BatchPolicy, Fixed
from clipper_frontend.deadlines import Clock, Deadlines
from clipper_frontend.pool import Limits, Pool
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import RouteTable, Version
from clipper_frontend.runtime import Connect


class Dispatcher:
    """Has every query answered by its deadline: by a replica, or with the reason why not."""

    def __init__(self, clock: Clock, connect: Connect, limits: Limits) -> None:
        self._clock = clock
        self._connect = connect
        self._limits = limits
        self._deadlines = Deadlines(clock)
        self._pools: dict[str, Pool] = {}

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for a replica, over all versions."""
        return sum(pool.waiting_rows for pool in self._pools.values())

    @property
    def batches_in_flight(self) -> int:
        """How many batches are with replicas."""
        return sum(pool.batches_in_flight for pool in self._pools.values())

    def apply(self, table: RouteTable) -> None:
        """Makes pools and replicas what the table says. What stays, by uid and by replica, is not disturbed."""
        for uid in self._pools.keys() - table.groups.keys():
            self._pools.pop(uid).close()
        for uid, group in table.groups.items():
            pool = self._pools.get(uid)
            if pool is None:
                self._pools[uid] = Pool(group, self._clock, self._connect, self._new_policy, self._limits)
            else:
                pool.update(group)

    def submit(self, query: Query, now_ns: int) -> None:
        """Takes a query; it is ended by its deadline at the latest, perhaps before this returns."""
        version = query.version
        if version is None:
            query.fail(Reason.NO_REPLICA if query.route.models else Reason.NO_MODEL)
            return
        if query.deadline_ns <= now_ns:
            query.expire()
            return
        pool = self._pools.get(version.uid)
        if pool is None:
            query.fail(Reason.NO_REPLICA)
            return
        pool.submit(query, now_ns)
        if not query.is_done:
            self._deadlines.add(query)

    def close(self) -> None:
        """Ends all pools."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._deadlines.close()

    def _new_policy(self, version: Version) -> BatchPolicy:
        return Fixed(version.batching.max_batch_rows or self._limits.max_batch_rows)
