"""What bench/predict.py measures."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from predict import paces


def test_queries_share_a_few_connections_or_have_one_each() -> None:
    assert [str(pace) for pace in paces([4, 128], [128], 4)] == [
        "4 connections, one query each",
        "128 in flight over 4",
        "128 connections, one query each",
    ]


def test_there_are_never_more_connections_than_queries_and_nothing_is_measured_twice() -> None:
    assert [str(pace) for pace in paces([1, 4], [1, 4], 4)] == [
        "1 connection, one query",
        "4 connections, one query each",
    ]
