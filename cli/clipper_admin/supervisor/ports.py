"""Which ports are free: the wanted one, else one outside the range that the system hands out by itself."""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import replace

from clipper_admin.supervisor.records import Settings

_RANGE = range(20000, 32000)
"""Below the ephemeral ports of Linux (32768 and up), so that no outgoing connection takes one between two runs."""
_TRIES = 200


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. Port numbers that only root may use count as taken for others.

    Raises:
        OSError: the address itself is not one of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def choose(host: str, wanted: int, taken: set[int]) -> int:
    """The wanted port if it is free, else a free one; it is added to `taken`.

    Raises:
        OSError: the host is not of this machine, or no port is free.
    """
    candidates = [wanted] if wanted else []
    candidates += random.sample(_RANGE, _TRIES)
    for port in candidates:
        if port not in taken and is_free(host, port):
            taken.add(port)
            return port
    raise OSError(errno.EADDRINUSE, f"no free port on {host}")


def chosen(settings: Settings) -> Settings:
    """The settings with every wanted port exchanged for one that is free now."""
    taken: set[int] = set()
    local = "127.0.0.1"
    return replace(
        settings,
        query_port=choose(settings.host, settings.query_port, taken),
        admin_port=choose(settings.host, settings.admin_port, taken),
        frontend_port=choose(settings.host, settings.frontend_port, taken),
        manager_port=choose(local, settings.manager_port, taken),
    )


def are_free(settings: Settings) -> bool:
    """Whether all ports of the settings are free now."""
    outside = (settings.query_port, settings.admin_port, settings.frontend_port)
    return all(is_free(settings.host, port) for port in outside) and is_free("127.0.0.1", settings.manager_port)
