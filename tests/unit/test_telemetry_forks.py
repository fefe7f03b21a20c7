"""What OpenTelemetry's providers do in a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from clipper_rpc.telemetry.forks import without_fork_handler


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What is registered for children meanwhile; nothing really is."""
    found: list[Callable[[], None]] = []
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: found.append(after_in_child))
    return found


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of threads that were started."""
    names: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return names


@pytest.mark.parametrize("provider", [MeterProvider, TracerProvider])
def test_a_provider_would_start_threads_in_a_child_and_ours_starts_none(
    provider: Any, handlers: list[Callable[[], None]], started: list[str]
) -> None:
    ours = without_fork_handler(provider)(shutdown_on_exit=False)
    started.clear()  # of those for its own resources
    assert handlers
    for each in handlers:
        each()
    assert started == []
    theirs = provider(shutdown_on_exit=False)
    started.clear()
    for each in handlers:
        each()
    assert started, "the SDK has changed: look whether ours still does nothing"
    ours.shutdown()
    theirs.shutdown()
