"""Feedback through real frontends and a real Redis: counted exactly, by all as one, whatever dies."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from schools import NAMES, Asker, Frontends, doubles, frontends, until

from clipper.v1 import values_pb2
from clipper_rpc.errors import ClipperError, FeedbackInterrupted, QueryNotFound, StoreUnavailable
from processes import RedisServer

RIGHT = values_pb2.Output(number=1)


@pytest.fixture
async def house(tmp_path: Path, redis_url: str) -> AsyncIterator[Frontends]:
    async with frontends(tmp_path, redis_url) as made:
        await made.models(right=1.0, wrong=0.0)
        made.application("epsilon_greedy", "right", "wrong", loss="zero_one", epsilon=0)
        yield made


async def test_counters_equal_what_was_acknowledged_though_a_frontend_is_killed_and_each_outcome_is_sent_twice(
    house: Frontends,
) -> None:
    many = 10_000
    (doomed, first), (_, second) = await asyncio.gather(house.start(), house.start())
    todo = [f"token-{number}" for number in range(many)]
    acknowledged: set[str] = set()
    new = 0

    async def tell(asker: Asker) -> None:
        nonlocal new
        while todo:
            token = todo.pop()
            try:
                answer = await asker.tell(input=doubles(1), label=RIGHT, token=token)
            except ClipperError:  # its frontend is gone: nobody knows whether it was counted
                todo.append(token)
                asker = second
                continue
            assert answer.learned != answer.duplicate
            new += answer.learned
            acknowledged.add(token)
            if len(acknowledged) == many // 3 and doomed.is_running():
                doomed.send_signal(signal.SIGKILL)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(64):
            tasks.create_task(tell(first))
            tasks.create_task(tell(second))
    assert not doomed.is_running() or doomed.wait() == -signal.SIGKILL
    counted = {"right/plays": many, "right/reward": many, "wrong/plays": many, "wrong/reward": 0, "#observations": many}
    assert len(acknowledged) == many
    assert new <= many  # what the killed one had stored but not acknowledged was a duplicate then
    assert house.stored() == counted

    todo.extend(acknowledged)
    new = 0
    async with asyncio.TaskGroup() as tasks:
        for _ in range(64):
            tasks.create_task(tell(second))
    assert new == 0
    assert house.stored() == counted


async def test_what_one_frontend_learns_the_others_follow(house: Frontends) -> None:
    (_, taught), (_, other) = await asyncio.gather(house.start(), house.start())
    await other.predict()  # it knows the state as it was
    for _ in range(5):
        await taught.tell(input=doubles(1), label=values_pb2.Output(number=0))

    async def follows() -> bool:
        return (await other.predict()).output.number == 0

    await until(follows)
    for _ in range(10):
        await other.tell(input=doubles(1), label=RIGHT, context="ann")

    async def follows_ann() -> bool:
        return (await taught.predict(context="ann")).output.number == 1

    await until(follows_ann)
    assert (await taught.predict(context="bob")).output.number == (await taught.predict()).output.number


async def test_an_answered_query_is_known_to_every_frontend_until_its_time_is_over(house: Frontends) -> None:
    flags = ("--feedback-window-s", "2")
    (_, asked), (_, told) = await asyncio.gather(house.start(*flags), house.start(*flags))
    answer = await asked.predict(context="ann")
    chosen = answer.contributions[0].model
    done = await told.tell(query_id=answer.query_id, reward=0.25, token="t")
    assert done.learned
    assert house.stored() == {f"{chosen}/plays": 1, f"{chosen}/reward": 0.25, "#observations": 1}
    assert house.stored("ann") == house.stored()
    assert (await asked.tell(query_id=answer.query_id, reward=1.0, token="t")).duplicate
    with pytest.raises(QueryNotFound, match=r"up to 2 s after the answer"):
        await told.tell(query_id=answer.query_id + 1, reward=1.0)

    async def is_over() -> bool:
        try:
            await told.tell(query_id=answer.query_id, reward=1.0, token="t")
        except QueryNotFound:
            return True
        return False

    assert await until(is_over)


async def test_remembered_queries_and_contexts_are_bounded(house: Frontends) -> None:
    _, asker = await house.start("--max-remembered-queries", "10", "--max-contexts", "3")
    answers = [await asker.predict(number) for number in range(50)]

    with redis.Redis.from_url(house.redis_url) as client:

        async def is_bounded() -> bool:
            return client.exists(NAMES.shown_prefix + str(answers[-1].query_id)) == 1

        await until(is_bounded)
        assert len(list(client.scan_iter(NAMES.shown_prefix + "*", count=1000))) == 10
        for number in range(8):
            await asker.tell(input=doubles(1), label=RIGHT, context=f"user-{number}")
        prefix = NAMES.context_prefix("app", 1)
        kept = {key.decode().removeprefix(prefix) for key in client.scan_iter(prefix + "*", count=1000)}
        assert kept == {"user-5", "user-6", "user-7"}
        assert client.zcard(NAMES.contexts("app", 1)) == 3
        assert all(0 < client.pttl(prefix + context) <= 30 * 86_400_000 for context in kept)
    assert house.stored()["#observations"] == 8


async def test_another_policy_starts_with_nothing_and_is_not_taught_what_the_old_one_showed(house: Frontends) -> None:
    _, asker = await house.start()
    answer = await asker.predict()
    assert (await asker.tell(query_id=answer.query_id, reward=1.0)).learned
    house.application("ucb1", "right", "wrong", generation=5)

    async def is_stale() -> bool:
        return not (await asker.tell(query_id=answer.query_id, reward=1.0)).learned

    await until(is_stale)
    assert house.stored(generation=5) == {}
    assert (await asker.tell(input=doubles(1), label=RIGHT)).learned
    assert house.stored(generation=5)["#observations"] == 1


async def test_without_redis_predictions_go_on_by_the_last_state_and_feedback_is_refused(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    async with frontends(tmp_path, own_redis.url) as house:
        await house.models(right=1.0, wrong=0.0)
        house.application("epsilon_greedy", "right", "wrong", epsilon=0, loss="zero_one")
        _, asker = await house.start()
        for _ in range(5):
            await asker.tell(input=doubles(1), label=RIGHT)
        counted = house.stored()

        own_redis.kill()
        for _ in range(20):
            assert (await asker.predict()).output.number == 1
        with pytest.raises(StoreUnavailable) as refused:
            await asker.tell(input=doubles(1), label=RIGHT, token="t")
        assert refused.value.retry_after_s

        own_redis.start()

        async def is_back() -> bool:
            try:
                return (await asker.tell(input=doubles(1), label=RIGHT, token="t")).learned
            except StoreUnavailable:
                return False

        await until(is_back)
        assert house.stored() == {name: value + 1 for name, value in counted.items() if value} | {"wrong/reward": 0}

        with own_redis.paused(), pytest.raises(FeedbackInterrupted, match="same token"):
            await asker.tell(input=doubles(1), label=RIGHT, token="u")

        async def is_told() -> bool:
            try:
                await asker.tell(input=doubles(1), label=RIGHT, token="u")
            except (StoreUnavailable, FeedbackInterrupted):
                return False
            return True

        await until(is_told)
        assert house.stored()["#observations"] == counted["#observations"] + 2


async def test_models_that_do_not_answer_are_left_out_and_if_none_does_the_sender_is_told(house: Frontends) -> None:
    await house.models(lost=0.0)
    [key] = [key for key, each in house.registry.entities.items() if each.replica.model == "lost"]
    from clipper.registry.v1 import registry_pb2

    house.registry.put(deleted=[registry_pb2.EntityKey.FromString(key)])
    house.application("ucb1", "right", "lost")
    house.application("ucb1", "lost", name="deaf")
    _, asker = await house.start()
    assert (await asker.tell(input=doubles(1), label=RIGHT)).learned
    assert {name.partition("/")[0] for name in house.stored()} == {"right", "#observations"}
    with pytest.raises(ClipperError, match="No replica of model lost:1"):
        await asker.tell(app="deaf", input=doubles(1), label=RIGHT)
