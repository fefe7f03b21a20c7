"""Ways to replicas that tell of the end of batches which somebody follows: for traces, where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clipper_frontend.routes import Replica, Version
from clipper_frontend.runtime import Along, Answer, Call, Connect, Description, Lost, Metadata, Predictions, Runtime


def followed(connect: Connect) -> Connect:
    """The same ways to replicas; batches whose metadata is an Along end it."""

    def connected(version: Version, replica: Replica) -> Runtime:
        return _FollowedRuntime(connect(version, replica))

    return connected


class _FollowedRuntime:
    """A Runtime some of whose batches are followed."""

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner

    def predict(
        self, inputs: Sequence[bytes], deadline_ns: int, done: Callable[[Answer], None], metadata: Metadata = ()
    ) -> Call:
        if isinstance(metadata, Along):
            return _FollowedCall(self._inner, inputs, deadline_ns, done, metadata)
        return self._inner.predict(inputs, deadline_ns, done, metadata)

    def describe(self, deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        self._inner.describe(deadline_ns, done)

    def close(self) -> None:
        self._inner.close()


class _FollowedCall:
    """A batch of whose end somebody is told."""

    def __init__(
        self,
        inner: Runtime,
        inputs: Sequence[bytes],
        deadline_ns: int,
        done: Callable[[Answer], None],
        along: Along,
    ) -> None:
        self._done = done
        self._along = along
        self._call = inner.predict(inputs, deadline_ns, self._answered, along)

    def cancel(self) -> None:
        self._call.cancel()
        self._along.ended("CANCELLED")

    def _answered(self, answer: Answer) -> None:
        self._along.ended("" if isinstance(answer, Predictions) else type(answer).__name__)
        self._done(answer)
