"""How a process starts and stops: signals become an event, and after a clean stop the signal is raised again.

Source of the signal handling: uvicorn's capture_signals.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Set when the process shall stop, by a signal or by itself."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.signal: signal.Signals | None = None

    def set(self, received: signal.Signals | None = None) -> None:
        """Asks to stop. A second signal ends the process at once."""
        if self._event.is_set() and received is not None:
            signal.signal(received, signal.SIG_DFL)
            signal.raise_signal(received)
        self.signal = received or self.signal
        self._event.set()

    async def wait(self) -> None:
        """Returns when the process shall stop."""
        await self._event.wait()


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[StopRequest]:
    """Turns SIGTERM and SIGINT into a StopRequest while it is open."""
    loop = asyncio.get_running_loop()
    stop = StopRequest()
    for each in _SIGNALS:
        loop.add_signal_handler(each, stop.set, each)
    try:
        yield stop
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)


def run(main: Callable[[StopRequest], Coroutine[Any, Any, None]]) -> None:
    """Runs a process on uvloop until it is asked to stop; after a clean stop the signal that asked is raised again."""

    async def body() -> signal.Signals | None:
        async with stop_on_signals() as stop:
            await main(stop)
            return stop.signal

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(body())
    if received is not None:
        signal.signal(received, signal.SIG_DFL)
        signal.raise_signal(received)


def first_line(descriptor: int) -> asyncio.Future[bytes]:
    """The first line that comes through a pipe, or what came of it before its end. Takes over the descriptor.

    An event loop's `connect_read_pipe` would have the descriptor belong to two, the loop's handle and the file object,
    and when it is cancelled uvloop closes it twice: the second time it may be somebody else's.
    """
    loop = asyncio.get_running_loop()
    received = bytearray()
    line: asyncio.Future[bytes] = loop.create_future()

    def take() -> None:
        try:
            part = os.read(descriptor, 4096)
        except BlockingIOError:
            return
        received.extend(part)
        if (not part or b"\n" in part) and not line.done():
            line.set_result(bytes(received).partition(b"\n")[0])

    def end(_: asyncio.Future[bytes]) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)

    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, take)
    line.add_done_callback(end)
    return line
