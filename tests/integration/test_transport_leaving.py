"""Deadlines, and callers that leave: served by each transport, to each transport's channel and to grpcio's own client.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio

from wires import Calls, Wire, ask, now_ns

from clipper_rpc.errors import Code
from clipper_rpc.transport import (
    Reply,
    Unary,
    UnaryCall,
)

ECHO = "/test.Echo/Echo"
HOLD = "/test.Echo/Hold"
SOON_S = 20
"""Far less than what would be waited for otherwise, and far more than a busy machine needs."""


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


async def test_the_deadline_travels(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle)})
    deadline_ns = now_ns() + 5_000_000_000
    asked = asyncio.create_task(ask(caller, HOLD, deadline_ns=deadline_ns))
    call = await calls.next()
    assert call.deadline_ns is not None
    assert abs(call.deadline_ns - deadline_ns) < 500_000_000
    call.reply(b"in time")
    assert (await asked).payload == b"in time"


async def test_a_call_without_deadline_has_none(wire: Wire) -> None:
    calls = Calls()
    asked = asyncio.create_task(ask(await wire.both({HOLD: Unary(calls.handle)}), HOLD))
    call = await calls.next()
    assert call.deadline_ns is None
    call.reply(b"")
    await asked


async def test_when_the_deadline_passes_the_caller_has_its_answer_and_the_handler_is_told_once(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle), ECHO: Unary(echo)})
    for patience_ms in (200, 1000, 5000):
        started_ns = now_ns()
        reply = await ask(caller, HOLD, deadline_ns=started_ns + patience_ms * 1_000_000)
        waited_s = (now_ns() - started_ns) / 1e9
        assert reply.status.code == Code.DEADLINE_EXCEEDED
        assert 0.75 * patience_ms / 1000 < waited_s < SOON_S
        if not calls.seen.empty():
            break  # else this machine paused: what is late before the handler has seen it never gets there
    call = await calls.next_left()
    call.reply(b"too late")  # does nothing
    assert (await ask(caller, ECHO, b"x")).payload == b"x"
    assert calls.left.qsize() == calls.seen.qsize() - 1


async def test_a_deadline_that_has_passed_ends_the_call_at_once(wire: Wire) -> None:
    caller = await wire.both({HOLD: Unary(Calls().handle)})
    started_ns = now_ns()
    reply = await ask(caller, HOLD, deadline_ns=started_ns - 1)
    assert reply.status.code == Code.DEADLINE_EXCEEDED
    assert (now_ns() - started_ns) / 1e9 < SOON_S


async def test_a_caller_that_cancels_is_told_to_the_handler_once_and_hears_nothing(wire: Wire) -> None:
    calls = Calls()
    heard: list[Reply] = []
    caller = await wire.both({HOLD: Unary(calls.handle), ECHO: Unary(echo)})
    call = caller.call(HOLD, b"", heard.append)
    held = await calls.next()
    call.cancel()
    call.cancel()
    assert await calls.next_left() is held
    held.reply(b"nobody hears it")
    assert (await ask(caller, ECHO, b"x")).payload == b"x"
    assert calls.left.empty()
    assert heard == []


async def test_a_call_cancelled_before_it_was_sent_is_never_heard_of(wire: Wire) -> None:
    calls = Calls()
    heard: list[Reply] = []
    caller = await wire.both({HOLD: Unary(calls.handle), ECHO: Unary(echo)})
    caller.call(HOLD, b"", heard.append).cancel()
    assert (await ask(caller, ECHO, b"x")).payload == b"x"
    while not calls.seen.empty():  # it may have been sent, and taken back
        await calls.next()
        await calls.next_left()
    assert heard == []


async def test_cancelling_after_the_answer_changes_nothing(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle), ECHO: Unary(echo)})
    answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    call = caller.call(HOLD, b"", answered.set_result)
    (await calls.next()).reply(b"done")
    assert (await answered).payload == b"done"
    call.cancel()
    assert (await ask(caller, ECHO, b"x")).payload == b"x"
    assert calls.left.empty()


async def test_a_connection_that_breaks_is_told_to_all_its_handlers(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle)})
    asked = [asyncio.create_task(ask(caller, HOLD)) for _ in range(3)]
    held = {await calls.next() for _ in asked}
    await caller.close()
    assert {await calls.next_left() for _ in asked} == held
    assert {(await each).status.code for each in asked} == {Code.CANCELLED}


async def test_one_caller_that_leaves_spares_its_neighbours(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle)})
    asked = [asyncio.create_task(ask(caller, HOLD, b"%d" % n)) for n in range(3)]
    leaving = caller.call(HOLD, b"leaving", lambda reply: None)
    held = [await calls.next() for _ in range(4)]
    leaving.cancel()
    assert (await calls.next_left()).payload == b"leaving"
    for call in held:
        call.reply(call.payload)
    assert [(await each).payload for each in asked] == [b"0", b"1", b"2"]
