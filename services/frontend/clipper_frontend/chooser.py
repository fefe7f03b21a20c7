"""Asks the models that an application's policy names, and tells what was shown, so that feedback can be understood.

Queries of applications whose models are fixed never come here.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from clipper_frontend.joint import AnyQuery, Decodes, JointQuery, Submits
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import Route, Version
from clipper_frontend.selection.panel import Panel
from clipper_frontend.selection.records import Asked, Recorder, Shown, StateKey, States
from clipper_rpc.logs import frames_of
from clipper_selection import Choice

_log = logging.getLogger(__name__)


class Chooser:
    """Asks who shall be asked.

    Args:
        submits: asks one model.
        take_query_id: gives an id that was never given before.
        outputs: knows the inside of outputs; used where several models answer.
        states: what policies have learned.
        recorder: takes what was shown; None: nobody wants to know.
        uniform: gives random numbers, at least 0 and below 1.
    """

    def __init__(
        self,
        submits: Submits,
        take_query_id: Callable[[], int],
        outputs: Decodes,
        states: States,
        recorder: Recorder | None = None,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._submits = submits
        self._take_query_id = take_query_id
        self._outputs = outputs
        self._states = states
        self._recorder = recorder
        self._uniform = uniform

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
        """Starts a query. `on_done` is called exactly once, perhaps before this returns, unless the query is left."""
        query_id = self._take_query_id()
        try:
            state = self._states.state(StateKey(route.name, panel.policy.NAME, context), panel.policy)
            choice = panel.policy.select(state, panel.arms, context, self._uniform)
            versions = [self._version(route, panel, model, context) for model in choice.models]
            if not versions:
                raise ValueError("the policy chose no model")
        except Exception as error:  # noqa: BLE001  # a plug-in's: the caller is told, and the log; the process goes on
            told = {"application": route.name, "policy": panel.policy.NAME, "trace": frames_of(error)}
            _log.error("policy_failed", extra=told)
            return _failed(Query(query_id, route, None, value, arrived_ns, deadline_ns, on_done), error)
        if self._recorder is not None and panel.policy.LEARNS:
            on_done = _Recording(self._recorder, panel, context, value, choice, on_done)
        if len(versions) == 1 and not panel.policy.ASKS_ALL:
            query = Query(query_id, route, versions[0], value, arrived_ns, deadline_ns, on_done)
            query.bypass_cache = bypass_cache
            self._submits.submit(query, arrived_ns)
            return query
        joint = JointQuery(
            query_id, route, panel, choice.models, state, self._outputs, arrived_ns, deadline_ns, on_done
        )
        joint.ask(self._submits, versions, value, arrived_ns, bypass_cache=bypass_cache)
        return joint

    def _version(self, route: Route, panel: Panel, model: str, context: str) -> Version | None:
        at = panel.models.index(model)
        return route.live_for(at, context) if context else route.live(at, self._uniform())


class _Recording:
    """Stands before the callback of one query: what is shown is recorded before it is shown."""

    __slots__ = ("_choice", "_context", "_input", "_on_done", "_panel", "_recorder")

    def __init__(
        self,
        recorder: Recorder,
        panel: Panel,
        context: str,
        value: bytes,
        choice: Choice,
        on_done: Callable[[AnyQuery], None],
    ) -> None:
        self._recorder = recorder
        self._panel = panel
        self._context = context
        self._input = value
        self._choice = choice
        self._on_done = on_done

    def __call__(self, query: AnyQuery) -> None:
        try:
            self._recorder.shown(self._record(query))
        except Exception:  # noqa: BLE001  # the answer goes out all the same
            _log.exception("record_failed", extra={"application": query.route.name})
        self._on_done(query)

    def _record(self, query: AnyQuery) -> Shown:
        if isinstance(query, JointQuery):
            members, weights, confidence = query.members, query.weights, query.confidence
        else:
            has_answer = query.batch is not None
            members, weights, confidence = [query], {self._choice.models[0]: float(has_answer)}, float(has_answer)
        is_default = query.reason is not Reason.NONE
        return Shown(
            query_id=query.query_id,
            application=query.route.name,
            policy=self._panel.policy.NAME,
            context=self._context,
            input=self._input,
            output=query.route.default_output if is_default else query.output,
            is_default=is_default,
            confidence=confidence,
            asked=tuple(
                Asked(
                    model=model,
                    version=member.version.version if member.version is not None else "",
                    propensity=propensity,
                    output=member.output if member.batch is not None else None,
                    weight=weights.get(model, 0.0),
                )
                for model, propensity, member in zip(
                    self._choice.models, self._choice.propensities, members, strict=True
                )
            ),
            models=self._panel.models,
        )


def _failed(query: Query, error: Exception) -> Query:
    query.fail(Reason.MODEL_ERROR, problem=str(error), kind=type(error).__name__)
    return query
