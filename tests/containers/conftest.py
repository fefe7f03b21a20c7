"""Containers for tests: the Docker engine, our images, and clusters on networks of their own.

Without an engine or without the images these tests are skipped, and say why. With CI_DOCKER=1 that is a failure:
`tools/docker-engine start` and `make images` see to both.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, NoReturn

import docker
import pytest
from containers.asking import MakeManager

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.containers.images import image

OURS = ("manager", "frontend", "gateway", "python3.11-runtime", "cli")


def not_there(why: str) -> NoReturn:
    if os.environ.get("CI_DOCKER") == "1":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The Docker SDK's client."""
    # Asked by the command first: the SDK leaves a socket behind where nobody answers.
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True).returncode:
        not_there("no Docker engine answers; `tools/docker-engine start` starts one on Debian")
    client = docker.from_env(timeout=60)
    missing = [image(each) for each in OURS if not client.images.list(name=image(each))]
    if missing:
        not_there(f"there are no images {', '.join(missing)}; `make images` builds them")
    yield client
    client.close()


@pytest.fixture(scope="session")
def network(engine: Any) -> Iterator[str]:
    """The name of a network for the clusters of this session, which create it and remove it."""
    name = f"clipper-test-{secrets.token_hex(3)}"
    yield name
    assert not engine.networks.list(names=[name]), "the last cluster removes the network"


@pytest.fixture(scope="session")
def make_manager(engine: Any, network: str) -> Iterator[MakeManager]:
    """Makes managers of clusters, on free ports; whatever is left of these clusters at the end is removed."""
    made: list[DockerContainerManager] = []

    def make(cluster: str | None = None, **options: Any) -> DockerContainerManager:
        ports = ("clipper_query_port", "clipper_management_port", "clipper_rpc_port", "manager_port", "fluentd_port")
        arguments = {"docker_network": network, **dict.fromkeys(ports, 0), **options}
        made.append(DockerContainerManager(cluster or f"test-{secrets.token_hex(3)}", **arguments))
        return made[-1]

    yield make
    for each in made:
        each.stop_all(graceful=False)
        each.purge()


@pytest.fixture(scope="module")
def cluster(make_manager: MakeManager) -> Iterator[ClipperConnection]:
    """A running cluster for the tests of a file."""
    connection = ClipperConnection(make_manager())
    connection.start_clipper()
    yield connection
    connection.stop_all(graceful=False)
