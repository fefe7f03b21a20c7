"""Whether an output is the expected one."""

from __future__ import annotations

import numpy as np
import pytest

from clipper_admin.golden import agrees


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        (0.3, 0.1 + 0.2),
        (3, 3.0),
        (6.6, "6.6"),
        ("6.6", "6.6"),
        ([1, 2], "[1, 2]"),
        ([1.0, 2.0], np.array([1.0, 2.0])),
        (np.array([1.0, 2.0]), [1, 2]),
        (np.float64(2.5), 2.5),
        ({"label": "cat", "score": 0.5}, {"score": 0.5, "label": "cat"}),
        (float("nan"), float("nan")),
        (True, True),
        (None, None),
        (lambda output: output > 2, 3),
    ],
)
def test_outputs_that_agree(expected: object, output: object) -> None:
    assert agrees(expected, output)


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        (0.3, 0.31),
        (1, True),
        (3.0, "three"),
        ("6.6", 6.6),
        ([1, 2], [1, 2, 3]),
        ({"label": "cat"}, {"label": "cat", "score": 0.5}),
        ({"label": "cat"}, ["label"]),
        (float("nan"), 0.0),
        (None, 0),
        (lambda output: output > 2, 1),
    ],
)
def test_outputs_that_do_not(expected: object, output: object) -> None:
    assert not agrees(expected, output)
