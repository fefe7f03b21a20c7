"""What is wrong with a file: every problem with its place, all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

from clipper_admin.exceptions import ClipperException


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong."""

    line: int
    """From 1."""
    column: int
    path: str
    """As "applications[0].objective"; empty for the file as a whole."""
    text: str

    def told(self, file: str) -> str:
        """The problem in one line, as compilers tell theirs."""
        path = f"{self.path}: " if self.path else ""
        return f"{file}:{self.line}:{self.column}: {path}{self.text}"


class InvalidDocument(ClipperException, ValueError):
    """A file cannot be applied."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = sorted(set(problems))
        super().__init__("\n".join(each.told(file) for each in self.problems))
