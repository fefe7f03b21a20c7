"""What goes wrong, under the names that Clipper's users catch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clipper_rpc.errors import ClipperError, Code

_log = logging.getLogger(__name__)


class ClipperException(Exception):  # Clipper's own name
    """Something could not be done; the text says what and why.

    Where a service of the cluster has said so, `__cause__` is its domain error (of clipper_rpc.errors).
    """


class NotRunningException(ClipperException):
    """The cluster does not run."""


class AlreadyRunningException(ClipperException):
    """The cluster runs already."""


class InvalidArgumentException(ClipperException, ValueError):
    """An argument has a value that it cannot have. Nothing was done."""


class UnconnectedException(ClipperException):
    """A cluster was asked for something before it was connected to."""

    def __init__(self) -> None:
        super().__init__(
            "The ClipperConnection is not connected to a cluster. Call connect() to find a running one, or "
            "start_clipper() to start one."
        )


@contextmanager
def translated() -> Iterator[None]:
    """Raises ClipperException for the errors of services and for values that are not allowed."""
    try:
        yield
    except (ClipperError, ValueError) as error:
        raise ClipperException(str(error)) from error


def found_or_none(look_up: Callable[[], dict[str, Any]], what: str) -> dict[str, Any] | None:
    """What a look-up returns; None, with a warning, if there is no such thing."""
    try:
        return look_up()
    except ClipperError as error:
        if error.code != Code.NOT_FOUND:
            raise ClipperException(str(error)) from error
        _log.warning("%s was not found: %s", what, error)
        return None
