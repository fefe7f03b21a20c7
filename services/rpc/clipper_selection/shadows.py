"""How a shadow does beside the answers that were given: counters that many frontends add to, and what they say.

Counters are whole numbers by name, so that adding them up in any order gives the same. Latencies are counted in buckets
whose bounds grow by a fifth; the middle of a bucket is then within a tenth of what fell into it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_GROWTH = math.log(1.2)
_SHADOW, _GIVEN = "shadow", "given"


def count(*, shadow_us: int | None, given_us: int | None, agreed: bool | None, error: str) -> Counter[str]:
    """What one query adds.

    Args:
        shadow_us: how long the shadow's answer took; None if it gave none.
        given_us: how long the application's answer took; None if that was no prediction.
        agreed: whether both mean the same; None if one of them is missing.
        error: why the shadow gave no answer; empty if it did.
    """
    counters = Counter({"queries": 1})
    if agreed is not None:
        counters["compared"] = 1
        counters["agreed"] = int(agreed)
    if error:
        counters[f"error:{error}"] = 1
    if shadow_us is not None:
        counters["answers"] = 1
        _time(counters, _SHADOW, shadow_us)
    if given_us is not None:
        _time(counters, _GIVEN, given_us)
    return counters


def _time(counters: Counter[str], whose: str, us: int) -> None:
    counters[f"{whose}:us"] += us
    counters[f"{whose}:{math.floor(math.log(max(1, us)) / _GROWTH)}"] += 1


@dataclass(frozen=True, slots=True)
class Latencies:
    """How latencies are distributed, in microseconds."""

    mean_us: int = 0
    p50_us: int = 0
    p95_us: int = 0
    p99_us: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the counters of a shadow say."""

    queries: int
    answers: int
    compared: int
    agreed: int
    errors: Mapping[str, int]
    shadow: Latencies
    given: Latencies


def comparison(counters: Mapping[str, int]) -> Comparison:
    """Reads counters."""
    return Comparison(
        counters.get("queries", 0),
        counters.get("answers", 0),
        counters.get("compared", 0),
        counters.get("agreed", 0),
        {name.removeprefix("error:"): by for name, by in sorted(counters.items()) if name.startswith("error:")},
        _latencies(counters, _SHADOW),
        _latencies(counters, _GIVEN),
    )


def _latencies(counters: Mapping[str, int], whose: str) -> Latencies:
    prefix = f"{whose}:"
    buckets = sorted(
        (int(bucket), by)
        for name, by in counters.items()
        if name.startswith(prefix) and (bucket := name.removeprefix(prefix)) != "us"
    )
    total = sum(by for _, by in buckets)
    if not total:
        return Latencies()
    mean_us = counters.get(f"{prefix}us", 0) // total
    return Latencies(mean_us, *(_quantile(buckets, total, share) for share in (0.5, 0.95, 0.99)))


def _quantile(buckets: list[tuple[int, int]], total: int, share: float) -> int:
    passed = 0
    for bucket, by in buckets:
        passed += by
        if passed >= share * total:
            return round(math.exp((bucket + 0.5) * _GROWTH))
    raise AssertionError("all of it is passed at the end")
