"""What applications have learned, taught as frontends do and looked at through a real manager, on a real Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import redis
from managers import client, manager
from schools import NAMES, until

from clipper.v1 import admin_pb2
from clipper_frontend.selection.learned import Change
from clipper_frontend.selection.lessons import Lesson
from clipper_frontend.selection_store import Lives, SelectionStore
from clipper_rpc.errors import ApplicationNotFound, InvalidField, NotSupported
from clipper_selection import Bound
from clipper_selection.shadows import count
from processes import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIVES = Lives(token_s=100, context_s=100, max_contexts=5, shown_s=100, max_shown=100)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    with redis.Redis.from_url(redis_server.url) as emptied:
        emptied.flushall()
    with manager(redis_server.url, tmp_path_factory.mktemp("manager")) as process:
        async with client(process) as connected:
            yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def store(redis_server: RedisServer) -> AsyncIterator[SelectionStore]:
    """A frontend's store, running."""
    made = SelectionStore(redis_server.url, "default-cluster", LIVES)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait((task,))


async def application(admin: Any, name: str, policy: str = "exp4") -> admin_pb2.Application:
    await admin.create_application(name)
    return await with_policy(admin, name, policy)


async def with_policy(admin: Any, name: str, policy: str, **parameters: float) -> admin_pb2.Application:
    found = (await admin("GetApplication", application=name)).application
    found.selection_policy.Clear()
    found.selection_policy.name = policy
    found.selection_policy.parameters.update(parameters)
    updated: admin_pb2.Application = (await admin("UpdateApplication", application=found)).application
    return updated


def lesson(of: admin_pb2.Application, **fields: Any) -> Lesson:
    return replace(Lesson(of.name, of.selection_generation, "", "", own={"a/plays": 1.0}), **fields)


async def state(admin: Any, name: str, context: str = "") -> tuple[dict[str, float], int]:
    found = await admin("GetSelectionState", application=name, context=context)
    return dict(found.state), found.observation_count


async def test_what_was_taught_is_shown_for_the_application_and_for_contexts(admin: Any, store: SelectionStore) -> None:
    app = await application(admin, "shown")
    assert await state(admin, "shown") == ({}, 0)
    for _ in range(3):
        await store.teach(lesson(app, own={"a/plays": 1.0, "a/reward": 0.1}))
    await store.teach(
        lesson(app, context="ann", contexts_own={"a/plays": 1.0}, inherited={"a/plays": 0.5, "b/plays": 2.0})
    )
    values, observations = await state(admin, "shown")
    assert values == {"a/plays": 4.0, "a/reward": pytest.approx(0.3)}
    assert observations == 4
    assert await state(admin, "shown", "ann") == ({"a/plays": 1.5, "b/plays": 2.0}, 1)
    [listed] = (await admin("ListSelectionStates", application="shown")).selection_states
    assert (listed.context, dict(listed.state), listed.observation_count) == (
        "ann",
        {"a/plays": 1.5, "b/plays": 2.0},
        1,
    )
    assert listed.update_time.seconds > 1e9


async def test_bounded_names_stay_close_together_within_the_same_step(admin: Any, store: SelectionStore) -> None:
    app = await application(admin, "bounded")
    bounds = (Bound(("a/gain", "b/gain", "c/gain"), 2.0),)
    await store.teach(lesson(app, own={"a/gain": -1.0, "b/gain": -10.0, "other": -99.0}, bounds=bounds))
    assert (await state(admin, "bounded"))[0] == {"a/gain": -1.0, "b/gain": -2.0, "other": -99.0}
    await store.teach(lesson(app, own={"c/gain": 3.5}, bounds=bounds))
    values = {"a/gain": -2.0, "b/gain": -2.0, "c/gain": 0.0, "other": -99.0}
    assert (await state(admin, "bounded"))[0] == values
    await store.teach(lesson(app, own={"b/gain": 0.1 + 1e-9}, bounds=bounds))
    assert (await state(admin, "bounded"))[0]["b/gain"] == pytest.approx(-1.9 + 1e-9, abs=1e-12)


async def test_a_state_is_replaced_and_those_who_follow_are_told(admin: Any, store: SelectionStore) -> None:
    app = await application(admin, "replaced")
    await store.teach(lesson(app))
    told: list[Change] = []
    following = asyncio.Event()

    async def follow() -> None:
        async for change in store.follow():
            following.set()
            if change is not None:
                told.append(change)

    task = asyncio.create_task(follow())
    await following.wait()
    await admin("SetSelectionState", application="replaced", state={"b/plays": 7.25}, observation_count=9)
    await admin("SetSelectionState", application="replaced", context="ann", state={"b/plays": 1})
    assert await state(admin, "replaced") == ({"b/plays": 7.25}, 9)
    assert await state(admin, "replaced", "ann") == ({"b/plays": 1.0}, 0)
    await store.teach(lesson(app, own={"b/plays": 1.0}))
    await admin("ResetSelectionState", application="replaced", context="ann")
    assert await state(admin, "replaced", "ann") == ({}, 0)
    await admin("ResetSelectionState", application="replaced")
    assert await state(admin, "replaced") == ({}, 0)
    await until(lambda: asyncio.sleep(0, len(told) >= 5))
    task.cancel()
    first, second, third, fourth, fifth = told
    [whole] = first.states
    assert (whole.is_whole, dict(whole.values), whole.context) == (True, {"b/plays": 7.25}, "")
    assert second.states[0].context == "ann"
    assert (third.states[0].revision, dict(third.states[0].values)) == (whole.revision + 1, {"b/plays": 8.25})
    assert (fourth.dropped, fifth.dropped) == (("ann",), ("",))


@pytest.mark.parametrize("how", ["another policy", "deleted"])
async def test_with_its_policy_or_itself_what_an_application_has_learned_goes(
    admin: Any, store: SelectionStore, redis_server: RedisServer, how: str
) -> None:
    name = how.replace(" ", "-")
    old = await application(admin, name)
    kept = await with_policy(admin, name, "exp4", eta=0.5)
    assert kept.selection_generation == old.selection_generation
    for user in range(4):
        await store.teach(lesson(old, context=f"user-{user}", contexts_own={"a/plays": 1.0}))
    if how == "deleted":
        await admin("DeleteApplication", application=name)
        with pytest.raises(ApplicationNotFound):
            await admin("GetSelectionState", application=name)
    else:
        new = await with_policy(admin, name, "exp3")
        assert new.selection_generation > old.selection_generation
        assert await state(admin, name) == ({}, 0)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as looked_into:

        async def is_gone() -> bool:
            return not list(looked_into.scan_iter(f"{NAMES.head(name)}:*", count=1000))

        await until(is_gone)
    assert (await store.teach(lesson(old, token="late"))).is_stale  # a frontend that has not heard of it
    again = await (application(admin, name) if how == "deleted" else with_policy(admin, name, "ucb1"))
    assert (await store.teach(lesson(again))).change is not None
    assert (await state(admin, name))[1] == 1


async def test_counters_of_shadows_are_read_and_go_with_their_link(
    admin: Any, store: SelectionStore, redis_server: RedisServer
) -> None:
    await application(admin, "shadowed")
    for model in ("live", "next"):
        await admin.create_version(model, "1")
    await admin("LinkModel", application="shadowed", model="live")
    linked = await admin("LinkModel", application="shadowed", model="next", shadow=True, shadow_share=0.5)
    assert [(link.model, link.shadow, link.shadow_share) for link in linked.application.links] == [
        ("live", False, 0.0),
        ("next", True, 0.5),
    ]
    for agreed in (True, True, False):
        await store.count_shadow("shadowed", "next", count(shadow_us=2000, given_us=900, agreed=agreed, error=""))
    await store.count_shadow("shadowed", "next", count(shadow_us=None, given_us=900, agreed=None, error="LATE"))
    [found] = (await admin("CompareShadows", application="shadowed")).shadows
    assert (found.model, found.share, found.query_count, found.answer_count) == ("next", 0.5, 4, 3)
    assert (found.compared_count, found.agreed_count, dict(found.errors)) == (3, 2, {"LATE": 1})
    assert (found.latency.mean_us, found.application_latency.mean_us) == (2000, 900)
    await admin("UnlinkModel", application="shadowed", model="next")
    assert not (await admin("CompareShadows", application="shadowed")).shadows
    with redis.Redis.from_url(redis_server.url) as looked_into:

        async def is_gone() -> bool:
            return not looked_into.exists(NAMES.shadow("shadowed", "next"))

        await until(is_gone)


@pytest.mark.parametrize(
    ("name", "fields", "error"),
    [
        ("GetSelectionState", {"application": "nobody"}, ApplicationNotFound),
        ("GetSelectionState", {"application": "checked", "context": "x" * 257}, InvalidField),
        ("SetSelectionState", {"application": "checked", "state": {"a/plays": math.nan}}, InvalidField),
        ("SetSelectionState", {"application": "checked", "state": {"a/plays": 1e300}}, InvalidField),
        ("SetSelectionState", {"application": "checked", "state": {"#revision": 1.0}}, InvalidField),
        ("SetSelectionState", {"application": "checked", "state": {"": 1.0}}, InvalidField),
        ("SetSelectionState", {"application": "checked", "observation_count": -1}, InvalidField),
        ("SetSelectionState", {"application": "still", "state": {"a/plays": 1.0}}, NotSupported),
        ("ResetSelectionState", {"application": "nobody"}, ApplicationNotFound),
        ("ListSelectionStates", {"application": "checked", "page_size": -1}, InvalidField),
        ("ListSelectionStates", {"application": "checked", "page_token": "x"}, InvalidField),
        ("CompareShadows", {"application": "nobody"}, ApplicationNotFound),
        ("LinkModel", {"application": "checked", "model": "m", "shadow_share": 0.5}, InvalidField),
        ("LinkModel", {"application": "checked", "model": "m", "shadow": True, "shadow_share": 1.5}, InvalidField),
    ],
)
async def test_what_cannot_be_is_refused(admin: Any, name: str, fields: dict[str, Any], error: type[Exception]) -> None:
    existing = {each.name for each in (await admin("ListApplications")).applications}
    if "checked" not in existing:
        await application(admin, "checked")
        await admin.create_application("still")
    with pytest.raises(error):
        await admin(name, **fields)
