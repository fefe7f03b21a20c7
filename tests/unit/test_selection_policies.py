"""Policies: who is asked, how answers become one, what is learned."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_world import after, learn, outcome

from clipper_selection import (
    Answer,
    Arm,
    BadParameter,
    Choice,
    Outcome,
    Policy,
    State,
    Uniform,
    UnknownPolicy,
    names,
    of_label,
    of_reward,
    policy,
)

ARMS = (Arm("a"), Arm("b"), Arm("c"))
ALL = sorted(set(names()))
ONE_AT_A_TIME = ["static", "epsilon_greedy", "ucb1", "thompson", "exp3"]
TOGETHER = ["exp4", "ensemble"]
LEARNERS = ["epsilon_greedy", "ucb1", "thompson", "exp3", "exp4"]
BY_COUNTS = ["epsilon_greedy", "ucb1", "thompson"]


def shares(subject: Policy, state: State, arms: Sequence[Arm] = ARMS, *, draws: int = 4000) -> dict[str, float]:
    uniform = random.Random(7).random
    counts = Counter(model for _ in range(draws) for model in subject.select(state, arms, "", uniform).models)
    return {arm.model: counts[arm.model] / draws for arm in arms}


def known(**rewards: tuple[float, float]) -> dict[str, float]:
    """A state of counts: (plays, reward) by model."""
    state = {}
    for model, (plays, reward) in rewards.items():
        state |= {f"{model}/plays": plays, f"{model}/reward": reward}
    return state


# Every policy


@pytest.mark.parametrize("name", ALL)
@given(
    values=st.dictionaries(
        st.sampled_from([f"{arm.model}/{what}" for arm in ARMS for what in ("plays", "reward", "log_weight")]),
        st.floats(-1e6, 1e6),
    ),
    weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_a_choice_is_of_the_arms_with_propensities_whatever_the_state(
    name: str, values: dict[str, float], weights: list[float], seed: int
) -> None:
    arms = [Arm(arm.model, weight) for arm, weight in zip(ARMS, weights, strict=False)]
    choice = policy(name).select(values, arms, "", random.Random(seed).random)
    assert set(choice.models) <= {arm.model for arm in arms}
    assert len(set(choice.models)) == len(choice.models) == len(choice.propensities)
    assert len(choice.models) == (len(arms) if name in TOGETHER else 1)
    assert all(0 < each <= 1.0000001 for each in choice.propensities)


@pytest.mark.parametrize("name", ALL)
def test_one_arm_alone_is_always_asked(name: str) -> None:
    for seed in range(20):
        choice = policy(name).select({}, ARMS[:1], "", random.Random(seed).random)
        assert choice == Choice(("a",), (pytest.approx(1.0),))


@pytest.mark.parametrize("name", ["epsilon_greedy", "exp3"])
def test_propensities_are_the_shares_of_the_draws(name: str) -> None:
    state = known(a=(10, 9), b=(10, 5), c=(10, 1)) | {"b/log_weight": -1.0, "c/log_weight": -3.0}
    found = shares(policy(name), state, draws=20_000)
    for seed in range(50):
        choice = policy(name).select(state, ARMS, "", random.Random(seed).random)
        assert found[choice.models[0]] == pytest.approx(choice.propensities[0], abs=0.01)


@pytest.mark.parametrize("name", LEARNERS)
def test_what_is_learned_is_counted_once_per_outcome(name: str) -> None:
    subject = policy(name)
    state = after(subject, {}, outcome(ARMS, {"a": 0.0}), outcome(ARMS, {"a": 0.75}), outcome(ARMS, {"b": 1.0}))
    assert (state["a/plays"], state["a/reward"]) == (2, 1.25)
    assert (state["b/plays"], state["b/reward"]) == (1, 0)


@pytest.mark.parametrize("name", ["static", "ensemble"])
def test_who_does_not_learn_adds_nothing(name: str) -> None:
    assert policy(name).observe({}, outcome(ARMS, {"a": 1.0})) == {}
    assert policy(name).LEARNS is False


@pytest.mark.parametrize("name", LEARNERS)
@given(losses=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=30), seed=st.randoms())
def test_increments_may_be_added_in_any_order(name: str, losses: list[tuple[str, float]], seed: random.Random) -> None:
    subject = policy(name)
    told = [outcome(ARMS, {model: loss}) for model, loss in losses]
    state = after(subject, {}, *told, is_bounded=False)
    seed.shuffle(told)
    assert after(subject, {}, *told, is_bounded=False) == pytest.approx(state)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_better_model_gets_more_say(name: str) -> None:
    subject = policy(name)
    state = learn(subject, {"a": 0.9, "b": 0.5, "c": 0.1}, queries=1500, seed=3).state
    if subject.ASKS_ALL:
        answers = [Answer(arm.model, arm.model) for arm in ARMS]
        weights = subject.combine(state, ARMS, answers).weights
    else:
        weights = shares(subject, state)
    assert weights["a"] > 0.6 > weights["b"] + weights["c"]


# One by one


def test_static_shares_out_by_weight() -> None:
    found = shares(policy("static"), {}, (Arm("a", 3.0), Arm("b", 1.0)), draws=20_000)
    assert found["a"] == pytest.approx(0.75, abs=0.02)


def test_static_keeps_each_context_with_one_model_by_weight() -> None:
    arms = (Arm("a", 3.0), Arm("b", 1.0))
    subject, contexts = policy("static"), [f"user-{at}" for at in range(10_000)]
    first = [subject.select({}, arms, context, random.random).models for context in contexts]
    assert first == [subject.select({}, arms, context, random.random).models for context in contexts]
    assert Counter(first)[("a",)] / len(contexts) == pytest.approx(0.75, abs=0.02)


def test_a_change_of_weights_moves_no_more_contexts_than_it_must() -> None:
    subject, contexts = policy("static"), [f"user-{at}" for at in range(10_000)]

    def assigned(*weights: float) -> list[str]:
        arms = [Arm(arm.model, weight) for arm, weight in zip(ARMS, weights, strict=True)]
        return [subject.select({}, arms, context, random.random).models[0] for context in contexts]

    before, grown = assigned(8, 1, 1), assigned(8, 1, 2)
    moved = [(old, new) for old, new in zip(before, grown, strict=True) if old != new]
    assert {new for _, new in moved} == {"c"}, "nobody moves but to the model that has grown"
    assert len(moved) / len(contexts) == pytest.approx(2 / 11 - 1 / 10, abs=0.015)


def test_a_model_that_leaves_moves_only_its_own_contexts() -> None:
    subject, contexts = policy("static"), [f"user-{at}" for at in range(2000)]
    before = [subject.select({}, ARMS, context, random.random).models[0] for context in contexts]
    left = [subject.select({}, ARMS[:2], context, random.random).models[0] for context in contexts]
    assert all(new == old for old, new in zip(before, left, strict=True) if old != "c")


def test_epsilon_greedy_takes_the_best_and_explores_evenly() -> None:
    state = known(a=(10, 9), b=(10, 5), c=(10, 1))
    found = shares(policy("epsilon_greedy", {"epsilon": 0.3}), state, draws=20_000)
    assert found == {
        "a": pytest.approx(0.8, abs=0.015),
        "b": pytest.approx(0.1, abs=0.01),
        "c": pytest.approx(0.1, abs=0.01),
    }
    assert shares(policy("epsilon_greedy", {"epsilon": 0}), state) == {"a": 1, "b": 0, "c": 0}


@pytest.mark.parametrize("name", BY_COUNTS)
def test_a_model_that_nobody_knows_gets_its_chance(name: str) -> None:
    found = shares(policy(name), known(a=(50, 25), b=(50, 25)))
    assert found["c"] > found["a"] + found["b"] - 0.1


def test_ucb1_takes_the_largest_upper_bound() -> None:
    state = known(a=(100, 60), b=(4, 2), c=(100, 30))
    bounds = {
        model: state[f"{model}/reward"] / state[f"{model}/plays"]
        + math.sqrt(2) * math.sqrt(math.log(204) / state[f"{model}/plays"])
        for model in "abc"
    }
    assert max(bounds, key=bounds.__getitem__) == "b"
    assert shares(policy("ucb1"), state) == {"a": 0, "b": 1, "c": 0}
    assert shares(policy("ucb1", {"exploration": 0}), state) == {"a": 1, "b": 0, "c": 0}


def test_thompson_asks_a_model_as_often_as_it_is_likely_the_best() -> None:
    """Beta(2, 1) against Beta(1, 1): P(X > Y) = 2/3."""
    found = shares(policy("thompson"), known(a=(1, 1)), ARMS[:2], draws=20_000)
    assert found["a"] == pytest.approx(2 / 3, abs=0.015)


def test_thompsons_inverse_propensities_are_right_on_average() -> None:
    uniform, subject = random.Random(5).random, policy("thompson")
    choices = [subject.select(known(a=(1, 1)), ARMS[:2], "", uniform) for _ in range(20_000)]
    for model, share in (("a", 2 / 3), ("b", 1 / 3)):
        inverse = [1 / choice.propensities[0] for choice in choices if choice.models[0] == model]
        assert sum(inverse) / len(inverse) == pytest.approx(1 / share, rel=0.05)


def test_exp3_blames_the_rare_choice_more() -> None:
    subject = policy("exp3", {"eta": 0.1})
    rare = Outcome(("a", "b"), {"a": 0.5}, {"a": 0.1})
    assert subject.observe({}, rare)["a/log_weight"] == pytest.approx(-0.5)
    assert subject.observe({}, rare)["b/log_weight"] == 0, "so that all are known to the bound"


@pytest.mark.parametrize("name", ["exp3", "exp4"])
def test_no_weight_sinks_out_of_sight(name: str) -> None:
    subject = policy(name, {"spread": 3})
    state = after(subject, {}, *[outcome(ARMS, {"c": 1.0})] * 500)
    assert {state[f"{model}/log_weight"] for model in "ab"} == {0}
    assert state["c/log_weight"] == -3


@pytest.mark.parametrize("name", ["exp3", "exp4"])
def test_a_model_that_is_gone_holds_no_other_down(name: str) -> None:
    subject = policy(name, {"spread": 3})
    state = after(subject, {}, *[outcome(ARMS, {"a": 1.0, "b": 1.0})] * 500)  # c is far above
    state = after(subject, state, *[outcome(ARMS[:2], {"a": 1.0})] * 200)
    assert state["b/log_weight"] - state["a/log_weight"] == pytest.approx(3)


# Memory and inheritance


@pytest.mark.parametrize("name", BY_COUNTS)
def test_with_a_memory_the_latest_outcomes_count(name: str) -> None:
    subject = policy(name, {"memory": 20})
    state = after(subject, {}, *[outcome(ARMS, {"a": 0.0})] * 1000, *[outcome(ARMS, {"a": 1.0})] * 60)
    assert state["a/plays"] == pytest.approx(20, rel=0.01)
    assert state["a/reward"] / state["a/plays"] < 0.06


@pytest.mark.parametrize("name", BY_COUNTS)
def test_a_new_context_inherits_means_but_little_weight(name: str) -> None:
    inherited = policy(name, {"inherit": 5}).inherited(known(a=(1000, 900), b=(2, 1)))
    assert inherited == pytest.approx(known(a=(5, 4.5), b=(2, 1)))
    assert not any(policy(name, {"inherit": 0}).inherited(known(a=(1000, 900))).values())


def test_a_new_context_inherits_weights() -> None:
    state = {"a/log_weight": -1.0}
    assert policy("exp3").inherited(state) == state


# Together


def test_labels_are_voted_on_by_weight() -> None:
    arms = (Arm("a", 2.0), Arm("b", 1.0), Arm("c", 1.5))
    answers = [Answer("a", "cat"), Answer("b", "dog"), Answer("c", "dog")]
    found = policy("ensemble").combine({}, arms, answers)
    assert (found.value, found.form) == ("dog", "c")
    assert found.confidence == pytest.approx(2.5 / 4.5)
    assert found.weights == pytest.approx({"a": 2 / 4.5, "b": 1 / 4.5, "c": 1.5 / 4.5})


def test_numbers_are_averaged_by_weight() -> None:
    arms = (Arm("a", 3.0), Arm("b", 1.0))
    found = policy("ensemble").combine({}, arms, [Answer("a", 1.0), Answer("b", 2.0)])
    assert found.value == pytest.approx(1.25)
    vectors = policy("ensemble").combine({}, arms, [Answer("a", (1.0, 0.0)), Answer("b", (0.0, 1.0))])
    assert vectors.value == pytest.approx((0.75, 0.25))
    assert vectors.confidence == 0.0, "nobody is near to the mean"


def test_who_is_missing_lowers_the_confidence_but_not_the_weights() -> None:
    found = policy("ensemble").combine({}, ARMS, [Answer("a", "cat")])
    assert (found.value, found.confidence, found.weights) == ("cat", pytest.approx(1 / 3), {"a": 1.0})


def test_numbers_agree_within_the_tolerance() -> None:
    answers = [Answer("a", 10.0), Answer("b", 10.5), Answer("c", 14.0)]
    strict = policy("ensemble", {"tolerance": 0.01}).combine({}, ARMS, answers)
    loose = policy("ensemble", {"tolerance": 0.15}).combine({}, ARMS, answers)
    assert (strict.confidence, loose.confidence) == (0, pytest.approx(2 / 3))


def test_class_numbers_can_be_voted_on() -> None:
    answers = [Answer("a", 3.0), Answer("b", 8.0), Answer("c", 8.0)]
    assert policy("ensemble").combine({}, ARMS, answers).value == pytest.approx(19 / 3)
    assert policy("ensemble", {"combine": "vote"}).combine({}, ARMS, answers).value == 8.0


def test_what_cannot_be_averaged_is_voted_on() -> None:
    for values in (["cat", "dog", "dog"], [(1.0,), (1.0, 2.0), (1.0, 2.0)], [1.0, "dog", "dog"]):
        answers = [Answer(arm.model, value) for arm, value in zip(ARMS, values, strict=True)]
        assert policy("ensemble", {"combine": "mean"}).combine({}, ARMS, answers).value == values[-1]


def test_text_that_reads_as_a_number_agrees_with_the_number() -> None:
    found = policy("ensemble", {"combine": "vote"}).combine({}, ARMS, [Answer("a", "7"), Answer("b", 7.0)])
    assert found.confidence == pytest.approx(2 / 3)


@given(st.lists(st.floats() | st.text() | st.binary() | st.lists(st.floats()).map(tuple), min_size=1, max_size=3))
def test_any_answers_become_one(values: list[float | str | bytes | tuple[float, ...]]) -> None:
    for how in ("auto", "vote", "mean"):
        answers = [Answer(arm.model, value) for arm, value in zip(ARMS, values, strict=False)]
        found = policy("ensemble", {"combine": how}).combine({}, ARMS, answers)
        assert 0 <= found.confidence <= 1
        assert math.isclose(sum(found.weights.values()), 1)
        assert found.form in found.weights


# What turned out


def test_a_label_tells_the_loss_of_everybody_who_answered() -> None:
    found = of_label(policy("exp4"), "abc", {"a": "cat", "b": "dog"}, {"a": 1.0}, "cat")
    assert found == Outcome(("a", "b", "c"), {"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 1.0})


def test_a_reward_tells_the_loss_of_those_who_agreed_with_what_was_shown() -> None:
    answers: dict[str, str | float] = {"a": "7", "b": "8", "c": 7.0}
    found = of_reward(policy("exp4"), "abc", answers, {"a": 0.5}, "7", 0.25)
    assert found.losses == {"a": 0.75, "c": 0.75}
    assert found.propensities == {"a": 0.5, "c": 1.0}


@pytest.mark.parametrize(
    ("parameters", "answer", "truth", "loss"),
    [
        ({}, "cat", "cat", 0),
        ({}, "cat", "dog", 1),
        ({}, "7", 7.0, 0),
        ({}, 0.75, 0.5, 0.25),
        ({}, 9.0, 3.0, 1),
        ({"loss_scale": 10}, 9.0, 3.0, 0.6),
        ({"loss": "zero_one"}, 0.75, 0.5, 1),
        ({"loss": "squared"}, 0.75, 0.25, 0.25),
        ({"loss": "squared"}, 1e300, 0.0, 1),
        ({"loss": "absolute"}, (0.5, 0.5), (0.0, 1.0), 0.5),
        ({"loss": "absolute"}, (0.5,), (0.0, 1.0), 1),
        ({"loss": "absolute"}, "cat", 1.0, 1),
        ({"loss": "absolute"}, math.nan, 1.0, 1),
        ({"loss": "absolute"}, math.inf, math.inf, 0),
        ({"loss": "absolute"}, (), (), 0),
        ({}, b"x", b"x", 0),
    ],
)
def test_losses(parameters: dict[str, object], answer: float, truth: float, loss: float) -> None:
    assert policy("exp3", parameters).loss(answer, truth) == pytest.approx(loss)


# Parameters and plug-ins


@pytest.mark.parametrize(
    ("name", "parameters", "problem"),
    [
        ("exp3", {"gamma": 0.1}, "gamma: the policy has no such parameter; it takes eta, exploration, loss"),
        ("static", {"epsilon": 0.1}, "epsilon: the policy has no such parameter; it takes none"),
        ("epsilon_greedy", {"epsilon": 1.5}, r"epsilon: is 1.5; it is from 0 to 1 \(default 0.1\)"),
        ("epsilon_greedy", {"epsilon": "much"}, 'epsilon: is "much"; give a number from 0 to 1'),
        ("epsilon_greedy", {"epsilon": True}, "epsilon: is True; give a number"),
        ("exp3", {"eta": math.nan}, "eta: is nan; give a number"),
        ("ensemble", {"combine": "median"}, 'combine: is "median"; it is one of "auto", "vote", "mean"'),
        ("exp3", {"loss": "hinge"}, 'loss: is "hinge"; it is one of "auto", "zero_one", "absolute", "squared"'),
        ("exp3", {"loss": None}, "loss: is None; it is one of"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_with_what_can(
    name: str, parameters: dict[str, object], problem: str
) -> None:
    with pytest.raises(BadParameter, match=problem):
        policy(name, parameters)


def test_an_unknown_policy_is_no_policy() -> None:
    with pytest.raises(UnknownPolicy):
        policy("guess")


def test_policies_are_equal_by_what_they_are() -> None:
    assert policy("exp3", {"eta": 0.1}) == policy("exp3", {"eta": 0.1})
    assert hash(policy("exp3")) == hash(policy("exp3"))
    assert policy("exp3", {"eta": 0.1}) != policy("exp3")
    assert policy("ensemble") != policy("exp4")


class Last(Policy):
    """As small as a plug-in can be."""

    NAME = "last"

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        return Choice((arms[-1].model,), (1.0,))


def test_a_plug_in_need_only_select() -> None:
    subject = Last()
    assert subject.select({}, ARMS, "", random.random).models == ("c",)
    assert subject.combine({}, ARMS, [Answer("c", "x")]).value == "x"
    assert (subject.observe({}, outcome(ARMS, {})), subject.bounds("abc"), subject.inherited({"x": 1})) == (
        {},
        (),
        {"x": 1},
    )
