"""The store on Redis: scripts for what must be atomic, one blocking read for the stream of changes.

Nothing polls: a follower sleeps in XREAD. Redis' own errors end here, as StoreUnavailable.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from clipper_manager import records, redis_scripts
from clipper_manager.resources import Entity
from clipper_manager.state import Change
from clipper_manager.store import Committed, Entry, HistoryBroken, Image, Position, Replaced, Stale
from clipper_rpc.errors import StoreInterrupted, StoreUnavailable

TIMEOUT_S = 1.0
"""How long Redis may take for a command, and for a connection."""
BLOCK_S = 5.0
"""How long a follower sleeps at most before it makes sure that Redis is still there."""
MAX_CONNECTIONS = 32


class RedisStore:
    """One cluster's configuration in one Redis database, under `clipper:{cluster}:`."""

    def __init__(self, url: str, cluster: str, *, lease_ttl_s: float, history: int) -> None:
        """Keeps the latest `history` changes. `url`: redis://host:port/db, rediss://… or unix://path.

        Raises:
            ValueError: the URL is none of these.
        """
        self._prefix = f"clipper:{cluster}:"
        self._lease_ttl_ms = round(lease_ttl_s * 1000)
        self._history = history
        self._redis = connected(url, TIMEOUT_S, MAX_CONNECTIONS)
        self._following = connected(url, BLOCK_S + TIMEOUT_S, 2)
        self._keys = [self._prefix + name for name in redis_scripts.KEYS]
        self._load = self._redis.register_script(redis_scripts.LOAD)
        self._begin_epoch = self._redis.register_script(redis_scripts.BEGIN_EPOCH)
        self._commit = self._redis.register_script(redis_scripts.COMMIT)
        self._renew = self._redis.register_script(redis_scripts.RENEW)
        self._end = self._redis.register_script(redis_scripts.END)
        self._expire = self._redis.register_script(redis_scripts.EXPIRE)

    async def load(self) -> Image:
        """See Store.load."""
        with mapped_errors():
            reply = await self._load(self._keys, [secrets.token_hex(8)])
        epoch, first, revision, pairs, entries, mark = reply
        return Image(
            Position(epoch, int(revision)),
            int(first),
            tuple(_entities(pairs)),
            tuple(_entry(entry_id, dict(zip(values[::2], values[1::2], strict=True))) for entry_id, values in entries),
            mark,
        )

    async def begin_epoch(self, instead_of: str) -> None:
        """See Store.begin_epoch."""
        with mapped_errors():
            await self._begin_epoch(self._keys, [instead_of, secrets.token_hex(8)])

    async def head(self) -> Position | None:
        """See Store.head."""
        with mapped_errors():
            epoch, revision = await self._redis.hmget(self._prefix + "meta", "epoch", "revision")
        return None if epoch is None or revision is None else Position(str(epoch), int(revision))

    async def follow(self, position: Position, mark: str) -> AsyncGenerator[Entry, None]:
        """See Store.follow. A store that was emptied and not begun anew is noticed within BLOCK_S."""
        changes, epochs = self._prefix + "changes", self._prefix + "epochs"
        revision = position.revision
        while True:
            with mapped_errors():
                streams: Any = await self._following.xread(
                    {changes: f"{revision}-0", epochs: mark}, count=256, block=int(BLOCK_S * 1000)
                )
                epoch = None if streams else await self._following.hget(self._prefix + "meta", "epoch")
            if not streams and epoch != position.epoch:
                raise HistoryBroken
            found = dict(streams)
            if epochs in found:
                raise HistoryBroken
            for entry_id, values in found.get(changes, ()):
                entry = _entry(entry_id, values)
                yield entry
                revision = entry.revision

    async def commit(self, base: Position, change: Change, commit_id: str) -> Committed | Stale | Replaced:
        """See Store.commit. One that breaks off is made again at once, on another connection."""
        arguments = self._commit_arguments(base, change, commit_id)
        try:
            outcome, *revision = await self._run_commit(arguments)
        except StoreInterrupted as error:
            try:
                outcome, *revision = await self._run_commit(arguments)
            except StoreUnavailable:
                raise error from None
        match outcome:
            case "committed":
                return Committed(int(revision[0]))
            case "stale":
                return Stale(int(revision[0]))
            case _:
                return Replaced()

    async def renew_lease(self, lease_id: str) -> bool:
        """See Store.renew_lease."""
        with mapped_errors():
            return bool(await self._renew(self._keys, [lease_id, self._lease_ttl_ms]))

    async def end_lease(self, lease_id: str) -> Position | None:
        """See Store.end_lease."""
        with mapped_errors():
            reply = await self._end(self._keys, [lease_id, secrets.token_hex(8), self._history])
        return Position(reply[0], int(reply[1])) if reply else None

    async def expire_leases(self) -> float:
        """See Store.expire_leases."""
        with mapped_errors():
            due_ms = await self._expire(self._keys, [secrets.token_hex(8), self._history])
        return math.inf if due_ms < 0 else due_ms / 1000

    async def reserve_query_ids(self, count: int) -> int:
        """See Store.reserve_query_ids."""
        with mapped_errors():
            return int(await self._redis.incrby(self._prefix + "ids", count)) - count + 1

    async def close(self) -> None:
        """See Store.close."""
        for client in (self._redis, self._following):
            await client.aclose()
            await client.connection_pool.disconnect()

    def _commit_arguments(self, base: Position, change: Change, commit_id: str) -> list[Any]:
        puts = [(put.key, records.encode(put)) for put in change.puts]
        counted: list[Any] = []
        for rows in (puts, [(key,) for key in change.deletes], change.leases, [(key,) for key in change.ended_leases]):
            counted.append(len(rows))
            for row in rows:
                counted.extend(row)
        delta = records.encode_changes(change.puts, change.deletes)
        at = [base.epoch, base.revision, base.revision + 1]
        return [*at, commit_id, self._history, self._lease_ttl_ms, delta, *counted]

    async def _run_commit(self, arguments: list[Any]) -> list[Any]:
        """Runs the script on a connection that is known to work, so that a failure before it is no doubtful one."""
        pool = self._redis.connection_pool
        command = [len(self._keys), *self._keys, *arguments]
        with mapped_errors():
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis has it untyped
        try:
            with mapped_errors(interrupted=True):
                await connection.send_command("EVALSHA", self._commit.sha, *command)
                try:
                    reply: list[Any] = await connection.read_response()
                except NoScriptError:
                    await connection.send_command("EVAL", redis_scripts.COMMIT, *command)
                    reply = await connection.read_response()
                return reply
        finally:
            await pool.release(connection)


def connected(url: str, timeout_s: float, connections: int) -> Redis:
    """A client that connects when it is first used."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
        protocol=2,
        # A connection that broke while it was idle is made again, once: all but commits may safely be sent twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    return Redis(connection_pool=pool)


@contextmanager
def mapped_errors(*, interrupted: bool = False) -> Iterator[None]:
    """Maps Redis' errors; `interrupted`: a lost connection leaves open what was done."""
    try:
        yield
    except (RedisError, OSError) as error:
        problem = f"{type(error).__name__}: {error}".rstrip(": .")
        is_reply = not isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError))
        if interrupted and not (is_reply or isinstance(error, BusyLoadingError)):
            raise StoreInterrupted(problem=problem) from error
        raise StoreUnavailable(problem=problem) from error


def _entities(pairs: list[str]) -> Iterator[Entity]:
    for key, text in zip(pairs[::2], pairs[1::2], strict=True):
        entity = records.decode(key, text)
        if entity is not None:
            yield entity


def _entry(entry_id: str, values: dict[str, str]) -> Entry:
    puts, deletes = records.decode_changes(values["changes"])
    return Entry(int(entry_id.partition("-")[0]), values["id"], puts, deletes)
