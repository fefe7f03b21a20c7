"""Calls to the RegistryService of whichever manager answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from clipper.registry.v1.registry_pb2 import (
    DESCRIPTOR,
    EndLeaseRequest,
    EndLeaseResponse,
    RegisterInstanceRequest,
    RegisterInstanceResponse,
    RenewLeaseRequest,
    RenewLeaseResponse,
    ReserveQueryIdsRequest,
    ReserveQueryIdsResponse,
    WatchRequest,
    WatchResponse,
)
from clipper.v1.admin_pb2 import Instance
from clipper_frontend.instance import Lease
from clipper_rpc.errors import ClipperError, Code
from clipper_rpc.services import TypedClient
from clipper_rpc.transport import Channel, Transport

_TIMEOUT_NS = 5_000_000_000
_TRY_ANOTHER = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED}

M = TypeVar("M", bound=Message)


class RegistryClient:
    """The registry, at one of several managers: when one does not answer, the next one is asked.

    Args:
        addresses: of the managers, "host:port"; at least one.
    """

    def __init__(self, transport: Transport, addresses: Sequence[str], *, max_message_bytes: int) -> None:
        self._channels: list[Channel] = [
            transport.connect(address, max_message_bytes=max_message_bytes) for address in addresses
        ]
        self._service = DESCRIPTOR.services_by_name["RegistryService"]
        self._current = 0

    async def watch(self, epoch: str, revision: int) -> AsyncIterator[WatchResponse]:
        """Streams the configuration from the manager that answered last; after an error the next one is next."""
        client = TypedClient(self._channels[self._current], self._service)
        try:
            request = WatchRequest(epoch=epoch, revision=revision)
            async for response in client.stream("Watch", request, WatchResponse):
                yield response
        except ClipperError:
            self._turn()
            raise

    async def reserve_query_ids(self) -> tuple[int, int]:
        """Reserves a range of query ids: the first one, and how many."""
        response = await self._call("ReserveQueryIds", ReserveQueryIdsRequest(), ReserveQueryIdsResponse)
        return response.first, response.count

    async def register(self, instance_id: str, address: str, build: str, started_ns: int) -> Lease:
        """Registers this frontend, so that people see it. `started_ns` is wall clock."""
        instance = Instance(kind=Instance.KIND_FRONTEND, instance_id=instance_id, address=address, build=build)
        instance.create_time.FromNanoseconds(started_ns)
        response = await self._call(
            "RegisterInstance", RegisterInstanceRequest(instance=instance), RegisterInstanceResponse
        )
        return Lease(response.lease.lease_id, response.lease.ttl.ToNanoseconds())

    async def renew(self, lease_id: str) -> None:
        """Renews a lease. Raises LeaseEnded when there is none any more."""
        await self._call("RenewLease", RenewLeaseRequest(lease_id=lease_id), RenewLeaseResponse)

    async def end(self, lease_id: str) -> None:
        """Ends a lease."""
        await self._call("EndLease", EndLeaseRequest(lease_id=lease_id), EndLeaseResponse)

    async def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels:
            await channel.close()

    async def _call(self, name: str, request: Message, response_class: type[M]) -> M:
        """Asks one manager after the other, each once. Raises the last error when none answers."""
        for others in reversed(range(len(self._channels))):
            client = TypedClient(self._channels[self._current], self._service)
            try:
                return await client.call(name, request, response_class, deadline_ns=time.monotonic_ns() + _TIMEOUT_NS)
            except ClipperError as error:
                if error.code not in _TRY_ANOTHER:
                    raise
                self._turn()
                if not others:
                    raise
        raise AssertionError("there is at least one manager")

    def _turn(self) -> None:
        self._current = (self._current + 1) % len(self._channels)
