"""What became of the queries that were answered last, for those who ask about one.

Rules of this file
 1. Pure: no clock. It holds on to no query, input or output.
 2. One tuple per query, built when it is answered, and nothing else: what it means, and where it is, is found out when
    somebody asks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from clipper_frontend.joint import AnyQuery, JointQuery
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Route, Version

_MOST_PROBLEM = 512
"""Characters that are kept of what a model said of its error."""

_Entry = tuple[Any, ...]
"""The first fields of a Remembered, as many as there is something to tell of."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A query that was answered, or one model's part in it; the fields are those of query.Query."""

    query_id: int
    answered_ns: int
    """When the caller was answered."""
    route: Route
    version: Version | None
    arrived_ns: int
    deadline_ns: int
    batch: Batch | None
    has_joined: bool
    losses: int
    reason: Reason = Reason.NONE
    kind: str = ""
    problem: str = ""
    model: str = ""
    """The one that was asked, if several were."""
    weight: float = 1.0
    """That of this model in the answer."""
    confidence: float = 1.0
    """The share of the models' weight that agrees."""
    members: tuple[Remembered, ...] = ()
    """The parts of several models; empty if one was asked."""


class Recent:
    """The last answers of one process: predictions, and, kept apart so that these do not drive them out, all others.

    Args:
        size: how many at most of each, above 0.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: deque[_Entry] = deque(maxlen=size)
        self._append = self._entries.append
        self._missed: deque[_Entry] = deque(maxlen=size)

    def remember(self, query: AnyQuery, now_ns: int) -> None:
        """Keeps what there is to tell of a query that is being answered."""
        if type(query) is not Query or query.reason:
            entry = _joint(query, now_ns) if isinstance(query, JointQuery) else _entry(query, now_ns)
            (self._missed if query.reason else self._entries).append(entry)
            return
        self._append(  # as _entry, but for what is not there to tell: this is for every query
            (
                query.query_id,
                now_ns,
                query.route,
                query.version,
                query.arrived_ns,
                query.deadline_ns,
                query.batch,
                query.has_joined,
                query.losses,
            )
        )

    def find(self, query_id: int) -> Remembered | None:
        """What is known of a query; None when it was not answered here, or too long ago. Looks at all of them."""
        for entry in chain(reversed(self._missed), reversed(self._entries)):
            if entry[0] == query_id:
                if len(entry) < _WITH_MEMBERS:
                    return Remembered(*entry)
                *fields, members = entry
                return replace(Remembered(*fields), members=tuple(Remembered(*each) for each in members))
        return None

    def oldest_ns(self) -> int | None:
        """Since when every answer is remembered; None when there is none."""
        kept = self._entries, self._missed
        full: list[int] = [entries[0][1] for entries in kept if len(entries) == self.size]
        return max(full) if full else min((entries[0][1] for entries in kept if entries), default=None)


_WITH_MEMBERS = 16
"""How long an entry of several models is."""


def _entry(query: AnyQuery, now_ns: int) -> _Entry:
    return (
        query.query_id,
        now_ns,
        query.route,
        query.version,
        query.arrived_ns,
        query.deadline_ns,
        *((query.batch, query.has_joined, query.losses) if isinstance(query, Query) else _parts(query)),
        query.reason,
        query.kind,
        query.problem[:_MOST_PROBLEM],
    )


def _parts(query: JointQuery) -> _Entry:
    last = query.last
    return None if last is None else last.batch, False, sum(member.losses for member in query.members)


def _joint(query: JointQuery, now_ns: int) -> _Entry:
    members = tuple(
        (*_entry(member, now_ns), model, query.weights.get(model, 0.0))
        for model, member in zip(query.models, query.members, strict=True)
    )
    return (*_entry(query, now_ns), "", 1.0, query.confidence, members)
