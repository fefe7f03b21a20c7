"""A file against a cluster: looked at as a whole, then applied in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipper_admin.declared.plan import Plan, plan
from clipper_admin.declared.problems import InvalidDocument, Problem
from clipper_admin.declared.wanted import read

if TYPE_CHECKING:
    from clipper_admin.client import Client


@dataclass(frozen=True, slots=True)
class Applicable:
    """A file that can be applied, and what that will do."""

    plan: Plan

    @property
    def is_done(self) -> bool:
        """Whether the cluster is as the file says already."""
        return not self.plan.steps

    def apply(self, client: Client) -> None:
        """Makes all changes or, if one is refused after all, none."""
        if not self.is_done:
            client.apply_changes(self.plan.changes)


def compare(client: Client, text: str, file: str, *, prune: bool = False) -> Applicable:
    """What a file would change; the manager decides every change, and makes none.

    Args:
        client: the cluster.
        text: YAML.
        file: its name, for problems.
        prune: whether applications and versions that the file does not name are deleted.

    Raises:
        InvalidDocument: it cannot be applied: all problems, each with its place.
    """
    wanted = read(text, file)
    planned = plan(client.configuration(), wanted, prune=prune)
    problems = {problem for step in planned.steps if step.node is not None for problem in step.node.problems}
    if not problems and planned.steps:
        for position, error in client.refused_changes(planned.changes):
            step = planned.steps[position]
            line, column = (step.node.line, step.node.column) if step.node is not None else (1, 1)
            path = step.node.path if step.node is not None else step.what
            problems.add(Problem(line, column, path, str(error)))
    if problems:
        raise InvalidDocument(file, list(problems))
    return Applicable(planned)
