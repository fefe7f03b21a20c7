"""Calls a model runtime as a frontend does, and as no client should: what the conformance rules are written with.

Requests are bytes, so that a rule can send what no generated code would. Answers are plain values; nothing is raised
for a status.
"""

from __future__ import annotations

import math
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from clipper.model.v1 import model_service_pb2
from clipper_admin.convert.values import from_output, model_input
from clipper_rpc.transport import MAX_MESSAGE_BYTES

_MODEL = "/clipper.model.v1.ModelService/"
_HEALTH = "/grpc.health.v1.Health/"
_TYPES = ("", "bytes", "integers", "floats", "doubles", "strings", "tensors")
"""The input types, at their numbers."""
_OPTIONS = (
    # Answers of any size are looked at, not refused here.
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES * 2),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES * 2),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a runtime answered to one input: an output, or an error, or (which is not allowed) neither."""

    output: Any = None
    has_output: bool = False
    kind: str = ""
    message: str = ""
    has_error: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from Predict."""

    code: str
    """The name of the gRPC status, "OK" when the call succeeded."""
    text: str = ""
    outcomes: tuple[Outcome, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether the call as a whole succeeded."""
        return self.code == "OK"


@dataclass(frozen=True, slots=True)
class Info:
    """What a runtime tells of its model."""

    code: str
    text: str = ""
    model: str = ""
    version: str = ""
    input_type: str = ""
    """Empty for a number that is no type."""
    runtime: str = ""
    max_batch_rows: int = 0


class RuntimeClient:
    """A connection to one runtime; close it, or use it in `with`."""

    def __init__(self, address: str, *, timeout_s: float) -> None:
        """Connects to host:port at the first call; each call takes at most `timeout_s`."""
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self.timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def info(self) -> Info:
        """Asks what it serves."""
        code, text, payload = self.call(_MODEL + "GetModelInfo", b"")
        found = model_service_pb2.GetModelInfoResponse()
        if code != "OK" or not _parsed(found, payload):
            return Info(code if code != "OK" else "unreadable", text)
        return Info(
            code,
            "",
            found.model,
            found.version,
            _TYPES[found.input_type] if found.input_type < len(_TYPES) else "",
            found.runtime,
            found.max_batch_rows,
        )

    def predict(self, inputs: Sequence[bytes], *, timeout_s: float | None = None) -> Answer:
        """Asks for one batch of serialized inputs."""
        return self.predict_raw(b"".join(_field(1, each) for each in inputs), timeout_s=timeout_s)

    def predict_raw(self, request: bytes, *, timeout_s: float | None = None) -> Answer:
        """Sends any bytes as a request to Predict."""
        code, text, payload = self.call(_MODEL + "Predict", request, timeout_s=timeout_s)
        found = model_service_pb2.PredictResponse()
        if code != "OK":
            return Answer(code, text)
        if not _parsed(found, payload):
            return Answer("unreadable", "the answer is no PredictResponse")
        return Answer(code, "", tuple(map(_outcome, found.results)))

    def predict_together(self, batches: Sequence[Sequence[bytes]]) -> list[Answer]:
        """Asks for several batches at the same time; answers in the order of the batches."""
        answers: dict[int, Answer] = {}

        def ask(at: int) -> None:
            answers[at] = self.predict(batches[at])

        threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(batches))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return [answers[at] for at in range(len(batches))]

    def leave(self, inputs: Sequence[bytes]) -> None:
        """Asks for a batch and cancels at once."""
        request = b"".join(_field(1, each) for each in inputs)
        self._stub(_MODEL + "Predict").future(request, timeout=self.timeout_s).cancel()

    def health(self, service: str) -> str:
        """The status of a service ("SERVING", …), or the name of the gRPC status that health failed with."""
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        code, _, payload = self.call(_HEALTH + "Check", request)
        found = health_pb2.HealthCheckResponse()
        if code != "OK":
            return code
        return _status_name(found) if _parsed(found, payload) else "unreadable"

    def first_of_watch(self, service: str) -> str:
        """The first status that watching health tells, as `health`."""
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        stream = self._channel.unary_stream(_HEALTH + "Watch")(request, timeout=self.timeout_s, wait_for_ready=True)
        found = health_pb2.HealthCheckResponse()
        try:
            return _status_name(found) if _parsed(found, next(stream)) else "unreadable"
        except grpc.RpcError as error:
            return str(error.code().name)
        except StopIteration:
            return "ended"
        finally:
            stream.cancel()

    def call(self, method: str, request: bytes, *, timeout_s: float | None = None) -> tuple[str, str, bytes]:
        """Any unary call: the status' name and text, and the serialized answer."""
        try:
            payload: bytes = self._stub(method)(request, timeout=timeout_s or self.timeout_s, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code().name, error.details() or "", b""
        return "OK", "", payload

    def _stub(self, method: str) -> Any:
        return self._channel.unary_unary(method)  # without a serializer: bytes as they are


def serialized(value: object, input_type: str) -> bytes:
    """The input that a Python value stands for, on the wire. Raises InvalidField if it is none of that type."""
    return model_input(value, input_type).SerializeToString()


def unpacked(numbers: Sequence[float], input_type: str) -> bytes:
    """A vector with each element in a field of its own, which proto3 parsers must take as well as the packed form."""
    tag = b"\x09" if input_type == "doubles" else b"\x0d"  # field 1, of 64 or of 32 bits
    code = {"doubles": "<d", "floats": "<f", "integers": "<i"}[input_type]
    elements = b"".join(tag + struct.pack(code, each) for each in numbers)
    return _field(_TYPES.index(input_type), elements)


def unknown_field() -> bytes:
    """A field that no message of today has: a later version's."""
    return _field(1000, b"from a later version")


def waited(ask: Callable[[], bool], within_s: float) -> bool:
    """Whether a condition came to hold in time, looked at again and again."""
    until, pause_s = time.monotonic() + within_s, 0.01
    while not ask():
        if time.monotonic() > until:
            return False
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.2)
    return True


def same(one: Any, other: Any) -> bool:
    """Whether two outputs are equal; NaN equals itself, and arrays are compared element by element."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    if hasattr(one, "tolist") and hasattr(other, "tolist"):
        return same(one.tolist(), other.tolist())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _outcome(found: model_service_pb2.PredictResult) -> Outcome:
    match found.WhichOneof("outcome"):
        case "output":
            if found.output.WhichOneof("value") is None:
                return Outcome()
            try:
                return Outcome(output=from_output(found.output), has_output=True)
            except (ValueError, KeyError):  # json that does not parse, a tensor whose size is wrong
                return Outcome()
        case "error":
            return Outcome(kind=found.error.kind, message=found.error.message, has_error=True)
        case _:
            return Outcome()


def _status_name(found: health_pb2.HealthCheckResponse) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(found.status))


def _parsed(message: Message, payload: bytes) -> bool:
    try:
        message.ParseFromString(payload)
    except DecodeError:
        return False
    return True


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))
