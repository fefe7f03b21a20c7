"""What every store of a manager must do. The fake and the one on Redis both run this suite.

A subclass has the fixtures `store` (empty, leases of TTL_S, a history of HISTORY changes) and `advance`, which lets
that many seconds pass by the store's clock.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from clipper_manager.resources import Application, Entity, InputType, Instance, InstanceKind
from clipper_manager.state import Change
from clipper_manager.store import Committed, Entry, HistoryBroken, Image, Position, Replaced, Stale, Store

TTL_S = 0.2
HISTORY = 5
Advance = Callable[[float], Awaitable[None]]


def application(name: str) -> Application:
    return Application(name, InputType.DOUBLES, default_output=b"\x00\xff", revision=1)


def instance(name: str, lease_id: str) -> Instance:
    return Instance(InstanceKind.FRONTEND, name, "127.0.0.1:1", lease_id)


def names(entities: tuple[Entity, ...]) -> list[str]:
    return sorted(entity.key for entity in entities)


async def put(store: Store, *entities: Entity, ended: tuple[str, ...] = ()) -> Position:
    """Commits entities, whatever is there."""
    base = (await store.load()).position
    outcome = await store.commit(base, Change(entities, (), ended), f"commit-{base.revision + 1}")
    assert isinstance(outcome, Committed)
    return Position(base.epoch, outcome.revision)


async def take(store: Store, image: Image, count: int) -> list[Entry]:
    """The next changes after an image."""
    taken: list[Entry] = []
    async with asyncio.timeout(10), aclosing(store.follow(image.position, image.mark)) as entries:
        async for entry in entries:
            taken.append(entry)
            if len(taken) == count:
                break
    return taken


class StoreContract:
    async def test_an_empty_store_begins_an_epoch_when_it_is_loaded(self, store: Store) -> None:
        assert await store.head() is None
        image = await store.load()
        assert image.position.epoch
        assert (image.position.revision, image.first_revision, image.entities, image.entries) == (0, 0, (), ())
        assert await store.head() == image.position
        assert (await store.load()).position == image.position

    async def test_a_commit_is_there_afterwards_as_it_was_made(self, store: Store) -> None:
        position = await put(store, application("a"), instance("i", "lease"))
        image = await store.load()
        assert image.position == position == Position(position.epoch, 1)
        assert set(image.entities) == {application("a"), instance("i", "lease")}
        assert image.entries == (Entry(1, "commit-1", (application("a"), instance("i", "lease")), ()),)

    async def test_a_commit_deletes_too(self, store: Store) -> None:
        base = await put(store, application("a"), application("b"))
        assert await store.commit(base, Change((), ("application/a",)), "id") == Committed(2)
        image = await store.load()
        assert names(image.entities) == ["application/b"]
        assert image.entries[-1] == Entry(2, "id", (), ("application/a",))

    async def test_a_commit_at_an_older_revision_does_nothing(self, store: Store) -> None:
        base = (await store.load()).position
        await put(store, application("a"))
        assert await store.commit(base, Change((application("b"),)), "id") == Stale(1)
        assert names((await store.load()).entities) == ["application/a"]

    async def test_a_commit_in_another_epoch_does_nothing(self, store: Store) -> None:
        await store.load()
        assert await store.commit(Position("another", 0), Change((application("b"),)), "id") == Replaced()
        assert (await store.load()).entities == ()

    async def test_a_commit_to_a_store_that_was_never_loaded_does_nothing(self, store: Store) -> None:
        assert await store.commit(Position("another", 0), Change((application("b"),)), "id") == Replaced()
        assert await store.head() is None

    async def test_the_same_commit_is_made_once(self, store: Store) -> None:
        base = (await store.load()).position
        change = Change((application("a"),))
        assert await store.commit(base, change, "id") == Committed(1)
        assert await store.commit(base, change, "id") == Committed(1)
        await put(store, application("b"))
        assert await store.commit(base, change, "id") == Committed(1)
        assert (await store.load()).position.revision == 2

    async def test_of_many_commits_at_one_revision_one_is_made(self, store: Store) -> None:
        base = (await store.load()).position
        changes = [Change((application(f"a{number}"),)) for number in range(20)]
        made = await asyncio.gather(*(store.commit(base, each, f"id{i}") for i, each in enumerate(changes)))
        assert sorted(type(outcome) is Committed for outcome in made) == [False] * 19 + [True]
        assert len((await store.load()).entities) == 1

    async def test_followers_get_every_change_in_order(self, store: Store) -> None:
        image = await store.load()
        first, second = (asyncio.ensure_future(take(store, image, 3)) for _ in range(2))
        for name in "abc":
            await put(store, application(name))
        for taken in (await first, await second):
            assert [(entry.revision, names(entry.puts)) for entry in taken] == [
                (1, ["application/a"]),
                (2, ["application/b"]),
                (3, ["application/c"]),
            ]

    async def test_a_follower_goes_on_after_what_it_has(self, store: Store) -> None:
        await put(store, application("a"))
        image = await store.load()
        await put(store, application("b"))
        assert [entry.revision for entry in await take(store, image, 1)] == [2]

    async def test_only_the_latest_changes_are_kept(self, store: Store) -> None:
        for number in range(HISTORY + 3):
            await put(store, application(f"a{number}"))
        image = await store.load()
        assert [entry.revision for entry in image.entries] == list(range(4, HISTORY + 4))
        assert len(image.entities) == HISTORY + 3

    async def test_a_new_epoch_keeps_content_and_revision_and_drops_history(self, store: Store) -> None:
        old = await put(store, application("a"))
        await store.begin_epoch(instead_of=old.epoch)
        image = await store.load()
        assert image.position.epoch != old.epoch
        assert (image.position.revision, image.first_revision, image.entries) == (1, 1, ())
        assert names(image.entities) == ["application/a"]
        assert await store.commit(old, Change((application("b"),)), "id") == Replaced()

    async def test_an_epoch_is_ended_once(self, store: Store) -> None:
        old = (await store.load()).position
        await store.begin_epoch(instead_of=old.epoch)
        new = (await store.load()).position
        await store.begin_epoch(instead_of=old.epoch)
        assert (await store.load()).position == new

    async def test_followers_learn_of_a_new_epoch(self, store: Store) -> None:
        image = await store.load()
        following = asyncio.ensure_future(take(store, image, 1))
        await asyncio.sleep(0)
        await store.begin_epoch(instead_of=image.position.epoch)
        with pytest.raises(HistoryBroken):
            await following

    async def test_a_lease_that_is_not_renewed_ends_with_what_holds_it(self, store: Store, advance: Advance) -> None:
        await put(store, application("a"), instance("i", "lease"))
        assert 0 < await store.expire_leases() <= TTL_S
        await advance(TTL_S * 1.1)
        assert await store.expire_leases() == math.inf
        image = await store.load()
        assert names(image.entities) == ["application/a"]
        assert image.entries[-1].deletes == ("instance/i",)
        assert not await store.renew_lease("lease")

    async def test_a_lease_that_is_renewed_lasts(self, store: Store, advance: Advance) -> None:
        position = await put(store, instance("i", "lease"))
        for _ in range(3):
            await advance(TTL_S * 0.6)
            assert await store.renew_lease("lease")
        assert await store.expire_leases() > 0
        assert (await store.load()).position == position  # a renewal is no change

    async def test_leases_that_are_due_together_end_in_one_change(self, store: Store, advance: Advance) -> None:
        await put(store, instance("i", "lease-i"), instance("j", "lease-j"))
        await advance(TTL_S * 1.1)
        await asyncio.gather(*(store.expire_leases() for _ in range(5)))
        image = await store.load()
        assert image.position.revision == 2
        assert sorted(image.entries[-1].deletes) == ["instance/i", "instance/j"]

    async def test_nothing_is_due_where_there_is_no_lease(self, store: Store) -> None:
        await put(store, application("a"))
        assert await store.expire_leases() == math.inf

    async def test_a_lease_can_be_ended_at_once_and_only_once(self, store: Store) -> None:
        position = await put(store, instance("i", "lease"))
        assert await store.end_lease("lease") == Position(position.epoch, 2)
        assert (await store.load()).entities == ()
        assert await store.end_lease("lease") is None
        assert await store.end_lease("never-there") is None
        assert (await store.load()).position.revision == 2

    async def test_a_commit_ends_leases(self, store: Store, advance: Advance) -> None:
        await put(store, instance("i", "old"))
        await put(store, instance("i", "new"), ended=("old",))
        assert not await store.renew_lease("old")
        assert await store.end_lease("old") is None
        assert await store.renew_lease("new")
        assert names((await store.load()).entities) == ["instance/i"]

    async def test_query_ids_are_never_given_twice(self, store: Store) -> None:
        firsts = await asyncio.gather(*(store.reserve_query_ids(100) for _ in range(10)))
        assert sorted(firsts) == [1 + 100 * number for number in range(10)]
