"""Bytes to fields and back, without looking inside inputs and outputs."""

from __future__ import annotations

import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from clipper.v1 import predict_pb2, values_pb2
from clipper_frontend import codec
from clipper_frontend.query import Batch, CacheHit, Query, Reason
from clipper_frontend.routes import Application, Link, Model, RouteTable, Version
from clipper_rpc.errors import InputTypeMismatch, InvalidField, Late

MS = 1_000_000
OUTPUT = values_pb2.Output(string="default")


def route(input_type: int = values_pb2.INPUT_TYPE_DOUBLES, *, default: bool = True):  # type: ignore[no-untyped-def]
    application = Application(
        "app", input_type, 100 * MS, OUTPUT.SerializeToString() if default else None, (Link("sum"),)
    )
    return RouteTable.of([application, Model("sum", "1"), Version("sum", "1", "uid", input_type)]).route("app")


def doubles(*values: float) -> bytes:
    return values_pb2.Input(doubles=values_pb2.Doubles(values=values)).SerializeToString()


VALUES = {
    values_pb2.INPUT_TYPE_BYTES: values_pb2.Input(bytes=b"x"),
    values_pb2.INPUT_TYPE_INTEGERS: values_pb2.Input(integers=values_pb2.Integers(values=[1])),
    values_pb2.INPUT_TYPE_FLOATS: values_pb2.Input(floats=values_pb2.Floats(values=[1])),
    values_pb2.INPUT_TYPE_DOUBLES: values_pb2.Input(doubles=values_pb2.Doubles(values=[1])),
    values_pb2.INPUT_TYPE_STRINGS: values_pb2.Input(string="x"),
    values_pb2.INPUT_TYPE_TENSORS: values_pb2.Input(tensor=values_pb2.Tensor(data=b"x")),
}


@pytest.mark.parametrize("wanted", list(VALUES))
@pytest.mark.parametrize("given_type", list(VALUES))
def test_an_input_must_be_of_the_applications_type(wanted: int, given_type: int) -> None:
    value = VALUES[given_type].SerializeToString()  # type: ignore[index]
    if wanted == given_type:
        assert codec.checked_input(value, route(wanted)) is value
    else:
        expected = f"takes inputs of type {codec.type_name(wanted)}, not {codec.type_name(given_type)}"
        with pytest.raises(InputTypeMismatch, match=expected):
            codec.checked_input(value, route(wanted))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 2047, 2048, 300_000])
def test_a_vector_of_any_length_is_handed_on_as_it_came(size: int) -> None:
    value = doubles(*[1.0] * size)
    assert codec.checked_input(value, route()) is value


@pytest.mark.parametrize("value", [b"", b"\x98\x06\x01"])
def test_an_input_without_a_value_is_refused_and_the_field_is_named(value: bytes) -> None:
    with pytest.raises(InvalidField, match='input: required; set the field "doubles"'):
        codec.checked_input(value, route())


@pytest.mark.parametrize("value", [b"\x22", b"\x22\x05\x0a", b"\x22\xff\xff\xff\xff\xff", b"\xff" * 9, b"\x2a\x01\xff"])
def test_what_is_no_input_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidField, match="input"):
        codec.checked_input(value, route())


def test_a_type_that_hides_behind_another_one_is_found() -> None:
    sneaky = doubles(1.0) + values_pb2.Input(string="x").SerializeToString()  # the last one of a oneof counts
    with pytest.raises(InputTypeMismatch, match="not strings"):
        codec.checked_input(sneaky, route())


def test_an_input_written_in_an_unusual_way_is_written_anew() -> None:
    in_two_parts = doubles(1.0) + doubles(2.0)
    assert codec.checked_input(in_two_parts, route()) == doubles(1.0, 2.0)
    with_unknown_field = doubles(1.0) + b"\x98\x06\x01"
    assert codec.checked_input(with_unknown_field, route()) == doubles(1.0)


@given(junk=st.binary(max_size=12), prefix=st.sampled_from([b"", b"\x22", b"\x22\x03", doubles(1.0)]))
def test_whatever_comes_is_an_input_of_the_type_or_refused(junk: bytes, prefix: bytes) -> None:
    try:
        checked = codec.checked_input(prefix + junk, route())
    except (InvalidField, InputTypeMismatch):
        return
    assert checked[0] >> 3 == values_pb2.INPUT_TYPE_DOUBLES
    length = checked[1]  # these are all short
    assert len(checked) == length + 2


@pytest.mark.parametrize("parse", [codec.parse_predict, codec.parse_predict_batch, codec.parse_predict_stream])
def test_what_cannot_be_parsed_is_refused_by_name(parse) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidField, match=r"request: not a clipper\.v1\.Predict"):
        parse(b"\xff\xff")


def test_a_context_has_at_most_256_bytes() -> None:
    codec.check_context("é" * 128)
    with pytest.raises(InvalidField, match="context: has more than 256 bytes"):
        codec.check_context("é" * 129)


def query(*, default: bool = True) -> Query:
    route_ = route(default=default)
    return Query(2**40 + 1, route_, route_.version_at(0), b"in", 10 * MS, 110 * MS, lambda _: None)


def answered(**batch: int) -> Query:
    sent = Batch(replica_id=3, rows=7, lingered_from_ns=12 * MS, sent_ns=14 * MS)
    sent.replied_ns = 19 * MS
    sent.model_us = 4000
    for name, value in batch.items():
        setattr(sent, name, value)
    made = query()
    made.succeed(values_pb2.Output(number=6.5).SerializeToString(), sent)
    return made


def response(made: Query, *, explain: bool = False, now_ns: int = 20 * MS) -> predict_pb2.PredictResponse:
    return predict_pb2.PredictResponse.FromString(codec.answer(made, now_ns, explain=explain))


def test_a_prediction_says_who_made_it_and_how_long_that_took() -> None:
    assert response(answered()) == predict_pb2.PredictResponse(
        query_id=2**40 + 1,
        output=values_pb2.Output(number=6.5),
        confidence=1.0,
        contributions=[predict_pb2.Contribution(model="sum", version="1", replica_id=3, weight=1.0, latency_us=9000)],
    )


@pytest.mark.parametrize("latency_us", [0, 1, 127, 128, 16_383, 16_384, 3_600_000_000])
def test_a_latency_of_any_size_is_told_and_none_as_a_microsecond_since_0_would_say_that_it_did_not_arrive(
    latency_us: int,
) -> None:
    made = answered(replied_ns=10 * MS + latency_us * 1000)
    assert response(made).contributions[0].latency_us == max(1, latency_us)


@given(query_id=st.integers(1, 2**53 - 1), size=st.integers(0, 70_000), latency_us=st.integers(0, 2**40))
def test_a_prediction_is_written_as_protobuf_would_write_it(query_id: int, size: int, latency_us: int) -> None:
    made = answered(replied_ns=10 * MS + latency_us * 1000)
    made.query_id, made.output = query_id, values_pb2.Output(string="x" * size).SerializeToString()
    written = codec.answer(made, 20 * MS, explain=False)
    assert predict_pb2.PredictResponse.FromString(written).SerializeToString() == written
    assert response(made).query_id == query_id
    assert len(response(made).output.string) == size


def test_timing_is_told_only_when_asked_for() -> None:
    assert not response(answered()).HasField("timing")
    assert response(answered(), explain=True).timing == predict_pb2.Timing(
        queue_us=4000, linger_us=2000, batch_rows=7, model_us=4000, network_us=1000, total_us=10_000
    )


def test_a_query_that_came_while_others_lingered_has_its_own_part_of_it() -> None:
    assert response(answered(lingered_from_ns=1 * MS), explain=True).timing.linger_us == 4000


def test_what_the_cache_has_answered_says_so_and_waited_for_nothing() -> None:
    made = query()
    made.succeed(values_pb2.Output(number=6.5).SerializeToString(), CacheHit(10 * MS))
    found = response(made, explain=True, now_ns=10 * MS + 30_000)
    assert list(found.contributions) == [
        predict_pb2.Contribution(model="sum", version="1", weight=1.0, latency_us=1, cached=True)
    ]
    assert found.confidence == 1.0
    assert found.timing == predict_pb2.Timing(total_us=30)


def test_what_joined_an_identical_query_says_so_and_tells_the_time_that_it_waited_itself() -> None:
    made = answered(sent_ns=6 * MS, lingered_from_ns=3 * MS, model_us=12_000)
    made.has_joined = True
    found = response(made, explain=True)
    assert found.contributions[0].joined
    assert found.timing == predict_pb2.Timing(batch_rows=7, model_us=9000, total_us=10_000)


def test_a_default_says_so_with_its_reason_and_who_was_asked() -> None:
    made = query()
    made.expire()
    found = response(made, explain=True)
    assert found == predict_pb2.PredictResponse(
        query_id=2**40 + 1,
        output=OUTPUT,
        default=True,
        default_reason=predict_pb2.DEFAULT_REASON_LATE,
        default_explanation="Failed to retrieve a prediction response within the specified latency SLO",
        contributions=[predict_pb2.Contribution(model="sum", version="1")],
        timing=predict_pb2.Timing(total_us=10_000),
    )


def test_where_nobody_was_asked_nobody_is_named() -> None:
    made = query()
    made.version = None
    made.fail(Reason.NO_MODEL)
    assert not response(made).contributions


def test_without_default_output_there_is_an_error_instead() -> None:
    made = query(default=False)
    made.expire()
    with pytest.raises(Late):
        codec.answer(made, 20 * MS, explain=False)


def test_in_a_batch_an_error_stands_in_the_place_of_its_input() -> None:
    late = query(default=False)
    late.expire()
    results = [codec.result(each, 20 * MS, explain=False) for each in (answered(), late)]
    found = predict_pb2.PredictBatchResponse.FromString(codec.batch_response(results))
    assert found.results[0].prediction.output.number == 6.5
    assert found.results[1].error.code == 4
    assert isinstance(found.results[1].error, status_pb2.Status)


def test_on_a_stream_prediction_and_error_carry_the_tag() -> None:
    late = query(default=False)
    late.expire()
    good, bad = (
        predict_pb2.PredictStreamResponse.FromString(codec.stream_response(2**64 - 1, each, 0, explain=False))
        for each in (answered(), late)
    )
    assert (good.tag, good.WhichOneof("outcome")) == (2**64 - 1, "prediction")
    assert (bad.tag, bad.WhichOneof("outcome")) == (2**64 - 1, "error")


def test_a_description_tells_what_a_client_must_know() -> None:
    found = predict_pb2.DescribeApplicationResponse.FromString(codec.description(route(default=False)))
    assert found.input_type == values_pb2.INPUT_TYPE_DOUBLES
    assert found.latency_objective.ToMilliseconds() == 100
    assert list(found.models) == ["sum"]
    assert not found.has_default_output
