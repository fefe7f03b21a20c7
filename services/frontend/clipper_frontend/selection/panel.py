"""Who may answer an application's queries, and who chooses among them: looked up beforehand, per route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipper_selection import Arm, Policy


@dataclass(frozen=True, slots=True)
class Panel:
    """The models of one application whose policy chooses."""

    policy: Policy
    arms: tuple[Arm, ...]
    """Those to choose among."""
    models: tuple[str, ...]
    """All of them, by name; the place of one here is that in its route."""
    threshold: float
    """The confidence below which the default is answered."""


def panel_of(policy: Policy, threshold: float, arms: Sequence[Arm], able: Sequence[bool]) -> Panel | None:
    """The panel of a route's models; None where nothing has to be chosen: a static policy has its shares.

    A model that nobody could ask now is no candidate while there is a better one. Who is asked with all others always
    is: that it is missing must be seen.

    Args:
        policy: who chooses.
        threshold: see Panel.
        arms: the linked models.
        able: of each, whether it has a live version with a replica.
    """
    if policy.NAME == "static" or not arms:
        return None
    candidates = arms if policy.ASKS_ALL else [arm for arm, is_able in zip(arms, able, strict=True) if is_able]
    return Panel(policy, tuple(candidates or arms), tuple(arm.model for arm in arms), threshold)
