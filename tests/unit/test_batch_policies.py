"""How many?"""

from __future__ import annotations

from clipper_frontend.batch_policies import BatchPolicy, Fixed


def test_fixed_wants_its_ceiling_whatever_it_sees() -> None:
    policy: BatchPolicy = Fixed(64)
    assert policy.max_rows() == 64
    for elapsed_ns in (1, 10**12):
        policy.observe(64, elapsed_ns)
        assert policy.max_rows() == 64
