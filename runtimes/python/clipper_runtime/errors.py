"""Why a model cannot be saved, opened or loaded. Each tells what to do about it, and has the exit code of the runtime.

    RuntimeFault
    ├── SaveError            4   a model cannot be saved as asked
    ├── ModelDirError        4   a model directory is not as its manifest says, or has none
    ├── EnvironmentMismatch  5   other Python or packages than the model was saved with
    ├── MissingModule        3   the model imports a module that is not here
    ├── LoadError            6   the model's own code raised while it was loaded
    └── CannotListen         7   the address cannot be listened on

Errors of single predictions are values, not exceptions: see `predict.Failure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class RuntimeFault(Exception):
    """Base of all errors below."""

    exit_code: ClassVar[int] = 1
    """What the process ends with, so that a supervisor can tell a fault that restarting does not mend."""


class SaveError(RuntimeFault):
    """A model cannot be saved as asked."""

    exit_code = 4


class ModelDirError(RuntimeFault):
    """A model directory is not as its manifest says, or its manifest is not valid."""

    exit_code = 4

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles by its fields."""
        return type(self), (self.path, self.problem)


class EnvironmentMismatch(RuntimeFault):
    """This process has another Python or other packages than the model was saved with."""

    exit_code = 5

    def __init__(self, problems: Sequence[str], remedy: str = "") -> None:
        lines = ["The model needs another environment than this process has:", *(f"- {each}" for each in problems)]
        super().__init__("\n".join([*lines, remedy] if remedy else lines))
        self.problems = tuple(problems)
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles by its fields."""
        return type(self), (self.problems, self.remedy)


class MissingModule(RuntimeFault):
    """The model imports a module that is not installed here."""

    exit_code = 3

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The model needs a module that is not here: {problem}. Install its package where the runtime runs "
            "(deployers take pkgs_to_install), or save the model again from a session in which your own modules "
            "are importable, so that they are shipped with it."
        )
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles by its fields."""
        return type(self), (self.problem,)


class LoadError(RuntimeFault):
    """The model's own code raised while it was loaded."""

    exit_code = 6


class CannotListen(RuntimeFault):
    """The address cannot be listened on."""

    exit_code = 7
