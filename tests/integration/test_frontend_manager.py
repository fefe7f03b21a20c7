"""The frontend beside a real manager and a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from peers import DOUBLES, PeerModel, doubles

from clipper.registry.v1 import registry_pb2, registry_pb2_grpc
from clipper.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc, values_pb2
from processes import Process, RedisServer, free_port, module


@dataclass
class Chain:
    """Redis, a manager, a frontend, and one replica of "sum" behind application "app"."""

    redis: RedisServer
    manager: Process
    frontend: Process
    admin: admin_pb2_grpc.AdminServiceStub
    predict: predict_pb2_grpc.PredictServiceStub
    registry: registry_pb2_grpc.RegistryServiceStub
    lease_id: str

    async def asks(self, value: float) -> predict_pb2.PredictResponse:
        request = predict_pb2.PredictRequest(application="app", input=doubles(value), bypass_cache=True)
        reply: predict_pb2.PredictResponse = await self.predict.Predict(request)
        return reply

    async def renew(self) -> None:
        """Renews the replica's lease, as its runtime would."""
        while True:
            try:
                await self.registry.RenewLease(
                    registry_pb2.RenewLeaseRequest(lease_id=self.lease_id), wait_for_ready=True, timeout=5
                )
            except grpc.aio.AioRpcError as error:
                assert error.code() != grpc.StatusCode.NOT_FOUND  # noqa: PT017
            await asyncio.sleep(1)


@pytest.fixture
async def chain(own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Chain]:
    port = str(free_port())
    manager = Process(
        module("clipper_manager", "--port", port, "--redis-url", own_redis.url), log=tmp_path / "manager.log"
    )
    await asyncio.to_thread(manager.start)
    frontend = Process(
        module("clipper_frontend", "--port", "0", "--manager", manager.address, "--grace-s", "5"),
        log=tmp_path / "frontend.log",
    )
    await asyncio.to_thread(frontend.start)
    try:
        async with (
            PeerModel() as peer,
            grpc.aio.insecure_channel(manager.address) as to_manager,
            grpc.aio.insecure_channel(frontend.address) as to_frontend,
        ):
            admin = admin_pb2_grpc.AdminServiceStub(to_manager)
            registry = registry_pb2_grpc.RegistryServiceStub(to_manager)
            await configure(admin)
            registered = await registry.RegisterReplica(
                registry_pb2.RegisterReplicaRequest(
                    model="sum", version="1", address=peer.address, input_type=DOUBLES, host="here", runtime="test"
                )
            )
            made = Chain(
                own_redis,
                manager,
                frontend,
                admin,
                predict_pb2_grpc.PredictServiceStub(to_frontend),
                registry,
                registered.lease.lease_id,
            )
            renewing = asyncio.ensure_future(made.renew())
            yield made
            renewing.cancel()
    finally:
        await asyncio.to_thread(frontend.stop)
        await asyncio.to_thread(manager.stop)


async def configure(admin: admin_pb2_grpc.AdminServiceStub) -> None:
    version = admin_pb2.ModelVersion(model="sum", version="1", input_type=DOUBLES)
    await admin.CreateModelVersion(admin_pb2.CreateModelVersionRequest(model_version=version, activate=True))
    application = admin_pb2.Application(
        name="app",
        input_type=DOUBLES,
        default_output=values_pb2.Output(string="-1"),
        latency_objective=Duration(seconds=5),
    )
    await admin.CreateApplication(admin_pb2.CreateApplicationRequest(application=application))
    await admin.LinkModel(admin_pb2.LinkModelRequest(application="app", model="sum"))


async def until_predicted(chain: Chain, value: float) -> predict_pb2.PredictResponse:
    async with asyncio.timeout(30):
        while True:
            try:
                reply = await chain.asks(value)
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND  # noqa: PT017
            else:
                if not reply.default:
                    return reply
            await asyncio.sleep(0.01)


async def test_what_is_configured_while_it_runs_is_served_and_what_is_deleted_is_not(chain: Chain) -> None:
    assert (await until_predicted(chain, 3)).output.number == 3
    await chain.admin.DeleteApplication(admin_pb2.DeleteApplicationRequest(application="app"))
    async with asyncio.timeout(30):
        with pytest.raises(grpc.aio.AioRpcError, match='No application "app"'):
            while True:
                await chain.asks(1)


async def test_it_is_listed_as_an_instance(chain: Chain) -> None:
    async with asyncio.timeout(30):
        while True:
            listed = await chain.admin.ListInstances(admin_pb2.ListInstancesRequest())
            frontends = [each for each in listed.instances if each.kind == admin_pb2.Instance.KIND_FRONTEND]
            if frontends:
                break
            await asyncio.sleep(0.01)
    assert [each.address for each in frontends] == [chain.frontend.address]


async def test_manager_and_redis_may_be_killed_and_come_back_while_every_query_is_answered(chain: Chain) -> None:
    await until_predicted(chain, 1)
    chain.manager.send_signal(signal.SIGKILL)
    await asyncio.to_thread(chain.manager.wait)
    chain.redis.kill()
    for each in range(100):
        assert (await chain.asks(each)).output.number == each
    await asyncio.to_thread(chain.redis.start)
    await asyncio.to_thread(chain.manager.start)
    for each in range(100):
        assert (await chain.asks(each)).output.number == each
    application = admin_pb2.Application(name="app", input_type=DOUBLES, default_output=values_pb2.Output(string="-1"))
    application.latency_objective.FromMilliseconds(1234)
    update = admin_pb2.UpdateApplicationRequest(application=application)
    await chain.admin.UpdateApplication(update, wait_for_ready=True)
    describe = predict_pb2.DescribeApplicationRequest(application="app")
    async with asyncio.timeout(30):
        while (await chain.predict.DescribeApplication(describe)).latency_objective.ToMilliseconds() != 1234:
            assert not (await chain.asks(1)).default
            await asyncio.sleep(0.01)
