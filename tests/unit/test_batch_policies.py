"""How many?"""

from __future__ import annotations

import pytest

from clipper_frontend.batch_policies import BatchPolicy, Fixed, Policy, new_policy
from clipper_frontend.choice import Why

MS = 1_000_000


def test_fixed_wants_its_ceiling_whatever_it_sees() -> None:
    policy: BatchPolicy = Fixed(64)
    assert policy.max_rows(1) == 64
    for elapsed_ns in (1, 10**12):
        policy.observe(64, elapsed_ns)
        assert policy.max_rows(10 * MS) == 64
    assert policy.explain().why is Why.CEILING


def test_fixed_learns_for_others_how_long_batches_take() -> None:
    policy = Fixed(64)
    assert policy.predict_ns(10) is None
    policy.observe(1, 6 * MS)
    policy.observe(11, 16 * MS)
    assert policy.predict_ns(21) == pytest.approx(26 * MS)


@pytest.mark.parametrize("name", Policy)
def test_every_policy_can_be_had_by_its_name(name: Policy) -> None:
    policy = new_policy(name, 7)
    assert 1 <= policy.max_rows(10 * MS) <= 7
    assert policy.explain().policy == name
