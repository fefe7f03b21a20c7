"""One query that several models answer: each is asked on its own, what arrives in time becomes one answer.

Rules of this file
 1. As with a Query, `on_done` is called exactly once, unless the query is left.
 2. Nobody waits for the slowest: every member has a deadline of its own, a margin before that of the whole, by which
    the engine ends it. With the last member the whole is done; it needs no timer.
 3. A member that fails, is late or is not there at all only lowers the confidence; the whole fails when all have.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import Route, Version
from clipper_frontend.selection.panel import Panel
from clipper_rpc.logs import frames_of
from clipper_selection import Answer, Arm, Combined, State, Value

_log = logging.getLogger(__name__)

_MOST_MARGIN_NS = 20_000_000
_MARGIN_OF = 10


class Decodes(Protocol):
    """What knows the inside of outputs."""

    def value(self, output: bytes) -> Value | None:
        """The value of a serialized Output; None if it is none."""

    def written(self, value: Value, form: bytes) -> bytes:
        """A serialized Output with a value, of the kind of another one."""


class Submits(Protocol):
    """What asks one model."""

    def submit(self, query: Query, now_ns: int) -> None:
        """Takes a query, that it ends by its deadline."""


def member_deadline_ns(now_ns: int, deadline_ns: int) -> int:
    """By when members must answer: before the deadline by a tenth of the time, at most 20 ms."""
    return deadline_ns - min(_MOST_MARGIN_NS, max(0, deadline_ns - now_ns) // _MARGIN_OF)


class JointQuery:
    """A query in the hands of several models.

    Once it is done, either `output` is set with its `weights`, or `reason` with its `kind` and `problem`, which are
    those of its `version`. `confidence` is set whenever anybody has answered.
    """

    __slots__ = (
        "_missing",
        "_outputs",
        "_panel",
        "_state",
        "_values",
        "arrived_ns",
        "confidence",
        "deadline_ns",
        "is_done",
        "kind",
        "members",
        "models",
        "on_done",
        "output",
        "problem",
        "query_id",
        "reason",
        "route",
        "version",
        "weights",
    )

    def __init__(
        self,
        query_id: int,
        route: Route,
        panel: Panel,
        models: Sequence[str],
        state: State,
        outputs: Decodes,
        arrived_ns: int,
        deadline_ns: int,
        on_done: Callable[[JointQuery], None],
    ) -> None:
        self.query_id = query_id
        self.route = route
        self._panel = panel
        self.models = models
        """Those that are asked, one for each member."""
        self._state = state
        self._outputs = outputs
        self._values: dict[str, Value | None] = {}
        self._missing = 0
        self.arrived_ns = arrived_ns
        self.deadline_ns = deadline_ns
        self.on_done = on_done
        self.is_done = False
        self.members: list[Query] = []
        self.output = b""
        self.confidence = 0.0
        self.weights: Mapping[str, float] = {}
        self.version: Version | None = None
        self.reason = Reason.NONE
        self.kind = ""
        self.problem = ""

    @property
    def last(self) -> Query | None:
        """The member whose answer came last; None if no answer came."""
        arrived = [(member.batch.replied_ns, at) for at, member in enumerate(self.members) if member.batch is not None]
        return self.members[max(arrived)[1]] if arrived else None

    def ask(
        self, submits: Submits, versions: Sequence[Version | None], value: bytes, now_ns: int, *, bypass_cache: bool
    ) -> None:
        """Asks these versions, once. It may be done before this returns."""
        deadline_ns = member_deadline_ns(now_ns, self.deadline_ns)
        self._missing = len(versions)
        for version in versions:
            member = Query(self.query_id, self.route, version, value, self.arrived_ns, deadline_ns, self._ended)
            member.bypass_cache = bypass_cache
            self.members.append(member)
        for member in self.members:
            submits.submit(member, now_ns)

    def leave(self) -> None:
        """Ends it without telling anybody: its caller has left."""
        if not self.is_done:
            self._end()
            for member in self.members:
                member.leave()

    def _ended(self, member: Query) -> None:
        if member.batch is not None and not self.is_done:  # read at once: at the deadline there is little time
            assert member.version is not None
            self._values[member.version.model] = self._outputs.value(member.output)
        self._missing -= 1
        if not self._missing and not self.is_done:
            self._finish()
            self._end()(self)

    def _finish(self) -> None:
        answers = [Answer(model, value) for model in self.models if (value := self._values.get(model)) is not None]
        if not answers:
            self._take_reason()
            return
        try:
            self._take(self._panel.policy.combine(self._state, self._asked(), answers))
        except Exception as error:  # noqa: BLE001  # a plug-in's: the caller is told, and the log; others' queries go on
            told = {"application": self.route.name, "policy": self._panel.policy.NAME, "trace": frames_of(error)}
            _log.error("policy_failed", extra=told)
            self.reason, self.kind, self.problem = Reason.MODEL_ERROR, type(error).__name__, str(error)

    def _asked(self) -> Sequence[Arm]:
        weight_of = {arm.model: arm.weight for arm in self._panel.arms}
        return [Arm(model, weight_of[model]) for model in self.models]

    def _take(self, combined: Combined) -> None:
        self.confidence = combined.confidence
        threshold = self._panel.threshold
        if combined.confidence < threshold and self.route.default_output is not None:
            self.reason = Reason.LOW_CONFIDENCE
            self.problem = f"{combined.confidence:.3g} is below {threshold:g}"
            return
        form = self.members[self.models.index(combined.form)].output
        is_as_given = combined.value == self._values[combined.form]
        self.output = form if is_as_given else self._outputs.written(combined.value, form)
        self.weights = combined.weights

    def _take_reason(self) -> None:
        """The reason that most members have stands for all."""
        reasons = Counter(member.reason for member in self.members)
        speaker = max(self.members, key=lambda member: reasons[member.reason])
        self.version = speaker.version
        if speaker.batch is not None:
            self.reason, self.kind, self.problem = Reason.MODEL_ERROR, "TypeError", "it answered with no value"
        else:
            self.reason, self.kind, self.problem = speaker.reason, speaker.kind, speaker.problem

    def _end(self) -> Callable[[JointQuery], None]:
        self.is_done = True
        on_done, self.on_done = self.on_done, _nobody
        return on_done


AnyQuery = Query | JointQuery


def _nobody(_query: JointQuery) -> None:
    """Stands where the callback of an ended query was, so that nothing holds on to its call."""
