"""Looking on: what is counted of queries and batches, and how causes are told to the log."""

from __future__ import annotations

import logging

import pytest
from engine_fakes import MS, FakeClock

from clipper_frontend.causes import Causes
from clipper_frontend.metrics import Metrics
from clipper_frontend.metrics_export import families
from clipper_frontend.observing import Observer
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Application, Link, Model, Replica, Route, RouteTable, Version
from clipper_frontend.runtime import Failure, Lost, Predictions, TimedOut
from clipper_frontend.stats import stats_of, summed
from clipper_rpc.errors import InvalidField
from clipper_rpc.telemetry.families import Buckets

SUM = Version("sum", "1", "uid", 4)
REPLICA = Replica("sum", "1", 0, "a:1")


def table(*applications: Application) -> RouteTable:
    return RouteTable.of([*applications, Model("sum", "1"), SUM, REPLICA])


def application(name: str = "app", *, default: bytes | None = b"x", objective_ms: int = 33) -> Application:
    return Application(name, 4, objective_ms * MS, default, (Link("sum"),))


def query(route: Route, number: int = 1) -> Query:
    return Query(number, route, SUM, b"value", 0, 33 * MS, lambda _: None)


class Call:
    """A call that says who it is."""

    def __init__(self, request_id: str = "") -> None:
        self.metadata = (("x-request-id", request_id),) if request_id else ()


class NoPools:
    pools: list[object] = []  # noqa: RUF012  # never changed


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float | int]:
    """The samples of a family, by label values; of histograms the count."""
    return {
        tuple(labels.values()): sum(value.counts) if isinstance(value, Buckets) else value
        for family in families(metrics, NoPools(), None)()  # type: ignore[arg-type]
        if family.name == name
        for labels, value in family.samples
    }


def house(*applications: Application) -> tuple[Metrics, RouteTable]:
    metrics, found = Metrics(FakeClock()), table(*applications)
    metrics.follow(found)
    return metrics, found


def test_each_outcome_is_counted_where_it_belongs() -> None:
    metrics, found = house(application(), application("bare", default=None))
    good, late, bare = query(found.route("app")), query(found.route("app")), query(found.route("bare"))
    late.fail(Reason.LATE)
    bare.fail(Reason.MODEL_ERROR, "negative", "ValueError")
    for each in (good, late, bare):
        metrics.answered(each, 5 * MS)
    metrics.failed("app", InvalidField(field="input", problem="required"))
    metrics.failed("guessed", InvalidField(field="input", problem="required"))
    durations = samples(metrics, "clipper.predict.duration")
    assert durations["app", "prediction"] == durations["app", "default"] == durations["bare", "error"] == 1
    assert durations["bare", "prediction"] == 0
    assert samples(metrics, "clipper.defaults") == {("app", "LATE"): 1}
    assert samples(metrics, "clipper.errors") == {
        ("app", "INVALID_FIELD"): 1,
        ("bare", "MODEL_ERROR"): 1,
        ("other", "INVALID_FIELD"): 1,
    }


def test_what_is_no_longer_configured_is_no_longer_told() -> None:
    metrics, found = house(application("old"), application("new"))
    metrics.answered(query(found.route("old")), 1)
    metrics.follow(table(application("new")))
    assert {name for name, _ in samples(metrics, "clipper.predict.duration")} == {"new"}
    metrics.answered(query(found.route("old")), 1)  # it was under way
    assert samples(metrics, "clipper.predict.duration")["old", "prediction"] == 1


def test_a_changed_objective_gets_its_bucket() -> None:
    metrics, _ = house(application(objective_ms=33))
    metrics.follow(table(application(objective_ms=47)))
    bounds = next(
        value.bounds
        for family in families(metrics, NoPools(), None)()  # type: ignore[arg-type]
        if family.name == "clipper.predict.duration"
        for _, value in family.samples
        if isinstance(value, Buckets)
    )
    assert {0.033, 0.047} <= set(bounds)
    assert samples(metrics, "clipper.objective") == {("app",): 0.047}


def test_an_idle_process_has_no_timer_and_rates_fade_all_the_same() -> None:
    clock = FakeClock()
    metrics, found = Metrics(clock), table(application())
    metrics.follow(found)
    tell = stats_of(metrics, NoPools(), None, clock.now_ns)  # type: ignore[arg-type]
    assert clock.pending_timers == 0
    for _ in range(100):
        metrics.answered(query(found.route("app")), clock.now_ns())
    clock.advance(5_000 * MS)
    busy = tell().applications[0].rates
    assert busy.one_minute == pytest.approx(20)
    clock.advance(60_000 * MS)
    assert clock.pending_timers == 0
    assert 1 < tell().applications[0].rates.one_minute < 15


def test_stats_of_several_processes_add_up() -> None:
    parts = []
    for count in (3, 5):
        metrics, found = house(application())
        for _ in range(count):
            metrics.answered(query(found.route("app")), 5 * MS)
        late = query(found.route("app"))
        late.fail(Reason.LATE)
        metrics.answered(late, 40 * MS)
        metrics.sending(REPLICA, [query(found.route("app"))] * count, 2 * MS)
        parts.append(stats_of(metrics, NoPools(), None, lambda: 10**9)())  # type: ignore[arg-type]
    total = summed(parts)
    [app], [model] = total.applications, total.models
    assert (total.processes, app.predictions, dict(app.defaults), app.objective_us) == (2, 8, {"LATE": 2}, 33_000)
    assert [(bucket.at_most, bucket.count) for bucket in app.latency.buckets] == [(5000, 8), (40000, 2)]
    assert app.latency.sum == 8 * 5000 + 2 * 40000
    assert sum(bucket.count for bucket in model.queue_wait.buckets) == 8


def test_batches_that_come_back_undone_are_counted_by_kind_and_inputs_that_failed_by_that_of_their_error() -> None:
    metrics, _ = house(application())
    answers = [
        Predictions([b"one", Failure("ValueError", "negative"), b"three"], 1000),
        Failure("WrongOutputCount", "The model returned 1 outputs for 2 inputs"),
        TimedOut(),
        Lost("gone"),
        Lost("busy", was_refused=True),
    ]
    for answer in answers:
        metrics.returned(REPLICA, Batch(0, 3, 0, 0), answer)
    kinds = {labels[-1]: number for labels, number in samples(metrics, "clipper.batch.failures").items()}
    assert kinds == {"failed": 1, "timed_out": 1, "lost": 1, "refused": 1}
    errors = {labels[-1]: number for labels, number in samples(metrics, "clipper.model.errors").items()}
    assert errors == {"ValueError": 1, "WrongOutputCount": 1}
    assert list(samples(metrics, "clipper.model.predictions").values()) == [2]


def test_batches_are_counted_as_they_leave_and_as_they_come_back() -> None:
    metrics, found = house(application())
    metrics.sending(REPLICA, [query(found.route("app"), number) for number in range(3)], 2 * MS)
    batch = Batch(0, 3, 2 * MS, 2 * MS)
    batch.replied_ns = 5 * MS
    metrics.returned(REPLICA, batch, Predictions([b"1", Failure("ValueError", "negative"), b"3"], model_us=700))
    model, way = ("sum", "1"), ("sum", "1", "0")
    assert samples(metrics, "clipper.queue.wait") == {model: 3}
    assert samples(metrics, "clipper.model.predictions") == {model: 2}
    assert samples(metrics, "clipper.model.errors") == {(*model, "ValueError"): 1}
    for name in ("clipper.batch.size", "clipper.batch.duration", "clipper.model.duration"):
        assert samples(metrics, name) == {way: 1}


def test_a_replica_that_comes_back_is_counted_anew() -> None:
    metrics, found = house(application())
    metrics.sending(REPLICA, [query(found.route("app"))], MS)
    metrics.follow(RouteTable.of([application()]))
    assert samples(metrics, "clipper.batch.size") == {}
    metrics.follow(table(application()))
    metrics.sending(REPLICA, [query(found.route("app"))], MS)
    assert samples(metrics, "clipper.batch.size") == {("sum", "1", "0"): 1}


def test_a_cause_is_told_at_once_and_then_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    causes, asked = Causes(again_after_ns=1000), []

    def tell(now_ns: int, reason: str = "LATE") -> None:
        causes.tell("default_answered", "app", reason, now_ns, lambda: asked.append(now_ns) or {"query_id": now_ns})

    for now_ns in range(0, 2500, 100):
        tell(now_ns)
    tell(2500, "NO_MODEL")
    told = [(line.reason, line.query_id, getattr(line, "more_since_last_line", 0)) for line in caplog.records]  # type: ignore[attr-defined]
    assert told == [("LATE", 0, 0), ("LATE", 1000, 9), ("LATE", 2000, 9), ("NO_MODEL", 2500, 0)]
    assert asked == [0, 1000, 2000, 2500]


def test_the_line_of_a_cause_names_its_query_and_its_request(caplog: pytest.LogCaptureFixture) -> None:
    metrics, found = house(application())
    failed = query(found.route("app"), 77)
    failed.fail(Reason.MODEL_ERROR, "negative", "ValueError")
    Observer(metrics).answered(failed, 5 * MS, Call("order-66"))
    [line] = [line.__dict__ for line in caplog.records]
    assert (line["levelname"], line["query_id"], line["request_id"], line["kind"]) == (
        "WARNING",
        77,
        "order-66",
        "ValueError",
    )
    assert line["cause"] == "Model sum:1 failed with ValueError", "what a model says may quote its input"


def test_nothing_is_logged_for_a_query_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    metrics, found = house(application())
    with caplog.at_level(logging.INFO):
        for number in range(10):
            Observer(metrics, follows=True).answered(query(found.route("app"), number), 5 * MS, Call())
    assert caplog.records == []


def test_followed_queries_leave_nothing_behind() -> None:
    metrics, found = house(application())
    observer = Observer(metrics, follows=True)
    answered, left = query(found.route("app"), 1), query(found.route("app"), 2)
    for each, name in ((answered, "one"), (left, "two")):
        observer.follow(each, observer.open(Call(name), "/x/Predict", "app"))
    assert dict(observer.sending(SUM, REPLICA, [answered, left], MS)) == {"x-request-id": "one,two"}
    observer.left(left)
    assert dict(observer.sending(SUM, REPLICA, [answered], MS)) == {"x-request-id": "one"}
    observer.answered(answered, 2 * MS, Call("one"))
    assert observer.sending(SUM, REPLICA, [answered, left], MS) == ()
