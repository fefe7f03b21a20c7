"""One model, or a fixed share of the queries for each: a canary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

from clipper_selection.policy import Arm, Choice, Policy, State, Uniform


class Static(Policy):
    """Each model answers a share of the queries, in proportion to the weight of its link. It does not learn.

    Queries with a context stick to a model: by weighted rendezvous hashing, the model of context c is the one with the
    largest -w / ln h(c, model), h being a hash in (0, 1). The shares are those of the weights; a change of weights
    moves no more contexts than it must: those that a grown share gains, those that a shrunk one loses.

    Source: Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005 (logarithmic method).
    """

    NAME = "static"
    LEARNS = False

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """One model, by its share or by the context."""
        if len(arms) == 1:
            return Choice((arms[0].model,), (1.0,))
        total = sum(arm.weight for arm in arms)
        if context:
            chosen = stick(arms, context)
        else:
            point = uniform() * total
            ends = accumulate(arm.weight for arm in arms)
            chosen = next((arm for arm, end in zip(arms, ends, strict=True) if point < end), arms[-1])
        return Choice((chosen.model,), (chosen.weight / total,))


def stick(arms: Sequence[Arm], context: str) -> Arm:
    """The arm of a context, by weighted rendezvous hashing."""
    return max(arms, key=lambda arm: -arm.weight / math.log(place(context, arm.model)))


def place(context: str, name: str) -> float:
    """A number above 0 and below 1, always the same for the same context and name."""
    digest = blake2b(f"{context}\0{name}".encode(), digest_size=8).digest()
    return ((int.from_bytes(digest) >> 11) + 0.5) / (1 << 53)
