"""deploy/compose.yaml is read alike by Compose v2 and by docker-compose 1.29."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = str(ROOT / "deploy" / "compose.yaml")


def services() -> set[str]:
    found: dict[str, object] = yaml.safe_load(Path(FILE).read_text())["services"]
    return set(found)


def test_compose_v2_reads_every_service() -> None:
    command = [str(ROOT / "tools" / "go"), "run", "-C", str(ROOT / "tests" / "compose_v2"), ".", FILE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == services()


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not here")
def test_docker_compose_1_reads_every_service() -> None:
    written = yaml.safe_load(Path(FILE).read_text())["services"].values()
    profiles = {profile for each in written for profile in each.get("profiles", [])}
    env = {**os.environ, "COMPOSE_PROFILES": ",".join(profiles)}
    done = subprocess.run(
        ["docker-compose", "-f", FILE, "config", "--services"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == services()
