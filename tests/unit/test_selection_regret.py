"""What learning is worth: regret against asking anybody, and recovery when the best model fails. Seeds are fixed."""

from __future__ import annotations

import pytest
from selection_world import History, drifting, learn, mean_share, regret, uniform_regret

from clipper_selection import policy

STATIONARY = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
QUERIES = 2000

# Which part of the regret of a uniform choice each policy may have after 2000 queries, on average over three seeds.
WORTH = {"epsilon_greedy": 0.25, "ucb1": 0.5, "thompson": 0.15, "exp3": 0.3, "exp4": 0.1}


@pytest.mark.parametrize(("name", "part"), WORTH.items())
def test_each_policy_beats_asking_anybody_by_a_factor(name: str, part: float) -> None:
    found = [regret(learn(policy(name), STATIONARY, queries=QUERIES, seed=seed), STATIONARY) for seed in range(3)]
    assert sum(found) / len(found) < part * uniform_regret(STATIONARY, QUERIES)


def test_asking_anybody_has_the_regret_of_asking_anybody() -> None:
    anybody = policy("epsilon_greedy", {"epsilon": 1})
    found = regret(learn(anybody, STATIONARY, queries=QUERIES, seed=1), STATIONARY)
    assert found == pytest.approx(uniform_regret(STATIONARY, QUERIES), rel=0.1)


@pytest.fixture(scope="module", params=["exp3", "exp4"])
def history(request: pytest.FixtureRequest) -> History:
    """20,000 queries, in which the best model fails from the 5,000th to the 10,000th (paper, figure 8)."""
    return learn(policy(request.param), drifting, queries=20_000, seed=1)


def test_the_best_model_gets_the_most_say(history: History) -> None:
    assert mean_share(history, "a", 4000, 5000) > 0.8


def test_a_model_that_fails_is_left_within_five_hundred_queries(history: History) -> None:
    assert mean_share(history, "a", 5500, 6000) < 0.1
    assert sum(history.errors[5500:10_000]) / 4500 < 0.27, "the second best has 0.2, asking anybody 0.42"


def test_a_model_that_is_good_again_is_back_within_two_thousand_queries(history: History) -> None:
    assert mean_share(history, "a", 12_000, 13_000) > 0.6
    assert mean_share(history, "a", 18_000, 20_000) > 0.8


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("epsilon_greedy", {"memory": 200}),
        ("ucb1", {"memory": 500, "exploration": 0.3}),
        ("thompson", {"memory": 200}),
    ],
)
def test_with_a_memory_policies_by_counts_follow_too(name: str, parameters: dict[str, float]) -> None:
    followed = learn(policy(name, parameters), drifting, queries=15_000, seed=2)
    assert mean_share(followed, "a", 4000, 5000) > 0.5
    assert mean_share(followed, "a", 9000, 10_000) < 0.2
    assert mean_share(followed, "a", 14_000, 15_000) > 0.5
