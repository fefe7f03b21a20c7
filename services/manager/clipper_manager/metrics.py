"""What the manager tells of the cluster; every name is in here. Nothing is counted: it is all in the mirror."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from clipper_manager.mirror import Mirror
from clipper_manager.resources import Application, Instance, Model, ModelVersion, Replica
from clipper_rpc.telemetry.families import Collect, Family, gauge


def families(mirror: Mirror, is_connected: Callable[[], bool]) -> Collect:
    """Tells everything that a manager knows."""

    def collect() -> Iterable[Family]:
        state = mirror.state
        replicas = Counter((each.model, each.version) for each in list(state.all(Replica)))
        instances = Counter(each.kind.value for each in list(state.all(Instance)))
        versions = Counter(each.state.value for each in list(state.all(ModelVersion)))
        yield gauge("clipper.manager.applications", "Applications.", [({}, len(list(state.all(Application))))])
        yield gauge("clipper.manager.models", "Models.", [({}, len(list(state.all(Model))))])
        yield gauge(
            "clipper.manager.versions",
            "Versions of models, by state.",
            [({"state": each.lower()}, number) for each, number in versions.items()],
        )
        yield gauge(
            "clipper.manager.replicas",
            "Replicas that hold a lease.",
            [({"model": model, "version": version}, number) for (model, version), number in replicas.items()],
        )
        yield gauge(
            "clipper.manager.instances",
            "Processes that hold a lease, by kind.",
            [({"kind": kind.lower()}, number) for kind, number in instances.items()],
        )
        leases = replicas.total() + instances.total()
        yield gauge("clipper.manager.leases", "Leases of replicas and processes.", [({}, leases)], "{lease}")
        yield gauge(
            "clipper.manager.revision", "The revision that this manager has seen.", [({}, mirror.position.revision)]
        )
        yield gauge(
            "clipper.manager.store.up", "Whether the store is reached: 1 or 0.", [({}, 1 if is_connected() else 0)]
        )

    return collect
