"""Overload, second tries and what is learned, on a real frontend process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from houses import House, asking
from peers import application, model, replica, sums, version
from wires import TRANSPORTS

from clipper.model.v1 import model_service_pb2 as model_pb
from clipper.v1 import inspect_pb2, inspect_pb2_grpc, predict_pb2, values_pb2

PATIENCE_S = 60


class Gate:
    """A model that takes its time, stands still while it is shut, and tells when its work was taken back."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.opened = asyncio.Event()
        self.opened.set()
        self.cancelled = asyncio.Event()

    async def __call__(self, inputs: Sequence[values_pb2.Input]) -> Sequence[model_pb.PredictResult]:
        try:
            await asyncio.sleep(self.takes_s)
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await sums(inputs)


@pytest.fixture
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with House(tmp_path / "frontend.log", transport=getattr(request, "param", "auto")) as made:
        yield made


async def profile(channel: grpc.aio.Channel, name: str = "sum") -> inspect_pb2.GetModelProfileResponse:
    stub = inspect_pb2_grpc.InspectServiceStub(channel)
    found: inspect_pb2.GetModelProfileResponse = await stub.GetModelProfile(
        inspect_pb2.GetModelProfileRequest(model=name)
    )
    return found


async def test_what_cannot_be_in_time_is_refused_while_the_model_still_works_on_the_first(house: House) -> None:
    gate = Gate(takes_s=0.5)
    peer = await house.model(gate)
    house.registry.put(
        application("app", "sum", objective_ms=5000),
        application("bare", "sum", objective_ms=5000, default=None),
        *(model("sum"), version("sum", max_batch_rows=1), replica("sum", peer.address)),
    )
    process = await house.start()
    stub = await house.stub(process)
    assert not (await stub.Predict(asking(1.0))).default  # now it is known that one takes a tenth of the objective
    gate.opened.clear()
    async with asyncio.timeout(PATIENCE_S):
        asked = [asyncio.ensure_future(stub.Predict(asking(float(number)))) for number in range(40)]
        refused = [await each for each in islice(asyncio.as_completed(asked), 30)]
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Predict(asking(1.0, app="bare"))
        for each in asked:
            each.cancel()
    assert {each.default_reason for each in refused} == {predict_pb2.DEFAULT_REASON_OVERLOADED}
    assert "more queries than it can answer in time" in refused[0].default_explanation
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing = dict(failed.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert any(each.Unpack(retry) for each in status.details)
    assert retry.retry_delay.ToMilliseconds() > 0
    found = await profile(await house.channel(process))
    assert found.refused_hopeless >= 31


@pytest.mark.parametrize("house", TRANSPORTS, indirect=True)
async def test_a_straggler_is_overtaken_by_another_replica_and_its_work_is_taken_back(house: House) -> None:
    gates = [Gate(), Gate()]
    peers = [await house.model(gate) for gate in gates]
    house.registry.put(
        *(application("app", "sum", objective_ms=30_000), model("sum"), version("sum", hedge_percent=100)),
        *(replica("sum", peer.address, replica_id=number) for number, peer in enumerate(peers)),
    )
    process = await house.start()
    stub, channel = await house.stub(process), await house.channel(process)

    async def at_once(*values: float) -> list[predict_pb2.PredictResponse]:
        return await asyncio.gather(*(stub.Predict(asking(*values)) for _ in range(4)))

    async with asyncio.timeout(PATIENCE_S):
        # Several at once: who is on trial, for a pause of this machine, is asked only where no other one is idle.
        while not all(each.samples >= 4 for each in (await profile(channel)).replicas):
            assert not any(reply.default for reply in await at_once(1.0))
        gates[0].cancelled.clear()
        gates[0].opened.clear()
        while True:
            assert {reply.output.number for reply in await at_once(2.0, 3.0)} == {5}
            found = await profile(channel)
            is_overtaken = gates[0].cancelled.is_set() and found.hedges_won
            if is_overtaken and [each.on_trial for each in found.replicas] == [True, False]:
                break
        assert found.hedges >= found.hedges_won
        assert found.hedged_rows <= found.rows


async def under_way(channel: grpc.aio.Channel) -> int:
    """How many queries wait, or are with replicas that get one at a time."""
    found = await profile(channel)
    return found.waiting_rows + sum(each.batches_in_flight for each in found.replicas)


@pytest.mark.parametrize("house", TRANSPORTS, indirect=True)
async def test_of_a_thousand_clients_that_leave_at_random_nothing_stays_behind(house: House) -> None:
    gate = Gate()
    gate.opened.clear()
    peer = await house.model(gate)
    house.registry.put(
        *(application("app", "sum", objective_ms=50_000), model("sum"), version("sum"), replica("sum", peer.address))
    )
    process = await house.start()
    stub, channel = await house.stub(process), await house.channel(process)
    async with asyncio.timeout(PATIENCE_S):
        calls = [stub.Predict(asking(float(number))) for number in range(1000)]
        while await under_way(channel) < 1000:
            await asyncio.sleep(0)
        leaving = frozenset(random.Random(1).sample(range(1000), 700))
        for number in leaving:
            calls[number].cancel()
        while await under_way(channel) > 300:
            await asyncio.sleep(0)
        gate.opened.set()
        stay = [number for number in range(1000) if number not in leaving]
        assert [(await calls[number]).output.number for number in stay] == stay
    assert await under_way(channel) == 0
    found = await profile(channel)
    assert found.rows == 300 + found.abandoned_batches  # who left while it waited never came to the model


async def test_a_profile_of_what_is_not_there_is_not_found(house: House) -> None:
    house.registry.put(application("app"))
    channel = await house.channel(await house.start())
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await profile(channel, "nobody")
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
