"""Commands to Redis in bursts: what gathers while one burst is under way is the next one.

One connection, made when it is first needed and again after it broke. Nothing is ever sent twice: a command whose
connection broke before its answer came may have been done, and its caller is told so.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from clipper_rpc.errors import ClipperError, StoreInterrupted, StoreUnavailable

CONNECT_S = 1.0
"""How long Redis may take for a connection."""
ANSWER_S = 3.0
"""How long Redis may take for a burst: no prediction waits for it, and an outcome in doubt is a nuisance."""
_MOST_AT_ONCE = 512
_MOST_WAITING = 100_000

Word = str | bytes | int | float


def connection(url: str, timeout_s: float | None = CONNECT_S) -> AbstractConnection:
    """A connection that is not made yet; None: reads wait for ever. `url`: redis://host:port/db, rediss://… or unix://path.

    Raises:
        ValueError: the URL is none of these.
    """
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_S,
        decode_responses=False,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )
    made: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis has it untyped
    return made


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and how Redis knows it once it has seen it."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        """The script of a text."""
        return cls(text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324  # Redis' own name for it


@dataclass(slots=True)
class _Command:
    words: tuple[Word, ...]
    script: Script | None
    done: asyncio.Future[Any]

    def packed(self, *, is_known: bool) -> tuple[Word, ...]:
        if self.script is None:
            return self.words
        return ("EVALSHA", self.script.sha, *self.words) if is_known else ("EVAL", self.script.text, *self.words)

    def answer(self, reply: object) -> None:
        if not self.done.done():
            self.done.set_result(reply)

    def fail(self, error: ClipperError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Pipe:
    """Sends commands, in order."""

    def __init__(self, url: str) -> None:
        self._connection = connection(url, None)
        self._waiting: list[_Command] = []
        self._has_work = asyncio.Event()

    async def command(self, *words: Word) -> Any:
        """Has a command done.

        Raises:
            StoreUnavailable: Redis cannot be reached; nothing was done.
            StoreInterrupted: the connection broke before the answer came: it may have been done.
        """
        return await self._put(words, None)

    async def script(self, script: Script, keys: tuple[str, ...], arguments: tuple[Word, ...]) -> Any:
        """Has a script run. Raises as `command` does."""
        return await self._put((len(keys), *keys, *arguments), script)

    async def _put(self, words: tuple[Word, ...], script: Script | None) -> Any:
        if len(self._waiting) >= _MOST_WAITING:
            raise StoreUnavailable(problem=f"{_MOST_WAITING} commands wait for it")
        command = _Command(words, script, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        self._has_work.set()
        return await command.done

    async def run(self) -> None:
        """Sends for ever. What still waits at its end fails, undone."""
        burst: list[_Command] = []
        try:
            while True:
                await self._has_work.wait()
                burst, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                if not self._waiting:
                    self._has_work.clear()
                await self._send(burst)
        finally:
            self._fail(burst, StoreInterrupted(problem="the frontend stops"))
            self._fail(self._waiting, StoreUnavailable(problem="the frontend stops"))
            await self._connection.disconnect(nowait=True)

    async def _send(self, burst: list[_Command]) -> None:
        try:
            await self._connect()
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(burst, StoreUnavailable(problem=problem_of(error)))
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                unknown = await self._exchange(burst, is_known=True)
                if unknown:
                    await self._exchange(unknown, is_known=False)
        except (RedisError, OSError, TimeoutError) as error:
            await self._connection.disconnect(nowait=True)
            self._fail(burst, StoreInterrupted(problem=problem_of(error)))

    async def _connect(self) -> None:
        """Connects, also if the connection broke while nobody used it: what is sent then would be in doubt."""
        line = self._connection
        if line.is_connected:
            try:
                # its name before redis-py 8; both say whether there is anything to read, the end included
                can_read = getattr(line, "can_read", None) or line.can_read_destructive
                if not await can_read():
                    return
            except (RedisError, OSError, TimeoutError):
                pass
            await line.disconnect(nowait=True)
        await line.connect()  # type: ignore[no-untyped-call]  # redis has it untyped

    async def _exchange(self, burst: list[_Command], *, is_known: bool) -> list[_Command]:
        """Sends and answers a burst; returns those whose script Redis does not know, which were not done."""
        packed = b"".join([packed_command(command.packed(is_known=is_known)) for command in burst])
        await self._connection.send_packed_command(packed, check_health=False)
        unknown: list[_Command] = []
        for command in burst:
            try:
                command.answer(await self._connection.read_response(disconnect_on_error=False))
            except NoScriptError:
                unknown.append(command)
            except (ResponseError, BusyLoadingError) as error:  # it said no: nothing was done
                command.fail(StoreUnavailable(problem=problem_of(error)))
        return unknown

    @staticmethod
    def _fail(burst: list[_Command], error: ClipperError) -> None:
        for command in burst:
            command.fail(error)


def packed_command(words: tuple[Word, ...]) -> bytes:
    """A command as it travels. Source: the RESP specification (an array of bulk strings)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        encoded = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(parts)


def problem_of(error: BaseException) -> str:
    """What went wrong with Redis, for people."""
    kind = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    if isinstance(error, RedisConnectionError):
        kind = "no connection"
    return f"{kind}: {error}".rstrip(": .")
