"""Feedback through real frontends and a real Redis: counted exactly, by all as one, whatever dies."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from schools import NAMES, Asker, Frontends, doubles, frontends, until

from clipper.registry.v1 import registry_pb2
from clipper.v1 import values_pb2
from clipper_rpc.errors import ApplicationNotFound, ClipperError, FeedbackInterrupted, QueryNotFound, StoreUnavailable
from clipperctl.evaluate import read
from processes import RedisServer

RIGHT = values_pb2.Output(number=1)


pytestmark = pytest.mark.asyncio(loop_scope="module")

WINDOW_S = 3


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> AsyncIterator[Frontends]:
    """A cluster in which every test has an application of its own name, that learns from losses of 0 or 1."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    async with frontends(tmp_path_factory.mktemp("frontends"), redis_server.url) as made:
        await made.models(right=1.0, wrong=0.0)
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def askers(house: Frontends) -> tuple[Asker, Asker]:
    """Two frontends that remember little, and log."""
    flags = ("--feedback-window-s", str(WINDOW_S), "--max-remembered-queries", "10", "--max-contexts", "3")
    flags += ("--prediction-log", str(house.directory / "log"))
    (_, one), (_, other) = await asyncio.gather(house.start(*flags), house.start(*flags))
    return one, other


async def learning(house: Frontends, app: str, *askers: Asker, policy: str = "epsilon_greedy") -> None:
    """Configures an application and waits until the frontends know it."""
    given = {"epsilon": 0} if policy == "epsilon_greedy" else {}
    house.application(policy, "right", "wrong", name=app, loss="zero_one", **given)
    for asker in askers:
        await until(partial(knows, asker, app))


async def knows(asker: Asker, app: str) -> bool:
    try:
        await asker.predict(app=app)
    except ApplicationNotFound:
        return False
    return True


async def test_what_one_frontend_learns_the_others_follow(house: Frontends, askers: tuple[Asker, Asker]) -> None:
    app, (taught, other) = "followed", askers
    await learning(house, app, taught, other)
    for _ in range(5):
        await taught.tell(app=app, input=doubles(1), label=values_pb2.Output(number=0))

    async def follows() -> bool:
        return (await other.predict(app=app)).output.number == 0

    await until(follows)
    for _ in range(10):
        await other.tell(app=app, input=doubles(1), label=RIGHT, context="ann")

    async def follows_ann() -> bool:
        return (await taught.predict(app=app, context="ann")).output.number == 1

    await until(follows_ann)
    assert (await taught.predict(app=app, context="bob")).output.number == (await taught.predict(app=app)).output.number


async def test_an_answered_query_is_known_to_every_frontend_until_its_time_is_over(
    house: Frontends, askers: tuple[Asker, Asker]
) -> None:
    app, (asked, told) = "remembered", askers
    await learning(house, app, asked, told)
    answer = await asked.predict(app=app, context="ann")
    chosen = answer.contributions[0].model
    done = await told.tell(app=app, query_id=answer.query_id, reward=0.25, token="t")
    assert done.learned
    assert house.stored(app=app) == {f"{chosen}/plays": 1, f"{chosen}/reward": 0.25, "#observations": 1}
    assert house.stored("ann", app=app) == house.stored(app=app)
    assert (await asked.tell(app=app, query_id=answer.query_id, reward=1.0, token="t")).duplicate
    with pytest.raises(QueryNotFound, match=f"up to {WINDOW_S} s after the answer"):
        await told.tell(app=app, query_id=answer.query_id + 1, reward=1.0)

    async def is_over() -> bool:
        try:
            await told.tell(app=app, query_id=answer.query_id, reward=1.0, token="t")
        except QueryNotFound:
            return True
        return False

    assert await until(is_over)


async def test_remembered_queries_and_contexts_are_bounded(house: Frontends, askers: tuple[Asker, Asker]) -> None:
    app, (asker, _) = "bounded", askers
    await learning(house, app, asker)
    answers = [await asker.predict(number, app=app) for number in range(50)]

    with redis.Redis.from_url(house.redis_url) as client:

        async def is_bounded() -> bool:
            return client.exists(NAMES.shown_prefix + str(answers[-1].query_id)) == 1

        await until(is_bounded)
        assert len(list(client.scan_iter(NAMES.shown_prefix + "*", count=1000))) == 10
        for number in range(8):
            await asker.tell(app=app, input=doubles(1), label=RIGHT, context=f"user-{number}")
        prefix = NAMES.context_prefix(app, 1)
        kept = {key.decode().removeprefix(prefix) for key in client.scan_iter(prefix + "*", count=1000)}
        assert kept == {"user-5", "user-6", "user-7"}
        assert client.zcard(NAMES.contexts(app, 1)) == 3
        assert all(0 < client.pttl(prefix + context) <= 30 * 86_400_000 for context in kept)
    assert house.stored(app=app)["#observations"] == 8


async def test_another_policy_starts_with_nothing_and_is_not_taught_what_the_old_one_showed(
    house: Frontends, askers: tuple[Asker, Asker]
) -> None:
    app, (asker, _) = "replaced", askers
    await learning(house, app, asker)
    answer = await asker.predict(app=app)
    assert (await asker.tell(app=app, query_id=answer.query_id, reward=1.0)).learned
    house.application("ucb1", "right", "wrong", name=app, generation=5)

    async def is_stale() -> bool:
        return not (await asker.tell(app=app, query_id=answer.query_id, reward=1.0)).learned

    await until(is_stale)
    assert house.stored(app=app, generation=5) == {}
    assert (await asker.tell(app=app, input=doubles(1), label=RIGHT)).learned
    assert house.stored(app=app, generation=5)["#observations"] == 1


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


async def test_models_that_do_not_answer_are_left_out_and_if_none_does_the_sender_is_told(
    house: Frontends, askers: tuple[Asker, Asker]
) -> None:
    app, (asker, _) = "partial", askers
    await house.models(lost=0.0)
    [key] = [key for key, each in house.registry.entities.items() if each.replica.model == "lost"]
    house.registry.put(deleted=[registry_pb2.EntityKey.FromString(key)])
    house.application("ucb1", "lost", name="deaf")
    house.application("ucb1", "right", "lost", name=app)
    await until(partial(knows, asker, app))
    assert (await asker.tell(app=app, input=doubles(1), label=RIGHT)).learned
    assert {name.partition("/")[0] for name in house.stored(app=app)} == {"right", "#observations"}
    with pytest.raises(ClipperError, match="No replica of model lost:1"):
        await asker.tell(app="deaf", input=doubles(1), label=RIGHT)


async def test_what_was_shown_is_logged_and_joined_with_what_came_of_it(
    house: Frontends, askers: tuple[Asker, Asker]
) -> None:
    app, (asked, told) = "logged", askers
    await learning(house, app, asked)
    for _ in range(5):
        answer = await asked.predict(app=app, context="ann")
        await told.tell(app=app, query_id=answer.query_id, reward=0.75)

    async def is_logged() -> bool:
        return len(read(house.directory / "log", app).queries) == 5

    await until(is_logged)
    log = read(house.directory / "log", app)
    assert set(log.models) == {"right", "wrong"}
    for query in log.queries:
        [(model, reward)] = query.rewards.items()
        assert (query.context, reward) == ("ann", 0.75)
        assert 0 < query.propensities[model] <= 1
    lines = [json.loads(line) for path in (house.directory / "log").iterdir() for line in path.read_text().splitlines()]
    [first, *_] = [line for line in lines if line["application"] == app and line["kind"] == "shown"]
    assert first["input"] == [1.0]
    assert first["output"] in (0.0, 1.0)


async def test_a_shadow_is_counted_and_changes_no_answer(house: Frontends, askers: tuple[Asker, Asker]) -> None:
    app, (asker, _) = "shadowed", askers
    await house.models(same=1.0, other=0.5)
    house.application("static", "right", name=app, shadows=("same", "other", "wrong"))
    await until(partial(knows, asker, app))
    for number in range(20):
        answer = await asker.predict(number, app=app)
        assert answer.output.number == 1
        assert [each.model for each in answer.contributions] == ["right"]

    with redis.Redis.from_url(house.redis_url, decode_responses=True) as client:

        def counted(model: str) -> Mapping[str, str]:
            found: Mapping[str, str] = client.hgetall(NAMES.shadow(app, model))
            return found

        async def are_counted() -> bool:
            return all(int(counted(model).get("queries", 0)) >= 20 for model in ("same", "other"))

        await until(are_counted)
        same, other = counted("same"), counted("other")
    assert same["answers"] == same["compared"] == same["agreed"] == same["queries"]
    assert (other["agreed"], other["compared"]) == ("0", other["queries"])


async def test_counters_equal_what_was_acknowledged_though_a_frontend_is_killed_and_each_outcome_is_sent_twice(
    house: Frontends, askers: tuple[Asker, Asker]
) -> None:
    many, app = 10_000, "exact"
    doomed, first = await house.start()
    second = askers[0]
    await learning(house, app, first, second)
    todo = [f"token-{number}" for number in range(many)]
    acknowledged: set[str] = set()
    new = 0

    async def tell(asker: Asker) -> None:
        nonlocal new
        while todo:
            token = todo.pop()
            try:
                answer = await asker.tell(app=app, input=doubles(1), label=RIGHT, token=token)
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
    assert house.stored(app=app) == counted

    todo.extend(acknowledged)
    new = 0
    async with asyncio.TaskGroup() as tasks:
        for _ in range(64):
            tasks.create_task(tell(second))
    assert new == 0
    assert house.stored(app=app) == counted
