"""What all frontends learn, as it happens: one subscription.

Nothing polls: the follower sleeps until something comes. A silent connection is asked now and then whether it lives.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from redis.exceptions import RedisError

from clipper_frontend.selection_store.pipe import connection, problem_of
from clipper_rpc.errors import StoreUnavailable

_log = logging.getLogger(__name__)

_SILENCE_S = 15.0

T = TypeVar("T")


async def follow(url: str, channel: str, read: Callable[[bytes], T]) -> AsyncIterator[T | None]:
    """Yields None once every later message will come, then each message.

    Raises:
        StoreUnavailable: it broke; messages are missed from now on.
    """
    line = connection(url)
    try:
        await line.connect()  # type: ignore[no-untyped-call]  # redis has it untyped
        await line.send_command("SUBSCRIBE", channel)
        was_asked = False
        while True:
            reply = await line.read_response(timeout=_SILENCE_S, disconnect_on_error=False)
            match reply:
                case [b"message", _, text]:
                    try:
                        message = read(text)
                    except (ValueError, LookupError, TypeError, AttributeError):
                        _log.warning("change_not_understood", extra={"channel": channel})
                        continue
                    yield message
                case [b"subscribe", *_]:
                    yield None
                case None if was_asked:
                    raise StoreUnavailable(problem="it is silent")
                case None:
                    await line.send_command("PING")
            was_asked = reply is None
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(problem=problem_of(error)) from error
    finally:
        await line.disconnect(nowait=True)
