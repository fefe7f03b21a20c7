"""Looks on while queries are answered: counts them, tells causes to the log, and follows single ones where asked to.

Following costs microseconds per query, so it is off unless traces are wanted or the log is at DEBUG: then each query's
request id and span are kept under its query id, and go along with the batch that carries it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from clipper_frontend.causes import Causes
from clipper_frontend.joint import AnyQuery
from clipper_frontend.metrics import Metrics
from clipper_frontend.predictor import cause_of
from clipper_frontend.query import Query, Reason
from clipper_frontend.recent import Recent
from clipper_frontend.routes import Replica, Version
from clipper_frontend.runtime import Along, Metadata
from clipper_rpc.errors import ClipperError
from clipper_rpc.telemetry.context import REQUEST_ID, joined_ids, request_id
from clipper_rpc.telemetry.tracing import Attributes, Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_log = logging.getLogger(__name__)


class HasMetadata(Protocol):
    """A call, as far as it is looked at."""

    @property
    def metadata(self) -> Metadata:
        """What the caller sent along."""


@dataclass(slots=True)
class Followed:
    """A call whose queries are followed."""

    request_id: str
    span: Span | None
    ends_with_query: bool = True


class Observer:
    """Looks on in one frontend process.

    Args:
        tracing: makes spans; None where nobody wants them.
        recent: remembers the last answers; None where nobody asks for them.
        follows: whether single queries are followed, for the log.
    """

    def __init__(
        self,
        metrics: Metrics,
        tracing: Tracing | None = None,
        recent: Recent | None = None,
        *,
        follows: bool = False,
    ) -> None:
        self.metrics = metrics
        self.recent = recent
        self._count = metrics.answered
        self._remember = None if recent is None else recent.remember
        self._sending = metrics.sending
        self.returned = metrics.returned
        """See runtime.Watches."""
        self.follows = follows or tracing is not None
        self._tracing = tracing
        self._causes = Causes()
        self._under_way: dict[int, Followed] = {}

    # Every query

    def answered(self, query: AnyQuery, now_ns: int, call: HasMetadata) -> None:
        """A query is about to be answered, as it stands."""
        self._count(query, now_ns)
        if self._remember is not None:
            self._remember(query, now_ns)
        if query.reason or self.follows:
            self._tell(query, now_ns, call)

    def failed(self, application: str, error: ClipperError) -> None:
        """A caller gets an error."""
        self.metrics.failed(application, error)

    def sending(self, version: Version, replica: Replica, queries: Sequence[Query], now_ns: int) -> Metadata:
        """See runtime.Watches."""
        self._sending(replica, queries, now_ns)
        return self._along(version, queries) if self._under_way else ()

    # Single ones

    def open(self, call: HasMetadata, method: str, application: str, *, ends_with_query: bool = True) -> Followed:
        """Begins to follow a call."""
        metadata = call.metadata
        span = None
        if self._tracing is not None:
            attributes = {"rpc.system.name": "grpc", "rpc.method": method, "clipper.application": application}
            span = self._tracing.serving(method.rpartition("/")[2], metadata, attributes)
        return Followed(request_id(metadata), span, ends_with_query)

    def follow(self, query: AnyQuery, followed: Followed) -> None:
        """Follows a query of a call; it may be answered already."""
        if followed.span is not None and followed.ends_with_query:
            followed.span.set_attribute("clipper.query_id", query.query_id)
        if not query.is_done:
            self._under_way[query.query_id] = followed
        elif followed.ends_with_query:
            self._close(followed, query)

    def left(self, query: AnyQuery) -> None:
        """The caller of a query has left."""
        query.leave()
        followed = self._under_way.pop(query.query_id, None)
        if followed is not None and followed.ends_with_query:
            self.close(followed, "CANCELLED")

    def close(self, followed: Followed, problem: str = "") -> None:
        """A call has ended."""
        if followed.span is not None:
            if problem and self._tracing is not None:
                self._tracing.failed(followed.span, problem)
            followed.span.end()

    def _tell(self, query: AnyQuery, now_ns: int, call: HasMetadata) -> None:
        if query.reason:
            event = "default_answered" if query.route.default_output is not None else "error_answered"
            reason = Reason(query.reason).name
            self._causes.tell(event, query.route.name, reason, now_ns, lambda: _details(query, call))
        if self.follows:
            self._ended(query, now_ns, call)

    def _ended(self, query: AnyQuery, now_ns: int, call: HasMetadata) -> None:
        followed = self._under_way.pop(query.query_id, None)
        _log.debug(
            "query_answered",
            extra={
                "application": query.route.name,
                "query_id": query.query_id,
                "request_id": followed.request_id if followed is not None else request_id(call.metadata),
                "took_ms": (now_ns - query.arrived_ns) / 1e6,
                "reason": Reason(query.reason).name,
            },
        )
        if followed is not None and followed.ends_with_query:
            self._close(followed, query)

    def _close(self, followed: Followed, query: AnyQuery) -> None:
        if followed.span is not None and query.reason:
            followed.span.set_attribute("clipper.reason", Reason(query.reason).name)
        is_error = query.reason and query.route.default_output is None
        self.close(followed, cause_of(query) if is_error else "")

    def _along(self, version: Version, queries: Sequence[Query]) -> Metadata:
        found = [self._under_way[each] for each in _ids(queries) if each in self._under_way]
        pairs: list[tuple[str, str | bytes]] = []
        ids = joined_ids(each.request_id for each in found)
        if ids:
            pairs.append((REQUEST_ID, ids))
        spans = list({id(each.span): each.span for each in found if each.span is not None}.values())
        span = None
        if self._tracing is not None and spans:
            attributes: Attributes = {
                "clipper.model": version.model,
                "clipper.version": version.version,
                "clipper.batch_rows": len(queries),
            }
            span = self._tracing.calling("batch", spans, attributes)
            if span is not None:
                pairs.extend(self._tracing.metadata_of(span))
        along = Along(pairs)
        along.ended = lambda problem: self.close(Followed("", span), problem)
        return along


def _ids(queries: Sequence[Query]) -> Iterator[int]:
    """The ids of all queries that a batch serves, those included who joined another's computation."""
    for query in queries:
        yield query.query_id
        for joined in getattr(query, "joined", None) or ():
            yield joined.query_id


def _details(query: AnyQuery, call: HasMetadata) -> dict[str, object]:
    version = query.version
    named = {"model": version.model, "version": version.version} if version is not None else {}
    also = {"kind": query.kind, "request_id": request_id(call.metadata)}
    return {
        **named,
        "cause": cause_of(query),
        "query_id": query.query_id,
        **{name: value for name, value in also.items() if value},
    }
