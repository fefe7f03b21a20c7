"""How the containers of a cluster are found again: label keys (Clipper's own, where it had them) and names."""

from __future__ import annotations

import secrets
from enum import StrEnum

CLUSTER = "ai.clipper.container.label"
"""On everything of a cluster: containers, volume, images of models. Its value is the cluster's name."""
NETWORK = "ai.clipper.network.label"
"""On a network that was created for clusters, and goes with the last of them."""
MODEL = "ai.clipper.model_container.label"
"""On replicas and images of models: `name_version`."""
RUNTIME = "ai.clipper.runtime.label"
"""On images with our Python runtime, and on those built on them."""


class Part(StrEnum):
    """A container of a cluster that is no replica, in the order in which they are started."""

    LOGS = "fluentd"
    REDIS = "redis"
    MANAGER = "manager"
    FRONTEND = "frontend"
    GATEWAY = "gateway"

    @property
    def label(self) -> str:
        """The key that marks its container."""
        return _KEYS[self]

    def container(self, cluster: str) -> str:
        """The name of its container, by which the others reach it."""
        return f"clipper-{cluster}-{self}"


_KEYS = {
    Part.LOGS: "ai.clipper.fluentd.label",
    Part.REDIS: "ai.clipper.redis.label",
    Part.MANAGER: "ai.clipper.manager.label",
    Part.FRONTEND: "ai.clipper.query_frontend.label",
    Part.GATEWAY: "ai.clipper.management_frontend.label",
}


class Door(StrEnum):
    """A published port: the key of the label that tells which port of the host it got."""

    QUERY = "ai.clipper.query_frontend.query.port"
    ADMIN = "ai.clipper.management.port"
    FRONTEND = "ai.clipper.query_frontend.rpc.port"
    MANAGER = "ai.clipper.manager.rpc.port"
    LOGS = "ai.clipper.fluentd.port"


LONGEST_CLUSTER = 63 - len(Part.FRONTEND.container(""))
"""A name of a container is a label of DNS, too."""


def model_value(name: str, version: str) -> str:
    """The value of MODEL. Names have no underscore, so it can be taken apart again."""
    return f"{name}_{version}"


def replica_name(name: str, version: str) -> str:
    """A new name for a replica's container."""
    return f"{name}_{version}-{secrets.token_hex(3)}"


def volume_name(cluster: str) -> str:
    """The volume that Redis keeps the configuration in."""
    return Part.REDIS.container(cluster)
