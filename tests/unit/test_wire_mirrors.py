"""The private mirrors say the same on the wire as the public messages that they stand for."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from clipper.model.v1 import model_service_pb2
from clipper.v1 import predict_pb2, values_pb2
from clipper.wire.v1 import wire_pb2

MIRRORS: dict[str, type[Message]] = {
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictBatchRequest": predict_pb2.PredictBatchRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "PredictBatchResponse": predict_pb2.PredictBatchResponse,
    "PredictBatchResult": predict_pb2.PredictBatchResult,
    "PredictStreamRequest": predict_pb2.PredictStreamRequest,
    "PredictStreamResponse": predict_pb2.PredictStreamResponse,
    "Input": values_pb2.Input,
    "ModelPredictRequest": model_service_pb2.PredictRequest,
    "ModelPredictResponse": model_service_pb2.PredictResponse,
    "ModelPredictResult": model_service_pb2.PredictResult,
}

SAME_ON_THE_WIRE = {
    FieldDescriptor.TYPE_MESSAGE: {FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_BYTES},
    FieldDescriptor.TYPE_STRING: {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES},
    FieldDescriptor.TYPE_ENUM: {FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_INT32},
}

PAIRS = [
    pytest.param(wire_pb2.DESCRIPTOR.message_types_by_name[name], of.DESCRIPTOR, id=name)
    for name, of in MIRRORS.items()
]


def test_every_mirror_is_held_to_its_original() -> None:
    assert set(wire_pb2.DESCRIPTOR.message_types_by_name) == set(MIRRORS)


@pytest.mark.parametrize(("mirror", "original"), PAIRS)
def test_a_mirror_has_the_same_fields_with_the_same_numbers(mirror: Descriptor, original: Descriptor) -> None:
    assert {field.number: field.name for field in mirror.fields} == {
        field.number: field.name for field in original.fields
    }


@pytest.mark.parametrize(("mirror", "original"), PAIRS)
def test_a_mirrors_fields_are_the_same_on_the_wire(mirror: Descriptor, original: Descriptor) -> None:
    for field in mirror.fields:
        of = original.fields_by_number[field.number]
        assert field.type in SAME_ON_THE_WIRE.get(of.type, {of.type}), field.name
        assert field.is_repeated == of.is_repeated, field.name
        if field.containing_oneof and not field.containing_oneof.name.startswith("_"):
            assert of.containing_oneof is not None
            assert field.containing_oneof.name == of.containing_oneof.name


@pytest.mark.parametrize("number", range(1, 7))
def test_the_first_byte_of_an_input_names_its_type(number: int) -> None:
    field = values_pb2.Input.DESCRIPTOR.fields_by_number[number]
    value = values_pb2.Input()
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(value, field.name).SetInParent()
    else:
        setattr(value, field.name, b"" if field.type == FieldDescriptor.TYPE_BYTES else "")
    assert value.SerializeToString()[0] >> 3 == number
    name = values_pb2.InputType.Name(number)
    assert name.removeprefix("INPUT_TYPE_").lower().rstrip("s") == field.name.rstrip("s")


def test_a_packed_vector_of_doubles_is_its_bytes_in_memory() -> None:
    value = values_pb2.Input(doubles=values_pb2.Doubles(values=[1.5, -2.0]))
    vector: bytes = wire_pb2.Input.FromString(value.SerializeToString()).doubles
    assert vector[:2] == b"\x0a\x10"
    assert vector[2:].hex() == "000000000000f83f" + "00000000000000c0"


INPUTS = st.one_of(
    st.builds(lambda value: values_pb2.Input(bytes=value), st.binary(max_size=20)),
    st.builds(lambda value: values_pb2.Input(string=value), st.text(max_size=20)),
    st.builds(lambda value: values_pb2.Input(doubles=values_pb2.Doubles(values=value)), st.lists(st.floats())),
)


def through(message: Message, mirror: type[Message]) -> bytes:
    """Parsed and written again as its mirror."""
    return mirror.FromString(message.SerializeToString()).SerializeToString()


@given(
    application=st.text(max_size=10),
    value=INPUTS,
    version=st.text(max_size=10),
    flag=st.booleans(),
    tag=st.integers(0, 2**64 - 1),
)
def test_requests_pass_through_their_mirrors_unchanged(
    application: str, value: values_pb2.Input, version: str, flag: bool, tag: int
) -> None:
    request = predict_pb2.PredictRequest(application=application, input=value, version=version, bypass_cache=flag)
    assert through(request, wire_pb2.PredictRequest) == request.SerializeToString()
    batch = predict_pb2.PredictBatchRequest(application=application, inputs=[value, value], explain=flag)
    assert through(batch, wire_pb2.PredictBatchRequest) == batch.SerializeToString()
    streamed = predict_pb2.PredictStreamRequest(tag=tag, request=request)
    assert through(streamed, wire_pb2.PredictStreamRequest) == streamed.SerializeToString()


def test_a_response_passes_through_its_mirror_unchanged() -> None:
    response = predict_pb2.PredictResponse(
        query_id=2**53 - 1,
        output=values_pb2.Output(string="x"),
        default=True,
        default_reason=predict_pb2.DEFAULT_REASON_LATE,
        default_explanation="late",
        confidence=0.5,
        contributions=[predict_pb2.Contribution(model="m", latency_us=3)],
        timing=predict_pb2.Timing(),
    )
    assert through(response, wire_pb2.PredictResponse) == response.SerializeToString()
