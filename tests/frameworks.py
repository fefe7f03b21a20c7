"""Frameworks that are too large for every checkout: `make test-frameworks` installs them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import pytest

LARGE = ("torch", "keras", "tensorflow", "pyspark", "onnxscript")
"""The modules that the dependency group `frameworks` brings."""


def installed(module: str) -> Any:
    """A module of a framework; where it is not installed, the test is skipped and says what runs it."""
    skip_unless_installed(module)
    return importlib.import_module(module)


def skip_unless_installed(module: str) -> None:
    """Skips a test that needs a framework in another process, where it is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed here; `make test-frameworks` runs this")
