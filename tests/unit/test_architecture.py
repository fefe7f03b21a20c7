"""Who may import whom: read from the sources, so that the drawing in the docs stays true."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "clipper_rpc": ROOT / "services/rpc/clipper_rpc",
    "clipper_selection": ROOT / "services/rpc/clipper_selection",
    "clipper_frontend": ROOT / "services/frontend/clipper_frontend",
    "clipper_manager": ROOT / "services/manager/clipper_manager",
    "clipper_runtime": ROOT / "runtimes/python/clipper_runtime",
    "clipper_admin": ROOT / "cli/clipper_admin",
    "clipperctl": ROOT / "cli/clipperctl",
}
SERVICES = {"clipper_frontend", "clipper_manager", "clipper_runtime", "clipperctl"}

PURE_ROOMS = {
    "batching",
    "batch_policies",
    "selection",
    "routes",
    "cache",
    "flight",
    "resources",
    "admission",
    "aimd",
    "choice",
    "hedging",
    "latency",
    "member",
    "quantile",
    "query",
    "recent",
    "transit",
}
"""They decide. Time, tasks and wires are someone else's."""
DRIVER_ROOMS = {
    "predictor",
    "teaching",
    "learning",
    "recall",
    "shadowing",
    "cached",
    "dispatch",
    "registry",
    "carriage",
    "pool",
    "roster",
}
"""They act on what the pure rooms decide, through Protocols."""
WIRE_ROOMS = {
    "service",
    "stats",
    "profiles",
    "explaining",
    "replica",
    "watch",
    "codec",
    "convert",
    "outputs",
    "client",
    "learning_client",
    "engine_client",
    "live",
}
"""They translate to and from generated code."""
STORE_ROOMS = {"redis_store", "selection_store"}
NOT_IN_PURE = {"asyncio", "time", "threading", "socket", "logging", "pydantic_settings", "uvloop"}
WIRES = {"grpc", "grpc_health", "grpc_reflection", "google", "clipper"}


def modules() -> Iterator[tuple[str, str, Path]]:
    """Package, room (the first name below the package) and file of every module of ours."""
    for package, directory in PACKAGES.items():
        for file in sorted(directory.rglob("*.py")):
            inside = file.relative_to(directory).with_suffix("").parts
            yield package, inside[0], file


MODULES = [pytest.param(*each, id=str(each[2].relative_to(ROOT))) for each in modules()]


def imported(file: Path) -> set[str]:
    """Every module that a file imports by its full name, also inside functions, but not for type checking only."""
    names: set[str] = set()
    tree = ast.parse(file.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide who is imported"
            assert node.module is not None
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def tops(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(file)}


def test_every_package_is_looked_at() -> None:
    assert {package for package, _, _ in modules()} == set(PACKAGES)


@pytest.mark.parametrize(("package", "room", "file"), MODULES)
def test_rooms_import_only_what_they_may(package: str, room: str, file: Path) -> None:
    found = tops(file)
    if package in {"clipper_frontend", "clipper_manager"}:
        if room in PURE_ROOMS:
            assert found.isdisjoint(NOT_IN_PURE)
        if room in PURE_ROOMS | DRIVER_ROOMS:
            assert found.isdisjoint(WIRES | {"redis"})
    if room in STORE_ROOMS:
        assert found.isdisjoint(WIRES)
    if room not in STORE_ROOMS and package in SERVICES:
        assert "redis" not in found, "only redis_store and selection_store know Redis"
    if package != "clipper_rpc" and room not in WIRE_ROOMS:
        assert found.isdisjoint({"grpc", "google"})
        generated = {name for name in imported(file) if "_pb2" in name}
        # A composition root joins descriptors of services with their implementations.
        assert not generated or room == "app", f"{sorted(generated)} belong into {sorted(WIRE_ROOMS)}"


@pytest.mark.parametrize(("package", "room", "file"), MODULES)
def test_services_never_import_one_another(package: str, room: str, file: Path) -> None:
    forbidden = SERVICES - {package}
    if package == "clipper_admin":
        forbidden = {
            "clipperctl",
            "clipper_frontend",
            "clipper_manager",
        }  # it saves models with the runtime's own writer
    elif package in {"clipper_rpc", "clipper_selection"}:  # the ground on which the others stand
        forbidden = set(PACKAGES) - {package}
    assert tops(file).isdisjoint(forbidden)


def test_selection_policies_stand_on_the_standard_library_alone() -> None:
    for file in sorted(PACKAGES["clipper_selection"].rglob("*.py")):
        found = tops(file)
        assert found <= sys.stdlib_module_names | {"clipper_selection"}
        assert found.isdisjoint(NOT_IN_PURE)


def test_errors_know_no_wire() -> None:
    assert tops(PACKAGES["clipper_rpc"] / "errors.py") <= {"__future__", "collections", "enum", "typing"}


@pytest.mark.parametrize(("package", "room", "file"), MODULES)
def test_no_file_is_named_for_nothing(package: str, room: str, file: Path) -> None:
    assert file.stem not in {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
