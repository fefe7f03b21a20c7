"""What a frontend asks of Redis: learn, read, follow; remember what was shown, and recall it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipper_frontend.selection.learned import Change, Changed
from clipper_frontend.selection.lessons import Lesson, Taught
from clipper_frontend.selection_store.changes import follow
from clipper_frontend.selection_store.pipe import Pipe, Script, Word
from clipper_selection import Bound, State, stored
from clipper_selection.stored import OBSERVATIONS, REVISION

_LEARN = Script.of(stored.LEARN)
_REMEMBER = Script.of(stored.REMEMBER)


@dataclass(frozen=True, slots=True)
class Lives:
    """How long things are kept, and how many."""

    token_s: float
    context_s: float
    max_contexts: int
    shown_s: float
    max_shown: int


class SelectionStore:
    """One cluster's selection state and remembered queries."""

    def __init__(self, url: str, cluster: str, lives: Lives) -> None:
        """Connects to nothing yet.

        Raises:
            ValueError: the URL is not redis://host:port/db, rediss://… or unix://path.
        """
        self._url = url
        self._names = stored.Names(cluster)
        self._lives = lives
        self._pipe = Pipe(url)

    async def run(self) -> None:
        """Works for ever; costs nothing while nothing is asked."""
        await self._pipe.run()

    async def teach(self, lesson: Lesson) -> Taught:
        """See teaching.Store."""
        names, lives, of, generation = self._names, self._lives, lesson.application, lesson.generation
        prefix = names.context_prefix(of, generation)
        keys = (
            names.head(of),
            names.state(of, generation),
            names.contexts(of, generation),
            names.token(of, generation, lesson.token),
            prefix + lesson.context,
        )
        arguments: tuple[Word, ...] = (
            *(str(generation), names.channel, of, lesson.context, lesson.token),
            *(_ms(lives.token_s), _ms(lives.context_s), lives.max_contexts, prefix),
            _increments(lesson.own, lesson.bounds, {}),
            _increments(lesson.contexts_own, lesson.bounds, lesson.inherited) if lesson.context else "",
        )
        outcome, told = await self._pipe.script(_LEARN, keys, arguments)
        match outcome:
            case b"learned":
                return Taught(change=change_of(told))
            case b"duplicate":
                return Taught(is_duplicate=True)
            case _:
                return Taught(is_stale=True)

    async def read(self, application: str, generation: int, context: str) -> tuple[State, int]:
        """A state and its revision; 0 if there is none."""
        names = self._names
        key = (
            names.context_prefix(application, generation) + context if context else names.state(application, generation)
        )
        found = await self._pipe.command("HGETALL", key)
        state = {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}
        revision = int(state.pop(REVISION, 0))
        state.pop(OBSERVATIONS, None)
        return {name: float(value) for name, value in state.items()}, revision

    def follow(self) -> AsyncIterator[Change | None]:
        """See learning.Store."""
        return follow(self._url, self._names.channel, change_of)

    async def remember(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Keeps what was shown, by query id."""
        lives = self._lives
        words = [word for query_id, record in records for word in (query_id, record)]
        arguments: tuple[Word, ...] = (self._names.shown_prefix, _ms(lives.shown_s), lives.max_shown, *words)
        await self._pipe.script(_REMEMBER, (self._names.shown,), arguments)

    async def recall(self, query_id: int) -> bytes | None:
        """What was shown for a query; None if it is not remembered."""
        found: bytes | None = await self._pipe.command("GET", f"{self._names.shown_prefix}{query_id}")
        return found

    async def count_shadow(self, application: str, model: str, counters: Mapping[str, int]) -> None:
        """Adds to the counters of a shadow."""
        await self._pipe.script(
            _COUNT,
            (self._names.shadow(application, model),),
            tuple(word for name, by in counters.items() for word in (name, by)),
        )


_COUNT = Script.of("for at = 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1]) end return 1")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _increments(add: Mapping[str, float], bounds: Sequence[Bound], start: Mapping[str, float]) -> str:
    return json.dumps(
        {
            "add": {name: repr(float(by)) for name, by in add.items()},
            "bounds": [[repr(float(each.spread)), each.names] for each in bounds],
            "start": {name: repr(float(value)) for name, value in start.items()},
        },
        separators=(",", ":"),
    )


def change_of(text: bytes) -> Change:
    """The change in a message of the scripts. Lua writes an empty list as {}."""
    message: dict[str, Any] = json.loads(text)
    return Change(
        message["application"],
        int(message["generation"]),
        tuple(
            Changed(
                each["context"],
                int(each["revision"]),
                each["whole"],
                {name: float(value) for name, value in each["values"].items()},
            )
            for each in message["states"]
        ),
        tuple(message["dropped"]),
    )
