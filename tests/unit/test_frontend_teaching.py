"""From an outcome to what is added to states, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from clipper.v1 import values_pb2
from clipper_frontend.outputs import Outputs
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.recall import DIGEST, Remembered
from clipper_frontend.routes import Application, Link, Model, Replica, RouteTable, Version
from clipper_frontend.selection.learned import Change
from clipper_frontend.selection.lessons import Acknowledged, Lesson, Taught, Truth
from clipper_frontend.selection.records import Asked, StateKey
from clipper_frontend.teaching import Teacher
from clipper_rpc.errors import (
    FeedbackInterrupted,
    InternalError,
    InvalidField,
    ModelError,
    NoModel,
    QueryNotFound,
    StaleRevision,
    StoreInterrupted,
)
from clipper_selection import Outcome, Policy, State, policy

MODELS = ("a", "b", "c")


def output(value: float | str) -> bytes:
    made = values_pb2.Output(string=value) if isinstance(value, str) else values_pb2.Output(number=value)
    return made.SerializeToString()


@dataclass
class House:
    """A teacher among fakes that remember what they were asked."""

    policy: Policy = field(default_factory=lambda: policy("epsilon_greedy", {"loss": "zero_one"}))
    answers: dict[str, bytes | None] = field(default_factory=dict)
    """What models answer; None: they raise."""
    shown: dict[int, Remembered] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    reply: Taught | Exception = field(default=Taught(Change("app", 3, ())))
    lessons: list[Lesson] = field(default_factory=list)
    took: list[Change] = field(default_factory=list)
    noted: list[tuple[int, Outcome]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        links = tuple(Link(model) for model in MODELS)
        self.route = RouteTable.of(
            [
                Application("app", 4, 10**9, None, links, self.policy, generation=3),
                *(Model(model, "1") for model in MODELS),
                *(Version(model, "1", model, 4) for model in MODELS),
                *(Replica(model, "1", 0, "r:1") for model in MODELS),
            ]
        ).route("app")
        self.teacher = Teacher(self, self, self, self, lambda: 1, Outputs(), self, window_s=60)

    async def teach(self, lesson: Lesson) -> Taught:
        self.lessons.append(lesson)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def known(self, key: StateKey, policy: Policy) -> State:
        if key.context and key.context not in self.states:
            return policy.inherited(self.states.get("", {}))
        return self.states.get(key.context, {})

    def took_place(self, change: Change) -> None:
        self.took.append(change)

    async def find(self, query_id: int) -> Remembered | None:
        return self.shown.get(query_id)

    def outcome(self, application: str, query_id: int, outcome: Outcome) -> None:
        self.noted.append((query_id, outcome))

    def apply(self, table: RouteTable) -> None:
        raise AssertionError("nothing is configured here")

    def submit(self, query: Query, now_ns: int) -> None:
        assert query.version is not None
        self.asked.append(query.version.model)
        answer = self.answers.get(query.version.model)
        if answer is None:
            query.fail(Reason.MODEL_ERROR, "broken", "ValueError")
        else:
            query.succeed(answer, Batch(0, 1, now_ns, now_ns))

    async def by_input(self, label: float | str, *, context: str = "", token: str = "") -> Acknowledged:
        return await self.teacher.by_input(self.route, b"in", context, label, token, 0, 10**9)

    def remember(self, *asked: Asked, query_id: int = 7, shows: bytes | None = None, **given: Any) -> None:
        fields: dict[str, Any] = {"application": "app", "generation": 3, "context": "", "is_default": False, **given}
        self.shown[query_id] = Remembered(
            output=shows if shows is not None else asked[0].output, models=MODELS, asked=asked, **fields
        )


def asked(model: str, answer: float | str | None, propensity: float = 1.0) -> Asked:
    return Asked(model, "1", propensity, None if answer is None else output(answer), 1.0)


async def test_the_label_of_an_input_teaches_what_every_model_would_have_earned() -> None:
    house = House(answers={"a": output(1.0), "b": output("1"), "c": output(2.0)})
    assert await house.by_input(1.0, token="t") == Acknowledged(learned=True)
    [lesson] = house.lessons
    assert (lesson.application, lesson.generation, lesson.context, lesson.token) == ("app", 3, "", "t")
    assert lesson.own == {"a/plays": 1, "a/reward": 1, "b/plays": 1, "b/reward": 1, "c/plays": 1, "c/reward": 0}
    assert not lesson.contexts_own
    assert house.took == [Change("app", 3, ())]


async def test_a_context_is_taught_beside_its_application_and_starts_from_what_that_knows() -> None:
    own = {"a/plays": 3.0, "a/reward": 2.0}
    house = House(answers={"a": output(1.0)}, states={"": own})
    await house.by_input(1.0, context="ann")
    [lesson] = house.lessons
    assert lesson.own == lesson.contexts_own == {"a/plays": 1, "a/reward": 1}
    assert lesson.inherited == house.policy.inherited(own)


async def test_models_that_fail_are_left_out_and_if_all_fail_the_sender_is_told() -> None:
    house = House(answers={"b": output(1.0)})
    assert (await house.by_input(1.0)).learned
    assert set(house.lessons[0].own) == {"b/plays", "b/reward"}
    with pytest.raises(ModelError, match="broken"):
        await House().by_input(1.0)
    nobody = House()
    nobody.route = RouteTable.of([Application("app", 4, 10**9, None, (), nobody.policy)]).route("app")
    with pytest.raises(NoModel):
        await nobody.by_input(1.0)


async def test_a_policy_that_does_not_learn_asks_nobody_and_stores_nothing() -> None:
    house = House(policy("ensemble"), answers={"a": output(1.0)})
    assert await house.by_input(1.0) == Acknowledged(learned=False)
    assert await house.teacher.by_query(house.route, 99, Truth(reward=1.0), "") == Acknowledged(learned=False)
    assert not house.asked
    assert not house.lessons


async def test_a_reward_teaches_what_the_shown_model_earned_by_its_propensity() -> None:
    house = House(policy("exp3", {"eta": 0.1}))
    house.remember(asked("b", 5.0, propensity=0.2), context="ann")
    assert (await house.teacher.by_query(house.route, 7, Truth(reward=0.75), "t")).learned
    [lesson] = house.lessons
    outcome = Outcome(MODELS, {"b": 0.25}, {"b": 0.2})
    assert lesson.own == house.policy.observe({}, outcome)
    assert (lesson.context, lesson.token) == ("ann", "t")
    assert lesson.bounds == house.policy.bounds(MODELS)
    assert house.noted == [(7, outcome)]


async def test_a_label_teaches_the_losses_of_all_that_answered() -> None:
    house = House()
    house.remember(asked("a", "cat"), asked("b", "dog"), asked("c", None), shows=output("cat"))
    await house.teacher.by_query(house.route, 7, Truth(label="dog"), "")
    assert house.lessons[0].own == {"a/plays": 1, "a/reward": 0, "b/plays": 1, "b/reward": 1}


async def test_a_duplicate_is_neither_learned_nor_noted_again() -> None:
    house = House(reply=Taught(is_duplicate=True))
    house.remember(asked("a", "cat"))
    done = await house.teacher.by_query(house.route, 7, Truth(reward=1.0), "t")
    assert done == Acknowledged(learned=False, is_duplicate=True)
    assert not house.noted
    assert not house.took


@pytest.mark.parametrize(
    "fields",
    [{"generation": 2}, {"is_default": True}, {"asked": (asked("a", None),)}],
    ids=["another policy's", "a default", "no answer"],
)
async def test_what_says_nothing_about_models_teaches_nothing(fields: Mapping[str, Any]) -> None:
    house = House()
    given = dict(fields)
    house.remember(*given.pop("asked", (asked("a", 1.0),)), shows=output(1.0), **given)
    assert await house.teacher.by_query(house.route, 7, Truth(reward=1.0), "") == Acknowledged(learned=False)
    assert not house.lessons


async def test_an_unknown_query_and_that_of_another_application_are_not_found() -> None:
    house = House()
    house.remember(asked("a", 1.0), application="other")
    for query_id in (7, 8):
        with pytest.raises(QueryNotFound, match="up to 60 s after the answer"):
            await house.teacher.by_query(house.route, query_id, Truth(reward=1.0), "")


async def test_large_answers_can_be_rewarded_but_not_compared_with_a_label() -> None:
    house = House()
    large = DIGEST + b"1234"
    house.remember(Asked("a", "1", 1.0, large, 1.0), Asked("b", "1", 1.0, DIGEST + b"other", 0.0), shows=large)
    await house.teacher.by_query(house.route, 7, Truth(reward=1.0), "")
    assert house.lessons[0].own == {"a/plays": 1, "a/reward": 1}
    with pytest.raises(InvalidField, match="too large"):
        await house.teacher.by_query(house.route, 7, Truth(label="x"), "")


async def test_whoever_is_interrupted_is_told_to_send_the_same_token_again() -> None:
    house = House(answers={"a": output(1.0)}, reply=StoreInterrupted(problem="gone"))
    with pytest.raises(FeedbackInterrupted, match="same token"):
        await house.by_input(1.0)


async def test_an_outcome_that_meets_another_policy_is_refused() -> None:
    house = House(answers={"a": output(1.0)}, reply=Taught(is_stale=True))
    with pytest.raises(StaleRevision, match="policy of application"):
        await house.by_input(1.0)


class Bad(Policy):
    """A plug-in that gives what cannot be added."""

    NAME = "bad"

    def __init__(self, increments: Mapping[str, float]) -> None:
        super().__init__()
        self.increments = increments

    def select(self, state: State, arms: Any, context: str, uniform: Any) -> Any:
        raise NotImplementedError

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        return self.increments


@pytest.mark.parametrize(
    "increments", [{"a/x": float("nan")}, {"a/x": float("inf")}, {"a/x": 1e300}, {"#revision": 1.0}]
)
async def test_a_plug_in_cannot_spoil_a_state(increments: Mapping[str, float]) -> None:
    house = House(Bad(increments), answers={"a": output(1.0)})
    with pytest.raises(InternalError):
        await house.by_input(1.0)
    assert not house.lessons
