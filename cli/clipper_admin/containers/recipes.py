"""What each container of a cluster is: plain values; `engine` makes containers of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from clipper_admin.containers.labels import CLUSTER, MODEL, Door, Part, model_value, replica_name

REDIS_IMAGE = "redis:7-bookworm"
RUNTIME_PORT = 7100
MANAGER_PORT = 7001
FRONTEND_PORT = 7000
QUERY_PORT = 1337
ADMIN_PORT = 1338
_HARDENED: Mapping[str, object] = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},  # noqa: S108  # inside of the container
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
"""For images of our own: they write nowhere but to /tmp."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes a container."""

    name: str
    image: str
    labels: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    doors: Mapping[Door, tuple[int, int]] = field(default_factory=dict)
    """Published ports: the one of the container, and the one of the host that is wanted (0: any that is free)."""
    options: Mapping[str, object] = field(default_factory=dict)
    """More arguments of the Docker SDK's containers.create."""
    is_on_trial: bool = False
    """Whether it stays down when it ends, until `engine.keep_running`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts that are put into the container before it starts, by their path."""


def redis(cluster: str, image: str, volume: str) -> Recipe:
    """Redis. Every change is on disk within a second."""
    durable = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", "/data")
    return Recipe(
        name=Part.REDIS.container(cluster),
        image=image,
        labels=_labels(cluster, Part.REDIS),
        command=("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", *durable),  # noqa: S104  # in its network
        options={
            **_HARDENED,
            "user": "redis",
            "volumes": {volume: {"bind": "/data", "mode": "rw"}},
            "healthcheck": {
                "test": ["CMD-SHELL", "redis-cli ping | grep -q PONG"],
                "interval": 5_000_000_000,
                "timeout": 3_000_000_000,
                "retries": 3,
            },
        },
    )


def manager(cluster: str, image: str, redis_url: str, port: int) -> Recipe:
    """The manager."""
    name = Part.MANAGER.container(cluster)
    return Recipe(
        name=name,
        image=image,
        labels=_labels(cluster, Part.MANAGER),
        environment={
            "CLIPPER_MANAGER_REDIS_URL": redis_url,
            "CLIPPER_MANAGER_CLUSTER": cluster,
            "CLIPPER_MANAGER_ADVERTISE": f"{name}:{MANAGER_PORT}",
        },
        doors={Door.MANAGER: (MANAGER_PORT, port)},
        options=_HARDENED,
    )


def frontend(
    cluster: str, image: str, redis_url: str, port: int, *, workers: int, cache_bytes: int, cache_ttl_s: float = 0.0
) -> Recipe:
    """The frontend."""
    name = Part.FRONTEND.container(cluster)
    return Recipe(
        name=name,
        image=image,
        labels=_labels(cluster, Part.FRONTEND),
        environment={
            "CLIPPER_FRONTEND_MANAGER": manager_address(cluster),
            "CLIPPER_FRONTEND_REDIS_URL": redis_url,
            "CLIPPER_FRONTEND_CLUSTER": cluster,
            "CLIPPER_FRONTEND_ADVERTISE": f"{name}:{FRONTEND_PORT}",
            "CLIPPER_FRONTEND_WORKERS": str(workers),
            "CLIPPER_FRONTEND_CACHE_BYTES": str(cache_bytes),
            "CLIPPER_FRONTEND_CACHE_TTL_S": str(cache_ttl_s),
        },
        doors={Door.FRONTEND: (FRONTEND_PORT, port)},
        options=_HARDENED,
    )


def gateway(
    cluster: str, image: str, query_port: int, admin_port: int, *, header_timeout_s: int, body_timeout_s: int
) -> Recipe:
    """The gateway."""
    return Recipe(
        name=Part.GATEWAY.container(cluster),
        image=image,
        labels=_labels(cluster, Part.GATEWAY),
        environment={
            "CLIPPER_GATEWAY_FRONTEND": f"{Part.FRONTEND.container(cluster)}:{FRONTEND_PORT}",
            "CLIPPER_GATEWAY_MANAGER": manager_address(cluster),
            "CLIPPER_GATEWAY_HEADER_TIMEOUT_S": str(header_timeout_s),
            "CLIPPER_GATEWAY_BODY_TIMEOUT_S": str(body_timeout_s),
        },
        doors={Door.QUERY: (QUERY_PORT, query_port), Door.ADMIN: (ADMIN_PORT, admin_port)},
        options=_HARDENED,
    )


def replica(cluster: str, name: str, version: str, input_type: str, image: str, *, is_ours: bool) -> Recipe:
    """One replica of a model version. It must come up once before it is started again whenever it ends.

    Images of other origin are not held to writing nowhere.
    """
    return Recipe(
        name=replica_name(name, version),
        image=image,
        labels={CLUSTER: cluster, MODEL: model_value(name, version)},
        environment={
            "CLIPPER_MODEL_NAME": name,
            "CLIPPER_MODEL_VERSION": version,
            "CLIPPER_INPUT_TYPE": input_type,
            "CLIPPER_IP": Part.MANAGER.container(cluster),
            "CLIPPER_PORT": str(MANAGER_PORT),
        },
        options=_HARDENED if is_ours else {},
        is_on_trial=True,
    )


def with_options(recipe: Recipe, options: Mapping[str, object]) -> Recipe:
    """The same with more options."""
    return replace(recipe, options={**recipe.options, **options})


def manager_address(cluster: str) -> str:
    """Where containers of the cluster reach its manager."""
    return f"{Part.MANAGER.container(cluster)}:{MANAGER_PORT}"


def _labels(cluster: str, part: Part) -> dict[str, str]:
    return {CLUSTER: cluster, part.label: ""}
