"""Time as the event loop keeps it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class LoopClock:
    """The engine's clock on a running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now_ns = time.monotonic_ns  # the loop's own, without a call in between: they are asked all the time
        self.call_soon: Callable[[Callable[[], None]], object] = loop.call_soon

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """See deadlines.Clock. Up to about 2 ms late: loops count in whole milliseconds, so this one rounds up."""
        wait_ms = max(0, -((time.monotonic_ns() - when_ns) // 1_000_000))
        return self._loop.call_later(wait_ms / 1000, callback)

    async def sleep(self, wait_ns: int) -> None:
        """Waits so many nanoseconds."""
        await asyncio.sleep(wait_ns / 1e9)
