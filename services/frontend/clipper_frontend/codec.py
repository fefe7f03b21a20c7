"""Bytes to fields and back: the messages of the public services, without looking inside inputs and outputs.

They are parsed and written as the mirrors of clipper.wire.v1, in which nested values are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.message import DecodeError

from clipper.v1.feedback_pb2 import SendFeedbackRequest, SendFeedbackResponse
from clipper.v1.predict_pb2 import Contribution, DescribeApplicationRequest, DescribeApplicationResponse, Timing
from clipper.v1.values_pb2 import Input, InputType
from clipper.wire.v1.wire_pb2 import (
    PredictBatchRequest,
    PredictBatchResponse,
    PredictBatchResult,
    PredictRequest,
    PredictResponse,
    PredictStreamRequest,
    PredictStreamResponse,
)
from clipper_frontend.joint import AnyQuery, JointQuery
from clipper_frontend.predictor import error_of, explanation_of
from clipper_frontend.query import Batch
from clipper_frontend.routes import Route
from clipper_rpc.errors import ClipperError, InputTypeMismatch, InvalidField
from clipper_rpc.status import to_rpc_status

_LENGTH_DELIMITED = 2
_LATENCY_TAG = b"\x28"  # Contribution.latency_us, field 5, a varint
_CERTAIN_FROM = PredictResponse(confidence=1.0).SerializeToString() + b"\x3a"  # contributions, field 7, of a length
_MAX_CONTEXT_BYTES = 256


def parse_predict(payload: bytes) -> PredictRequest:
    """The request in a payload.

    Raises:
        InvalidField: it is none.
    """
    try:
        return PredictRequest.FromString(payload)
    except DecodeError:
        raise _not_a("PredictRequest") from None


def parse_predict_batch(payload: bytes) -> PredictBatchRequest:
    """The request in a payload. Raises as `parse_predict` does."""
    try:
        return PredictBatchRequest.FromString(payload)
    except DecodeError:
        raise _not_a("PredictBatchRequest") from None


def parse_predict_stream(payload: bytes) -> PredictStreamRequest:
    """The request in a payload. Raises as `parse_predict` does."""
    try:
        return PredictStreamRequest.FromString(payload)
    except DecodeError:
        raise _not_a("PredictStreamRequest") from None


def parse_describe(payload: bytes) -> DescribeApplicationRequest:
    """The request in a payload. Raises as `parse_predict` does."""
    try:
        return DescribeApplicationRequest.FromString(payload)
    except DecodeError:
        raise _not_a("DescribeApplicationRequest") from None


def parse_feedback(payload: bytes) -> SendFeedbackRequest:
    """The request in a payload. Raises as `parse_predict` does."""
    try:
        return SendFeedbackRequest.FromString(payload)
    except DecodeError:
        raise _not_a("SendFeedbackRequest") from None


def check_context(context: str) -> None:
    """Raises InvalidField for a context that is too long."""
    if len(context) * 4 > _MAX_CONTEXT_BYTES and len(context.encode()) > _MAX_CONTEXT_BYTES:
        raise InvalidField(field="context", problem=f"has more than {_MAX_CONTEXT_BYTES} bytes")


def checked_input(value: bytes, route: Route) -> bytes:
    """A serialized Input that has exactly one field, the one that the application takes.

    In the usual case the value itself, after looking at a few of its first bytes: the first one names the type, as the
    field numbers of Input are the numbers of InputType, and the length behind it must be that of all the rest.

    Raises:
        InputTypeMismatch: it is of another type.
        InvalidField: there is none, or it is no Input.
    """
    if not value:
        raise InvalidField(field="input", problem=f"required; set the field {_field(route.input_type)}")
    rest = len(value) - 2
    if value[0] == route.input_type << 3 | _LENGTH_DELIMITED and (
        (0 <= rest < 0x80 and value[1] == rest) or _is_one_field(value)
    ):
        return value
    try:
        parsed = Input.FromString(value)
    except DecodeError:
        raise InvalidField(field="input", problem="not an Input (or its text is not UTF-8)") from None
    check_input_type(parsed, route)
    return canonical_input(parsed)


def check_input_type(value: Input, route: Route) -> None:
    """Raises as `checked_input` does for an input that was parsed."""
    found = value.WhichOneof("value")
    if found is None:
        raise InvalidField(field="input", problem=f"required; set the field {_field(route.input_type)}")
    got = Input.DESCRIPTOR.fields_by_name[found].number
    if got != route.input_type:
        raise InputTypeMismatch(application=route.name, expected=type_name(route.input_type), got=type_name(got))


def canonical_input(value: Input) -> bytes:
    """A parsed Input as `checked_input` gives it."""
    value.DiscardUnknownFields()
    return value.SerializeToString()


def _is_one_field(value: bytes) -> bool:
    """Whether a length follows the first byte, and exactly so many bytes follow it. Source: protobuf encoding."""
    length = shift = 0
    for at in range(1, min(len(value), 6)):
        byte = value[at]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length == len(value) - at - 1
        shift += 7
    return False


def type_name(input_type: int) -> str:
    """The name of an input type as people write it: doubles, strings, ..."""
    try:
        return InputType.Name(input_type).removeprefix("INPUT_TYPE_").lower()
    except ValueError:
        return f"type {input_type}"


def _field(input_type: int) -> str:
    found = Input.DESCRIPTOR.fields_by_number.get(input_type)
    return f'"{found.name}"' if found else "of the application's type"


def answer(query: AnyQuery, now_ns: int, *, explain: bool) -> bytes:
    """The serialized PredictResponse of a query that has ended: its output, or its application's default.

    Raises:
        ClipperError: it has no prediction, and its application no default output.
    """
    if isinstance(query, JointQuery):
        return _joint(query, now_ns, explain=explain)
    if query.batch is None:
        return _default(query, now_ns, explain=explain)
    version, batch, output = query.version, query.batch, query.output
    assert version is not None
    latency = varint(latency_us(batch, query.arrived_ns))
    parts = (
        b"\x08",  # query_id, field 1, a varint
        varint(query.query_id),
        b"\x12",  # output, field 2, of that length
        varint(len(output)),
        output,
        _certain(version.model, version.version, batch.replica_id, batch.is_cached, query.has_joined, len(latency)),
        latency,
    )
    # What a PredictResponse with these fields is serialized to, at half of its price: most of what leaves is this.
    response = b"".join(parts)
    return response + _timing_field(query, now_ns) if explain else response


def _timing_field(query: AnyQuery, now_ns: int) -> bytes:
    return PredictResponse(timing=_timing(query, now_ns)).SerializeToString()


def _joint(query: JointQuery, now_ns: int, *, explain: bool) -> bytes:
    """The serialized PredictResponse of a query that several models were asked."""
    if query.reason:
        return _default(query, now_ns, explain=explain)
    response = PredictResponse(
        query_id=query.query_id,
        output=query.output,
        confidence=query.confidence,
        contributions=_contributions(query),
    )
    if explain:
        response.timing = _timing(query, now_ns)
    return response.SerializeToString()


def _contributions(query: JointQuery) -> list[bytes]:
    """A serialized Contribution of each model that was asked."""
    contributions = []
    for model, member in zip(query.models, query.members, strict=True):
        each = Contribution(model=model, weight=query.weights.get(model, 0.0), joined=member.has_joined)
        if member.version is not None:
            each.version = member.version.version
        if member.batch is not None:
            each.replica_id, each.cached = member.batch.replica_id, member.batch.is_cached
            each.latency_us = latency_us(member.batch, query.arrived_ns)
        contributions.append(each.SerializeToString())
    return contributions


def _default(query: AnyQuery, now_ns: int, *, explain: bool) -> bytes:
    if query.route.default_output is None:
        raise error_of(query)
    response = PredictResponse(
        query_id=query.query_id,
        output=query.route.default_output,
        default=True,
        default_reason=query.reason,
        default_explanation=explanation_of(query),
    )
    if isinstance(query, JointQuery):
        response.contributions.extend(_contributions(query))
    elif query.version is not None:
        response.contributions.append(_asked(query.version.model, query.version.version))
    if explain:
        response.timing = _timing(query, now_ns)
    return response.SerializeToString()


Result = PredictBatchResult
NO_RESULT = PredictBatchResult()


def result(query: AnyQuery, now_ns: int, *, explain: bool) -> Result:
    """What stands for a query that has ended in a batch."""
    try:
        return PredictBatchResult(prediction=answer(query, now_ns, explain=explain))
    except ClipperError as error:
        return error_result(error)


def error_result(error: ClipperError) -> Result:
    """What stands for an error in a batch."""
    return PredictBatchResult(error=to_rpc_status(error).SerializeToString())


def batch_response(results: Sequence[Result]) -> bytes:
    """The serialized PredictBatchResponse."""
    return PredictBatchResponse(results=results).SerializeToString()


def stream_response(tag: int, query: AnyQuery, now_ns: int, *, explain: bool) -> bytes:
    """The serialized PredictStreamResponse to a query that has ended."""
    try:
        return PredictStreamResponse(tag=tag, prediction=answer(query, now_ns, explain=explain)).SerializeToString()
    except ClipperError as error:
        return stream_error(tag, error)


def stream_error(tag: int, error: ClipperError) -> bytes:
    """The serialized PredictStreamResponse with an error."""
    return PredictStreamResponse(tag=tag, error=to_rpc_status(error).SerializeToString()).SerializeToString()


def feedback_acknowledged(*, learned: bool, duplicate: bool) -> bytes:
    """The serialized SendFeedbackResponse."""
    return SendFeedbackResponse(learned=learned, duplicate=duplicate).SerializeToString()


def description(route: Route) -> bytes:
    """The serialized DescribeApplicationResponse of an application."""
    response = DescribeApplicationResponse(
        application=route.name,
        input_type=route.input_type,  # type: ignore[arg-type]  # open enums take any number
        has_default_output=route.default_output is not None,
        models=route.models,
    )
    response.latency_objective.FromNanoseconds(route.objective_ns)
    return response.SerializeToString()


@lru_cache(maxsize=4096)
def _certain(model: str, version: str, replica_id: int, is_cached: bool, has_joined: bool, latency_bytes: int) -> bytes:
    """The end of a serialized PredictResponse with one Contribution but for the latency, which has so many bytes."""
    contribution = Contribution(
        model=model, version=version, replica_id=replica_id, weight=1.0, cached=is_cached, joined=has_joined
    ).SerializeToString()
    return _CERTAIN_FROM + varint(len(contribution) + 1 + latency_bytes) + contribution + _LATENCY_TAG


@lru_cache(maxsize=4096)
def _asked(model: str, version: str) -> bytes:
    """The serialized Contribution of a model that did not answer in time."""
    return Contribution(model=model, version=version).SerializeToString()


def latency_us(batch: Batch, arrived_ns: int) -> int:
    """From the arrival of a query to the answer of its batch."""
    return max(1, (batch.replied_ns - arrived_ns) // 1000)  # 0 would say that it did not arrive


def _timing(query: AnyQuery, now_ns: int) -> bytes:
    last = query.last if isinstance(query, JointQuery) else query  # the time went where its last answer has been
    return timing(None if last is None else last.batch, query.arrived_ns, now_ns)


def timing(batch: Batch | None, arrived_ns: int, now_ns: int) -> bytes:
    """The serialized Timing of a query that arrived then, is answered now, and by that batch if by any."""
    found = Timing(total_us=(now_ns - arrived_ns) // 1000)
    if batch is not None:
        # what joined a batch that was sent before waited for the rest of it only
        queued_until_ns = max(batch.sent_ns, arrived_ns)
        rest_us = max(0, batch.replied_ns - queued_until_ns) // 1000
        found.queue_us = (queued_until_ns - arrived_ns) // 1000
        found.linger_us = max(0, batch.sent_ns - max(batch.lingered_from_ns, arrived_ns)) // 1000
        found.batch_rows = batch.rows
        found.model_us = min(batch.model_us, rest_us)
        found.network_us = rest_us - found.model_us
    return found.SerializeToString()


def varint(number: int) -> bytes:
    """Source: protobuf encoding; numbers from 0."""
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80)) + _high_digits(number >> 14)


@lru_cache(maxsize=256)
def _high_digits(number: int) -> bytes:
    """The same, kept: query ids are given one after the other."""
    return varint(number)


_SMALL = [bytes((number,)) for number in range(0x80)]


def _not_a(name: str) -> InvalidField:
    return InvalidField(field="request", problem=f"not a clipper.v1.{name}")
