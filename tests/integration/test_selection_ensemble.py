"""An ensemble through a real frontend process: what is dead or slow costs confidence, never the objective."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from peers import application
from schools import frontends

from clipper.model.v1 import model_service_pb2 as model_pb
from clipper.v1 import values_pb2

OBJECTIVE_MS = 600
AT_ONCE, IN_TURN = 50, 2
QUERIES = AT_ONCE * IN_TURN


async def asleep(_inputs: Sequence[values_pb2.Input]) -> list[model_pb.PredictResult]:
    """A model that is not done in time, ever."""
    await asyncio.Event().wait()
    return []


async def test_an_ensemble_with_a_dead_and_a_slow_member_is_right_in_time_and_less_sure(
    tmp_path: Path, redis_url: str
) -> None:
    async with frontends(tmp_path, redis_url) as cluster:
        peers = await cluster.models(one=7, two=7, three=7, dead=7, slow=7)
        await peers["dead"].stop()
        peers["slow"].compute = asleep
        entity = application("app", *peers, objective_ms=OBJECTIVE_MS)
        entity.application.selection_policy.name = "ensemble"
        entity.application.selection_policy.parameters.update({"combine": "vote"})
        cluster.registry.put(entity)
        _, frontend = await cluster.start("--cache-bytes", "0")
        replies = []
        for turn in range(IN_TURN):
            asked = [frontend.predict(turn * AT_ONCE + number, explain=True) for number in range(AT_ONCE)]
            replies += await asyncio.gather(*asked)
    assert [reply.output.number for reply in replies] == [7] * QUERIES
    assert not any(reply.default for reply in replies)
    took_us = sorted(reply.timing.total_us for reply in replies)
    assert took_us[QUERIES * 99 // 100] <= OBJECTIVE_MS * 1000
    for reply in replies:
        arrived = {each.model for each in reply.contributions if each.latency_us}
        assert arrived <= {"one", "two", "three"}
        assert len(reply.contributions) == 5
        assert reply.confidence * 5 == len(arrived)
    assert sum(reply.confidence for reply in replies) / QUERIES > 0.5
