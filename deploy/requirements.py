"""Prints what packages of ours need of the requirements in pyproject.toml, one a line, for small images.

    python deploy/requirements.py clipper_manager clipper_rpc

The distribution asks for what all of its parts need together; a container has one part. What that imports, also
indirectly, is read from the sources, so there is no second list to keep.
"""  # noqa: INP001  # a script

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("protos", "services/rpc", "services/frontend", "services/manager", "runtimes/python", "cli")
DISTRIBUTIONS = {
    "google": ("protobuf", "googleapis-common-protos"),
    "grpc_health": ("grpcio-health-checking",),
    "grpc_reflection": ("grpcio-reflection",),
    "grpc": ("grpcio",),
    "opentelemetry": (
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-grpc",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-exporter-prometheus",
    ),
    "yaml": ("pyyaml",),
}
"""The distributions behind modules that have another name."""


def package(name: str) -> Path | None:
    """The directory of a package of ours; None if it is not ours, or was not copied here."""
    return next((ROOT / each / name for each in SOURCES if (ROOT / each / name).is_dir()), None)


def imported(directory: Path) -> set[str]:
    """The top-level modules that the files of a package import, anywhere in them."""
    found: set[str] = set()
    for file in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def modules(packages: list[str]) -> set[str]:
    """The foreign modules that packages of ours import, also through one another."""
    waiting, seen, foreign = list(packages), set(packages), set()
    while waiting:
        directory = package(waiting.pop())
        assert directory is not None
        for module in imported(directory) - seen - sys.stdlib_module_names:
            seen.add(module)
            if package(module):
                waiting.append(module)
            else:
                foreign.add(module)
    return foreign


def requirements(packages: list[str]) -> list[str]:
    """The requirements of pyproject.toml that packages of ours need."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    needed = {name for module in modules(packages) for name in DISTRIBUTIONS.get(module, (module,))}
    chosen = {}
    for each in listed:
        match = re.match(r"[A-Za-z0-9._-]+", each)
        assert match is not None
        name = re.sub(r"[-_.]+", "-", match[0]).lower()
        if name in {re.sub(r"[-_.]+", "-", one).lower() for one in needed}:
            chosen[name] = each
    return [chosen[name] for name in sorted(chosen)]


def main(arguments: list[str]) -> None:
    """Prints the requirements of the packages named."""
    unknown = [name for name in arguments if package(name) is None]
    if unknown or not arguments:
        sys.exit(f"Not a package of ours: {', '.join(unknown) or '(none given)'}")
    sys.stdout.writelines(f"{each}\n" for each in requirements(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
