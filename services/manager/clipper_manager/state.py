"""A configuration: looked up by name, and drafted anew.

`State` is what is. A `Draft` lies over a state: rules look into it and write onto it, and what they wrote becomes one
`Change`. Nothing in here waits or stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from clipper_manager.resources import (
    Application,
    Entity,
    InputType,
    Instance,
    Model,
    ModelVersion,
    Replica,
    application_key,
    kind_of,
    model_key,
    replica_key,
    version_key,
)
from clipper_rpc.errors import ApplicationNotFound, ModelNotFound, ReplicaNotFound, VersionNotFound

E = TypeVar("E", bound=Entity)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit does to a configuration, all or nothing.

    A put replica or instance holds the lease that it names; whatever leases `ended_leases` names are gone.
    """

    puts: tuple[Entity, ...] = ()
    deletes: tuple[str, ...] = ()
    """Keys."""
    ended_leases: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it does nothing."""
        return not self.puts and not self.deletes

    @property
    def leases(self) -> tuple[tuple[str, str], ...]:
        """The leases that it grants, each with the key of what holds it."""
        return tuple((put.lease_id, put.key) for put in self.puts if isinstance(put, Replica | Instance))


class View:
    """Looks things up in a configuration."""

    def find(self, kind: type[E], key: str) -> E | None:
        """What has that key."""
        raise NotImplementedError

    def all(self, kind: type[E]) -> Iterator[E]:
        """Everything of one kind, in no order."""
        raise NotImplementedError

    def application(self, name: str) -> Application:
        """One application; ApplicationNotFound if there is none."""
        found = self.find(Application, application_key(name))
        if found is None:
            raise ApplicationNotFound(application=name)
        return found

    def model(self, name: str) -> Model:
        """One model; ModelNotFound if there is none."""
        found = self.find(Model, model_key(name))
        if found is None:
            raise ModelNotFound(model=name)
        return found

    def version(self, model: str, version: str) -> ModelVersion:
        """One version; ModelNotFound or VersionNotFound if there is none."""
        self.model(model)
        found = self.find(ModelVersion, version_key(model, version))
        if found is None:
            raise VersionNotFound(model=model, version=version)
        return found

    def replica(self, model: str, version: str, replica_id: int) -> Replica:
        """One replica; ModelNotFound, VersionNotFound or ReplicaNotFound if there is none."""
        self.version(model, version)
        found = self.find(Replica, replica_key(model, version, replica_id))
        if found is None:
            raise ReplicaNotFound(model=model, version=version, replica_id=str(replica_id))
        return found

    def versions_of(self, model: str) -> list[ModelVersion]:
        """The versions of a model, oldest first."""
        return sorted((each for each in self.all(ModelVersion) if each.model == model), key=by_age)

    def linked_to(self, model: str) -> list[Application]:
        """The applications that a model is linked to, by name."""
        linked = [each for each in self.all(Application) for link in each.links if link.model == model]
        return sorted(linked, key=lambda application: application.name)

    def model_type(self, model: str) -> InputType | None:
        """What a model takes: as its linked applications do, else as its current version, else as its newest one.

        None if it has neither links nor versions.
        """
        if linked := self.linked_to(model):
            return linked[0].input_type
        versions = self.versions_of(model)
        current = [each for each in versions if each.version == self.model(model).current_version]
        return (current or versions)[-1].input_type if versions else None


def by_age(version: ModelVersion) -> tuple[str, int, str]:
    """Sorts versions by model, then by time of creation."""
    return version.model, version.create_time_ns, version.version


class State(View):
    """The configuration at one revision."""

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        self._kinds: dict[object, dict[str, Entity]] = {}
        self.apply(entities, ())

    def apply(self, puts: Iterable[Entity], deletes: Iterable[str]) -> None:
        """Takes a change over."""
        for put in puts:
            self._kinds.setdefault(type(put), {})[put.key] = put
        for key in deletes:
            self._kinds.get(kind_of(key), {}).pop(key, None)

    def entities(self) -> tuple[Entity, ...]:
        """Everything."""
        return tuple(entity for kind in self._kinds.values() for entity in kind.values())

    def find(self, kind: type[E], key: str) -> E | None:
        """See View."""
        return cast("E | None", self._kinds.get(kind, {}).get(key))

    def items(self, kind: type[E]) -> Iterator[tuple[str, E]]:
        """Everything of one kind with its key."""
        return cast("Iterator[tuple[str, E]]", iter(self._kinds.get(kind, {}).items()))

    def all(self, kind: type[E]) -> Iterator[E]:
        """See View."""
        return cast("Iterator[E]", iter(self._kinds.get(kind, {}).values()))


class Draft(View):
    """A state as it would be after a change; the state itself is not touched."""

    def __init__(self, state: State, revision: int) -> None:
        self._state = state
        self._revision = revision
        self._puts: dict[str, Entity] = {}
        self._deletes: dict[str, None] = {}
        self._ended: dict[str, None] = {}

    def find(self, kind: type[E], key: str) -> E | None:
        """See View."""
        if key in self._deletes:
            return None
        return cast("E | None", self._puts.get(key)) or self._state.find(kind, key)

    def all(self, kind: type[E]) -> Iterator[E]:
        """See View."""
        for key, entity in self._state.items(kind):
            if key not in self._puts and key not in self._deletes:
                yield entity
        for put in tuple(self._puts.values()):
            if isinstance(put, kind):
                yield put

    def put(self, entity: E) -> E:
        """Writes an entity with the revision of this change; one that is there already, unchanged, stays as it is.

        The lease of a replica or instance that it replaces ends.
        """
        old = self.find(type(entity), entity.key)
        new: Entity = entity
        if isinstance(new, Application | Model | ModelVersion):
            if isinstance(old, Application | Model | ModelVersion) and replace(new, revision=old.revision) == old:
                return cast("E", old)
            new = replace(new, revision=self._revision)
        self._end_lease(old)
        self._deletes.pop(new.key, None)
        self._puts[new.key] = new
        return cast("E", new)

    def delete(self, entity: Entity) -> None:
        """Removes an entity, and ends its lease."""
        self._end_lease(entity)
        self._puts.pop(entity.key, None)
        if self._state.find(type(entity), entity.key) is not None:
            self._deletes[entity.key] = None

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Takes back what the block has written if it raises."""
        before = dict(self._puts), dict(self._deletes), dict(self._ended)
        try:
            yield
        except BaseException:
            self._puts, self._deletes, self._ended = before
            raise

    def change(self) -> Change:
        """All that was written."""
        return Change(tuple(self._puts.values()), tuple(self._deletes), tuple(self._ended))

    def _end_lease(self, old: Entity | None) -> None:
        if isinstance(old, Replica | Instance):
            self._ended[old.lease_id] = None
