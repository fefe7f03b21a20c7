"""What installed packages add: policies and losses of users, found by entry points, loaded when they are named."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

POLICIES = "clipper.selection_policies"
"""The entry-point group of policies: classes that derive from `Policy`."""
LOSSES = "clipper.losses"
"""The entry-point group of losses: functions of an answer and the truth that return a number from 0 to 1."""


@cache
def found(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name. Looked up once in a process."""
    return {point.name: point for point in entry_points(group=group)}
