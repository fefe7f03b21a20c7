"""deploy/compose.yaml brings a whole cluster with an example model, by every compose that is there."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from containers.asking import until
from containers.conftest import not_there

from processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

FILE = str(Path(__file__).parents[2] / "deploy" / "compose.yaml")
PORTS = (
    *("CLIPPER_QUERY_PORT", "CLIPPER_ADMIN_PORT", "CLIPPER_RPC_PORT", "CLIPPER_MANAGER_PORT"),
    *("CLIPPER_FRONTEND_METRICS_PORT", "CLIPPER_MANAGER_METRICS_PORT"),
)


def composes() -> list[list[str]]:
    """The compose commands of this machine: docker-compose 1.29, `docker compose`."""
    found = [["docker-compose"]] if shutil.which("docker-compose") else []
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        found.append(["docker", "compose"])
    return found


class Project:
    """One project of its own, on free ports."""

    def __init__(self, command: list[str]) -> None:
        self.name = f"clipper-test-{secrets.token_hex(3)}"
        self.ports = {name: str(free_port()) for name in PORTS}
        self._command = [*command, "-p", self.name, "-f", FILE]

    def run(self, *arguments: str) -> str:
        env = {**os.environ, **self.ports}
        done = subprocess.run([*self._command, *arguments], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def answer(self) -> Any:
        url = f"http://127.0.0.1:{self.ports['CLIPPER_QUERY_PORT']}/hello-world/predict"
        try:
            reply = httpx.post(url, json={"input": [1.1, 2.2, 3.3]}, timeout=5, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return None
        return reply.get("output") if reply.get("default") is False else None


@pytest.fixture(params=composes() or [[]], ids=" ".join)
def project(request: pytest.FixtureRequest, engine: Any) -> Iterator[Project]:
    if not request.param:
        not_there("neither docker-compose nor `docker compose` is here")
    project = Project(request.param)
    yield project
    project.run("down", "-v", "-t", "20")
    label = {"label": f"com.docker.compose.project={project.name}"}
    assert not engine.containers.list(all=True, filters=label)
    assert not engine.volumes.list(filters=label)


def test_up_brings_a_cluster_that_answers_and_keeps_its_configuration(engine: Any, project: Project) -> None:
    project.run("up", "-d", "--no-build")
    assert until(project.answer) == 6.6
    project.run("run", "--rm", "cli", "app", "register", "mine", "--input-type", "doubles")
    project.run("restart", "-t", "20")
    assert until(project.answer) == 6.6
    project.run("up", "-d", "--no-build")
    assert '"mine"' in project.run("run", "--rm", "cli", "app", "list", "-o", "json")
    for each in engine.containers.list(filters={"label": f"com.docker.compose.project={project.name}"}):
        assert each.attrs["Config"]["User"] not in ("", "root", "0"), each.name
        assert each.attrs["HostConfig"]["ReadonlyRootfs"], each.name
