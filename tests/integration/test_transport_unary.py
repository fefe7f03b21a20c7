"""Unary calls, their statuses, metadata and limits: served by each transport, to its channels and grpcio's own client.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import grpc
import pytest
from wires import Calls, ForeignClient, Wire, ask

from clipper_rpc.errors import Code, ModelError, NoReplica, Overloaded
from clipper_rpc.status import from_status
from clipper_rpc.transport import (
    AnsweredWithMetadata,
    Metadata,
    Status,
    StreamCall,
    Streaming,
    Unary,
    UnaryCall,
)

ECHO = "/test.Echo/Echo"
HOLD = "/test.Echo/Hold"
STREAM = "/test.Echo/Stream"


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_536, 1_000_000, 20_000_000])
async def test_a_payload_of_any_size_goes_there_and_back(wire: Wire, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    reply = await ask(await wire.both({ECHO: Unary(echo)}), ECHO, payload)
    assert reply.status == Status(Code.OK)
    assert reply.payload == payload
    assert reply.trailing == ()


async def test_many_calls_at_once_get_their_own_answers(wire: Wire) -> None:
    caller = await wire.both({ECHO: Unary(echo)})
    replies = await asyncio.gather(*(ask(caller, ECHO, b"%d" % number) for number in range(500)))
    assert [reply.payload for reply in replies] == [b"%d" % number for number in range(500)]


async def test_calls_are_answered_later_and_in_any_order(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle)})
    asked = [asyncio.create_task(ask(caller, HOLD, b"%d" % number)) for number in range(5)]
    held = [await calls.next() for _ in asked]
    for call in reversed(held):
        call.reply(b"to " + call.payload)
    assert [(await each).payload for each in asked] == [b"to %d" % number for number in range(5)]


async def test_only_the_first_answer_counts(wire: Wire) -> None:
    def twice(call: UnaryCall) -> None:
        call.reply(b"first")
        call.reply(b"second")
        call.fail(NoReplica(model="m", version="1"))

    caller = await wire.both({ECHO: Unary(twice)})
    assert (await ask(caller, ECHO)).payload == b"first"


async def test_a_call_knows_its_method(wire: Wire) -> None:
    caller = await wire.both({name: Unary(lambda call: call.reply(call.method.encode())) for name in (ECHO, HOLD)})
    assert (await ask(caller, HOLD)).payload == HOLD.encode()


async def test_a_domain_error_arrives_as_the_same_error(wire: Wire) -> None:
    error = ModelError(model="m", version="1", kind="ValueError", problem='100 % "schlecht"\n— ünglücklich')
    caller = await wire.both({ECHO: Unary(lambda call: call.fail(error))})
    got = from_status((await ask(caller, ECHO)).status)
    assert (type(got), got.fields, got.message) == (ModelError, error.fields, error.message)


async def test_a_handler_that_raises_a_domain_error_fails_the_call_with_it(wire: Wire) -> None:
    def handle(call: UnaryCall) -> None:
        raise Overloaded(model="m", version="1", queued="3")

    got = from_status((await ask(await wire.both({ECHO: Unary(handle)}), ECHO)).status)
    assert isinstance(got, Overloaded)


async def test_a_handler_that_breaks_answers_internal_and_the_server_goes_on(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(call: UnaryCall) -> None:
        raise KeyError("secret")

    caller = await wire.both({ECHO: Unary(handle), HOLD: Unary(echo)})
    status = (await ask(caller, ECHO)).status
    assert status.code == Code.INTERNAL
    assert "secret" not in status.message
    assert any(record.exc_info for record in caplog.records), "the trace belongs into the log"
    assert (await ask(caller, HOLD, b"still here")).payload == b"still here"


@pytest.mark.parametrize("code", [code for code in Code if code != Code.OK], ids=lambda code: code.name)
async def test_every_status_arrives_with_its_text(wire: Wire, code: Code) -> None:
    status = Status(code, f"text of {code.name}: 100 %\r\nzwei Zeilen, 模型 %41")
    caller = await wire.both({ECHO: Unary(lambda call: call.fail(status))})
    assert (await ask(caller, ECHO)).status == status


async def test_details_of_a_status_arrive_byte_for_byte(wire: Wire) -> None:
    status = Status(Code.ABORTED, "", bytes(range(256)))
    caller = await wire.both({ECHO: Unary(lambda call: call.fail(status))})
    assert (await ask(caller, ECHO)).status == status


async def test_request_metadata_reaches_the_handler(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle)})
    sent: Metadata = (
        ("traceparent", "00-1-2-01"),
        ("twice", "a"),
        ("twice", "b, c"),
        ("raw-bin", bytes(range(256))),
        ("empty-bin", b""),
    )
    asked = asyncio.create_task(ask(caller, HOLD, metadata=sent))
    call = await calls.next()
    assert [each for each in call.metadata if each[0] in dict(sent)] == list(sent)
    call.reply(b"")
    await asked


async def test_trailing_metadata_reaches_the_caller(wire: Wire) -> None:
    trailing: Metadata = (("cost", "3"), ("raw-bin", b"\x00\xff"))
    caller = await wire.both({ECHO: Unary(lambda call: call.reply(b"x", trailing))})
    reply = await ask(caller, ECHO)
    assert (reply.payload, reply.trailing) == (b"x", trailing)


async def test_an_unknown_method_is_unimplemented(wire: Wire) -> None:
    caller = await wire.both({ECHO: Unary(echo)})
    assert (await ask(caller, "/test.Echo/Nothing")).status.code == Code.UNIMPLEMENTED
    assert (await ask(caller, ECHO, b"x")).payload == b"x"


# ---------------------------------------------------------------- limits


async def test_a_request_above_the_limit_is_refused_and_others_go_on(wire: Wire) -> None:
    caller = await wire.both({ECHO: Unary(echo)}, max_message_bytes=100_000)
    assert (await ask(caller, ECHO, bytes(100_001))).status.code == Code.RESOURCE_EXHAUSTED
    assert len((await ask(caller, ECHO, bytes(100_000))).payload) == 100_000


async def test_a_response_above_the_callers_limit_is_refused_and_others_go_on(wire: Wire) -> None:
    server = await wire.serve({ECHO: Unary(lambda call: call.reply(bytes(int(call.payload))))})
    caller = wire.connect(server, max_message_bytes=1000)
    assert (await ask(caller, ECHO, b"1001")).status.code == Code.RESOURCE_EXHAUSTED
    assert len((await ask(caller, ECHO, b"1000")).payload) == 1000


async def test_many_large_requests_at_once_do_not_block_one_another(wire: Wire) -> None:
    caller = await wire.both({ECHO: Unary(lambda call: call.reply(b"%d" % len(call.payload)))})
    payload = bytes(1_000_000)
    replies = await asyncio.gather(*(ask(caller, ECHO, payload) for _ in range(200)))
    assert {reply.payload for reply in replies} == {b"1000000"}


async def test_many_large_responses_at_once_do_not_block_one_another(wire: Wire) -> None:
    caller = await wire.both({ECHO: Unary(lambda call: call.reply(bytes(int(call.payload))))})
    replies = await asyncio.gather(*(ask(caller, ECHO, b"1000000") for _ in range(200)))
    assert {len(reply.payload) for reply in replies} == {1_000_000}


# ---------------------------------------------------------------- metadata


async def test_initial_and_trailing_metadata_reach_grpcios_client(served: Wire) -> None:
    initial: Metadata = (("where", "here"), ("raw-bin", b"\x00\xff"))
    trailing: Metadata = (("cost", "3"), ("raw-bin", b"\x01"))

    def set_both(call: object) -> None:
        answered = cast(AnsweredWithMetadata, call)
        answered.set_initial_metadata(initial)
        answered.set_trailing_metadata(trailing)

    def unary(call: UnaryCall) -> None:
        set_both(call)
        if call.payload:
            call.fail(NoReplica(model="m", version="1"))
        else:
            call.reply(b"")

    async def stream(call: StreamCall) -> None:
        set_both(call)
        async for payload in call.requests():
            if payload:
                raise NoReplica(model="m", version="1")
            await call.send(b"")

    caller = await served.both({ECHO: Unary(unary), STREAM: Streaming(stream)})
    assert isinstance(caller, ForeignClient)
    for payload, code in ((b"", grpc.StatusCode.OK), (b"x", grpc.StatusCode.UNAVAILABLE)):
        for method in (ECHO, STREAM):
            rpc = caller.channel.unary_stream(method)(payload)
            with contextlib.suppress(grpc.aio.AioRpcError):
                assert [each async for each in rpc] == [b""]
            assert await rpc.code() == code
            assert set(trailing) <= set(await rpc.trailing_metadata())
            if code == grpc.StatusCode.OK:
                assert set(initial) <= set(await rpc.initial_metadata())
