"""Clipper's helper for trying something again (contract A31)."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def retry(
    exception_to_check: type[BaseException] | tuple[type[BaseException], ...],
    tries: int = 4,
    delay: float = 3,
    backoff: float = 2,
    logger: logging.Logger | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function that is called again when it raises, after longer and longer pauses.

    Args:
        exception_to_check: what is tried again; anything else comes through at once.
        tries: how often it is called at most; the last exception comes through.
        delay: the first pause, in seconds.
        backoff: by how much each pause is longer than the one before.
        logger: is told of each exception that is tried again.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def tried(*args: P.args, **kwargs: P.kwargs) -> R:
            pause_s = delay
            for _ in range(tries - 1):
                try:
                    return function(*args, **kwargs)
                except exception_to_check as error:
                    if logger is not None:
                        logger.warning("%s, trying again in %g seconds", error, pause_s)
                    time.sleep(pause_s)
                    pause_s *= backoff
            return function(*args, **kwargs)

        return tried

    return decorate
