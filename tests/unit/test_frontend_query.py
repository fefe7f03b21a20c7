"""One query, answered exactly once."""

from __future__ import annotations

import itertools

import pytest

from clipper.v1 import predict_pb2
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import EMPTY, Application, RouteTable

ROUTE = RouteTable.of([Application("app", 4, 1000)]).route("app")
BATCH = Batch(0, 1, 0, 0)


def query_that_tells(told: list[Query]) -> Query:
    return Query(7, ROUTE, None, b"input", 0, 1000, told.append)


class Queue:
    def __init__(self) -> None:
        self.discarded: list[Query] = []

    def discard(self, item: Query) -> None:
        item.is_waiting = False
        self.discarded.append(item)


ENDINGS = {
    "succeed": lambda query: query.succeed(b"output", BATCH),
    "fail": lambda query: query.fail(Reason.MODEL_ERROR, "no", "ValueError"),
    "expire": lambda query: query.expire(),
    "leave": lambda query: query.leave(),
}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ENDINGS, ENDINGS)))
def test_the_first_ending_counts_and_the_others_do_nothing(first: str, second: str) -> None:
    told: list[Query] = []
    query = query_that_tells(told)
    ENDINGS[first](query)
    outcome = (query.output, query.reason, query.kind, query.problem)
    ENDINGS[second](query)
    assert (query.output, query.reason, query.kind, query.problem) == outcome
    assert told == ([] if first == "leave" else [query])
    assert query.is_done


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_ends_a_query_takes_it_out_of_its_queue_once(ending: str) -> None:
    query, queue = query_that_tells([]), Queue()
    query.queue, query.is_waiting = queue, True
    ENDINGS[ending](query)
    ENDINGS[ending](query)
    assert queue.discarded == [query]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ended_query_holds_on_to_neither_input_nor_caller(ending: str) -> None:
    told: list[Query] = []
    query = query_that_tells(told)
    ENDINGS[ending](query)
    assert query.input == b""
    assert query.on_done != told.append


def test_a_query_that_expires_is_late() -> None:
    query = query_that_tells([])
    query.expire()
    assert query.reason is Reason.LATE


def test_a_query_that_expires_after_its_replica_was_lost_says_so() -> None:
    query = query_that_tells([])
    query.losses = 1
    query.expire()
    assert query.reason is Reason.REPLICA_LOST


@pytest.mark.parametrize("reason", list(Reason))
def test_reasons_are_numbered_as_in_the_proto(reason: Reason) -> None:
    names = predict_pb2.DefaultReason.DESCRIPTOR.values_by_number
    assert names[reason].name == f"DEFAULT_REASON_{'UNSPECIFIED' if reason is Reason.NONE else reason.name}"


def test_the_empty_table_knows_nobody() -> None:
    assert not EMPTY.routes
    assert not EMPTY.groups


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != "succeed"])
def test_an_answer_that_comes_late_is_offered_once_to_whoever_asked_for_it(ending: str) -> None:
    late: list[bytes] = []
    query = query_that_tells([])
    query.on_late = late.append
    ENDINGS[ending](query)
    query.fail(Reason.MODEL_ERROR)
    assert late == []
    query.succeed(b"first", BATCH)
    query.succeed(b"second", BATCH)
    assert late == [b"first"]


def test_an_answer_in_time_is_not_late() -> None:
    late: list[bytes] = []
    query = query_that_tells([])
    query.on_late = late.append
    query.succeed(b"first", BATCH)
    query.succeed(b"second", BATCH)
    assert late == []
