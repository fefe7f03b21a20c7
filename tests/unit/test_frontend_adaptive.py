"""The adaptive batch policies on made-up models: how soon they find the size, and how they follow a change."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.aimd import Aimd
from clipper_frontend.choice import Why
from clipper_frontend.latency import WINDOW
from clipper_frontend.quantile import Quantile

MS = 1_000_000
BUDGET_NS = 20 * MS
POLICIES = [pytest.param(Quantile, id="quantile"), pytest.param(Aimd, id="aimd")]
Policy = type[Quantile] | type[Aimd]


@dataclass
class Model:
    """Takes fixed + per_row · rows milliseconds, with noise."""

    fixed_ms: float
    per_row_ms: float
    noise: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def ns(self, rows: int) -> int:
        return int((self.fixed_ms + self.per_row_ms * rows) * MS * self.rng.lognormvariate(0, self.noise))

    def largest(self, budget_ns: int) -> float:
        return (budget_ns / MS - self.fixed_ms) / self.per_row_ms


def run(policy: Quantile | Aimd, model: Model, batches: int, budget_ns: int = BUDGET_NS) -> list[int]:
    """A saturated replica: as many rows wait as the policy wants."""
    sizes = []
    for _ in range(batches):
        rows = policy.max_rows(budget_ns)
        policy.observe(rows, model.ns(rows))
        sizes.append(rows)
    return sizes


def mean(sizes: list[int]) -> float:
    return sum(sizes) / len(sizes)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_batch_is_one_query(policy: Policy) -> None:
    assert policy(1000).max_rows(BUDGET_NS) == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fixed_ms", [0.1, 5, 15])
@pytest.mark.parametrize("per_row_ms", [0.001, 0.05, 1])
@pytest.mark.parametrize("noise", [0, 0.05])
def test_from_nothing_it_finds_the_size_within_log2_and_eight_batches(
    policy: Policy, fixed_ms: float, per_row_ms: float, noise: float
) -> None:
    model = Model(fixed_ms, per_row_ms, noise)
    largest = model.largest(BUDGET_NS)
    sizes = run(policy(100_000), model, 400)
    found = next(at for at, rows in enumerate(sizes) if rows >= 0.7 * largest * (1 - 4 * noise) - 1)
    assert found <= int(largest).bit_length() + 8
    settled = sizes[100:]
    assert 0.7 * largest * (1 - 4 * noise) - 1 <= mean(settled) <= 1.1 * largest


@pytest.mark.parametrize("policy", POLICIES)
def test_batches_above_the_budget_are_few(policy: Policy) -> None:
    model = Model(5, 0.05, noise=0.05)
    subject = policy(100_000)
    run(subject, model, 100)
    late = 0
    for _ in range(1000):
        rows = subject.max_rows(BUDGET_NS)
        elapsed_ns = model.ns(rows)
        subject.observe(rows, elapsed_ns)
        late += elapsed_ns > BUDGET_NS
    assert late <= 150


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("noise", [0, 0.05])
def test_a_model_twice_as_slow_is_followed_within_eight_batches(policy: Policy, noise: float) -> None:
    subject = policy(100_000)
    run(subject, Model(5, 0.05, noise), 300)
    slower = Model(10, 0.1, noise)
    sizes = run(subject, slower, 400)
    assert min(sizes[:16]) <= 1.1 * slower.largest(BUDGET_NS)
    assert sizes[9 if policy is Quantile else 15] <= 1.1 * slower.largest(BUDGET_NS)
    assert mean(sizes[200:]) >= 0.6 * slower.largest(BUDGET_NS)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("noise", [0, 0.05])
def test_a_model_that_becomes_faster_is_followed_within_two_windows(policy: Policy, noise: float) -> None:
    subject = policy(100_000)
    run(subject, Model(10, 0.1, noise), 300)
    faster = Model(2, 0.02, noise)
    sizes = run(subject, faster, 400)
    assert mean(sizes[2 * WINDOW : 3 * WINDOW]) >= 0.7 * faster.largest(BUDGET_NS) * (1 - 4 * noise)
    assert mean(sizes[3 * WINDOW :]) <= 1.1 * faster.largest(BUDGET_NS)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(10))
def test_a_single_pause_costs_little(policy: Policy, seed: int) -> None:
    model = Model(5, 0.05, noise=0.02, seed=seed)
    subject = policy(100_000)
    run(subject, model, 200)
    rows = subject.max_rows(BUDGET_NS)
    subject.observe(rows, 500 * MS)
    assert mean(run(subject, model, 50)) >= 0.75 * rows


def test_low_load_does_not_let_it_forget_what_is_known() -> None:
    policy = Quantile(100_000)
    model = Model(5, 0.05)
    run(policy, model, 100)
    for _ in range(WINDOW // 2):
        policy.max_rows(BUDGET_NS)
        policy.observe(1, model.ns(1))
    assert policy.max_rows(BUDGET_NS) >= 0.9 * model.largest(BUDGET_NS)


def test_head_room_that_a_wrong_line_hides_is_found() -> None:
    policy = Quantile(1000)
    flat = Model(15, 0.001)  # nobody ever saw more than one row, so 20 ms seem to have room for one
    for _ in range(200):
        policy.observe(1, flat.ns(1))
    sizes = run(policy, flat, 40)
    assert sizes[-1] == 1000


def test_it_does_not_grow_without_bound_on_noise_alone() -> None:
    for seed in range(5):
        model = Model(0.1, 1, noise=0.4, seed=seed)
        sizes = run(Quantile(100_000), model, 2000)
        assert max(sizes) <= 8 * model.largest(BUDGET_NS)


@pytest.mark.parametrize("policy", POLICIES)
@given(
    ceiling=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.integers(-(10**9), 10**10), st.floats(0, 1), st.integers(0, 10**10)), max_size=150),
)
def test_whatever_happens_the_size_is_from_one_to_the_ceiling(
    policy: Policy, ceiling: int, steps: list[tuple[int, float, int]]
) -> None:
    subject = policy(ceiling)
    for budget_ns, share, elapsed_ns in steps:
        rows = subject.max_rows(budget_ns)
        assert 1 <= rows <= ceiling
        subject.observe(max(1, int(share * rows)), elapsed_ns)
        choice = subject.explain()
        assert (choice.rows, choice.budget_ns) == (rows, budget_ns) or policy is Aimd
        assert choice.samples >= 1
        assert choice.fixed_ns >= 0 <= choice.per_row_ns


def test_it_says_why() -> None:
    policy = Quantile(500)
    assert policy.explain().why is Why.LEARNING
    model = Model(5, 0.05)
    run(policy, model, 3)
    assert policy.explain().why is Why.REACH
    run(policy, model, 20)
    choice = policy.explain()
    assert choice.why is Why.BUDGET
    assert choice.policy == "quantile"
    assert choice.fixed_ns == pytest.approx(5 * MS, rel=0.05)
    assert choice.per_row_ns == pytest.approx(0.05 * MS, rel=0.05)
    policy.max_rows(1000 * MS)
    assert policy.explain().why in (Why.REACH, Why.CEILING)
    policy.max_rows(1 * MS)
    assert policy.explain().why is Why.LEAST
    small = Quantile(50)
    run(small, model, 20)
    assert small.explain().why is Why.CEILING


def test_a_batch_that_was_not_full_shows_no_head_room_to_aimd() -> None:
    policy = Aimd(1000)
    run(policy, Model(5, 0.05), 4)
    rows = policy.max_rows(BUDGET_NS)
    for _ in range(20):
        policy.observe(1, 5 * MS)
    assert policy.max_rows(BUDGET_NS) == rows
