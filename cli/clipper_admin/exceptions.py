"""What goes wrong, under the names that Clipper's users catch."""

from __future__ import annotations


class ClipperException(Exception):  # Clipper's own name
    """Something could not be done; the text says what and why.

    Where a service of the cluster has said so, `__cause__` is its domain error (of clipper_rpc.errors).
    """


class NotRunningException(ClipperException):
    """The cluster does not run."""


class AlreadyRunningException(ClipperException):
    """The cluster runs already."""


class UnconnectedException(ClipperException):
    """A cluster was asked for something before it was connected to."""

    def __init__(self) -> None:
        super().__init__(
            "The ClipperConnection is not connected to a cluster. Call connect() to find a running one, or "
            "start_clipper() to start one."
        )
