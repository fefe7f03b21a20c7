"""What was asked before is not computed again, and what is being asked is computed once."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from engine_fakes import MS, FakeClock
from engines import Pace, Plant
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.cache import PredictionCache
from clipper_frontend.cached import MAX_INPUT_BYTES, CachedDispatcher, Counts
from clipper_frontend.deadlines import Deadlines
from clipper_frontend.query import JOINED, SENT, WAITED, Batch, Query, Reason
from clipper_frontend.routes import Application, Link, Model, RouteTable, Version

S = 1_000 * MS
ONE = Version("m", "1", "uid-1", 4)


class Carrier:
    """What a query is in while a replica has it."""

    def released(self, query: Query, /) -> None:
        pass


class FakeEngine:
    """Keeps queries until the test answers them, or their time is over."""

    def __init__(self, clock: FakeClock) -> None:
        self.tables: list[RouteTable] = []
        self.queries: list[Query] = []
        self.inputs: dict[Query, bytes] = {}
        self.refuses = False
        self._clock = clock
        self._deadlines = Deadlines(clock)

    @property
    def waiting(self) -> list[Query]:
        return [query for query in self.queries if not query.is_done]

    def apply(self, table: RouteTable) -> None:
        self.tables.append(table)

    def submit(self, query: Query, now_ns: int) -> None:
        self.queries.append(query)
        self.inputs[query] = query.input
        if self.refuses:
            query.fail(Reason.OVERLOADED, "7")
        elif query.deadline_ns <= now_ns:
            query.expire()
        else:
            self._queue(query)
            self._deadlines.add(query)

    def _queue(self, query: Query) -> None:
        query.queue, query.is_waiting = self, True

    def discard(self, item: Query) -> None:
        item.is_waiting = False

    def send(self, query: Query) -> None:
        """A replica takes it."""
        query.is_waiting = False
        query.transit = Carrier()

    def lose(self, query: Query) -> None:
        """The replica that had it is lost; there is no other."""
        query.transit = None
        query.losses += 1
        query.fail(Reason.REPLICA_LOST)

    def answer(self, query: Query, output: bytes = b"output") -> None:
        batch = Batch(3, 1, self._clock.ns, self._clock.ns)
        batch.replied_ns = self._clock.ns
        query.transit = None
        query.succeed(output, batch)


@dataclass
class House:
    """A cache before an engine that the test moves."""

    clock: FakeClock = field(default_factory=FakeClock)
    max_bytes: int = 1 << 20
    ttl_ns: int = 0
    max_callers: int = 1000

    def __post_init__(self) -> None:
        self.engine = FakeEngine(self.clock)
        cache = PredictionCache(max_bytes=self.max_bytes, ttl_ns=self.ttl_ns, secret=b"s" * 16)
        self.subject = CachedDispatcher(self.engine, cache, self.clock, max_callers=self.max_callers)
        self.done: list[Query] = []
        self.on_done: Callable[[Query], None] = self.done.append
        self.asked = 0
        self.serve(ONE)

    def serve(self, *versions: Version) -> None:
        application = Application("app", 4, 100 * MS, b"d", (Link("m"),))
        self.table = RouteTable.of([application, Model("m", versions[0].version if versions else ""), *versions])
        self.subject.apply(self.table)

    def ask(
        self, value: bytes = b"a", *, in_ms: float = 100, version: Version | None = ONE, bypass: bool = False
    ) -> Query:
        self.asked += 1
        now, route = self.clock.ns, self.table.route("app")
        query = Query(self.asked, route, version, value, now, now + int(in_ms * MS), lambda query: self.on_done(query))
        query.bypass_cache = bypass
        self.subject.submit(query, now)
        return query

    @property
    def computed(self) -> list[bytes]:
        """What the engine was asked for, in order."""
        return list(self.engine.inputs.values())

    def counts(self, version: Version = ONE) -> Counts:
        return self.subject.counts[version]


def outcome(query: Query) -> bytes | Reason | None:
    return query.output if query.batch is not None else query.reason if query.is_done else None


# Hits


def test_what_was_answered_is_answered_at_once_the_next_time() -> None:
    house = House()
    first = house.ask()
    house.engine.answer(house.engine.queries[0])
    again = house.ask()
    assert [outcome(first), outcome(again)] == [b"output", b"output"]
    assert house.done == [first, again]
    assert house.computed == [b"a"]
    assert (first.batch is not None and first.batch.is_cached, again.batch is not None and again.batch.is_cached) == (
        False,
        True,
    )
    assert house.counts() == Counts(hits=1, misses=1)


def test_other_inputs_and_other_versions_have_answers_of_their_own() -> None:
    house = House()
    two = Version("m", "2", "uid-2", 4)
    house.serve(ONE, two)
    house.ask(b"a")
    house.engine.answer(house.engine.queries[0])
    house.ask(b"b")
    house.ask(b"a", version=two)
    assert len(house.engine.waiting) == 2


def test_a_version_that_is_deployed_anew_under_the_same_name_starts_with_nothing() -> None:
    house = House()
    house.ask()
    house.engine.answer(house.engine.queries[0], b"old")
    anew = replace(ONE, uid="uid-again")
    house.serve(anew)
    query = house.ask(version=anew)
    house.engine.answer(house.engine.waiting[0], b"new")
    assert query.output == b"new"


def test_a_version_keeps_its_answers_while_the_rest_of_the_configuration_changes() -> None:
    house = House()
    house.ask()
    house.engine.answer(house.engine.queries[0])
    changed = replace(ONE, batching=replace(ONE.batching, max_batch_rows=3))
    house.serve(changed, Version("m", "2", "uid-2", 4))
    assert outcome(house.ask(version=changed)) == b"output"
    assert house.counts(changed).hits == 1


def test_a_late_answer_of_a_version_that_is_gone_is_nobodys() -> None:
    house = House()
    query = house.ask()
    house.serve()
    house.engine.answer(house.engine.queries[0])
    assert outcome(query) == b"output"
    house.serve(ONE)
    assert outcome(house.ask()) is None


def test_an_answer_is_good_for_its_time_only() -> None:
    house = House(ttl_ns=5 * S)
    house.ask()
    house.engine.answer(house.engine.queries[0])
    house.clock.advance(5 * S - 1)
    assert outcome(house.ask()) == b"output"
    house.clock.advance(1)
    assert outcome(house.ask()) is None


def test_who_wants_it_fresh_gets_it_fresh_and_shares_it_with_nobody() -> None:
    house = House()
    house.ask()
    house.engine.answer(house.engine.queries[0])
    fresh = house.ask(bypass=True)
    assert outcome(fresh) is None
    assert house.engine.waiting == [fresh]
    house.ask(b"b")
    house.ask(b"b", bypass=True)
    house.ask(b"b", bypass=True)
    assert len(house.engine.waiting) == 4


def test_a_model_whose_answers_are_not_to_be_kept_computes_each_query() -> None:
    house = House()
    fickle = replace(ONE, no_cache=True)
    house.serve(fickle)
    queries = [house.ask(version=fickle) for _ in range(3)]
    assert house.engine.waiting == queries
    house.engine.answer(queries[0])
    assert outcome(house.ask(version=fickle)) is None
    assert house.subject.counts == {}


def test_an_input_so_large_that_looking_it_up_would_hold_up_others_is_computed() -> None:
    house = House()
    house.ask(bytes(MAX_INPUT_BYTES))
    house.ask(bytes(MAX_INPUT_BYTES))
    larger = [house.ask(bytes(MAX_INPUT_BYTES + 1)) for _ in range(2)]
    assert len(house.engine.waiting) == 3
    assert house.engine.waiting[1:] == larger


def test_what_no_version_can_answer_goes_on_to_the_engine() -> None:
    house = House()
    query = house.ask(version=None)
    assert house.engine.queries == [query]


@pytest.mark.parametrize("reason", [Reason.MODEL_ERROR, Reason.NO_REPLICA, Reason.OVERLOADED])
def test_an_error_is_told_to_all_and_kept_for_nobody(reason: Reason) -> None:
    house = House()
    queries = [house.ask(), house.ask()]
    house.engine.queries[0].fail(reason, "no", "ValueError")
    assert outcome(queries[0]) is reason
    if reason is Reason.OVERLOADED:
        house.clock.advance(100 * MS)
    assert [(query.reason, query.problem, query.kind) for query in queries] == [(reason, "no", "ValueError")] * 2
    assert len(house.computed) == 1
    assert outcome(house.ask()) is None
    assert len(house.computed) == 2


# Identical queries under way


def test_identical_queries_at_once_are_computed_once_and_all_answered() -> None:
    house = House()
    queries = [house.ask() for _ in range(1000)]
    assert house.computed == [b"a"]
    house.engine.answer(house.engine.queries[0])
    assert house.done == queries
    assert {outcome(query) for query in queries} == {b"output"}
    assert [query.has_joined for query in queries] == [False] + [True] * 999
    assert house.counts() == Counts(joins=999, misses=1)
    assert house.subject.flights == 0


def test_the_first_ones_leaving_hurts_nobody() -> None:
    house = House()
    first, second, third = house.ask(), house.ask(), house.ask()
    first.leave()
    second.leave()
    house.engine.answer(house.engine.queries[0])
    assert house.done == [third]
    assert outcome(third) == b"output"


def test_when_the_last_one_leaves_the_computation_leaves_the_queue() -> None:
    house = House()
    queries = [house.ask(), house.ask()]
    for query in queries:
        query.leave()
    assert house.engine.waiting == []
    assert not house.engine.queries[0].is_waiting
    assert house.subject.flights == 0
    assert outcome(house.ask()) is None
    assert len(house.computed) == 2


def test_each_caller_has_its_own_deadline() -> None:
    house = House()
    short, long = house.ask(in_ms=20), house.ask(in_ms=50)
    house.engine.send(house.engine.queries[0])
    house.clock.advance(20 * MS)
    assert house.done == [short]
    assert outcome(short) is Reason.LATE
    house.engine.answer(house.engine.queries[0])
    assert outcome(long) == b"output"
    assert len(house.computed) == 1


def test_a_computation_under_way_ends_with_the_patience_of_its_last_caller() -> None:
    house = House()
    house.ask(in_ms=20)
    long = house.ask(in_ms=50)
    [flight] = house.engine.queries
    house.engine.send(flight)
    house.clock.advance(50 * MS)
    assert outcome(long) is Reason.LATE
    assert flight.is_done
    assert house.subject.flights == 0


def test_those_with_time_left_have_it_asked_again_when_the_first_ones_time_is_over_in_the_queue() -> None:
    house = House()
    short, middle, long = house.ask(in_ms=20), house.ask(in_ms=30), house.ask(in_ms=50)
    house.clock.advance(20 * MS)
    assert [outcome(query) for query in (short, middle, long)] == [Reason.LATE, None, None]
    [again] = house.engine.waiting
    assert again.input == b"a"
    assert again.deadline_ns == long.deadline_ns
    house.clock.advance(10 * MS)
    assert outcome(middle) is Reason.LATE
    house.engine.answer(again)
    assert outcome(long) == b"output"


def test_a_refusal_holds_for_those_with_no_more_time() -> None:
    house = House()
    short, same, long = house.ask(in_ms=20), house.ask(in_ms=20), house.ask(in_ms=50)
    house.engine.refuses = True
    house.engine.queries[0].fail(Reason.OVERLOADED, "7")
    assert [outcome(query) for query in (short, same, long)] == [Reason.OVERLOADED] * 3
    assert len(house.computed) == 2, "the long one was asked again, and refused again"


def test_a_lost_replica_is_no_reason_to_give_up_with_time_left() -> None:
    house = House()
    short, long = house.ask(in_ms=20), house.ask(in_ms=50)
    house.engine.send(house.engine.queries[0])
    house.clock.advance(30 * MS)
    house.engine.lose(house.engine.queries[0])
    assert outcome(short) is Reason.LATE
    [again] = house.engine.waiting
    house.engine.answer(again)
    assert outcome(long) == b"output"


def test_who_has_less_time_takes_the_lead() -> None:
    house = House()
    long, short = house.ask(in_ms=500), house.ask(in_ms=20)
    [flight] = house.engine.waiting
    assert flight.deadline_ns == short.deadline_ns
    house.clock.advance(20 * MS)
    assert [outcome(short), outcome(long)] == [Reason.LATE, None]
    [again] = house.engine.waiting
    house.engine.answer(again)
    assert outcome(long) == b"output"


def test_who_is_refused_the_lead_changes_nothing_for_the_others() -> None:
    house = House()
    long = house.ask(in_ms=500)
    [flight] = house.engine.waiting
    house.engine.refuses = True
    short = house.ask(in_ms=20)
    assert [outcome(short), outcome(long)] == [Reason.OVERLOADED, None]
    assert house.engine.waiting == [flight]
    house.engine.answer(flight)
    assert outcome(long) == b"output"


def test_a_replica_is_not_asked_twice_for_one_who_has_less_time() -> None:
    house = House()
    long = house.ask(in_ms=500)
    house.engine.send(house.engine.queries[0])
    short = house.ask(in_ms=20)
    assert len(house.computed) == 1
    house.engine.answer(house.engine.queries[0])
    assert [outcome(short), outcome(long)] == [b"output", b"output"]


def test_only_so_many_may_wait_for_one_computation() -> None:
    house = House(max_callers=2)
    queries = [house.ask() for _ in range(4)]
    assert [outcome(query) for query in queries] == [None, None, None, Reason.OVERLOADED]


def test_who_comes_too_late_does_not_join() -> None:
    house = House()
    house.ask()
    query = house.ask(in_ms=0)
    assert outcome(query) is Reason.LATE


# Late answers


def test_an_answer_that_nobody_could_wait_for_is_kept() -> None:
    house = House()
    query = house.ask(in_ms=20)
    house.engine.send(house.engine.queries[0])
    house.clock.advance(20 * MS)
    assert outcome(query) is Reason.LATE
    house.engine.answer(house.engine.queries[0])
    assert outcome(house.ask()) == b"output"
    assert len(house.computed) == 1


def test_a_late_answer_goes_to_those_who_have_asked_again() -> None:
    house = House()
    house.ask(in_ms=20)
    first = house.engine.queries[0]
    house.engine.send(first)
    house.clock.advance(20 * MS)
    again = house.ask()
    house.engine.answer(first)
    assert outcome(again) == b"output"
    assert house.engine.waiting == []
    assert house.subject.flights == 0


def test_what_is_asked_from_within_an_answer_is_known_already() -> None:
    house = House()
    nested: list[Query] = []

    def ask_again(_query: Query) -> None:
        house.on_done = house.done.append
        nested.append(house.ask())

    house.on_done = ask_again
    house.ask()
    house.engine.answer(house.engine.queries[0])
    assert outcome(nested[0]) == b"output"


def test_what_is_asked_again_from_within_a_failure_joins_those_who_have_time_left() -> None:
    house = House()
    nested: list[Query] = []

    def ask_again(_query: Query) -> None:
        house.on_done = house.done.append
        nested.append(house.ask())

    house.on_done = ask_again
    house.ask(in_ms=20)
    long = house.ask(in_ms=50)
    house.clock.advance(20 * MS)
    [again] = house.engine.waiting
    house.engine.answer(again)
    assert [outcome(query) for query in (nested[0], long)] == [b"output", b"output"]


def test_closing_leaves_no_timer() -> None:
    house = House()
    house.ask()
    house.ask()
    house.engine.queries[0].fail(Reason.NO_REPLICA)
    house.subject.close()
    house.engine._deadlines.close()
    assert house.clock.pending_timers == 0


# Whatever happens

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "leave", "send", "answer", "error", "lose", "refuse", "advance"]),
        st.integers(0, 5),
        st.integers(1, 60),
    ),
    max_size=60,
)


@given(events=EVENTS, max_bytes=st.sampled_from([2_000, 1 << 20]))
def test_every_query_is_answered_exactly_once_with_its_own_answer_whatever_happens(
    events: list[tuple[str, int, int]], max_bytes: int
) -> None:
    house = House(max_bytes=max_bytes)
    asked: list[Query] = []
    left: set[Query] = set()
    values: dict[Query, bytes] = {}
    for what, which, much in events:
        running = house.engine.waiting
        at = running[which % len(running)] if running else None
        match what:
            case "ask":
                value = bytes([which % 3])
                query = house.ask(value, in_ms=much)
                asked.append(query)
                values[query] = value
            case "leave" if asked:
                query = asked[which % len(asked)]
                if not query.is_done:
                    left.add(query)
                query.leave()
            case "send" if at is not None and at.is_waiting:
                house.engine.send(at)
            case "answer" if house.engine.queries:
                query = house.engine.queries[which % len(house.engine.queries)]
                if not query.is_waiting:  # also those that have ended: their answers come late
                    house.engine.answer(query, house.engine.inputs[query])
            case "error" if at is not None and not at.is_waiting:
                at.transit = None
                at.fail(Reason.MODEL_ERROR, "no", "ValueError")
            case "lose" if at is not None and not at.is_waiting:
                house.engine.lose(at)
            case "refuse":
                house.engine.refuses = bool(which % 2)
            case "advance":
                house.clock.advance(much * MS)
    house.clock.advance(1000 * MS)
    assert len(house.done) == len(set(house.done))
    assert set(house.done) == set(asked) - left
    for query in house.done:
        if query.batch is not None:
            assert query.output == values[query]
    assert house.subject.flights == 0
    assert house.engine.waiting == []


def queries_held() -> int:
    """How many queries this process still knows."""
    gc.collect()
    return sum(isinstance(each, Query) for each in gc.get_objects())


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_callers_that_leave_at_random_leave_nothing_behind(seed: int) -> None:
    """Before the real engine: no query, no flight, no timer, and no byte but what is kept."""
    others = queries_held()
    rng = random.Random(seed)
    plant = Plant(Pace(2, 0.05), objective_ms=50)
    cache = PredictionCache(max_bytes=1 << 20, ttl_ns=0, secret=b"s" * 16)
    subject = CachedDispatcher(plant.dispatcher, cache, plant.clock, max_callers=1000)
    subject.apply(plant.table)
    told: Counter[str] = Counter()
    asked: list[Query] = []
    for number in range(1000):
        now_ns, deadline_ns = plant.clock.ns, plant.clock.ns + rng.randrange(5, 60) * MS
        value = rng.randrange(number // 5 + 1).to_bytes(2)  # some are asked more than once at a time
        route = plant.table.route("app")
        query = Query(number, route, plant.version, value, now_ns, deadline_ns, lambda q: told.update([q.reason.name]))
        subject.submit(query, now_ns)
        asked.append(query)
        if rng.random() < 0.5:
            rng.choice(asked[-20:]).leave()
        plant.clock.advance(rng.randrange(MS // 4))
    left = 1000 - told.total() - sum(not query.is_done for query in asked)
    assert left > 100
    del query
    asked.clear()
    plant.clock.advance(100 * MS)
    assert told.total() == 1000 - left
    assert told["NONE"] > 0
    assert subject.flights == plant.dispatcher.waiting_rows == plant.dispatcher.batches_in_flight == 0
    assert plant.clock.pending_timers == 0
    assert queries_held() == others
    assert len(cache) <= 200


# Where a late query was


def test_a_late_query_knows_whether_a_replica_had_it() -> None:
    house = House()
    waiting, sent = house.ask(b"waits"), house.ask(b"sent", in_ms=50)
    house.engine.send(house.engine.queries[1])
    house.clock.advance(100 * MS)
    assert [(query.reason, query.problem) for query in (waiting, sent)] == [(Reason.LATE, WAITED), (Reason.LATE, SENT)]


def test_a_late_query_that_has_joined_says_so_and_the_first_one_where_they_both_were() -> None:
    house = House()
    first, joined = house.ask(in_ms=50), house.ask(in_ms=40)
    house.engine.send(house.engine.waiting[-1])
    house.clock.advance(100 * MS)
    assert {query.reason for query in (first, joined)} == {Reason.LATE}
    assert {first.problem, joined.problem} <= {SENT, JOINED}
    assert JOINED in {first.problem, joined.problem}
