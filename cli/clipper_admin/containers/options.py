"""What DockerContainerManager is made with, checked: what cannot work is told before anything is started. Pure.

All raise InvalidArgumentException.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from clipper_admin import given
from clipper_admin.containers.labels import LONGEST_CLUSTER
from clipper_admin.exceptions import InvalidArgumentException

_NAMELESS_NETWORKS = ("", "host", "none", "bridge", "default")
"""In these containers do not find one another by name."""


def cluster(name: str) -> str:
    """The name of a cluster, from which its containers have theirs."""
    try:
        given.name(name)
    except ValueError as error:
        raise InvalidArgumentException(str(error)) from error
    if len(name) > LONGEST_CLUSTER:
        raise InvalidArgumentException(f"{name!r} is too long a name of a cluster: at most {LONGEST_CLUSTER}.")
    return name


def network(name: str) -> str:
    """The network of a cluster's containers."""
    if not isinstance(name, str) or name in _NAMELESS_NETWORKS:
        raise InvalidArgumentException(
            f"docker_network cannot be {name!r}: containers find one another by name. Leave it out for a network of "
            "Clipper's, or name one of your own."
        )
    return name


def more(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Options for every container, as of the Docker SDK."""
    if not isinstance(options, Mapping | None):
        raise InvalidArgumentException(
            f'extra_container_kwargs is {options!r}; give a dict, e.g. {{"mem_limit": "2g"}}.'
        )
    return options or {}


def redis_url(ip: str | None, port: int) -> str | None:
    """Where a Redis of the user's is; None where the cluster has its own."""
    port = given.port(port, "redis_port")
    if ip is None:
        return None
    if not isinstance(ip, str) or not ip.strip():
        raise InvalidArgumentException(f"redis_ip is {ip!r}; give an address, or None for a Redis of its own.")
    if _is_loopback(ip):
        raise InvalidArgumentException(
            f"redis_ip {ip} is each container itself. Give the address of the machine that Redis runs on, or the name "
            "of its container on the same network."
        )
    return f"redis://{ip}:{port}/0"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
