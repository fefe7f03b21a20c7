"""Keeps OpenTelemetry's providers out of forked children.

They look for the resources of a child that was forked, in threads of their own. uvloop runs what Python has registered
for children between fork and exec, where no thread can be started: the parent would wait for its child for ever.
Nothing of ours forks without exec.
"""

from __future__ import annotations

from typing import TypeVar

P = TypeVar("P")


def without_fork_handler(provider: type[P]) -> type[P]:
    """The same class of providers, whose objects do nothing in a forked child."""
    return type(provider.__name__, (provider,), {"_handle_fork": _nothing})


def _nothing(_self: object) -> None:
    """In the place of MeterProvider's and TracerProvider's own."""
