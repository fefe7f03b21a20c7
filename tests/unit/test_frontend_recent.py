"""The ring of answered queries: what is found in it, and what is told of it."""

from __future__ import annotations

import asyncio
import sys

import pytest
from engine_fakes import MS
from hypothesis import given
from hypothesis import strategies as st

from clipper.v1 import inspect_pb2 as pb
from clipper.v1 import predict_pb2, values_pb2
from clipper_frontend.explaining import by_all, known_to
from clipper_frontend.joint import JointQuery
from clipper_frontend.outputs import Outputs
from clipper_frontend.query import Batch, CacheHit, Query, Reason
from clipper_frontend.recent import Recent
from clipper_frontend.routes import Application, Link, Model, Route, RouteTable, Version
from clipper_frontend.selection.panel import Panel
from clipper_rpc.errors import AnswerNotRemembered, InvalidField
from clipper_selection import Arm, policy

SUM = Version("sum", "1", "uid", 4)
MEAN = Version("mean", "3", "uid2", 4)
DOUBLES = 4


def route(*, default: bytes | None = b"x", models: tuple[str, ...] = ("sum",)) -> Route:
    links = tuple(Link(each) for each in models)
    return RouteTable.of([Application("app", DOUBLES, 50 * MS, default, links), Model("sum", "1"), SUM]).route("app")


def query(number: int, *, asked: Route | None = None, version: Version | None = SUM) -> Query:
    return Query(number, asked or route(), version, b"input", 1000, 1000 + 33 * MS, lambda _: None)


def batch(replica_id: int = 2) -> Batch:
    found = Batch(replica_id, 8, 1000 + 1 * MS, 1000 + 3 * MS)
    found.replied_ns, found.model_us = 1000 + 10 * MS, 5000
    return found


def explain(recent: Recent | None, query_id: int, now_ns: int = 10**9) -> pb.ExplainQueryResponse:
    return asyncio.run(by_all(known_to(recent, lambda: now_ns), None, query_id))


ROUTE = route()


@given(size=st.integers(1, 20), first=st.integers(1, 10**15), count=st.integers(0, 60))
def test_the_last_answers_are_found_and_no_others(size: int, first: int, count: int) -> None:
    recent = Recent(size)
    for number in range(first, first + count):
        recent.remember(query(number, asked=ROUTE), number)
    for number in range(first - 5, first + count + 5):
        found = recent.find(number)
        if max(first, first + count - size) <= number < first + count:
            assert found is not None
            assert (found.query_id, found.answered_ns) == (number, number)
        else:
            assert found is None
    assert recent.oldest_ns() == (max(first, first + count - size) if count else None)


def test_an_answer_without_a_prediction_is_not_driven_out_by_predictions() -> None:
    recent, late = Recent(3), query(1, asked=ROUTE)
    late.fail(Reason.LATE)
    recent.remember(late, 1)
    for number in range(2, 100):
        recent.remember(query(number, asked=ROUTE), number)
    found = recent.find(1)
    assert found is not None
    assert found.reason is Reason.LATE
    assert recent.oldest_ns() == 97, "from then on all are remembered"
    for number in range(100, 104):
        late = query(number, asked=ROUTE)
        late.fail(Reason.LATE)
        recent.remember(late, number)
    assert recent.find(1) is None
    assert recent.find(99) is not None
    assert recent.oldest_ns() == 101


@pytest.mark.parametrize("reason", [Reason.NONE, Reason.MODEL_ERROR])
def test_neither_query_nor_payloads_are_held(reason: Reason) -> None:
    recent, asked, output = Recent(4), query(1, asked=ROUTE), bytes(range(100))
    if reason:
        asked.fail(reason, "negative", "ValueError")
    else:
        asked.succeed(output, batch())
    before = sys.getrefcount(asked), sys.getrefcount(output)
    recent.remember(asked, 10 * MS)
    assert recent.find(1) is not None
    assert (sys.getrefcount(asked), sys.getrefcount(output)) == before


def test_a_prediction_is_told_as_its_reply_was() -> None:
    recent, asked = Recent(4), query(7)
    asked.succeed(b"output", batch())
    recent.remember(asked, 1000 + 11 * MS)
    told = explain(recent, 7)
    assert (told.query_id, told.application, told.outcome) == (7, "app", pb.ExplainQueryResponse.OUTCOME_PREDICTION)
    assert (told.objective_us, told.deadline_us, told.confidence) == (50_000, 33_000, 1.0)
    assert told.timing == predict_pb2.Timing(
        queue_us=3000, linger_us=2000, batch_rows=8, model_us=5000, network_us=2000, total_us=11_000
    )
    [part] = told.contributions
    assert part.contribution == predict_pb2.Contribution(
        model="sum", version="1", replica_id=2, weight=1.0, latency_us=10_000
    )
    assert (part.reason, part.explanation) == (0, "")


def test_what_the_cache_has_answered_is_told_so() -> None:
    recent, asked = Recent(4), query(7)
    asked.succeed(b"output", CacheHit(2000))
    recent.remember(asked, 3000)
    [part] = explain(recent, 7).contributions
    assert part.contribution.cached
    assert part.timing.batch_rows == 0


@pytest.mark.parametrize(
    ("default", "outcome", "error_reason"),
    [
        (b"x", pb.ExplainQueryResponse.OUTCOME_DEFAULT, ""),
        (None, pb.ExplainQueryResponse.OUTCOME_ERROR, "REPLICA_LOST"),
    ],
)
def test_who_got_no_prediction_learns_why_and_where_it_was(
    default: bytes | None, outcome: pb.ExplainQueryResponse.Outcome, error_reason: str
) -> None:
    recent, asked = Recent(4), query(7, asked=route(default=default))
    asked.losses = 2
    asked.expire()
    recent.remember(asked, 1000 + 33 * MS)
    told = explain(recent, 7)
    assert (told.outcome, told.error_reason, told.lost_replicas) == (outcome, error_reason, 2)
    assert told.reason == predict_pb2.DEFAULT_REASON_REPLICA_LOST
    assert told.explanation == "The replica of model sum:1 that had the query was lost."
    [part] = told.contributions
    assert part.reason == told.reason
    assert part.explanation == f"{told.explanation} It waited for a replica when its time was up."
    assert not part.HasField("timing")


def test_long_problems_of_models_are_cut() -> None:
    recent, asked = Recent(4), query(7)
    asked.fail(Reason.MODEL_ERROR, "x" * 100_000, "ValueError")
    recent.remember(asked, 2000)
    found = recent.find(7)
    assert found is not None
    assert len(found.problem) == 512


class FirstIsFast:
    """What asks models: the first one answers, of the others nothing is heard in time."""

    def submit(self, query: Query, _now_ns: int) -> None:
        if query.version is SUM:
            query.succeed(values_pb2.Output(string="yes").SerializeToString(), batch())
        else:
            query.expire()


def test_of_several_models_each_part_is_told() -> None:
    recent, asked = Recent(4), route(models=("sum", "mean"))
    panel = Panel(policy("ensemble"), (Arm("sum"), Arm("mean")), ("sum", "mean"), 0.0)
    joint = JointQuery(7, asked, panel, panel.models, {}, Outputs(), 1000, 1000 + 33 * MS, lambda _: None)
    joint.ask(FirstIsFast(), [SUM, MEAN], b"input", 1000, bypass_cache=False)
    assert joint.is_done
    recent.remember(joint, 1000 + 30 * MS)
    told = explain(recent, 7)
    assert (told.outcome, told.confidence) == (pb.ExplainQueryResponse.OUTCOME_PREDICTION, 0.5)
    assert told.timing.batch_rows == 8
    fast, slow = told.contributions
    assert (fast.contribution.model, fast.contribution.weight, fast.contribution.replica_id) == ("sum", 1.0, 2)
    assert (slow.contribution.model, slow.contribution.version, slow.contribution.weight) == ("mean", "3", 0.0)
    assert slow.reason == predict_pb2.DEFAULT_REASON_LATE
    assert slow.explanation.endswith("It waited for a replica when its time was up.")


@pytest.mark.parametrize(
    ("recent", "words"),
    [(None, "--max-explained-queries 0"), (Recent(4), "none since it started")],
)
def test_who_remembers_nothing_says_why(recent: Recent | None, words: str) -> None:
    with pytest.raises(AnswerNotRemembered, match=words):
        explain(recent, 7)


def test_what_is_forgotten_is_told_with_how_far_back_is_remembered() -> None:
    recent = Recent(2)
    for number in (1, 2, 3):
        recent.remember(query(number), number * 10**9)
    with pytest.raises(AnswerNotRemembered, match=r"query 1 is .* its last 2 predictions .* now back to 8 s ago"):
        explain(recent, 1, now_ns=10 * 10**9)


@pytest.mark.parametrize("query_id", [0, -1, 2**53])
def test_what_is_no_id_is_refused(query_id: int) -> None:
    with pytest.raises(InvalidField, match="query_id"):
        explain(Recent(2), query_id)
