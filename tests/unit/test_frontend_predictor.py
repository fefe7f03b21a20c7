"""What should happen with a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from engine_fakes import NoStates

from clipper_frontend.chooser import Chooser
from clipper_frontend.outputs import Outputs
from clipper_frontend.predictor import Predictor, error_of, explanation_of
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import Application, Link, Model, RouteTable, Version
from clipper_rpc.errors import (
    ClipperError,
    Code,
    Late,
    ModelError,
    NoModel,
    NoReplica,
    Overloaded,
    ReplicaLost,
    VersionNotFound,
)

MS = 1_000_000
VERSION = Version("sum", "1", "uid", 4)
TABLE = RouteTable.of(
    [
        Application("app", 4, 100 * MS, b"d", (Link("sum"),)),
        Application("bare", 4, 100 * MS),
        Application("both", 4, 100 * MS, b"d", (Link("sum"), Link("other"))),
        Model("sum", "1"),
        Model("other", "1"),
        VERSION,
        Version("other", "1", "uid-other", 4),
    ]
)


class FakeDispatcher:
    def __init__(self) -> None:
        self.tables: list[RouteTable] = []
        self.submitted: list[tuple[Query, int]] = []

    def apply(self, table: RouteTable) -> None:
        self.tables.append(table)

    def submit(self, query: Query, now_ns: int) -> None:
        self.submitted.append((query, now_ns))


def predictor(dispatcher: FakeDispatcher | None = None, *, take: Callable[[], int] | None = None) -> Predictor:
    dispatcher, take = dispatcher or FakeDispatcher(), take or count(1).__next__
    chooser = Chooser(dispatcher, take, Outputs(), NoStates())
    made = Predictor(dispatcher, take, chooser, reply_margin_ns=5 * MS)
    made.use(TABLE)
    return made


def query(reason: Reason, *, application: str = "app", problem: str = "", kind: str = "") -> Query:
    route = TABLE.route(application)
    made = Query(1, route, route.version_at(0.0), b"", 0, 100 * MS, lambda _: None)
    made.fail(reason, problem, kind)
    return made


def test_the_engine_knows_a_table_before_queries_are_routed_by_it() -> None:
    seen = []

    class Dispatcher(FakeDispatcher):
        def apply(self, table: RouteTable) -> None:
            seen.append(subject.table)
            super().apply(table)

    dispatcher = Dispatcher()
    take = count(1).__next__
    subject = Predictor(dispatcher, take, Chooser(dispatcher, take, Outputs(), NoStates()), reply_margin_ns=0)
    before = subject.table
    subject.use(TABLE)
    assert seen == [before]
    assert dispatcher.tables == [TABLE]
    assert subject.table is TABLE


@pytest.mark.parametrize(
    ("client_ms", "expected_ms"),
    [
        (None, 100),  # the objective alone
        (1000, 100),  # the objective comes first
        (105, 100),
        (104, 99),  # the client comes first, less the margin of 5 ms
        (50, 45),
        (8, 6),  # at most a quarter of what the client gives
        (0, 0),
    ],
)
def test_a_query_has_until_its_objective_but_its_answer_must_reach_the_client(
    client_ms: int | None, expected_ms: int
) -> None:
    arrived_ns = 10**12
    client_ns = None if client_ms is None else arrived_ns + client_ms * MS
    deadline_ns = predictor().deadline_ns(TABLE.route("app"), arrived_ns, client_ns)
    assert deadline_ns - arrived_ns == expected_ms * MS


def test_a_client_whose_deadline_has_passed_gives_no_time() -> None:
    assert predictor().deadline_ns(TABLE.route("app"), 10**12, 10**12 - MS) < 10**12


def test_the_linked_model_is_asked() -> None:
    subject = predictor()
    assert subject.version(TABLE.route("app"), "") == VERSION


def test_a_version_can_be_pinned_and_must_exist() -> None:
    subject = predictor()
    assert subject.version(TABLE.route("app"), "1") == VERSION
    with pytest.raises(VersionNotFound):
        subject.version(TABLE.route("app"), "2")


def test_without_a_model_nobody_is_asked() -> None:
    assert predictor().version(TABLE.route("bare"), "") is None


def test_several_models_are_asked_in_turn_of_their_weights() -> None:
    subject, route = predictor(), TABLE.route("both")
    asked = [subject.version(route, "") for _ in range(200)]
    models = [version.model for version in asked if version is not None]
    assert 50 < models.count("sum") < 150
    assert len(models) == 200


def test_a_version_on_trial_is_asked_beside_the_current_one() -> None:
    subject = predictor()
    on_trial = Version(VERSION.model, "trial", "uid-trial", VERSION.input_type)
    route = TABLE.changed([on_trial, Model(VERSION.model, VERSION.version, "trial", 0.5)], []).route("app")
    asked = [subject.version(route, "") for _ in range(200)]
    assert {each.version for each in asked if each is not None} == {VERSION.version, "trial"}
    assert subject.version(route, VERSION.version) == VERSION


def test_a_query_gets_an_id_of_its_own_and_is_handed_to_the_dispatcher() -> None:
    dispatcher = FakeDispatcher()
    subject, route = predictor(dispatcher), TABLE.route("app")
    first, second = (subject.predict(route, "", "", b"v", 7, 9, lambda _: None) for _ in range(2))
    assert (first.query_id, second.query_id) == (1, 2)
    assert dispatcher.submitted == [(first, 7), (second, 7)]
    assert isinstance(first, Query)
    assert (first.input, first.version, first.arrived_ns, first.deadline_ns) == (b"v", VERSION, 7, 9)


@pytest.mark.parametrize(
    ("reason", "error", "code"),
    [
        (Reason.NO_MODEL, NoModel, Code.UNAVAILABLE),
        (Reason.NO_REPLICA, NoReplica, Code.UNAVAILABLE),
        (Reason.LATE, Late, Code.DEADLINE_EXCEEDED),
        (Reason.OVERLOADED, Overloaded, Code.RESOURCE_EXHAUSTED),
        (Reason.MODEL_ERROR, ModelError, Code.INTERNAL),
        (Reason.REPLICA_LOST, ReplicaLost, Code.UNAVAILABLE),
    ],
)
def test_every_reason_has_its_error_and_its_words(reason: Reason, error: type[ClipperError], code: Code) -> None:
    failed = query(reason, problem="bad", kind="ValueError")
    assert type(error_of(failed)) is error
    assert error_of(failed).code == code
    assert explanation_of(failed)


@pytest.mark.parametrize("reason", [Reason.NO_MODEL, Reason.NO_REPLICA])
def test_clippers_words_for_nobody_to_ask(reason: Reason) -> None:
    assert explanation_of(query(reason)) == "No connected models found for query"


def test_clippers_words_for_too_late() -> None:
    expected = "Failed to retrieve a prediction response within the specified latency SLO"
    assert explanation_of(query(Reason.LATE)) == expected


def test_a_models_error_is_told_with_version_kind_and_message() -> None:
    told = explanation_of(query(Reason.MODEL_ERROR, problem="could not convert", kind="ValueError"))
    assert told == "Model sum:1 failed with ValueError: could not convert"


def test_a_long_message_of_a_model_is_clipped() -> None:
    told = explanation_of(query(Reason.MODEL_ERROR, problem="x" * 10_000, kind="ValueError"))
    assert len(told) < 320
    assert told.endswith("x…")


def test_a_late_query_says_how_long_it_had() -> None:
    assert "within 100 ms" in error_of(query(Reason.LATE)).message


def test_a_query_without_a_version_still_says_what_is_missing() -> None:
    made = query(Reason.NO_REPLICA)
    made.version = None
    made.route = replace(made.route, current=(None,))
    assert "sum" in error_of(made).message
