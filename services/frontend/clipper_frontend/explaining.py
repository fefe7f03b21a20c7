"""InspectService.ExplainQuery: what happened to one query, asked of all workers of one parent."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from clipper.v1 import inspect_pb2 as pb
from clipper.v1 import predict_pb2
from clipper_frontend import codec
from clipper_frontend.predictor import error_of, explanation_of
from clipper_frontend.query import Reason
from clipper_frontend.recent import Recent, Remembered
from clipper_rpc.errors import AnswerNotRemembered, InvalidField
from clipper_rpc.telemetry.endpoint import Desk
from clipper_rpc.telemetry.siblings import ask_all

PAGE = "/explain"
"""Where a worker answers its siblings; the id comes after a question mark."""

_FOUND = b"+"
_MAX_ID = 2**53
_TIMED_OUT = (Reason.LATE, Reason.REPLICA_LOST)

ExplanationOf = Callable[[int], Awaitable[pb.ExplainQueryResponse]]


@dataclass(frozen=True, slots=True)
class Horizon:
    """How much one process remembers: not this query."""

    size: int
    """The most answers; 0: none are kept."""
    back_s: float | None
    """How long ago the oldest one was given; None when there is none."""


Known = Callable[[int], pb.ExplainQueryResponse | Horizon]


def known_to(recent: Recent | None, now_ns: Callable[[], int]) -> Known:
    """What one process knows of a query. `now_ns` is the clock by which answers were remembered."""

    def tell(query_id: int) -> pb.ExplainQueryResponse | Horizon:
        if recent is None:
            return Horizon(0, None)
        found, now = recent.find(query_id), now_ns()
        if found is not None:
            return _explained(found, time.time_ns() - (now - found.answered_ns))
        oldest_ns = recent.oldest_ns()
        return Horizon(recent.size, None if oldest_ns is None else (now - oldest_ns) / 1e9)

    return tell


def desk(known: Known) -> Desk:
    """Where a worker tells its siblings what it knows."""

    async def content(question: str) -> bytes:
        found = known(int(question))
        if isinstance(found, Horizon):
            return json.dumps(asdict(found)).encode()
        return _FOUND + found.SerializeToString()

    return Desk(content, "application/octet-stream")


async def by_all(known: Known, told_at: Path | None, query_id: int) -> pb.ExplainQueryResponse:
    """What this process or one of its siblings knows of a query.

    Raises:
        InvalidField: there are no such ids.
        AnswerNotRemembered: nobody knows it.
    """
    if not 0 < query_id < _MAX_ID:
        raise InvalidField(field="query_id", problem=f"{query_id} is no id of a query: they are positive, below 2^53")
    found = known(query_id)
    if isinstance(found, pb.ExplainQueryResponse):
        return found
    horizons = [found]
    if told_at is not None:
        pages = await ask_all(told_at.parent, f"{PAGE}?{query_id}")
        for page in pages.values():
            if page.startswith(_FOUND):
                return pb.ExplainQueryResponse.FromString(page.removeprefix(_FOUND))
        horizons = [Horizon(**json.loads(page)) for page in pages.values()] or horizons
    raise AnswerNotRemembered(query_id=str(query_id), remembered=_remembered(horizons))


def _remembered(horizons: list[Horizon]) -> str:
    if not horizons[0].size:
        return "the frontend was told to keep none (--max-explained-queries 0)"
    back_s = [each.back_s for each in horizons if each.back_s is not None]
    if not back_s:
        return "the frontend has given none since it started"
    ago = f"{min(back_s):.3g} s ago" if max(back_s) < 120 else f"{min(back_s) / 60:.3g} min ago"
    size = horizons[0].size
    return f"each process keeps its last {size} predictions and {size} other answers, all of them now back to {ago}"


def _explained(found: Remembered, answered_at_ns: int) -> pb.ExplainQueryResponse:
    response = pb.ExplainQueryResponse(
        query_id=found.query_id,
        application=found.route.name,
        outcome=pb.ExplainQueryResponse.OUTCOME_PREDICTION,
        objective_us=found.route.objective_ns // 1000,
        deadline_us=(found.deadline_ns - found.arrived_ns) // 1000,
        timing=_timing(found, found.answered_ns),
        lost_replicas=found.losses,
    )
    response.answer_time.FromNanoseconds(answered_at_ns)
    if found.reason:
        _give_reason(response, found)
    else:
        response.confidence = found.confidence
    if found.members:
        response.contributions.extend(_contribution(each, each.model) for each in found.members)
    elif found.version is not None:
        response.contributions.append(_contribution(found, found.version.model))
    return response


def _give_reason(response: pb.ExplainQueryResponse, found: Remembered) -> None:
    response.reason = found.reason  # type: ignore[assignment]  # numbered alike
    if found.route.default_output is not None:
        response.outcome = pb.ExplainQueryResponse.OUTCOME_DEFAULT
        response.explanation = explanation_of(found)
    else:
        error = error_of(found)
        response.outcome = pb.ExplainQueryResponse.OUTCOME_ERROR
        response.explanation, response.error_reason = error.message, error.reason


def _contribution(found: Remembered, model: str) -> pb.ExplainedContribution:
    version, batch = found.version, found.batch
    explained = pb.ExplainedContribution(lost_replicas=found.losses)
    told = explained.contribution
    told.model, told.joined = model, found.has_joined
    if version is not None:
        told.version = version.version
    if batch is not None:
        told.weight, told.replica_id, told.cached = found.weight, batch.replica_id, batch.is_cached
        told.latency_us = codec.latency_us(batch, found.arrived_ns)
        explained.hedged = batch.is_hedge
        explained.timing.CopyFrom(_timing(found, batch.replied_ns))
    elif found.reason:
        explained.reason = found.reason  # type: ignore[assignment]  # numbered alike
        where = found.problem if found.reason in _TIMED_OUT else ""
        explained.explanation = f"{explanation_of(found)} {where}".strip()
    return explained


def _timing(found: Remembered, now_ns: int) -> predict_pb2.Timing:
    return predict_pb2.Timing.FromString(codec.timing(found.batch, found.arrived_ns, now_ns))
