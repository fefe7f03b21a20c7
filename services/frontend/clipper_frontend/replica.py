"""The back door: one replica's ModelService. Packs a batch, calls, unpacks, and puts foreign errors into our words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic_ns

from google.protobuf.message import DecodeError

from clipper.model.v1.model_service_pb2 import GetModelInfoRequest, GetModelInfoResponse, PredictError
from clipper.wire.v1.wire_pb2 import ModelPredictRequest, ModelPredictResponse
from clipper_frontend.codec import varint
from clipper_frontend.routes import Replica, Version
from clipper_frontend.runtime import Answer, Call, Description, Failure, Lost, Metadata, Predictions, TimedOut
from clipper_rpc.errors import BatchExpired, Code, ModelNotReady, Stopping
from clipper_rpc.status import from_status
from clipper_rpc.transport import Channel, Reply, Status, Transport

_PREDICT = "/clipper.model.v1.ModelService/Predict"
WAIT_KEY = "clipper-wait-us"
"""Tells a runtime how long callers will still wait. The deadline of the call is later: late answers are of use, too."""
_INFO = "/clipper.model.v1.ModelService/GetModelInfo"
_INPUTS_TAG = b"\x0a"  # PredictRequest.inputs, field 1, of a length
_NO_OUTPUT = Failure("NoOutput", "the model returned nothing for this input")


class ReplicaClient:
    """A runtime.Runtime on a channel.

    Args:
        late_answers_ns: how long after its deadline an answer is still taken.
        close_channel: closes the channel some time later, since this object does not wait for anything.
    """

    def __init__(
        self,
        version: Version,
        replica: Replica,
        channel: Channel,
        close_channel: Callable[[Channel], None],
        *,
        late_answers_ns: int = 0,
    ) -> None:
        self._version = version
        self._replica = replica
        self._channel = channel
        self._close_channel = close_channel
        self._late_answers_ns = late_answers_ns

    def predict(
        self, inputs: Sequence[bytes], deadline_ns: int, done: Callable[[Answer], None], metadata: Metadata = ()
    ) -> Call:
        """See runtime.Runtime."""
        payload = _packed(inputs)
        wait_us = max(0, deadline_ns - monotonic_ns()) // 1000
        return self._channel.call(
            _PREDICT,
            payload,
            partial(_predicted, len(inputs), done),
            deadline_ns=deadline_ns + self._late_answers_ns,
            metadata=(*metadata, (WAIT_KEY, str(wait_us))),
        )

    def describe(self, deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        """See runtime.Runtime."""
        payload = GetModelInfoRequest().SerializeToString()
        self._channel.call(_INFO, payload, partial(self._described, done), deadline_ns=deadline_ns)

    def close(self) -> None:
        """See runtime.Runtime."""
        self._close_channel(self._channel)

    def _described(self, done: Callable[[Description | Lost], None], reply: Reply) -> None:
        done(self._description(reply))

    def _description(self, reply: Reply) -> Description | Lost:
        if not reply.status.is_ok:
            return Lost(_text(reply.status))
        try:
            info = GetModelInfoResponse.FromString(reply.payload)
        except DecodeError:
            return Lost(f"what answers at {self._replica.address} is no model runtime")
        expected = (self._version.model, self._version.version, self._version.input_type)
        if (info.model, info.version, info.input_type) != expected:
            return Lost(
                f"{self._replica.address} serves {info.model}:{info.version} (input type {info.input_type}) now"
            )
        return Description(max_batch_rows=info.max_batch_rows)


def _packed(inputs: Sequence[bytes]) -> bytes:
    """A serialized PredictRequest."""
    sizes = set(map(len, inputs))
    if len(sizes) > 1:
        return ModelPredictRequest(inputs=inputs).SerializeToString()
    head = _INPUTS_TAG + varint(sizes.pop())  # most are equally long, and have the same before them
    return head + head.join(inputs)


def _predicted(expected: int, done: Callable[[Answer], None], reply: Reply) -> None:
    done(_answer(expected, reply))


def _answer(expected: int, reply: Reply) -> Answer:
    if not reply.status.is_ok:
        return _failed(reply.status)
    try:
        response = ModelPredictResponse.FromString(reply.payload)
    except DecodeError:
        return Failure("BadResponse", "the runtime's answer is not a PredictResponse")
    results = response.results
    if len(results) != expected:
        return Failure("WrongCount", f"the runtime gave {len(results)} results for {expected} inputs")
    return Predictions([result.output or _failure(result.error) for result in results], response.model_us)


def _failure(serialized: bytes) -> Failure:
    if not serialized:
        return _NO_OUTPUT
    try:
        error = PredictError.FromString(serialized)
    except DecodeError:
        return Failure("BadResponse", "the runtime's error is not a PredictError")
    return Failure(error.kind or "Error", error.message)


def _failed(status: Status) -> Answer:
    match status.code:
        case Code.DEADLINE_EXCEEDED:
            return TimedOut(was_told=isinstance(from_status(status), BatchExpired))
        case Code.UNAVAILABLE:
            was_refused = isinstance(from_status(status), ModelNotReady | Stopping)
            return Lost(_text(status), was_refused=was_refused)
        case Code.CANCELLED:  # the channel was closed
            return Lost(_text(status))
        case _:
            return Failure(status.code.name, status.message)


def _text(status: Status) -> str:
    return f"{status.code.name}: {status.message}"


class ReplicaConnections:
    """Makes and ends the connections to replicas.

    Args:
        tasks: where connections are closed.
        late_answers_ns: how long after its deadline an answer is still taken.
    """

    def __init__(
        self, transport: Transport, tasks: asyncio.TaskGroup, *, max_message_bytes: int, late_answers_ns: int = 0
    ) -> None:
        self._transport = transport
        self._tasks = tasks
        self._max_message_bytes = max_message_bytes
        self._late_answers_ns = late_answers_ns
        self._open: set[Channel] = set()

    def connect(self, version: Version, replica: Replica) -> ReplicaClient:
        """The way to a replica; connects when first needed."""
        channel = self._transport.connect(replica.address, max_message_bytes=self._max_message_bytes)
        self._open.add(channel)
        return ReplicaClient(version, replica, channel, self._close_soon, late_answers_ns=self._late_answers_ns)

    async def close(self) -> None:
        """Ends all connections, and with them the calls under way."""
        while self._open:
            await self._open.pop().close()

    def _close_soon(self, channel: Channel) -> None:
        if channel in self._open:
            self._open.remove(channel)
            self._tasks.create_task(channel.close())
