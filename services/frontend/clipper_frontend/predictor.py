"""What should happen with a query: who is asked, until when, and what is answered when nobody can.

The use-case object of the frontend. It knows neither gRPC nor the wire; `service` translates for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from clipper_frontend.joint import AnyQuery
from clipper_frontend.query import Query, Reason
from clipper_frontend.recent import Remembered
from clipper_frontend.routes import EMPTY, Route, RouteTable, Version
from clipper_frontend.selection.panel import Panel
from clipper_rpc.errors import ClipperError, Late, ModelError, NoModel, NoReplica, Overloaded, ReplicaLost

_NOBODY = "No connected models found for query"
_TOO_LATE = "Failed to retrieve a prediction response within the specified latency SLO"
_CLIPPERS_WORDS = {Reason.NO_MODEL: _NOBODY, Reason.NO_REPLICA: _NOBODY, Reason.LATE: _TOO_LATE}
_MAX_PROBLEM = 256


class Dispatches(Protocol):
    """What brings queries to models."""

    def apply(self, table: RouteTable) -> None:
        """Makes pools and replicas what the table says."""

    def submit(self, query: Query, now_ns: int) -> None:
        """Takes a query, that it ends by its deadline."""


class Chooses(Protocol):
    """What asks the models that an application's policy names."""

    def ask(
        self,
        route: Route,
        panel: Panel,
        context: str,
        value: bytes,
        arrived_ns: int,
        deadline_ns: int,
        on_done: Callable[[AnyQuery], None],
        *,
        bypass_cache: bool,
    ) -> AnyQuery:
        """Starts a query, as `Predictor.predict` does."""


class Copies(Protocol):
    """What gives shadows copies of queries."""

    def watched(self, route: Route, value: bytes, on_done: Callable[[AnyQuery], None]) -> Callable[[AnyQuery], None]:
        """The callback for a query of which shadows shall get copies."""


class Predictor:
    """Answers queries of applications.

    Args:
        take_query_id: gives an id that was never given before.
        chooser: asks the models of applications whose policy chooses.
        shadows: gives shadows their copies; None: they get none.
        reply_margin_ns: how long before a client's deadline its answer must leave here in order to arrive in time.
    """

    def __init__(
        self,
        dispatcher: Dispatches,
        take_query_id: Callable[[], int],
        chooser: Chooses,
        shadows: Copies | None = None,
        *,
        reply_margin_ns: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._chooser = chooser
        self._shadows = shadows
        self._take_query_id = take_query_id
        self._reply_margin_ns = reply_margin_ns
        self._table = EMPTY

    @property
    def table(self) -> RouteTable:
        """The configuration by which queries are answered now."""
        return self._table

    def use(self, table: RouteTable) -> None:
        """Answers by another configuration from now on."""
        self._dispatcher.apply(table)
        self._table = table

    def route(self, application: str) -> Route:
        """The route of an application.

        Raises:
            ApplicationNotFound: there is none of that name.
        """
        return self._table.route(application)

    def version(self, route: Route, pinned: str, context: str = "") -> Version | None:
        """The version that shall answer: the pinned one, else a live one of a linked model, by their shares.

        Queries of one context stick to a version while shares stay what they are.

        None when there is none to ask; such a query is answered with the reason.

        Raises:
            VersionNotFound: the linked model has no such version.
            InvalidField: a version was given, but several models are linked.
        """
        if pinned:
            return route.pinned(pinned)
        if len(route.current) == 1 and not route.canaries:
            return route.current[0]
        return route.version_for(context) if context else route.version_at(random.random())

    def deadline_ns(self, route: Route, arrived_ns: int, client_ns: int | None) -> int:
        """When a query must be answered: at its objective, but in time for its client.

        The earlier of arrival + objective and the client's deadline less a margin; the margin is at most a quarter of
        the client's patience, so that a short deadline leaves some time to predict.
        """
        objective_ns = arrived_ns + route.objective_ns
        if client_ns is None:
            return objective_ns
        return min(objective_ns, client_ns - min(self._reply_margin_ns, (client_ns - arrived_ns) // 4))

    def predict(
        self,
        route: Route,
        pinned: str,
        context: str,
        value: bytes,
        arrived_ns: int,
        deadline_ns: int,
        on_done: Callable[[AnyQuery], None],
        *,
        bypass_cache: bool = False,
    ) -> AnyQuery:
        """Starts a query. `on_done` is called exactly once, perhaps before this returns, unless the query is left.

        Raises as `version` does.
        """
        panel = route.panel
        if route.shadows and self._shadows is not None:
            on_done = self._shadows.watched(route, value, on_done)
        if panel is not None and not pinned:
            return self._chooser.ask(
                route, panel, context, value, arrived_ns, deadline_ns, on_done, bypass_cache=bypass_cache
            )
        version = self.version(route, pinned, context)
        query = Query(self._take_query_id(), route, version, value, arrived_ns, deadline_ns, on_done)
        query.bypass_cache = bypass_cache
        self._dispatcher.submit(query, arrived_ns)
        return query


def error_of(query: AnyQuery | Remembered) -> ClipperError:
    """What a query that has no prediction fails with where its application has no default output."""
    route, version = query.route, query.version
    model = version.model if version is not None else " or ".join(route.models)
    label = version.version if version is not None else "(none is active)"
    match query.reason:
        case Reason.NO_MODEL:
            return NoModel(application=route.name)
        case Reason.NO_REPLICA:
            return NoReplica(model=model, version=label)
        case Reason.OVERLOADED:
            return Overloaded(model=model, version=label, queued=query.problem)
        case Reason.MODEL_ERROR:
            problem = query.problem if len(query.problem) <= _MAX_PROBLEM else query.problem[: _MAX_PROBLEM - 1] + "…"
            return ModelError(model=model, version=label, kind=query.kind, problem=problem)
        case Reason.REPLICA_LOST:
            return ReplicaLost(model=model, version=label)
        case _:
            return Late(application=route.name, objective_ms=f"{(query.deadline_ns - query.arrived_ns) / 1e6:g}")


def explanation_of(query: AnyQuery | Remembered) -> str:
    """Why the default was answered, in words: Clipper's own where it had them."""
    if query.reason is Reason.LOW_CONFIDENCE:
        return f"The models disagreed: the confidence {query.problem}"
    return _CLIPPERS_WORDS.get(query.reason) or error_of(query).message


def cause_of(query: AnyQuery | Remembered) -> str:
    """As `explanation_of`, for logs and traces: without the text of a model's error, which may quote its input."""
    if query.reason is not Reason.MODEL_ERROR:
        return explanation_of(query)
    error = error_of(query)
    return error.message.removesuffix(f": {error.fields['problem']}")
