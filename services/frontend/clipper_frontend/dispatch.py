"""Brings queries to the pool of their version, and keeps all deadlines.

The driver of the engine: it acts on what the pure rooms decide, with time from an injected clock, and knows replicas
only as `runtime.Runtime`. Everything happens on one thread, in callbacks: no task per query or batch, nothing polls.
"""

from __future__ import annotations

from clipper_frontend.batch_policies import DEFAULT_POLICY, BatchPolicy, new_policy
from clipper_frontend.deadlines import Clock, Deadlines
from clipper_frontend.pool import Limits, Pool
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import RouteTable, Version
from clipper_frontend.runtime import Connect, Watches

_USUAL_OBJECTIVE_NS = 100_000_000
"""For what no application asks, but a query may all the same."""


class Dispatcher:
    """Has every query answered by its deadline: by a replica, or with the reason why not.

    Args:
        watcher: is told of every batch.
    """

    def __init__(self, clock: Clock, connect: Connect, limits: Limits, watcher: Watches | None = None) -> None:
        self._clock = clock
        self._connect = connect
        self._limits = limits
        self._watcher = watcher
        self._deadlines = Deadlines(clock)
        self._pools: dict[str, Pool] = {}

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for a replica, over all versions."""
        return sum(pool.waiting_rows for pool in self._pools.values())

    @property
    def pools(self) -> list[Pool]:
        """The pool of each version, for those who look on."""
        return list(self._pools.values())

    @property
    def batches_in_flight(self) -> int:
        """How many batches are with replicas."""
        return sum(pool.batches_in_flight for pool in self._pools.values())

    def apply(self, table: RouteTable) -> None:
        """Makes pools and replicas what the table says. What stays, by uid and by replica, is not disturbed."""
        for uid in self._pools.keys() - table.groups.keys():
            self._pools.pop(uid).close()
        objectives = _objectives(table)
        for uid, group in table.groups.items():
            objective_ns = objectives.get(group.version.model, _USUAL_OBJECTIVE_NS)
            pool = self._pools.get(uid)
            if pool is None:
                self._pools[uid] = Pool(
                    group, objective_ns, self._clock, self._connect, self._new_policy, self._limits, self._watcher
                )
            else:
                pool.update(group, objective_ns)

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
        batching = version.batching
        return new_policy(batching.policy or DEFAULT_POLICY, batching.max_batch_rows or self._limits.max_batch_rows)


def _objectives(table: RouteTable) -> dict[str, int]:
    """The shortest objective of the applications that ask a model."""
    found: dict[str, int] = {}
    for route in table.routes.values():
        for model in route.models:
            found[model] = min(found.get(model, route.objective_ns), route.objective_ns)
    return found
