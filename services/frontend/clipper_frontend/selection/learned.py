"""What policies have learned, as this process knows it: copies of states that others keep and all teach.

Rules of this file
 1. Pure. Who reads states and follows changes is somebody else; `want` asks for a state to be read.
 2. Changes are told in order, but some may be missed: each state counts its changes, and a gap has it read again.
    Meanwhile the last known state is used.
 3. Numbers given out never change afterwards: a change makes another mapping.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipper_frontend.selection.records import NO_STATE, StateKey
from clipper_selection import Policy, State

if TYPE_CHECKING:
    from clipper_frontend.routes import RouteTable


@dataclass(frozen=True, slots=True)
class Changed:
    """How one state has changed."""

    context: str
    """Empty: the application's own."""
    revision: int
    """One more than before the change. It only grows, also when a state is forgotten and begins anew."""
    is_whole: bool
    """Whether `values` are all numbers that there are, rather than those that changed."""
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened at once to the states of one application."""

    application: str
    generation: int
    states: tuple[Changed, ...]
    dropped: tuple[str, ...] = ()
    """Contexts that were forgotten; one that is empty stands for all states of the application."""


class Copy:
    """What is known of one state."""

    __slots__ = (
        "application",
        "asked_at",
        "context",
        "heard",
        "inherited_from",
        "is_known",
        "revision",
        "round",
        "values",
    )

    def __init__(self, application: str, context: str) -> None:
        self.application = application
        self.context = context
        self.values: State = NO_STATE
        self.is_known = False
        """Whether it was ever read or told of as a whole."""
        self.revision = 0
        """That of the values; 0 as long as nothing is known to be taught."""
        self.heard = 0
        """The latest revision that was told of."""
        self.asked_at: int | None = None
        """The revision at which a read was asked for that has not come; None if none is on its way."""
        self.round = 0
        """In which round it was asked for last."""
        self.inherited_from: State | None = None
        """A context that was never taught: the application's values that its own were made of."""


class _Application:
    __slots__ = ("contexts", "generation", "own")

    def __init__(self, name: str, generation: int) -> None:
        self.generation = generation
        self.own = Copy(name, "")
        self.contexts: OrderedDict[str, Copy] = OrderedDict()


class Learned:
    """The copies of one process.

    Args:
        want: has a state read; `took` tells what came of it.
        max_contexts: how many contexts of one application are kept; the others are read when they come back.
    """

    def __init__(self, want: Callable[[Copy], None], *, max_contexts: int) -> None:
        self._want = want
        self._max_contexts = max_contexts
        self._applications: dict[str, _Application] = {}
        self._round = 1

    def use(self, table: RouteTable) -> None:
        """Goes by another configuration: an application that got another policy starts with nothing."""
        self._applications = {
            route.name: kept
            if (kept := self._applications.get(route.name)) is not None and kept.generation == route.generation
            else _Application(route.name, route.generation)
            for route in table.routes.values()
        }

    def generation(self, application: str) -> int:
        """Under which generation an application learns; 0 if there is none of that name."""
        kept = self._applications.get(application)
        return kept.generation if kept is not None else 0

    def is_current(self, copy: Copy) -> bool:
        """Whether a copy is still in use."""
        kept = self._applications.get(copy.application)
        return kept is not None and (kept.contexts.get(copy.context) if copy.context else kept.own) is copy

    def state(self, key: StateKey, policy: Policy) -> State:
        """See records.States."""
        kept = self._applications.get(key.application)
        if kept is None:
            return NO_STATE
        own = kept.own
        if own.round != self._round:
            self._ask(own)
        if not key.context:
            return own.values
        copy = self._context(kept, key)
        if copy.round != self._round:
            self._ask(copy)
        if not copy.revision and copy.inherited_from is not own.values:
            copy.values, copy.inherited_from = policy.inherited(own.values), own.values
        return copy.values

    def copy(self, key: StateKey) -> Copy | None:
        """The copy of a state; None if there is no such application."""
        kept = self._applications.get(key.application)
        if kept is None or not key.context:
            return kept.own if kept is not None else None
        return self._context(kept, key)

    def _context(self, kept: _Application, key: StateKey) -> Copy:
        copy = kept.contexts.get(key.context)
        if copy is not None:
            kept.contexts.move_to_end(key.context)
            return copy
        copy = kept.contexts[key.context] = Copy(key.application, key.context)
        if len(kept.contexts) > self._max_contexts:
            kept.contexts.popitem(last=False)
        return copy

    def begin_round(self) -> None:
        """Changes may have been missed until now: every state is read again when it is next needed."""
        self._round += 1

    def took(self, copy: Copy, values: State, revision: int) -> None:
        """A state was read; revision 0: there is none (any more)."""
        asked_at, copy.asked_at = copy.asked_at, None
        copy.is_known = True
        if revision > copy.revision or (revision < copy.revision and copy.revision == asked_at):
            copy.values, copy.revision, copy.inherited_from = values, revision, None
        if copy.revision < copy.heard:
            copy.heard = copy.revision
            self._ask(copy)

    def apply(self, change: Change) -> None:
        """Something was taught or forgotten, here or elsewhere."""
        kept = self._applications.get(change.application)
        if kept is None or kept.generation != change.generation:
            return
        for context in change.dropped:
            if context:
                kept.contexts.pop(context, None)
            else:
                kept.own = Copy(change.application, "")
                kept.contexts.clear()
        for changed in change.states:
            copy = kept.contexts.get(changed.context) if changed.context else kept.own
            if copy is not None:
                self._merge(copy, changed)

    def _merge(self, copy: Copy, changed: Changed) -> None:
        if changed.revision <= copy.revision:
            return
        copy.heard = max(copy.heard, changed.revision)
        if changed.is_whole:
            copy.values = dict(changed.values)
            copy.is_known = True
        elif copy.revision and changed.revision == copy.revision + 1:
            copy.values = {**copy.values, **changed.values}
        else:
            if copy.round == self._round:  # else it is read when it is next needed
                self._ask(copy)
            return
        copy.revision = changed.revision

    def _ask(self, copy: Copy) -> None:
        copy.round = self._round
        if copy.asked_at is None:
            copy.asked_at = copy.revision
            self._want(copy)
