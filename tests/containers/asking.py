"""Queries over REST, and waiting for what they shall answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from clipper_admin import ClipperConnection, DockerContainerManager

MakeManager = Callable[..., DockerContainerManager]


def ask(connection: ClipperConnection, application: str, value: Any) -> dict[str, Any]:
    """One prediction, as REST answers it; empty while nobody answers."""
    url = f"http://{connection.get_query_addr()}/{application}/predict"
    try:
        reply: dict[str, Any] = httpx.post(url, json={"input": value}, timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return reply


def until(condition: Callable[[], Any], timeout_s: float = 150) -> Any:
    """Waits until a condition holds, and returns what it gave."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.02)
    return found


def until_output(connection: ClipperConnection, application: str, value: Any, output: Any) -> None:
    """Waits until an application answers so, and not by default."""

    def answers() -> bool:
        reply = ask(connection, application, value)
        return reply.get("default") is False and reply["output"] == output

    until(answers)
