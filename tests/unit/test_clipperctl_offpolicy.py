"""Estimates of what other policies would have earned, against truth that is simulated."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_selection import Arm, policy
from clipperctl.evaluate import chances, read, shares
from clipperctl.offpolicy import Estimate, Evaluation, Logged, evaluate, observed

MODELS = ("a", "b", "c")
MEANS = {"": {"a": 0.2, "b": 0.5, "c": 0.8}, "ann": {"a": 0.9, "b": 0.4, "c": 0.1}}
"""The chance of a reward of 1, by context and model."""
LOGGING = {"a": 0.2, "b": 0.5, "c": 0.3}
ESTIMATES = ("inverse_propensity", "self_normalised", "doubly_robust")


def logged(seed: int, queries: int, contexts: Sequence[str] = ("",)) -> list[Logged]:
    """Queries answered by one model each, drawn with the logging chances."""
    draw = random.Random(seed)
    log = []
    for number in range(queries):
        context = contexts[number % len(contexts)]
        [model] = draw.choices(MODELS, [LOGGING[each] for each in MODELS])
        reward = float(draw.random() < MEANS[context][model])
        log.append(Logged(context, {model: reward}, {model: LOGGING[model]}))
    return log


def of(found: Evaluation, name: str) -> Estimate:
    estimate: Estimate = getattr(found, name)
    return estimate


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    target = {"a": 0.1, "b": 0.1, "c": 0.8}
    truth = sum(share * MEANS[""][model] for model, share in target.items())
    runs = 300
    found = [evaluate(logged(seed, 400), [target] * 400) for seed in range(runs)]
    for name in ESTIMATES:
        estimates = [of(each, name) for each in found]
        covered = sum(each.low <= truth <= each.high for each in estimates) / runs
        assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / runs)), name
        assert sum(each.value for each in estimates) / runs == pytest.approx(truth, abs=0.01), name


def test_a_policy_that_knows_users_is_worth_more_and_the_estimates_see_it() -> None:
    contexts = ("", "ann")
    log = logged(1, 4000, contexts)
    chosen = [{"a": 1.0} if each.context else {"c": 1.0} for each in log]
    truth = (0.8 + 0.9) / 2
    found, fixed = evaluate(log, chosen), evaluate(log, [{"c": 1.0}] * len(log))
    for name in ESTIMATES:
        assert of(found, name).low <= truth <= of(found, name).high
        assert of(found, name).low > of(fixed, name).high


def test_guesses_make_estimates_narrower_where_propensities_are_small() -> None:
    draw = random.Random(3)
    log, propensity = [], 0.05
    for _ in range(3000):
        model = "b" if draw.random() < propensity else "a"
        reward = 0.9 + 0.1 * draw.random() if model == "b" else draw.random()
        log.append(Logged("", {model: reward}, {model: propensity if model == "b" else 1 - propensity}))
    found = evaluate(log, [{"b": 1.0}] * len(log))

    def width(name: str) -> float:
        return of(found, name).high - of(found, name).low

    assert width("doubly_robust") < width("inverse_propensity") / 3
    assert width("self_normalised") < width("inverse_propensity") / 3


@given(st.integers(0, 10_000), st.integers(2, 60))
def test_the_logging_policy_itself_is_worth_what_was_observed(seed: int, queries: int) -> None:
    log = logged(seed, queries)
    rewards = [reward for each in log for reward in each.rewards.values()]
    found = evaluate(log, [LOGGING] * queries)
    seen = observed(rewards)
    assert found.inverse_propensity.value == pytest.approx(seen.value)
    assert found.self_normalised.value == pytest.approx(seen.value)
    assert found.effective == pytest.approx(queries)
    assert found.unsupported <= 1


@given(st.integers(0, 1000))
def test_where_all_models_are_known_each_estimate_is_the_mean(seed: int) -> None:
    draw = random.Random(seed)
    log = [Logged("", {model: draw.random() for model in MODELS}, dict.fromkeys(MODELS, 1.0)) for _ in range(40)]
    found = evaluate(log, [{"b": 1.0}] * len(log))
    mean = sum(each.rewards["b"] for each in log) / len(log)
    for name in ESTIMATES:
        assert of(found, name).value == pytest.approx(mean)


def test_what_was_never_chosen_is_said_to_be_unsupported() -> None:
    found = evaluate(logged(1, 50), [{"c": 0.5, "new": 0.5}] * 50)
    assert found.unsupported == pytest.approx(0.5)
    nothing = evaluate(logged(1, 50), [{"new": 1.0}] * 50)
    assert (nothing.unsupported, nothing.effective) == (1.0, 0.0)
    assert math.isnan(nothing.self_normalised.value)


def test_the_chances_of_a_policy_are_those_that_it_draws_by() -> None:
    arms = [Arm(model) for model in MODELS]
    state = {"a/plays": 10.0, "a/reward": 9.0, "b/plays": 10.0, "b/reward": 1.0, "c/plays": 10.0, "c/reward": 2.0}
    found = chances(policy("epsilon_greedy", {"epsilon": 0.3}), state, arms, "")
    assert found == pytest.approx({"a": 0.8, "b": 0.1, "c": 0.1})
    assert chances(policy("ucb1"), state, arms, "") == {"a": 1.0}


def test_a_log_is_joined_over_files_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    def shown(query_id: int, model: str, application: str = "app") -> dict[str, object]:
        asked = [{"model": model, "version": "1", "propensity": 0.5, "output": "x", "weight": 1.0}]
        fixed = {"policy": "exp3", "context": "", "models": ["a", "b"], "output": "x", "default": False}
        return {"kind": "shown", "query_id": query_id, "application": application, "asked": asked, **fixed}

    outcome = {
        "kind": "outcome",
        "query_id": 1,
        "application": "app",
        "losses": {"a": 0.25},
        "propensities": {"a": 0.5},
    }
    other = {**outcome, "application": "other", "query_id": 3}
    first = [shown(1, "a"), shown(2, "b"), shown(3, "a", "other")]
    (tmp_path / "predictions-1.jsonl").write_text("".join(json.dumps(each) + "\n" for each in first) + '{"kind": "sh')
    (tmp_path / "predictions-2.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (outcome, other)))
    log = read(tmp_path, "app")
    assert log.queries == [Logged("", {"a": 0.75}, {"a": 0.5})]
    assert (log.earned, log.models, log.unjoined) == ([0.75], ("a", "b"), 1)


@pytest.mark.parametrize("text", ["a=x", "nobody=1", "a=-1", "a=0,b=0", "a=inf"])
def test_shares_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        shares(text, ("a", "b"))
