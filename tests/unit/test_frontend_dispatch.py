"""Queries reach replicas, and are answered in time whatever happens to those."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_fakes import MS
from engines import LIMITS, Engine, copy, engine_with, outcomes, version

from clipper_frontend.query import Reason
from clipper_frontend.runtime import Failure as ModelFailure
from clipper_frontend.runtime import Lost, Predictions

# The way of a query


def test_a_query_goes_to_the_replica_and_its_answer_comes_back() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a")
    assert replica.inputs == [b"a"]
    replica.open[0].answer()
    assert outcomes([query]) == [b"a"]
    assert engine.done == [query]


def test_what_comes_at_once_goes_in_one_batch_in_order_and_gets_its_own_answer() -> None:
    engine, [replica] = engine_with(copy())
    queries = engine.ask(b"abcd")
    assert replica.sizes == [4]
    replica.open[0].answer(Predictions([b"1", b"2", b"3", b"4"]))
    assert outcomes(queries) == [b"1", b"2", b"3", b"4"]


def test_what_comes_while_the_replica_is_busy_goes_as_the_next_batch() -> None:
    engine, [replica] = engine_with(copy())
    engine.ask(b"a")
    engine.ask(b"b")
    engine.ask(b"c")
    assert replica.sizes == [1]
    replica.open[0].answer()
    engine.clock.settle()
    assert replica.sizes == [1, 2]


def test_a_batch_is_never_larger_than_the_version_allows() -> None:
    engine, [replica] = engine_with(copy(), max_batch_rows=3)
    engine.ask(b"abcdefg")
    for _ in range(3):
        replica.open[0].answer()
        engine.clock.settle()
    assert replica.sizes == [3, 3, 1]


def test_a_batch_is_never_larger_than_the_model_can_take() -> None:
    engine = Engine()
    engine.cluster["host:10"].max_batch_rows = 2
    engine.apply(version(), copy())
    engine.ask(b"abc")
    assert engine.cluster["host:10"].sizes == [2]


def test_a_batch_never_has_more_bytes_than_one_message_takes() -> None:
    engine, [replica] = engine_with(copy(), limits=replace(LIMITS, max_batch_bytes=10))
    large = [engine.submit(bytes([each]) * 6) for each in b"abc"]
    engine.clock.settle()
    assert replica.inputs == [b"a" * 6]
    for _ in large:
        replica.open[0].answer()
        engine.clock.settle()
    assert outcomes(large) == [b"a" * 6, b"b" * 6, b"c" * 6]
    assert replica.sizes == [1, 1, 1]


def test_an_idle_replica_takes_what_waits_before_a_busy_one() -> None:
    engine, replicas = engine_with(copy(0), copy(1), limits=replace(LIMITS, max_batches_in_flight=2))
    engine.ask(b"a")
    engine.ask(b"b")
    engine.ask(b"c")
    assert sorted(replica.sizes for replica in replicas) == [[1], [1]]


def test_a_busy_replica_gets_another_batch_only_when_that_is_full() -> None:
    engine, [replica] = engine_with(copy(), max_batches_in_flight=2)
    engine.ask(b"a")
    engine.ask(b"bcd")
    assert replica.sizes == [1]
    engine.ask(b"e")
    assert replica.sizes == [1, 4]
    engine.ask(b"fghi")
    assert replica.sizes == [1, 4]
    replica.open[0].answer()
    engine.clock.settle()
    assert replica.sizes == [1, 4, 4]


def test_work_is_spread_over_idle_replicas_in_turn() -> None:
    engine, replicas = engine_with(copy(0), copy(1), copy(2))
    for _ in range(9):
        engine.ask(b"a")
        [busy] = [replica for replica in replicas if replica.open]
        busy.open[0].answer()
        engine.clock.settle()
    assert [len(replica.batches) for replica in replicas] == [3, 3, 3]


def test_the_deadline_of_a_batch_is_that_of_its_last_caller() -> None:
    engine, [replica] = engine_with(copy())
    engine.submit(in_ms=70)
    last = engine.submit(in_ms=90)
    engine.submit(in_ms=80)
    engine.clock.settle()
    assert replica.batches[0].deadline_ns == last.deadline_ns


def test_a_lone_query_lingers_and_those_that_come_meanwhile_go_with_it() -> None:
    engine, [replica] = engine_with(copy(), linger_ns=5 * MS)
    first = engine.submit(b"a")
    engine.clock.advance(3 * MS)
    engine.submit(b"b")
    engine.clock.advance(MS)
    assert not replica.batches
    engine.clock.advance(MS)
    assert replica.sizes == [2]
    replica.open[0].answer()
    assert first.batch is not None
    assert first.batch.sent_ns - first.batch.lingered_from_ns == 5 * MS


def test_a_full_batch_ends_the_linger() -> None:
    engine, [replica] = engine_with(copy(), linger_ns=50 * MS)
    engine.ask(b"abc")
    assert not replica.batches
    engine.ask(b"d")
    assert replica.sizes == [4]


def test_a_batch_that_did_not_linger_does_not_say_so() -> None:
    engine, [replica] = engine_with(copy(), linger_ns=5 * MS)
    engine.submit(b"a")
    engine.clock.advance(5 * MS)
    replica.open[0].answer()
    engine.clock.advance(20 * MS)
    [query, *_] = engine.ask(b"bcde")
    replica.open[0].answer()
    assert query.batch is not None
    assert query.batch.lingered_from_ns == query.batch.sent_ns


def test_an_urgent_query_cuts_the_linger_of_the_others_short() -> None:
    engine, [replica] = engine_with(copy(), linger_ns=40 * MS)
    engine.ask(b"a")
    engine.ask(b"b", in_ms=20)
    engine.clock.advance(9 * MS)
    assert not replica.batches
    engine.clock.advance(MS)
    assert replica.inputs == [b"b", b"a"]


# Deadlines, and callers that leave


def test_a_query_that_is_not_answered_by_its_deadline_is_late() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a")
    engine.clock.advance(100 * MS)
    assert query.reason is Reason.LATE
    replica.open[0].answer()
    assert engine.done == [query]
    assert query.reason is Reason.LATE


def test_a_query_that_expires_in_the_queue_is_never_sent() -> None:
    engine, [replica] = engine_with(copy())
    engine.ask(b"a")
    [late] = engine.ask(b"b", in_ms=10)
    engine.clock.advance(10 * MS)
    assert late.reason is Reason.LATE
    [other] = engine.ask(b"c")
    replica.open[0].answer()
    engine.clock.settle()
    replica.open[0].answer()
    assert replica.inputs == [b"a", b"c"]
    assert outcomes([other]) == [b"c"]


def test_a_query_that_is_late_already_is_not_even_queued() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a", in_ms=0)
    assert query.reason is Reason.LATE
    assert not replica.batches


def test_the_more_urgent_query_goes_first() -> None:
    engine, [replica] = engine_with(copy())
    engine.ask(b"a")
    engine.ask(b"b", in_ms=90)
    engine.ask(b"c", in_ms=20)
    replica.open[0].answer()
    engine.clock.settle()
    assert replica.inputs == [b"a", b"c", b"b"]


@pytest.mark.parametrize("position", range(4))
def test_a_caller_that_leaves_the_queue_frees_its_place_and_spares_its_neighbours(position: int) -> None:
    engine, [replica] = engine_with(copy())
    engine.ask(b"x")
    queries = engine.ask(b"abcd")
    queries[position].leave()
    assert engine.dispatcher.waiting_rows == 3
    replica.open[0].answer()
    engine.clock.settle()
    replica.open[0].answer()
    stayed = [query for query in queries if query is not queries[position]]
    assert [query.output for query in stayed] == [each for each in (b"a", b"b", b"c", b"d") if each in replica.inputs]
    assert len(stayed) == len(replica.inputs) - 1 == 3
    assert queries[position] not in engine.done


@pytest.mark.parametrize("position", range(4))
def test_a_caller_that_leaves_a_batch_under_way_spares_its_neighbours(position: int) -> None:
    engine, [replica] = engine_with(copy())
    queries = engine.ask(b"abcd")
    queries[position].leave()
    replica.open[0].answer()
    expected: list[bytes | Reason] = [b"a", b"b", b"c", b"d"]
    expected[position] = Reason.NONE
    assert outcomes(queries) == expected
    assert queries[position] not in engine.done


# Refusals


def test_without_a_version_nobody_is_asked() -> None:
    engine = Engine()
    engine.apply()
    [query] = engine.ask()
    assert query.reason is Reason.NO_REPLICA  # a model is linked, but none of its versions is there


def test_without_replica_a_query_is_told_at_once() -> None:
    engine, _ = engine_with()
    [query] = engine.ask()
    assert query.reason is Reason.NO_REPLICA


def test_one_query_too_many_is_refused_at_once_and_the_others_are_answered() -> None:
    engine, [replica] = engine_with(copy(), max_queue_rows=4)
    engine.ask(b"a")
    waiting = engine.ask(b"bcde")
    [refused] = engine.ask(b"f")
    assert refused.reason is Reason.OVERLOADED
    replica.open[0].answer()
    engine.clock.settle()
    replica.open[0].answer()
    assert outcomes(waiting) == [b"b", b"c", b"d", b"e"]


def test_one_full_queue_never_blocks_another() -> None:
    engine = Engine()
    engine.apply(version(max_queue_rows=1), version("2"), copy(), copy(label="2"))
    engine.ask(b"a")
    engine.ask(b"b")
    [refused] = engine.ask(b"c")
    [other] = engine.ask(b"d", label="2")
    engine.cluster["host:20"].open[0].answer()
    assert refused.reason is Reason.OVERLOADED
    assert outcomes([other]) == [b"d"]


# What models and replicas do


def test_an_input_that_makes_the_model_fail_fails_alone() -> None:
    engine, [replica] = engine_with(copy())
    queries = engine.ask(b"abc")
    replica.open[0].answer(Predictions([b"1", ModelFailure("ValueError", "bad"), b"3"]))
    assert outcomes(queries) == [b"1", Reason.MODEL_ERROR, b"3"]
    assert (queries[1].kind, queries[1].problem) == ("ValueError", "bad")


def test_a_batch_that_fails_as_a_whole_tells_each_caller_and_the_replica_goes_on() -> None:
    engine, [replica] = engine_with(copy())
    queries = engine.ask(b"ab")
    replica.open[0].fail("2 inputs, 3 results")
    assert outcomes(queries) == [Reason.MODEL_ERROR] * 2
    assert {query.problem for query in queries} == {"2 inputs, 3 results"}
    [after] = engine.ask(b"c")
    replica.open[0].answer()
    assert outcomes([after]) == [b"c"]


def test_the_queries_of_a_lost_replica_go_to_another_one() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    queries = engine.ask(b"ab")
    lost, other = (first, second) if first.open else (second, first)
    lost.is_up = False
    lost.open[0].lose()
    engine.clock.settle()
    assert other.inputs == [b"a", b"b"]
    other.open[0].answer()
    assert outcomes(queries) == [b"a", b"b"]


def test_a_caller_that_has_left_is_not_passed_on_when_the_replica_is_lost() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    gone, stays = engine.ask(b"ab")
    gone.leave()
    lost, other = (first, second) if first.open else (second, first)
    lost.open[0].lose()
    engine.clock.settle()
    assert other.inputs == [b"b"]
    other.open[0].answer()
    assert outcomes([stays]) == [b"b"]
    assert engine.dispatcher.waiting_rows == 0


def test_a_replica_whose_connection_broke_is_asked_again_when_it_answers_its_check() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a")
    replica.open[0].lose()
    engine.clock.settle()
    assert replica.checks == 2
    replica.open[0].answer()
    assert outcomes([query]) == [b"a"]


def test_a_replica_that_passes_its_checks_but_loses_its_batches_is_left_alone_for_a_while() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a", in_ms=10_000)
    replica.open[0].lose()
    engine.clock.settle()
    assert replica.checks == 2
    replica.open[0].lose()
    engine.clock.advance(99 * MS)
    assert query.reason is Reason.REPLICA_LOST
    assert replica.checks == 2
    engine.clock.advance(MS)
    assert replica.checks == 3


def test_a_replica_that_has_answered_since_is_checked_at_once_when_it_is_lost_again() -> None:
    engine, [replica] = engine_with(copy())
    for checks in (2, 3, 4):
        engine.ask(b"a")
        replica.open[0].lose()
        engine.clock.settle()
        assert replica.checks == checks
        replica.open[0].answer()
        engine.clock.settle()


def test_when_the_only_replica_is_gone_its_queries_and_those_that_wait_are_told_at_once() -> None:
    engine, [replica] = engine_with(copy())
    [under_way] = engine.ask(b"a")
    [waiting] = engine.ask(b"b")
    replica.is_up = False
    replica.open[0].lose()
    engine.clock.settle()
    assert under_way.reason is Reason.REPLICA_LOST
    assert waiting.reason is Reason.NO_REPLICA
    [later] = engine.ask(b"c")
    assert later.reason is Reason.NO_REPLICA


def test_a_replica_that_is_down_is_checked_again_with_growing_waits_until_it_is_up() -> None:
    engine = Engine()
    replica = engine.cluster["host:10"]
    replica.is_up = False
    engine.apply(version(), copy())
    checks = []
    for _ in range(100):
        engine.clock.advance(100 * MS)
        checks.append(replica.checks)
    assert checks[:8] == [2, 2, 3, 3, 3, 3, 4, 4]  # after 100, 300, 700 ms
    assert checks[-1] - checks[-41] == 2  # at last every two seconds
    replica.is_up = True
    engine.clock.advance(2000 * MS)
    [query] = engine.ask(b"a")
    replica.open[0].answer()
    assert outcomes([query]) == [b"a"]


def test_queries_wait_for_a_replica_that_is_checked_for_the_first_time() -> None:
    engine = Engine()
    engine.cluster["host:10"].is_checked_by_test = True
    engine.apply(version(), copy())
    [query] = engine.ask(b"a")
    assert not query.is_done
    engine.cluster["host:10"].held_checks.pop()(engine.cluster["host:10"].description())
    engine.clock.settle()
    engine.cluster["host:10"].open[0].answer()
    assert outcomes([query]) == [b"a"]


def test_a_model_with_side_effects_is_never_asked_twice() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1), no_retry=True)
    [query] = engine.ask(b"a")
    (first if first.open else second).open[0].lose()
    engine.clock.settle()
    assert query.reason is Reason.REPLICA_LOST
    assert len(first.inputs) + len(second.inputs) == 1


def test_a_replica_that_says_it_did_not_look_leaves_even_such_a_query_to_another() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1), no_retry=True)
    [query] = engine.ask(b"a")
    stopping, other = (first, second) if first.open else (second, first)
    stopping.open[0].lose("The runtime is stopping.", was_refused=True)
    engine.clock.settle()
    other.open[0].answer()
    assert outcomes([query]) == [b"a"]


def test_a_replica_that_refuses_is_left_alone_for_a_while() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    engine.ask(b"a")
    stopping, other = (first, second) if first.open else (second, first)
    stopping.open[0].lose(was_refused=True)
    engine.clock.settle()
    other.open[0].answer()
    for _ in range(5):
        engine.ask(b"b")
        other.open[0].answer()
        engine.clock.settle()
    assert len(stopping.batches) == 1


def test_a_query_is_not_passed_on_for_ever() -> None:
    engine, replicas = engine_with(copy(0), copy(1), copy(2), copy(3))
    [query] = engine.ask(b"a")
    for _ in range(3):
        [holder] = [replica for replica in replicas if replica.open]
        holder.open[0].lose()
        engine.clock.settle()
    assert query.reason is Reason.REPLICA_LOST
    assert sum(len(replica.batches) for replica in replicas) == 3


def test_a_lost_query_without_time_left_is_not_sent_again() -> None:
    engine, replicas = engine_with(copy(0), copy(1))
    [query] = engine.ask(b"a", in_ms=10)
    [holder] = [replica for replica in replicas if replica.open]
    engine.clock.advance(10 * MS)
    holder.open[0].lose()
    engine.clock.settle()
    assert query.reason is Reason.LATE
    assert sum(len(replica.batches) for replica in replicas) == 1


def test_a_replica_that_hangs_holds_its_own_queries_only() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    [stuck] = engine.ask(b"a")
    hung, good = (first, second) if first.open else (second, first)
    for _ in range(9):
        queries = engine.ask(b"bc")
        good.open[0].answer()
        assert outcomes(queries) == [b"b", b"c"]
        engine.clock.advance(10 * MS)
    engine.clock.advance(10 * MS)
    assert stuck.reason is Reason.LATE
    assert hung.sizes == [1]


def test_after_a_batch_that_was_not_answered_a_replica_is_on_trial_with_one_query_at_a_time() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    engine.ask(b"abcd")
    hung, good = (first, second) if first.open else (second, first)
    engine.clock.advance(100 * MS)
    hung.open[0].time_out()
    engine.clock.settle()
    engine.ask(b"ef")  # the idle one that is not on trial
    assert (hung.sizes, good.sizes) == ([4], [2])
    engine.ask(b"ghi")  # one for the trial, the others wait for the good one
    assert (hung.sizes, good.sizes) == ([4, 1], [2])
    hung.open[0].answer()
    engine.clock.settle()
    assert hung.sizes == [4, 1, 2]


# Changes of the configuration


def test_a_replica_that_stays_keeps_its_connection_and_its_batch_when_another_one_comes() -> None:
    engine, [replica] = engine_with(copy(0))
    [query] = engine.ask(b"a")
    engine.apply(version(), copy(0), copy(1))
    assert engine.cluster.connected == ["host:10", "host:11"]
    replica.open[0].answer()
    assert outcomes([query]) == [b"a"]


def test_a_replica_that_is_removed_ends_what_it_has_and_gets_no_more() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    [query] = engine.ask(b"a")
    removed, stays = (first, second) if first.open else (second, first)
    engine.apply(version(), copy(0) if stays is first else copy(1))
    engine.ask(b"bc")
    assert not removed.is_closed
    removed.open[0].answer()
    assert outcomes([query]) == [b"a"]
    assert removed.is_closed
    assert removed.inputs == [b"a"]
    assert not stays.is_closed


def test_the_queries_of_a_removed_replica_that_is_lost_go_to_another_one() -> None:
    engine, [first, second] = engine_with(copy(0), copy(1))
    [query] = engine.ask(b"a")
    removed, stays = (first, second) if first.open else (second, first)
    engine.apply(version(), copy(0) if stays is first else copy(1))
    removed.open[0].lose()
    engine.clock.settle()
    stays.open[0].answer()
    assert outcomes([query]) == [b"a"]
    assert removed.is_closed


def test_a_removed_replica_that_is_lost_gives_nobody_hope() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a")
    engine.apply(version())
    replica.open[0].lose()
    engine.clock.settle()
    assert query.reason is Reason.REPLICA_LOST
    assert replica.checks == 1
    assert replica.is_closed
    [later] = engine.ask(b"b")
    assert later.reason is Reason.NO_REPLICA


def test_a_replica_that_came_back_under_another_number_is_another_one() -> None:
    engine, _ = engine_with(copy(0, address="host:1"))
    engine.apply(version(), copy(1, address="host:1"))
    assert engine.cluster.connected == ["host:1", "host:1"]


def test_what_waits_for_a_version_that_is_deleted_is_told_and_what_is_under_way_is_answered() -> None:
    engine, [replica] = engine_with(copy())
    [under_way] = engine.ask(b"a")
    [waiting] = engine.ask(b"b")
    engine.apply()
    assert waiting.reason is Reason.NO_REPLICA
    replica.open[0].answer()
    assert outcomes([under_way]) == [b"a"]
    assert replica.is_closed


def test_a_version_that_was_made_again_under_its_name_is_another_one() -> None:
    engine, [old] = engine_with(copy())
    engine.apply(replace(version(), uid="another"), copy(address="host:new"))
    assert old.is_closed
    assert engine.cluster.connected == ["host:10", "host:new"]


def test_changed_batching_holds_from_then_on() -> None:
    engine, [replica] = engine_with(copy())
    engine.ask(b"a")
    engine.apply(version(max_batch_rows=2, max_queue_rows=3), copy())
    queries = engine.ask(b"bcde")
    assert outcomes(queries)[-1] is Reason.OVERLOADED
    replica.open[0].answer()
    engine.clock.settle()
    assert replica.sizes == [1, 2]
    assert engine.cluster.connected == ["host:10"]


def test_closing_tells_those_who_wait_and_leaves_no_timer() -> None:
    engine, [replica] = engine_with(copy(), linger_ns=50 * MS)
    [query] = engine.ask(b"a")
    engine.dispatcher.close()
    assert query.reason is Reason.NO_REPLICA
    assert replica.is_closed
    engine.clock.advance(1000 * MS)
    assert engine.done == [query]


def test_a_lost_check_of_a_removed_replica_changes_nothing() -> None:
    engine = Engine()
    replica = engine.cluster["host:10"]
    replica.is_checked_by_test = True
    engine.apply(version(), copy(0))
    engine.apply(version(), copy(1))
    replica.held_checks.pop()(Lost("too late"))
    engine.clock.advance(5000 * MS)
    assert replica.checks == 1
    [query] = engine.ask(b"a")
    engine.cluster["host:11"].open[0].answer()
    assert outcomes([query]) == [b"a"]
