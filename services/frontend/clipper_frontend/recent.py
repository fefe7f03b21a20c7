"""What became of the queries that were answered last, for those who ask about one.

Rules of this file
 1. Pure: no clock. It holds on to no query, input or output.
 2. One tuple per query, built when it is answered, and nothing else: what it means is found out when somebody asks.
 3. A process's ids are consecutive within ranges, so that an id's place is the id modulo the size. What is in a place
    is known by its id; the last one that came there stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from clipper_frontend.joint import AnyQuery, JointQuery
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Route, Version

_MOST_PROBLEM = 512
"""Characters that are kept of what a model said of its error."""

_Entry = tuple[Any, ...]
"""The fields of a Remembered, as many as were given."""
_ALONE = 12
"""How many are given of a query that one model was asked; the time of the answer is the last."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A query that was answered, or one model's part in it; the fields are those of query.Query."""

    query_id: int
    route: Route
    version: Version | None
    arrived_ns: int
    deadline_ns: int
    batch: Batch | None
    reason: Reason
    kind: str
    problem: str
    losses: int
    has_joined: bool
    answered_ns: int
    """When the caller was answered."""
    model: str = ""
    """The one that was asked, if several were."""
    weight: float = 1.0
    """That of this model in the answer."""
    confidence: float = 1.0
    """The share of the models' weight that agrees."""
    members: tuple[Remembered, ...] = ()
    """The parts of several models; empty if one was asked."""


class Recent:
    """The last answers of one process.

    Args:
        size: how many at most, above 0.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: list[_Entry | None] = [None] * size

    def remember(self, query: AnyQuery, now_ns: int) -> None:
        """Keeps what there is to tell of a query that is being answered."""
        entry = _joint(query, now_ns) if isinstance(query, JointQuery) else _entry(query, now_ns)
        self._entries[query.query_id % self.size] = entry

    def find(self, query_id: int) -> Remembered | None:
        """What is known of a query; None when it was not answered here, or too long ago."""
        entry = self._entries[query_id % self.size]
        if entry is None or entry[0] != query_id:
            return None
        if len(entry) == _ALONE:
            return Remembered(*entry)
        *fields, members = entry
        return replace(Remembered(*fields), members=tuple(Remembered(*each) for each in members))

    def oldest_ns(self) -> int | None:
        """When the oldest answer that is remembered was given; None when there is none. Looks at all of them."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[int]:
        return (entry[_ALONE - 1] for entry in self._entries if entry is not None)


def _entry(query: Query, now_ns: int) -> _Entry:
    return (
        query.query_id,
        query.route,
        query.version,
        query.arrived_ns,
        query.deadline_ns,
        query.batch,
        query.reason,
        query.kind,
        query.problem and query.problem[:_MOST_PROBLEM],
        query.losses,
        query.has_joined,
        now_ns,
    )


def _joint(query: JointQuery, now_ns: int) -> _Entry:
    members = tuple(
        (*_entry(member, now_ns), model, query.weights.get(model, 0.0))
        for model, member in zip(query.models, query.members, strict=True)
    )
    return (
        query.query_id,
        query.route,
        query.version,
        query.arrived_ns,
        query.deadline_ns,
        query.last.batch if query.last is not None else None,
        query.reason,
        query.kind,
        query.problem and query.problem[:_MOST_PROBLEM],
        sum(member.losses for member in query.members),
        False,
        now_ns,
        "",
        1.0,
        query.confidence,
        members,
    )
