"""Which Python and which packages a model was saved with, and whether this process has them."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterable, Mapping

from clipper_runtime.errors import EnvironmentMismatch

ALWAYS = ("cloudpickle", "numpy")
"""Packages that are recorded for every model: the runtime itself uses them on it."""

_MAJOR = re.compile(r"\d+")


def python_version() -> str:
    """The version of this Python, e.g. "3.11.7"."""
    return platform.python_version()


def installed(package: str) -> str | None:
    """The version of an installed package (a distribution); None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages_of(modules: Iterable[str]) -> dict[str, str]:
    """The versions of the packages that the top-level modules come from, and of those that are always recorded.

    A module that several packages share (such as `google`) is left out: it does not tell which of them is meant.
    """
    providers = importlib.metadata.packages_distributions()
    names = {found[0] for module in modules if len(found := sorted(set(providers.get(module, ())))) == 1}
    versions = {name: installed(name) for name in sorted(names | set(ALWAYS))}
    return {name: version for name, version in versions.items() if version is not None}


def differing(packages: Mapping[str, str]) -> list[str]:
    """The packages that are missing here or have another major version, as requirements of what was recorded."""
    wanted = []
    for name, saved in sorted(packages.items()):
        found = installed(name)
        if found is None or _major(found) != _major(saved):
            wanted.append(f"{name}=={saved}")
    return wanted


def check(python: str, packages: Mapping[str, str], *, is_pickled: bool) -> list[str]:
    """Compares what a model was saved with to what is here; returns the differences that may be harmless.

    Pickled code needs the same Python minor version. A package must be installed and have the same major version.

    Raises:
        EnvironmentMismatch: a difference that is not harmless; names all of them, with both versions.
    """
    problems: list[str] = []
    warnings: list[str] = []
    here = python_version()
    if _minor(python) != _minor(here):
        text = f"Python {_minor(python)} (saved with {python}), but this is {here}"
        (problems if is_pickled else warnings).append(text)
    for name, saved in sorted(packages.items()):
        found = installed(name)
        if found == saved:
            continue
        if found is None:
            problems.append(f"{name} {saved}, but it is not installed")
        elif _major(found) != _major(saved):
            problems.append(f"{name} {saved}, but {found} is installed")
        else:
            warnings.append(f"{name} {saved}, but {found} is installed")
    if problems:
        wanted = differing(packages)
        remedy = f"Install what it was saved with: pip install {' '.join(wanted)}" if wanted else ""
        raise EnvironmentMismatch(problems, remedy)
    return warnings


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _major(version: str) -> str:
    found = _MAJOR.search(version)
    return found.group() if found else version
