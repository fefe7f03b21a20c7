"""The use cases of the manager: every face calls these, and they know neither gRPC nor Redis.

Each one checks what it was given, decides by `rules` or reads, and leaves it to the ledger to make that stick. Nothing
that is not valid gets past here, whichever face it came through.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from clipper_manager import checks, rules
from clipper_manager.changes import Changes, Wanted, problems, together
from clipper_manager.feed import Step, Whole
from clipper_manager.ledger import Ledger
from clipper_manager.pages import Page, PageRequest, SortKey, page
from clipper_manager.resources import Application, InputType, Instance, Model, ModelVersion, Replica
from clipper_manager.state import Draft, State, by_age
from clipper_manager.store import Position, Store
from clipper_rpc.errors import ClipperError, InternalError, InvalidField, LeaseEnded, ReplicaUnhealthy

_log = logging.getLogger(__name__)

QUERY_IDS_AT_ONCE = 2**30
MAX_QUERY_ID = 2**53
MAX_CHANGES = 10_000


class ReplicaChecker(Protocol):
    """Looks whether a replica is what it says to be."""

    async def check(self, model: str, version: str, address: str) -> str | None:
        """What is wrong with the replica at `address`; None if it answers health and serves that version."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model and where it is linked."""

    model: Model
    linked_applications: tuple[str, ...]


class Registry:
    """The configuration of one cluster."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        checker: ReplicaChecker,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._checker = checker
        self._now_ns = now_ns
        self._new_id = new_id
        self._changes = Changes(now_ns, new_id)

    # Applications

    async def create_application(self, new: Application) -> Application:
        """Creates an application without links."""
        return await self._ledger.change(self._changes.create_application(new))

    async def update_application(self, new: Application, input_type: InputType | None) -> Application:
        """Replaces what may change of an application, if `new.revision` is 0 or that of the stored one."""
        return await self._ledger.change(self._changes.update_application(new, input_type))

    async def delete_application(self, name: str) -> None:
        """Deletes an application with its links."""
        await self._ledger.change(self._changes.delete_application(name))

    async def link_model(
        self, application: str, model: str, weight: float, *, shadow: bool = False, shadow_share: float = 0
    ) -> Application:
        """Links a model to an application, perhaps as a shadow."""
        change = self._changes.link_model(application, model, weight, shadow=shadow, shadow_share=shadow_share)
        return await self._ledger.change(change)

    async def unlink_model(self, application: str, model: str) -> Application:
        """Removes the link of a model to an application."""
        return await self._ledger.change(self._changes.unlink_model(application, model))

    async def application(self, name: str) -> Application:
        """One application."""
        checks.name("application", name)
        return await self._ledger.read(lambda state: state.application(name))

    async def applications(self, request: PageRequest) -> Page[Application]:
        """Applications by name."""
        return await self._ledger.read(
            lambda state: page(state.all(Application), lambda each: (each.name,), request, of="applications")
        )

    # Models and versions

    async def create_version(self, new: ModelVersion, *, activate: bool) -> ModelVersion:
        """Registers a version, and its model with the first one."""
        return await self._ledger.change(self._changes.create_version(new, activate=activate))

    async def update_version(self, new: ModelVersion, input_type: InputType | None) -> ModelVersion:
        """Replaces what may change of a version, if `new.revision` is 0 or that of the stored one."""
        return await self._ledger.change(self._changes.update_version(new, input_type))

    async def activate_version(self, model: str, version: str, share: float = 0) -> ModelView:
        """Makes a version the current one of its model or, with a share below 1, puts it on trial beside that."""
        activated = await self._ledger.change(self._changes.activate_version(model, version, share))
        return ModelView(activated, _linked(self._ledger.state, model))

    async def delete_version(self, model: str, version: str, *, force: bool) -> None:
        """Deletes a version with its replicas."""
        await self._ledger.change(self._changes.delete_version(model, version, force=force))

    async def version(self, model: str, version: str) -> ModelVersion:
        """One version."""
        checks.name("model", model)
        checks.version("version", version)
        return await self._ledger.read(lambda state: state.version(model, version))

    async def versions(self, model: str, request: PageRequest) -> Page[ModelVersion]:
        """Versions of one model, or of all if `model` is empty, by model and age."""
        if model:
            checks.name("model", model)

        def read(state: State) -> Page[ModelVersion]:
            found = state.versions_of(state.model(model).name) if model else state.all(ModelVersion)
            return page(found, by_age, request, of=f"versions/{model}")

        return await self._ledger.read(read)

    async def model(self, name: str) -> ModelView:
        """One model."""
        checks.name("model", name)
        return await self._ledger.read(lambda state: ModelView(state.model(name), _linked(state, name)))

    async def models(self, request: PageRequest) -> Page[ModelView]:
        """Models by name."""

        def read(state: State) -> Page[ModelView]:
            found = page(state.all(Model), lambda each: (each.name,), request, of="models")
            views = (ModelView(each, _linked(state, each.name)) for each in found.items)
            return Page(tuple(views), found.next_token)

        return await self._ledger.read(read)

    # Several changes in one step

    async def apply(self, wanted: Sequence[Wanted]) -> None:
        """Makes all of these changes or, if one is refused, none."""
        _check_count(wanted)
        await self._ledger.change(together(wanted, self._changes))

    async def problems(self, wanted: Sequence[Wanted]) -> list[tuple[int, ClipperError]]:
        """Which of these changes would be refused, by position, and why; nothing is changed."""
        _check_count(wanted)
        return await self._ledger.read(lambda state: problems(wanted, self._changes, Draft(state, 0)))

    # Replicas and instances

    async def register_replica(self, new: Replica) -> Replica:
        """Registers a replica under a new lease, once it has answered health at its address."""
        checks.name("model", new.model)
        checks.version("version", new.version)
        checks.address("address", new.address)
        checks.text("host", new.host, 256)
        checks.text("runtime", new.runtime, 256)
        await self._ledger.read(lambda state: state.version(new.model, new.version))  # fail before dialling
        problem = await self._checker.check(new.model, new.version, new.address)
        if problem is not None:
            raise ReplicaUnhealthy(address=new.address, problem=problem)
        new = replace(new, create_time_ns=self._now_ns(), lease_id=self._new_id())
        return await self._ledger.change(lambda draft: rules.register_replica(draft, new))

    async def register_instance(self, new: Instance) -> Instance:
        """Registers a process under a new lease."""
        new = checks.instance(new)
        new = replace(new, create_time_ns=new.create_time_ns or self._now_ns(), lease_id=self._new_id())
        return await self._ledger.change(lambda draft: rules.register_instance(draft, new))

    async def replica(self, model: str, version: str, replica_id: int) -> Replica:
        """One replica."""
        checks.name("model", model)
        checks.version("version", version)
        checks.replica_id("replica_id", replica_id)
        return await self._ledger.read(lambda state: state.replica(model, version, replica_id))

    async def replicas(self, model: str, version: str, request: PageRequest) -> Page[Replica]:
        """Replicas of one version, of one model if `version` is empty, or of all, by model, version and number."""
        if model:
            checks.name("model", model)
        if version:
            checks.version("version", version)
            if not model:
                raise InvalidField(field="version", problem="needs the model, too")

        def read(state: State) -> Page[Replica]:
            if version:
                state.version(model, version)
            elif model:
                state.model(model)
            found = (
                each
                for each in state.all(Replica)
                if each.model == (model or each.model) and each.version == (version or each.version)
            )
            return page(found, _by_number, request, of=f"replicas/{model}/{version}")

        return await self._ledger.read(read)

    async def instances(self, request: PageRequest) -> Page[Instance]:
        """Processes by kind and start."""
        return await self._ledger.read(
            lambda state: page(
                state.all(Instance),
                lambda each: (each.kind.value, each.create_time_ns, each.instance_id),
                request,
                of="instances",
            )
        )

    # Leases and query ids

    async def renew_lease(self, lease_id: str) -> None:
        """Gives a lease its whole term again."""
        checks.lease_id("lease_id", lease_id)
        with self._ledger.reaching_store():
            is_known = await self._store.renew_lease(lease_id)
        if not is_known:
            raise LeaseEnded

    async def end_lease(self, lease_id: str) -> None:
        """Ends a lease and what is registered under it; one that is not known has ended already."""
        checks.lease_id("lease_id", lease_id)
        with self._ledger.reaching_store():
            position = await self._store.end_lease(lease_id)
        if position is not None:
            await self._ledger.reached(position)

    async def reserve_query_ids(self) -> tuple[int, int]:
        """Reserves ids that nobody else gets: the first, and how many."""
        with self._ledger.reaching_store():
            first = await self._store.reserve_query_ids(QUERY_IDS_AT_ONCE)
        if first + QUERY_IDS_AT_ONCE > MAX_QUERY_ID:
            _log.error("query_ids_used_up", extra={"first": first})
            raise InternalError(process="manager")
        return first, QUERY_IDS_AT_ONCE

    # Watching

    def watch(self, position: Position | None) -> AsyncIterator[Whole | Step]:
        """Everything or what was missed since `position`, then every change; see Feed.watch."""
        return self._ledger.watch(position)


def _check_count(wanted: Sequence[Wanted]) -> None:
    if len(wanted) > MAX_CHANGES:
        raise InvalidField(field="changes", problem=f"has {len(wanted)}; at most {MAX_CHANGES} are made in one step")


def _linked(state: State, model: str) -> tuple[str, ...]:
    return tuple(each.name for each in state.linked_to(model))


def _by_number(replica: Replica) -> SortKey:
    return replica.model, replica.version, replica.replica_id
