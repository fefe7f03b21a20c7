"""What applications have learned: the use cases of those who look at it, correct it or start anew.

The configuration says which policy an application has and under which generation it learns; the states themselves are
in a store of their own, that frontends teach.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clipper_manager import checks
from clipper_manager.feed import Feed, Step, Whole
from clipper_manager.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Page, PageRequest
from clipper_manager.resources import Application, application_key
from clipper_manager.selection_store import Learned
from clipper_rpc.errors import ClipperError, InvalidField, NotSupported, StaleRevision, Stopping
from clipper_selection import UnknownPolicy, policy
from clipper_selection.shadows import Comparison, comparison

_log = logging.getLogger(__name__)

MAX_NUMBERS = 10_000
_MAX_CONTEXT_BYTES = 256
_LARGEST = 1e15


class Applications(Protocol):
    """The registry, as this room sees it."""

    async def application(self, name: str) -> Application:
        """One application; ApplicationNotFound if there is none."""


class Store(Protocol):
    """Where states are kept; see selection_store."""

    async def get(self, application: str, generation: int, context: str) -> Learned:
        """One state."""

    async def contexts(
        self, application: str, generation: int, cursor: int, count: int
    ) -> tuple[int, tuple[Learned, ...]]:
        """Some contexts with their states, and where to go on."""

    async def put(
        self, application: str, generation: int, context: str, values: Mapping[str, float], observations: int
    ) -> bool:
        """Replaces one state."""

    async def forget(self, application: str, generation: int, *, now: int, is_deleted: bool = False) -> None:
        """Forgets what was learned under a generation."""

    async def forget_context(self, application: str, generation: int, context: str) -> None:
        """Forgets what belongs to one context."""

    async def shadow(self, application: str, model: str) -> dict[str, int]:
        """The counters of a shadow."""

    async def forget_shadows(self, application: str, models: list[str]) -> None:
        """Forgets the counters of shadows."""


@dataclass(frozen=True, slots=True)
class View:
    """One state, and whose it is."""

    policy: str
    learned: Learned


@dataclass(frozen=True, slots=True)
class ShadowView:
    """A shadow and how it does."""

    model: str
    share: float
    comparison: Comparison


class States:
    """The selection states of a cluster's applications."""

    def __init__(self, applications: Applications, store: Store) -> None:
        self._applications = applications
        self._store = store

    async def state(self, application: str, context: str) -> View:
        """The state of an application, or of one of its contexts."""
        found = await self._applications.application(application)
        _check_context(context)
        learned = await self._store.get(application, found.selection_generation, context)
        return View(found.selection_policy.name, learned)

    async def states(self, application: str, request: PageRequest) -> Page[Learned]:
        """The contexts that have learned something."""
        found = await self._applications.application(application)
        if request.size < 0:
            raise InvalidField(field="page_size", problem=f"is {request.size}; give 1 to {MAX_PAGE_SIZE}")
        size = min(request.size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        cursor = _cursor(request.token)
        at, states = await self._store.contexts(application, found.selection_generation, cursor, size)
        return Page(states, str(at) if at else "")

    async def put(self, application: str, context: str, values: Mapping[str, float], observations: int) -> None:
        """Replaces a state."""
        found = await self._applications.application(application)
        _check_context(context)
        if not _learns(found):
            raise NotSupported(what=f'State for application "{application}", whose policy does not learn,')
        _check_numbers(values)
        if observations < 0:
            raise InvalidField(field="observation_count", problem=f"is {observations}; it is at least 0")
        generation = found.selection_generation
        if not await self._store.put(application, generation, context, values, observations):
            what = f'The policy of application "{application}"'
            raise StaleRevision(what=what, stored="a later one", given=str(generation))
        _log.info("selection_state_set", extra={"application": application, "context": context})

    async def reset(self, application: str, context: str) -> None:
        """Forgets what an application has learned, or what belongs to one context."""
        found = await self._applications.application(application)
        _check_context(context)
        generation = found.selection_generation
        if context:
            await self._store.forget_context(application, generation, context)
        else:
            await self._store.forget(application, generation, now=generation)
        _log.info("selection_state_reset", extra={"application": application, "context": context})

    async def shadows(self, application: str) -> tuple[ShadowView, ...]:
        """The shadows of an application, beside the answers that it gave."""
        found = await self._applications.application(application)
        shadows = [link for link in found.links if link.shadow]
        counters = [await self._store.shadow(application, link.model) for link in shadows]
        return tuple(
            ShadowView(link.model, link.shadow_share, comparison(each))
            for link, each in zip(shadows, counters, strict=True)
        )


async def forget_what_ended(feed: Feed, store: Store) -> None:
    """Follows the configuration and forgets the states of applications that are deleted or got another policy.

    Until cancelled, or the feed is closed. Any number of managers may do so. What is missed while none runs costs
    memory only: a generation never comes back.
    """
    known: dict[str, Application] = {}
    await feed.connected()
    try:
        async for step in feed.watch(None):
            match step:
                case Whole(_, entities):
                    known = {each.key: each for each in entities if isinstance(each, Application)}
                case Step(position, entry):
                    for key in entry.deletes:
                        if (old := known.pop(key, None)) is not None:
                            await _forget(store, old, position.revision, None)
                    for new in entry.puts:
                        if isinstance(new, Application):
                            old = known.get(application_key(new.name))
                            known[new.key] = new
                            if old is not None:
                                await _forget(store, old, new.selection_generation, new)
    except Stopping:
        return


async def _forget(store: Store, old: Application, now: int, new: Application | None) -> None:
    is_kept = {link.model for link in new.links if link.shadow} if new is not None else set()
    gone = [link.model for link in old.links if link.shadow and link.model not in is_kept]
    try:
        if gone:
            await store.forget_shadows(old.name, gone)
        if new is None or new.selection_generation != old.selection_generation:
            await store.forget(old.name, old.selection_generation, now=now, is_deleted=new is None)
    except ClipperError as error:
        _log.warning("selection_state_left", extra={"application": old.name, "problem": error.message})


def _learns(application: Application) -> bool:
    try:
        return policy(application.selection_policy.name).LEARNS
    except UnknownPolicy:
        return False


def _check_context(context: str) -> None:
    if len(context.encode()) > _MAX_CONTEXT_BYTES:
        raise InvalidField(field="context", problem=f"has more than {_MAX_CONTEXT_BYTES} bytes")


def _check_numbers(values: Mapping[str, float]) -> None:
    if len(values) > MAX_NUMBERS:
        raise InvalidField(field="state", problem=f"has {len(values)} numbers; at most {MAX_NUMBERS} are kept")
    for name, value in values.items():
        if not name or name.startswith("#") or len(name.encode()) > _MAX_CONTEXT_BYTES:
            raise InvalidField(field="state", problem=f'"{checks.clipped(name)}" names no number of a state')
        if not math.isfinite(value) or abs(value) > _LARGEST:
            raise InvalidField(field="state", problem=f'"{checks.clipped(name)}" is {value}; numbers are finite')


def _cursor(token: str) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) <= 20):
        problem = "is not of this list; give the next_page_token of the page before, or none"
        raise InvalidField(field="page_token", problem=problem)
    return int(token)
