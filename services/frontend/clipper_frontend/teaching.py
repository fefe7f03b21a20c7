"""What feedback does: an outcome becomes losses of models, these become increments, and the store adds them once.

The use-case object of feedback. It knows neither gRPC nor Redis. An outcome is acknowledged when what it changed is
stored; where nothing learns there is nothing to store.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from clipper_frontend.joint import Decodes
from clipper_frontend.predictor import Dispatches, error_of
from clipper_frontend.query import Query
from clipper_frontend.recall import DIGEST, Remembered
from clipper_frontend.routes import Route, Version
from clipper_frontend.selection.learned import Change
from clipper_frontend.selection.lessons import Acknowledged, Lesson, Taught, Truth
from clipper_frontend.selection.records import StateKey
from clipper_rpc.errors import (
    FeedbackInterrupted,
    InternalError,
    InvalidField,
    NoModel,
    QueryNotFound,
    StaleRevision,
    StoreInterrupted,
)
from clipper_selection import Outcome, Policy, State, Value, of_label, of_reward

_log = logging.getLogger(__name__)

_LARGEST = 1e12
"""No increment is larger: sums stay finite."""


class Store(Protocol):
    """Where states are kept."""

    async def teach(self, lesson: Lesson) -> Taught:
        """Adds; all or nothing.

        Raises:
            StoreUnavailable: nothing was done.
            StoreInterrupted: nobody can tell whether it was.
        """


class Learns(Protocol):
    """What this process knows of the states."""

    async def known(self, key: StateKey, policy: Policy) -> State:
        """A state, read if it was not yet."""

    def took_place(self, change: Change) -> None:
        """States have changed."""


class Recalls(Protocol):
    """What was shown."""

    async def find(self, query_id: int) -> Remembered | None:
        """What was shown for a query; None if it is not remembered."""


class Notes(Protocol):
    """Takes outcomes, for logs."""

    def outcome(self, application: str, query_id: int, outcome: Outcome) -> None:
        """The outcome of an answered query."""


class Teacher:
    """Takes outcomes.

    Args:
        dispatcher: asks models for what they have not answered yet.
        take_query_id: gives these queries their ids.
        outputs: knows the inside of outputs.
        notes: takes what was learned from answered queries; None: nobody wants to know.
        window_s: for how long queries are remembered, for error texts.
    """

    def __init__(
        self,
        store: Store,
        learning: Learns,
        recall: Recalls,
        dispatcher: Dispatches,
        take_query_id: Callable[[], int],
        outputs: Decodes,
        notes: Notes | None = None,
        *,
        window_s: float,
    ) -> None:
        self._store = store
        self._learning = learning
        self._recall = recall
        self._dispatcher = dispatcher
        self._take_query_id = take_query_id
        self._outputs = outputs
        self._notes = notes
        self._window_s = window_s
        self.counts: dict[str, Counter[str]] = {}
        """Outcomes by application and by what became of them: learned, duplicate, nothing, refused."""

    async def by_query(self, route: Route, query_id: int, truth: Truth, token: str) -> Acknowledged:
        """Takes the outcome of an answered query.

        Raises:
            QueryNotFound: none of that id is remembered.
            InvalidField: a label, where the answers were too large to be remembered.
        """
        return await self._counted(route, self._by_query(route, query_id, truth, token))

    async def by_input(
        self, route: Route, value: bytes, context: str, label: Value, token: str, now_ns: int, deadline_ns: int
    ) -> Acknowledged:
        """Takes the true output of an input. Models whose answers the cache does not have are asked.

        Raises:
            ClipperError: that of a model, when none answers by the deadline.
        """
        teaching = self._by_input(route, value, context, label, token, now_ns, deadline_ns)
        return await self._counted(route, teaching)

    async def _counted(self, route: Route, teaching: Coroutine[None, None, Acknowledged]) -> Acknowledged:
        what = "refused"
        try:
            done = await teaching
            what = "learned" if done.learned else "duplicate" if done.is_duplicate else "nothing"
            return done
        finally:
            self.counts.setdefault(route.name, Counter())[what] += 1

    async def _by_query(self, route: Route, query_id: int, truth: Truth, token: str) -> Acknowledged:
        if not route.policy.LEARNS:
            return Acknowledged(learned=False)
        shown = await self._recall.find(query_id)
        if shown is None or shown.application != route.name:
            raise QueryNotFound(
                query_id=str(query_id), application=route.name, window=f"{self._window_s:g} s after the answer"
            )
        if shown.generation != route.generation:
            return Acknowledged(learned=False)  # chosen by a policy that is no more: it says nothing about this one
        answers: dict[str, Value] = {}
        for asked in shown.asked:
            if asked.output is not None:
                if asked.output.startswith(DIGEST) and truth.label is not None:
                    problem = "the answers of this query were too large to be remembered; send a reward, or the input"
                    raise InvalidField(field="label", problem=problem)
                value = self._value(asked.output)
                if value is not None:
                    answers[asked.model] = value
        propensities = {asked.model: asked.propensity for asked in shown.asked}
        if truth.label is not None:
            outcome = of_label(route.policy, shown.models, answers, propensities, truth.label)
        elif truth.reward is not None and not shown.is_default and (given := self._value(shown.output)) is not None:
            outcome = of_reward(route.policy, shown.models, answers, propensities, given, truth.reward)
        else:
            return Acknowledged(learned=False)  # a default says nothing about models
        done = await self._learn(route, shown.context, outcome, token)
        if self._notes is not None and outcome.losses and not done.is_duplicate:
            self._notes.outcome(route.name, query_id, outcome)
        return done

    async def _by_input(
        self, route: Route, value: bytes, context: str, label: Value, token: str, now_ns: int, deadline_ns: int
    ) -> Acknowledged:
        if not route.policy.LEARNS:
            return Acknowledged(learned=False)
        asked = [version for version in route.current if version is not None]
        if not asked:
            raise NoModel(application=route.name)
        queries = await asyncio.gather(*(self._ask(route, each, value, now_ns, deadline_ns) for each in asked))
        answers = {
            query.version.model: given
            for query in queries
            if query.version is not None
            and query.batch is not None
            and (given := self._value(query.output)) is not None
        }
        if not answers:
            raise error_of(queries[0])
        return await self._learn(route, context, of_label(route.policy, route.models, answers, {}, label), token)

    async def _ask(self, route: Route, version: Version, value: bytes, now_ns: int, deadline_ns: int) -> Query:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_done(_query: Query) -> None:
            if not done.done():
                done.set_result(None)

        query = Query(self._take_query_id(), route, version, value, now_ns, deadline_ns, on_done)
        self._dispatcher.submit(query, now_ns)
        try:
            await done
        finally:
            query.leave()
        return query

    async def _learn(self, route: Route, context: str, outcome: Outcome, token: str) -> Acknowledged:
        policy = route.policy
        if not policy.LEARNS or not outcome.losses:
            return Acknowledged(learned=False)
        own = await self._learning.known(StateKey(route.name, policy.NAME), policy)
        lesson = Lesson(
            route.name,
            route.generation,
            context,
            token,
            own=_checked(policy, policy.observe(own, outcome)),
            bounds=policy.bounds(outcome.models),
        )
        if context:
            contexts = await self._learning.known(StateKey(route.name, policy.NAME, context), policy)
            lesson = Lesson(
                route.name,
                route.generation,
                context,
                token,
                own=lesson.own,
                contexts_own=_checked(policy, policy.observe(contexts, outcome)),
                inherited=_checked(policy, policy.inherited(own)),
                bounds=lesson.bounds,
            )
        try:
            taught = await self._store.teach(lesson)
        except StoreInterrupted as error:
            raise FeedbackInterrupted(**error.fields) from error
        if taught.is_stale:
            what = f'The policy of application "{route.name}"'
            raise StaleRevision(what=what, stored="a later one", given=str(route.generation))
        if taught.change is not None:
            self._learning.took_place(taught.change)
        return Acknowledged(learned=taught.change is not None, is_duplicate=taught.is_duplicate)

    def _value(self, output: bytes | None) -> Value | None:
        if output is None or output.startswith(DIGEST):
            return output
        return self._outputs.value(output)


def _checked(policy: Policy, numbers: Mapping[str, float]) -> Mapping[str, float]:
    """Refuses what a plug-in must not give: the store would be left with numbers that nothing can be added to."""
    for name, number in numbers.items():
        if name.startswith("#") or not math.isfinite(number) or abs(number) > _LARGEST:
            _log.error("bad_increment", extra={"policy": policy.NAME, "key": name, "number": str(number)})
            raise InternalError(process="frontend")
    return numbers
