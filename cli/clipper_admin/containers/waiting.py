"""Waits until what was started is up; tells why it is not, in the container's own words."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from clipper_admin.client import Client
from clipper_admin.containers.engine import Container, last_lines, state
from clipper_admin.exceptions import ClipperException
from clipper_rpc.errors import ClipperError

_log = logging.getLogger(__name__)

_START_WITHIN_S = 120.0
_LOAD_WITHIN_S = 600.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_CRASHES_OF_A_START = 3
"""How often a part may crash while the cluster starts: it may be there before what it needs."""


def until_serving(parts: Mapping[str, tuple[Container, Callable[[], bool]]]) -> None:
    """Waits until every part answers; parts are a container each, and what asks it.

    Raises:
        ClipperException: a container ends or crashes, or does not answer in time; with its last words.
    """
    waiting = dict(parts)
    for is_time_left in _patience(_START_WITHIN_S):
        for name in [name for name, (_, answers) in waiting.items() if answers()]:
            del waiting[name]
        if not waiting:
            return
        for name, (container, _) in waiting.items():
            found, crashes = state(container)
            if found in ("exited", "dead", "gone") or crashes >= _CRASHES_OF_A_START or not is_time_left:
                crashed = f", crashed {crashes} times" if crashes else ""
                raise ClipperException(f"{name} does not serve ({found}{crashed}). {_last_words(container)}")


def until_registered(manager: str, name: str, version: str, new: Sequence[Container]) -> None:
    """Waits until the manager knows the new replicas of a version.

    Raises:
        ClipperException: one ends, or takes too long; with its last words.
    """
    waiting = list(new)
    with Client(manager) as client:
        for is_time_left in _patience(_LOAD_WITHIN_S):
            known = _known_hosts(client, name, version)
            for each in list(waiting):
                found, _ = state(each)
                if known & _hosts(each):
                    waiting.remove(each)
                elif found not in ("created", "running"):
                    raise ClipperException(
                        f"A replica of {name}:{version} did not come up: it {_told_end(each)}. {_last_words(each)}"
                    )
                elif not is_time_left:
                    raise ClipperException(
                        f"A replica of {name}:{version} did not come up: it runs, but has not registered within "
                        f"{_LOAD_WITHIN_S:.0f} s. {_last_words(each)}"
                    )
            if not waiting:
                return


def _patience(within_s: float) -> Iterator[bool]:
    """Yields True at once and then again and again, with growing pauses; False for the last time when time is up."""
    until = time.monotonic() + within_s
    pause_s = _FIRST_PAUSE_S
    yield True
    while time.monotonic() < until:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        yield True
    yield False


def _known_hosts(client: Client, name: str, version: str) -> set[str]:
    try:
        return {each.address.rpartition(":")[0] for each in client.list_replicas(name, version)}
    except ClipperError as error:
        _log.debug("The manager does not answer: %s", error)
        return set()


def _hosts(container: Container) -> set[str]:
    """By what a replica may have registered: an address of its container, or a name of it."""
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    return {container.name, container.id[:12], *(str(each["IPAddress"]) for each in networks)} - {""}


def _told_end(container: Container) -> str:
    found = container.attrs["State"]
    if found.get("OOMKilled"):
        return "was ended since it took more memory than it may"
    return f"ended with exit code {found.get('ExitCode')}"


def _last_words(container: Container) -> str:
    """What a container has said last: the problem that a process of ours has logged, else its last lines."""
    lines = last_lines(container)
    for line in reversed(lines.splitlines()):
        try:
            problem = json.loads(line)["problem"]
        except (ValueError, KeyError, TypeError):
            continue
        return f"It said: {problem}\nIts last lines:\n{lines}"
    return f"Its last lines:\n{lines}"
