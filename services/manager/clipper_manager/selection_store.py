"""What policies have learned, as people look at it: read, replaced and forgotten here, taught by the frontends.

How it lies in Redis: `clipper_selection.stored`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clipper_manager.redis_store import TIMEOUT_S, connected, mapped_errors
from clipper_selection.stored import FORGET, OBSERVATIONS, REVISION, SET, Names

_CONNECTIONS = 8
_CONTEXT_LIFE_MS = 30 * 24 * 3600 * 1000
_DELETED_HEAD_LIFE_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Learned:
    """One state."""

    context: str
    """Empty: the application's own."""
    values: Mapping[str, float]
    observations: int
    taught_ms: int = 0
    """When it was taught last, since 1970; 0 where that is not kept."""


class SelectionStore:
    """The selection states of one cluster."""

    def __init__(self, url: str, cluster: str) -> None:
        self._names = Names(cluster)
        self._redis = connected(url, TIMEOUT_S, _CONNECTIONS)
        self._set = self._redis.register_script(SET)
        self._forget = self._redis.register_script(FORGET)

    async def get(self, application: str, generation: int, context: str) -> Learned:
        """One state; an empty one if nothing was learned."""
        with mapped_errors():
            found: Any = await self._redis.hgetall(self._key(application, generation, context))
        return _learned(context, found)

    async def contexts(
        self, application: str, generation: int, cursor: int, count: int
    ) -> tuple[int, tuple[Learned, ...]]:
        """About `count` contexts with their states, and where to go on; 0 at the end."""
        with mapped_errors():
            cursor, found = await self._redis.zscan(
                self._names.contexts(application, generation), cursor=cursor, count=count
            )
            contexts = [(str(context), int(at_ms)) for context, at_ms in found]
            pipeline = self._redis.pipeline(transaction=False)
            for context, _ in contexts:
                pipeline.hgetall(self._key(application, generation, context))
            states: list[Any] = await pipeline.execute() if found else []
        pairs = zip(contexts, states, strict=True)
        return cursor, tuple(_learned(context, state, at_ms) for (context, at_ms), state in pairs if state)

    async def put(
        self, application: str, generation: int, context: str, values: Mapping[str, float], observations: int
    ) -> bool:
        """Replaces one state; False if the application has got another policy meanwhile."""
        names = self._names
        keys = (
            names.head(application),
            self._key(application, generation, context),
            names.contexts(application, generation),
        )
        text = json.dumps({name: repr(float(value)) for name, value in values.items()})
        arguments = (generation, names.channel, application, context, observations, text, _CONTEXT_LIFE_MS)
        with mapped_errors():
            return bool(await self._set(keys, arguments))

    async def forget(self, application: str, generation: int, *, now: int, is_deleted: bool = False) -> None:
        """Forgets what an application learned under a generation; `now`: the one that counts from here on."""
        while await self._run_forget(application, generation, now, "", is_deleted=is_deleted):
            pass

    async def forget_context(self, application: str, generation: int, context: str) -> None:
        """Forgets what belongs to one context."""
        await self._run_forget(application, generation, generation, context, is_deleted=False)

    async def _run_forget(self, application: str, generation: int, now: int, context: str, *, is_deleted: bool) -> int:
        names = self._names
        keys = (
            names.head(application),
            names.state(application, generation),
            names.contexts(application, generation),
        )
        life_ms = _DELETED_HEAD_LIFE_MS if is_deleted else 0
        prefix = names.context_prefix(application, generation)
        with mapped_errors():
            left = await self._forget(keys, (generation, now, names.channel, application, life_ms, prefix, context))
        return int(left)

    async def shadow(self, application: str, model: str) -> dict[str, int]:
        """The counters of a shadow."""
        with mapped_errors():
            found: Any = await self._redis.hgetall(self._names.shadow(application, model))
        return {name: int(value) for name, value in found.items()}

    async def forget_shadows(self, application: str, models: Iterable[str]) -> None:
        """Forgets the counters of shadows."""
        if keys := [self._names.shadow(application, model) for model in models]:
            with mapped_errors():
                await self._redis.unlink(*keys)

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _key(self, application: str, generation: int, context: str) -> str:
        if context:
            return self._names.context_prefix(application, generation) + context
        return self._names.state(application, generation)


def _learned(context: str, found: Mapping[str, str], at_ms: int = 0) -> Learned:
    values = {name: float(value) for name, value in found.items() if name not in (REVISION, OBSERVATIONS)}
    return Learned(context, values, int(found.get(OBSERVATIONS, 0)), at_ms)
