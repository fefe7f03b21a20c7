"""What containers cost: the sizes of the images, and how long a cluster takes to start, to deploy, to scale, to stop.

    make images && .venv/bin/python bench/containers.py

Sizes are with their base image, whose share is told. Times include all that a user waits for.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

import docker
import httpx

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.containers.images import image
from clipper_admin.deployers.python import deploy_python_closure

BASE = "python:3.11-slim-bookworm"


def seconds(doing: Callable[[], object]) -> float:
    start = time.perf_counter()
    doing()
    return time.perf_counter() - start


def sizes() -> None:
    engine = docker.from_env()
    for name in ("frontend", "manager", "gateway", "python3.11-runtime", "cli"):
        found = engine.images.get(image(name)).attrs
        has_base = engine.images.get(BASE).attrs["RootFS"]["Layers"][0] in found["RootFS"]["Layers"]
        own = found["Size"] - (engine.images.get(BASE).attrs["Size"] if has_base else 0)
        print(f"{image(name):40} {found['Size'] / 1e6:6.0f} MB, {own / 1e6:4.0f} MB without its base")
    engine.close()


def times() -> None:
    name = f"bench-{secrets.token_hex(3)}"
    manager = DockerContainerManager(
        name,
        docker_network=name,
        clipper_query_port=0,
        clipper_management_port=0,
        clipper_rpc_port=0,
        manager_port=0,
    )
    connection = ClipperConnection(manager)
    try:
        print(f"{'start of a cluster':40} {seconds(connection.start_clipper):6.1f} s")
        connection.register_application("app", "doubles", "-1", 1_000_000)

        def deploy() -> None:
            deploy_python_closure(connection, "model", 1, "doubles", lambda xs: [float(x.sum()) for x in xs])
            connection.link_model_to_app("app", "model")
            url = f"http://{connection.get_query_addr()}/app/predict"
            while httpx.post(url, json={"input": [1.0]}, trust_env=False).json()["default"]:
                pass

        print(f"{'from deploy to the first answer':40} {seconds(deploy):6.1f} s")
        for count in (4, 1):
            took = seconds(lambda: connection.set_num_replicas("model", count))  # noqa: B023  # called at once
            print(f"{f'scaling to {count}':40} {took:6.1f} s")
    finally:
        print(f"{'stop':40} {seconds(connection.stop_all):6.1f} s")
        manager.purge()


if __name__ == "__main__":
    logging.getLogger("clipper_admin").setLevel(logging.ERROR)
    sizes()
    times()
