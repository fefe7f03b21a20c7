"""Copies of states: they follow what is told, ask again after a gap, and end up as the store is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.routes import Application, Link, RouteTable
from clipper_frontend.selection.learned import Change, Changed, Copy, Learned
from clipper_frontend.selection.records import StateKey
from clipper_selection import Policy, policy

POLICY = policy("epsilon_greedy")
OWN, ANN = StateKey("app", "epsilon_greedy"), StateKey("app", "epsilon_greedy", "ann")


def table(generation: int = 1) -> RouteTable:
    return RouteTable.of([Application("app", 4, 10**9, None, (Link("a"),), POLICY, generation=generation)])


class House:
    """The copies, and the reads that they want."""

    def __init__(self, max_contexts: int = 100) -> None:
        self.wanted: list[Copy] = []
        self.learned = Learned(self.wanted.append, max_contexts=max_contexts)
        self.learned.use(table())

    def state(self, key: StateKey = OWN, by: Policy = POLICY) -> Mapping[str, float]:
        return self.learned.state(key, by)

    def read(self, *states: tuple[Mapping[str, float], int]) -> None:
        """The wanted reads come, in order."""
        wanted, self.wanted[:] = list(self.wanted), []
        for copy, (values, revision) in zip(wanted, states, strict=True):
            self.learned.took(copy, values, revision)

    def tell(self, revision: int, values: Mapping[str, float], *, whole: bool = False, context: str = "") -> None:
        self.learned.apply(Change("app", 1, (Changed(context, revision, whole, values),)))


def test_a_state_is_read_once_when_it_is_first_needed() -> None:
    house = House()
    assert house.state() == {}
    assert house.state() == {}
    assert [(copy.application, copy.context) for copy in house.wanted] == [("app", "")]
    house.read(({"a/plays": 3.0}, 7))
    assert house.state() == {"a/plays": 3.0}
    assert not house.wanted


def test_changes_are_followed_and_what_was_given_out_stays_as_it_was() -> None:
    house = House()
    house.state()
    house.read(({"a/plays": 3.0}, 7))
    before = house.state()
    house.tell(8, {"a/plays": 4.0, "b/plays": 1.0})
    assert house.state() == {"a/plays": 4.0, "b/plays": 1.0}
    assert before == {"a/plays": 3.0}


def test_after_a_gap_the_last_state_is_used_until_it_was_read_again() -> None:
    house = House()
    house.state()
    house.read(({"a/plays": 3.0}, 7))
    house.tell(9, {"a/plays": 5.0})
    assert house.state() == {"a/plays": 3.0}
    house.read(({"a/plays": 5.0}, 9))
    assert house.state() == {"a/plays": 5.0}


def test_a_read_that_is_older_than_what_was_told_is_made_again() -> None:
    house = House()
    house.state()
    house.tell(9, {"a/plays": 5.0})
    house.read(({"a/plays": 4.0}, 8))
    assert len(house.wanted) == 1
    house.read(({"a/plays": 5.0}, 9))
    assert house.state() == {"a/plays": 5.0}
    assert not house.wanted


def test_what_is_told_again_or_late_changes_nothing() -> None:
    house = House()
    house.state()
    house.read(({"a/plays": 3.0}, 7))
    house.tell(7, {"a/plays": 99.0})
    house.tell(2, {"a/plays": 99.0}, whole=True)
    assert house.state() == {"a/plays": 3.0}


def test_a_new_context_inherits_from_the_application_until_it_is_taught() -> None:
    house = House()
    assert house.state(ANN) == {}
    house.read(({"a/plays": 3.0, "a/reward": 1.0}, 7), ({}, 0))
    inherited = POLICY.inherited({"a/plays": 3.0, "a/reward": 1.0})
    assert house.state(ANN) == inherited
    house.tell(8, {"a/plays": 4.0})
    assert house.state(ANN) == POLICY.inherited({"a/plays": 4.0, "a/reward": 1.0})
    house.tell(1_000, {"a/plays": 1.0}, whole=True, context="ann")
    house.tell(9, {"a/plays": 5.0})
    assert house.state(ANN) == {"a/plays": 1.0}


def test_after_changes_may_have_been_missed_states_are_read_when_next_needed() -> None:
    house = House()
    house.state(ANN)
    house.read(({"a/plays": 3.0}, 7), ({"a/plays": 1.0}, 5))
    house.learned.begin_round()
    assert not house.wanted
    assert house.state() == {"a/plays": 3.0}
    assert [copy.context for copy in house.wanted] == [""]
    house.state(ANN)
    assert [copy.context for copy in house.wanted] == ["", "ann"]


def test_an_application_with_another_policy_starts_with_nothing_and_is_told_nothing_of_the_old_one() -> None:
    house = House()
    house.state()
    house.read(({"a/plays": 3.0}, 7))
    house.learned.use(table())
    assert house.state() == {"a/plays": 3.0}
    house.learned.use(table(generation=2))
    assert house.state() == {}
    house.tell(8, {"a/plays": 4.0}, whole=True)
    assert house.state() == {}
    [copy] = house.wanted
    house.learned.use(RouteTable.of([]))
    assert not house.learned.is_current(copy)
    assert house.state() == {}


@pytest.mark.parametrize("dropped", ["", "ann"])
def test_what_was_forgotten_is_not_used_any_more(dropped: str) -> None:
    house = House()
    house.state(ANN)
    house.read(({"a/plays": 30.0}, 7), ({"a/plays": 1.0}, 5))
    house.learned.apply(Change("app", 1, (), (dropped,)))
    assert house.state(ANN) == ({} if dropped == "" else POLICY.inherited({"a/plays": 30.0}))
    assert house.state() == ({} if dropped == "" else {"a/plays": 30.0})


def test_contexts_at_hand_are_bounded_and_those_used_last_stay() -> None:
    house = House(max_contexts=2)
    for user in ("ann", "bob", "ann", "eve"):
        house.state(StateKey("app", "epsilon_greedy", user))
    house.wanted.clear()
    for user in ("ann", "eve"):
        house.state(StateKey("app", "epsilon_greedy", user))
    assert not house.wanted
    house.state(StateKey("app", "epsilon_greedy", "bob"))
    assert [copy.context for copy in house.wanted] == ["bob"]


@given(st.lists(st.sampled_from(["teach", "lose", "forget", "read", "round"]), max_size=60))
def test_whatever_is_lost_the_copy_ends_up_as_the_store_is(steps: list[str]) -> None:
    house, stored, revision, clock = House(), dict[str, float](), 0, 100
    house.state()
    for step in steps:
        clock += 100
        if step in ("teach", "lose"):
            is_new = not stored
            stored = {"a/plays": stored.get("a/plays", 0.0) + 1}
            revision = clock if is_new else revision + 1
            if step == "teach":
                house.tell(revision, stored, whole=is_new)
        elif step == "forget":
            stored, revision = {}, 0
            house.learned.apply(Change("app", 1, (), ("",)))
        elif step == "read":
            house.read(*[(dict(stored), revision)] * len(house.wanted))
        else:
            house.learned.begin_round()
        house.state()
    stored = {"a/plays": stored.get("a/plays", 0.0) + 1}
    revision = revision + 1 if revision else clock + 100
    house.tell(revision, stored)  # whatever was missed, the next change shows it
    house.state()
    house.read(*[(stored, revision)] * len(house.wanted))
    assert house.state() == stored
