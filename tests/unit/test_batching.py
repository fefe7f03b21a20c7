"""Who goes now? The queue of one model version."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.batching import BatchQueue

NOBODY: list[Item]


@dataclass(eq=False)
class Item:
    name: str
    deadline_ns: int
    arrived_ns: int = 0
    rows: int = 1
    is_waiting: bool = False


NOBODY = []


def queue_of(*items: Item, max_waiting_rows: int = 100, linger_ns: int = 0) -> BatchQueue[Item]:
    queue: BatchQueue[Item] = BatchQueue(max_waiting_rows=max_waiting_rows, linger_ns=linger_ns)
    for item in items:
        assert queue.add(item, item.arrived_ns)
    return queue


def names(items: list[Item]) -> str:
    return "".join(item.name for item in items)


def test_an_empty_queue_has_nobody_to_send_and_no_time_to_look_again() -> None:
    assert queue_of().next_batch(0, 10) == (NOBODY, None)


def test_the_earliest_deadline_goes_first() -> None:
    queue = queue_of(Item("c", 30), Item("a", 10), Item("b", 20))
    batch, look_ns = queue.next_batch(0, 10)
    assert (names(batch), look_ns) == ("abc", None)


def test_equal_deadlines_go_in_order_of_arrival() -> None:
    queue = queue_of(*(Item(name, 10) for name in "abcdef"))
    assert names(queue.next_batch(0, 4)[0]) == "abcd"
    assert names(queue.next_batch(0, 4)[0]) == "ef"


@pytest.mark.parametrize(("max_rows", "expected"), [(1, ["a", "b", "c"]), (2, ["ab", "c"]), (3, ["abc"]), (9, ["abc"])])
def test_a_batch_never_has_more_rows_than_wanted(max_rows: int, expected: list[str]) -> None:
    queue = queue_of(Item("a", 1), Item("b", 2), Item("c", 3))
    assert [names(queue.next_batch(0, max_rows)[0]) for _ in expected] == expected
    assert queue.waiting_rows == 0


def test_an_item_of_several_rows_counts_as_many_and_is_never_split() -> None:
    queue = queue_of(Item("a", 1, rows=3), Item("b", 2, rows=3), Item("c", 3, rows=1))
    assert queue.waiting_rows == 7
    assert names(queue.next_batch(0, 5)[0]) == "a"
    assert names(queue.next_batch(0, 5)[0]) == "bc"


def test_an_item_larger_than_any_batch_goes_alone() -> None:
    queue = queue_of(Item("a", 1, rows=9), Item("b", 2))
    assert names(queue.next_batch(0, 4)[0]) == "a"
    assert names(queue.next_batch(0, 4)[0]) == "b"


def test_expired_items_are_dropped_and_never_sent() -> None:
    late, exact, good = Item("l", 9), Item("e", 10), Item("g", 11)
    queue = queue_of(late, exact, good)
    assert queue.next_batch(10, 10) == ([good], None)
    assert not late.is_waiting
    assert not exact.is_waiting
    assert queue.waiting_rows == 0


def test_when_all_have_expired_nobody_goes() -> None:
    queue = queue_of(Item("a", 5), Item("b", 6))
    assert queue.next_batch(6, 10) == (NOBODY, None)
    assert queue.waiting_rows == 0


def test_a_full_queue_refuses_and_those_that_wait_are_not_touched() -> None:
    queue = queue_of(Item("a", 10), Item("b", 10), max_waiting_rows=2)
    refused = Item("c", 1)
    assert not queue.add(refused, 0)
    assert not refused.is_waiting
    assert names(queue.next_batch(0, 10)[0]) == "ab"


def test_expired_items_give_their_places_to_new_ones() -> None:
    queue = queue_of(Item("a", 10), Item("b", 10), max_waiting_rows=2)
    assert queue.add(Item("c", 30), 20)
    assert names(queue.next_batch(20, 10)[0]) == "c"


def test_what_was_accepted_once_comes_back_even_into_a_full_queue() -> None:
    queue = queue_of(Item("a", 10), Item("b", 20), max_waiting_rows=2)
    [first] = queue.next_batch(0, 1)[0]
    assert queue.add(Item("c", 30), 0)
    queue.put_back(first)
    assert queue.waiting_rows == 3
    assert names(queue.next_batch(0, 10)[0]) == "abc"


@pytest.mark.parametrize("position", range(5))
def test_whoever_leaves_frees_a_place_and_spares_the_neighbours(position: int) -> None:
    items = [Item(name, at) for at, name in enumerate("abcde", 1)]
    queue = queue_of(*items, max_waiting_rows=5)
    queue.discard(items[position])
    queue.discard(items[position])  # twice is once
    assert queue.waiting_rows == 4
    assert queue.add(Item("f", 6), 0)
    assert names(queue.next_batch(0, 10)[0]) == "abcdef".replace(items[position].name, "")


def test_thousands_that_leave_are_not_held() -> None:
    stays = Item("s", 1_000_000)
    queue = queue_of(stays, max_waiting_rows=10, linger_ns=5)
    for at in range(10_000):
        item = Item("x", at + 10)
        assert queue.add(item, 0)
        queue.discard(item)
    assert queue.waiting_rows == 1
    assert queue.next_batch(20, 10) == ([stays], None)


def test_thousands_that_went_in_full_batches_are_not_held() -> None:
    queue = queue_of(Item("s", 1_000_000_000), max_waiting_rows=10, linger_ns=5)
    gone = []
    for at in range(1000):
        item = Item("x", at + 10, arrived_ns=at)
        gone.append(weakref.ref(item))
        assert queue.add(item, at)
        assert queue.next_batch(at, 1) == ([item], None)
    del item
    assert sum(each() is not None for each in gone) < 200


def test_without_linger_a_lone_item_goes_at_once() -> None:
    assert names(queue_of(Item("a", 100)).next_batch(0, 10)[0]) == "a"


def test_the_linger_starts_with_the_first_item_of_the_batch() -> None:
    queue = queue_of(Item("a", 1000, arrived_ns=0), Item("b", 1000, arrived_ns=30), linger_ns=50)
    assert queue.next_batch(40, 10) == (NOBODY, 50)
    assert names(queue.next_batch(50, 10)[0]) == "ab"


def test_the_next_batch_has_a_linger_of_its_own() -> None:
    queue = queue_of(Item("a", 1000), linger_ns=50)
    assert names(queue.next_batch(50, 10)[0]) == "a"
    assert queue.add(Item("b", 1000, arrived_ns=70), 70)
    assert queue.next_batch(71, 10) == (NOBODY, 120)


def test_a_full_batch_does_not_linger() -> None:
    queue = queue_of(Item("a", 1000), Item("b", 1000), linger_ns=50)
    assert names(queue.next_batch(0, 2)[0]) == "ab"


def test_those_left_over_by_a_full_batch_linger_from_their_own_arrival() -> None:
    queue = queue_of(*(Item(name, 1000, arrived_ns=at) for at, name in enumerate("abc")), linger_ns=50)
    assert names(queue.next_batch(2, 2)[0]) == "ab"
    assert queue.next_batch(2, 2) == (NOBODY, 52)


def test_nobody_lingers_longer_than_half_of_its_time() -> None:
    queue = queue_of(Item("a", 1000, arrived_ns=0), Item("b", 100, arrived_ns=20), linger_ns=500)
    assert queue.next_batch(20, 10) == (NOBODY, 60)
    assert names(queue.next_batch(60, 10)[0]) == "ba"


def test_when_the_first_of_a_batch_leaves_the_second_one_lingers_from_its_own_arrival() -> None:
    first = Item("a", 1000, arrived_ns=0)
    queue = queue_of(first, Item("b", 1000, arrived_ns=30), linger_ns=50)
    queue.discard(first)
    assert queue.next_batch(50, 10) == (NOBODY, 80)


def test_a_linger_that_is_set_later_holds_for_those_who_wait_already() -> None:
    queue = queue_of(Item("a", 1000, arrived_ns=7))
    queue.configure(max_waiting_rows=1, linger_ns=50)
    assert queue.next_batch(8, 10) == (NOBODY, 57)
    assert not queue.add(Item("b", 1000), 8)


def test_clearing_hands_out_everything_that_waits_in_order() -> None:
    items = [Item("b", 20), Item("x", 5), Item("a", 10)]
    queue = queue_of(*items)
    queue.discard(items[1])
    assert names(queue.clear()) == "ab"
    assert queue.waiting_rows == 0
    assert not any(item.is_waiting for item in items)
    assert queue.next_batch(0, 10) == (NOBODY, None)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("take"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("back"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 15), st.just(0)),
    ),
    max_size=60,
)


@given(steps=steps, linger_ns=st.sampled_from([0, 4]), bound=st.integers(1, 12))
def test_in_any_order_of_events_it_agrees_with_a_plain_list(
    steps: list[tuple[str, int, int]], linger_ns: int, bound: int
) -> None:
    queue = queue_of(max_waiting_rows=bound, linger_ns=linger_ns)
    everyone: list[Item] = []
    waiting: list[Item] = []  # the model, in order of entry
    taken: list[Item] = []
    now = 0
    for what, number, rows in steps:
        match what:
            case "add":
                item = Item(str(len(everyone)), now + number, arrived_ns=now, rows=rows)
                everyone.append(item)
                if sum(each.rows for each in waiting) + rows > bound:
                    waiting = [each for each in waiting if each.deadline_ns > now]
                fits = sum(each.rows for each in waiting) + rows <= bound
                assert queue.add(item, now) == fits
                if fits:
                    waiting.append(item)
            case "leave" if everyone:
                item = everyone[number % len(everyone)]
                queue.discard(item)
                waiting = [each for each in waiting if each is not item]
                taken = [each for each in taken if each is not item]
            case "back" if taken:
                item = taken.pop(number % len(taken))
                queue.put_back(item)
                waiting.append(item)
            case "wait":
                now += number
            case "take":
                waiting = [each for each in waiting if each.deadline_ns > now]
                batch, look_ns = queue.next_batch(now, number)
                expected = sorted(waiting, key=lambda each: each.deadline_ns)
                if look_ns is not None:
                    assert linger_ns
                    assert not batch
                    assert now < look_ns <= min(each.arrived_ns for each in waiting) + linger_ns
                    continue
                assert bool(batch) == bool(waiting)
                assert batch == expected[: len(batch)]
                assert sum(each.rows for each in batch) <= number or len(batch) == 1
                if len(batch) < len(expected):
                    assert sum(each.rows for each in expected[: len(batch) + 1]) > number
                waiting = [each for each in waiting if each not in batch]
                taken += batch
        assert queue.waiting_rows == sum(each.rows for each in everyone if each.is_waiting)
        assert {id(each) for each in everyone if each.is_waiting} == {id(each) for each in waiting}
