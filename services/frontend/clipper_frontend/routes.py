"""Who answers whom: the configuration as one immutable table, built from entities, changed by making a new one.

Pure. The frontend holds one reference to the current table and swaps it; whoever has an old one may go on using it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from clipper_frontend import batch_policies
from clipper_frontend.selection.panel import Panel, panel_of
from clipper_rpc.errors import ApplicationNotFound, InvalidField, VersionNotFound
from clipper_selection import Arm
from clipper_selection import Policy as SelectionPolicy
from clipper_selection.static import Static, place, stick

STATIC = Static()
"""The policy of applications that name none."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How the queries for one version are gathered. 0 means: the frontend's setting."""

    max_batch_rows: int = 0
    linger_ns: int = 0
    max_queue_rows: int = 0
    max_batches_in_flight: int = 0
    no_retry: bool = False
    hedge_percent: int = 0
    """How many rows per hundred may be sent a second time, since a replica takes too long."""
    policy: batch_policies.Policy | None = None
    """None means: the frontend's choice."""


@dataclass(frozen=True, slots=True)
class Link:
    """A model that may answer an application's queries, and its share; or a shadow."""

    model: str
    weight: float = 1.0
    shadow_share: float = 0.0
    """The share of the queries of which a shadow gets a copy; 0: it is none."""


@dataclass(frozen=True, slots=True)
class Application:
    """What product teams query."""

    name: str
    input_type: int
    objective_ns: int
    default_output: bytes | None = None
    """A serialized Output; None: queries that cannot be answered fail."""
    links: tuple[Link, ...] = ()
    policy: SelectionPolicy = STATIC
    """How it chooses among its linked models."""
    confidence_threshold: float = 0.0
    generation: int = 0
    """Under which it learns: what was learned under another one belongs to another policy."""


@dataclass(frozen=True, slots=True)
class Model:
    """A name under which versions are deployed; `current_version` is empty until one is activated."""

    name: str
    current_version: str = ""
    canary_version: str = ""
    """On trial beside the current one; empty when none is."""
    canary_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """One deployed version of a model. `uid` tells it from an earlier one of the same name."""

    model: str
    version: str
    uid: str
    input_type: int
    batching: Batching = field(default=Batching())
    no_cache: bool = False
    """Whether its answers are neither kept nor shared among identical queries."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A running copy of a version, and where it serves."""

    model: str
    version: str
    replica_id: int
    address: str


Entity = Application | Model | Version | Replica
Key = tuple[str, ...]
"""Names an entity: its kind and what names it among its kind."""


def application_key(name: str) -> Key:
    """The key of an application."""
    return ("application", name)


def model_key(name: str) -> Key:
    """The key of a model."""
    return ("model", name)


def version_key(model: str, version: str) -> Key:
    """The key of a version."""
    return ("version", model, version)


def replica_key(model: str, version: str, replica_id: int) -> Key:
    """The key of a replica."""
    return ("replica", model, version, str(replica_id))


def key_of(entity: Entity) -> Key:
    """The key of an entity."""
    match entity:
        case Application():
            return application_key(entity.name)
        case Model():
            return model_key(entity.name)
        case Version():
            return version_key(entity.model, entity.version)
        case Replica():
            return replica_key(entity.model, entity.version, entity.replica_id)


@dataclass(frozen=True, slots=True)
class Canary:
    """A version on trial, and the share of a model's unpinned queries that it gets."""

    version: Version
    share: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A model that gets copies of queries and never has a say."""

    model: str
    version: Version | None
    """Its current version; None where none has been activated."""
    share: float
    """The share of the queries that it gets, above 0 and at most 1."""


@dataclass(frozen=True, slots=True)
class Route:
    """All that answering one application's queries needs, looked up beforehand."""

    name: str
    input_type: int
    objective_ns: int
    default_output: bytes | None
    models: tuple[str, ...]
    """The linked models, by name."""
    current: tuple[Version | None, ...]
    """The current version of each linked model; None where none has been activated."""
    shares: tuple[float, ...]
    """Running sums of the links' weights, the last one 1."""
    pinnable: Mapping[str, Version]
    """Every version of the linked model, where there is exactly one."""
    canaries: tuple[Canary | None, ...] = ()
    """The version on trial of each linked model; empty when none has one."""
    arms: tuple[Arm, ...] = ()
    """The linked models with their weights."""
    policy: SelectionPolicy = STATIC
    """How the application chooses among its linked models."""
    panel: Panel | None = None
    """Who chooses among the linked models; None where their shares decide."""
    generation: int = 0
    """Under which the application learns."""
    shadows: tuple[Shadow, ...] = ()
    """Who gets copies of its queries; not among the linked models above."""

    def version_at(self, point: float) -> Version | None:
        """The live version of the linked model into whose share `point`, from 0 up to 1, falls.

        None when no model is linked, or none of its versions is active.
        """
        if not self.current:
            return None
        index = min(bisect_right(self.shares, point), len(self.current) - 1)
        if not self.canaries:
            return self.current[index]
        below = self.shares[index - 1] if index else 0.0
        return self.live(index, (point - below) / (self.shares[index] - below))

    def version_for(self, context: str) -> Version | None:
        """The live version that the queries of a user or session stick to, as long as the shares allow.

        None when no model is linked, or none of its versions is active.
        """
        if not self.current:
            return None
        return self.live_for(self.models.index(stick(self.arms, context).model), context)

    def live_for(self, index: int, context: str) -> Version | None:
        """As `live`, at the point of a user or session."""
        canary = self.canaries[index] if self.canaries else None
        if canary is None:
            return self.current[index]
        return self.live(index, place(context, f"{canary.version.model}:{canary.version.version}"))

    def live(self, index: int, point: float) -> Version | None:
        """The version of a linked model that unpinned queries go to: of its share of points, the one on trial."""
        canary = self.canaries[index] if self.canaries else None
        return canary.version if canary is not None and point < canary.share else self.current[index]

    def pinned(self, version: str) -> Version | None:
        """The asked version of the linked model; None when no model is linked.

        Raises:
            VersionNotFound: the linked model has no such version.
            InvalidField: several models are linked, so that it is not clear whose version is meant.
        """
        if len(self.models) > 1:
            raise InvalidField(
                field="version",
                problem=f'application "{self.name}" has {len(self.models)} linked models, leave it empty',
            )
        if self.models and version not in self.pinnable:
            raise VersionNotFound(model=self.models[0], version=version)
        return self.pinnable.get(version)


@dataclass(frozen=True, slots=True)
class Group:
    """A version and the replicas that serve it."""

    version: Version
    replicas: frozenset[Replica]


class RouteTable:
    """The whole configuration. Immutable: changes make another table."""

    __slots__ = ("_entities", "groups", "routes")

    def __init__(self, entities: Mapping[Key, Entity]) -> None:
        self._entities = entities
        replicas: dict[tuple[str, str], list[Replica]] = {}
        versions: dict[str, dict[str, Version]] = {}
        for entity in entities.values():
            if isinstance(entity, Version):
                versions.setdefault(entity.model, {})[entity.version] = entity
            elif isinstance(entity, Replica):
                replicas.setdefault((entity.model, entity.version), []).append(entity)
        self.groups: Mapping[str, Group] = {
            version.uid: Group(version, frozenset(replicas.get((version.model, version.version), ())))
            for of_model in versions.values()
            for version in of_model.values()
        }
        """By uid of the version."""
        self.routes: Mapping[str, Route] = {
            entity.name: self._route(entity, versions)
            for entity in entities.values()
            if isinstance(entity, Application)
        }
        """By name of the application."""

    @classmethod
    def of(cls, entities: Iterable[Entity]) -> RouteTable:
        """The table of these entities."""
        return cls({key_of(entity): entity for entity in entities})

    def changed(self, put: Iterable[Entity], deleted: Iterable[Key]) -> RouteTable:
        """The table after a change: `deleted` keys gone (unknown ones are no error), `put` entities new or replaced."""
        gone = set(deleted)
        entities = {key: entity for key, entity in self._entities.items() if key not in gone}
        entities.update((key_of(entity), entity) for entity in put)
        return RouteTable(entities)

    def route(self, application: str) -> Route:
        """The route of an application.

        Raises:
            ApplicationNotFound: there is none of that name.
        """
        route = self.routes.get(application)
        if route is None:
            raise ApplicationNotFound(application=application)
        return route

    def current_version(self, model: str) -> str:
        """The current version of a model; empty if it has none, or is not known."""
        entity = self._entities.get(model_key(model))
        return entity.current_version if isinstance(entity, Model) else ""

    def _route(self, application: Application, versions: Mapping[str, Mapping[str, Version]]) -> Route:
        links = sorted((link for link in application.links if not link.shadow_share), key=lambda link: link.model)
        total = sum(link.weight for link in links) or 1.0
        current = tuple(self._current(link.model, versions) for link in links)
        canaries = tuple(self._canary(link.model, versions) for link in links)
        arms = tuple(Arm(link.model, link.weight) for link in links)
        return Route(
            name=application.name,
            input_type=application.input_type,
            objective_ns=application.objective_ns,
            default_output=application.default_output,
            models=tuple(link.model for link in links),
            current=current,
            shares=tuple(accumulate(link.weight / total for link in links)),
            pinnable=versions.get(links[0].model, {}) if len(links) == 1 else {},
            canaries=canaries if any(canaries) else (),
            arms=arms,
            policy=application.policy,
            panel=panel_of(
                application.policy,
                application.confidence_threshold,
                arms,
                [self._is_able(version) for version in current],
            ),
            generation=application.generation,
            shadows=tuple(
                Shadow(link.model, self._current(link.model, versions), link.shadow_share)
                for link in application.links
                if link.shadow_share
            ),
        )

    def _is_able(self, version: Version | None) -> bool:
        group = None if version is None else self.groups.get(version.uid)
        return group is not None and bool(group.replicas)

    def _current(self, model: str, versions: Mapping[str, Mapping[str, Version]]) -> Version | None:
        entity = self._entities.get(model_key(model))
        if not isinstance(entity, Model):
            return None
        return versions.get(model, {}).get(entity.current_version)

    def _canary(self, model: str, versions: Mapping[str, Mapping[str, Version]]) -> Canary | None:
        entity = self._entities.get(model_key(model))
        if not isinstance(entity, Model) or not entity.canary_version:
            return None
        version = versions.get(model, {}).get(entity.canary_version)
        return Canary(version, entity.canary_share) if version is not None else None


EMPTY = RouteTable({})
"""The table of a cluster in which nothing is configured."""
