"""How a process is asked to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator

import pytest
import uvloop

from clipper_rpc.lifecycle import StopRequest, first_line, run, stop_on_signals


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[signal.Signals]]:
    """Signals that the code under test would have raised."""
    signals: list[signal.Signals] = []
    monkeypatch.setattr("signal.raise_signal", signals.append)
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield signals
    for each, handler in before.items():
        signal.signal(each, handler)


async def test_who_waits_goes_on_when_stopping_is_asked_for() -> None:
    stop = StopRequest()
    waiting = asyncio.create_task(stop.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await waiting
    assert stop.signal is None


async def test_the_signal_that_asked_is_remembered() -> None:
    stop = StopRequest()
    stop.set(signal.SIGTERM)
    assert stop.signal == signal.SIGTERM


async def test_a_second_signal_ends_the_process_at_once(raised: list[signal.Signals]) -> None:
    stop = StopRequest()
    stop.set(signal.SIGTERM)
    stop.set(signal.SIGINT)
    assert raised == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


async def test_a_signal_after_the_process_stops_by_itself_keeps_the_reason(raised: list[signal.Signals]) -> None:
    stop = StopRequest()
    stop.set(signal.SIGTERM)
    stop.set()
    assert stop.signal == signal.SIGTERM
    assert raised == []


async def test_signals_set_the_event_only_while_it_is_listened_for() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 5)
        assert stop.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_process_raises_the_signal_again_once_it_has_stopped(raised: list[signal.Signals]) -> None:
    async def main(stop: StopRequest) -> None:
        stop.set(signal.SIGTERM)
        await stop.wait()
        assert raised == []

    run(main)
    assert raised == [signal.SIGTERM]


def test_a_process_that_ends_by_itself_raises_nothing(raised: list[signal.Signals]) -> None:
    async def main(stop: StopRequest) -> None:
        stop.set()

    run(main)
    assert raised == []


async def test_the_first_line_of_a_pipe_is_taken_in_parts_and_the_rest_left() -> None:
    read, write = os.pipe()
    line = first_line(read)
    os.write(write, b"hel")
    await asyncio.sleep(0)
    assert not line.done()
    os.write(write, b"lo\nworld")
    assert await line == b"hello"
    os.close(write)


async def test_a_pipe_that_ends_gives_what_came() -> None:
    read, write = os.pipe()
    line = first_line(read)
    os.write(write, b"half")
    os.close(write)
    assert await line == b"half"


def test_a_cancelled_wait_for_a_line_closes_the_pipe_once() -> None:
    async def cancelled() -> list[int]:
        read, write = os.pipe()
        line = first_line(read)
        line.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(BrokenPipeError):
            os.write(write, b"x")
        os.close(write)
        return [os.dup(0) for _ in range(4)]  # whoever closes again, closes one of these

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        opened = runner.run(cancelled())
    gc.collect()
    for each in opened:
        os.close(each)
