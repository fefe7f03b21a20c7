"""Calls the manager's RegistryService from a plain thread, at the first of several addresses that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from clipper.registry.v1 import registry_pb2, registry_pb2_grpc
from clipper_rpc.errors import Cancelled, Code
from clipper_rpc.status import from_status
from clipper_rpc.transport import Status
from clipper_runtime.names import InputType

M = TypeVar("M", bound=Message)

_DETAILS_KEY = "grpc-status-details-bin"
_REGISTER_TIMEOUT_S = 5.0  # the manager asks for our health meanwhile
_TIMEOUT_S = 2.0
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # a channel of our own, without an earlier one's backoff
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),  # the cluster's own addresses
]


@dataclass(frozen=True, slots=True)
class Replica:
    """What a replica tells of itself when it registers."""

    model: str
    version: str
    input_type: InputType
    address: str
    host: str
    runtime: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A registration that has to be renewed."""

    lease_id: str
    ttl_s: float
    replica_id: int


class RegistryClient:
    """Calls one manager at a time. Used by one thread; only `cancel` may be called by another one."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)
        self._channel: Any = None  # grpc has no types
        self._running: Any = None
        self._lock = Lock()
        self._is_cancelled = False

    @property
    def address(self) -> str:
        """The manager that is asked next."""
        return self._addresses[0]

    def register(self, replica: Replica) -> Lease:
        """Registers a replica.

        Raises:
            ClipperError: that of the manager; UNAVAILABLE if it cannot be reached.
        """
        request = registry_pb2.RegisterReplicaRequest(
            model=replica.model,
            version=replica.version,
            address=replica.address,
            input_type=replica.input_type.number,  # type: ignore[arg-type]  # an enum's number
            host=replica.host,
            runtime=replica.runtime,
        )
        response: registry_pb2.RegisterReplicaResponse = self._call("RegisterReplica", request, _REGISTER_TIMEOUT_S)
        return Lease(response.lease.lease_id, _seconds(response.lease), response.replica_id)

    def renew(self, lease: Lease) -> Lease:
        """Renews a lease. Raises as `register`; LeaseEnded if it has ended."""
        response: registry_pb2.RenewLeaseResponse = self._call(
            "RenewLease", registry_pb2.RenewLeaseRequest(lease_id=lease.lease_id), _TIMEOUT_S
        )
        return Lease(lease.lease_id, _seconds(response.lease), lease.replica_id)

    def end(self, lease: Lease, timeout_s: float) -> None:
        """Ends a lease. Raises as `register`."""
        with self._lock:
            self._is_cancelled = False
        self._call("EndLease", registry_pb2.EndLeaseRequest(lease_id=lease.lease_id), timeout_s)

    def switch(self) -> None:
        """Asks the next manager from now on, on a new connection."""
        self.close()
        self._addresses.append(self._addresses.pop(0))

    def cancel(self) -> None:
        """Ends the call that is under way, and all later ones but `end`."""
        with self._lock:
            self._is_cancelled = True
            if self._running is not None:
                self._running.cancel()

    def close(self) -> None:
        """Closes the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _call(self, method: str, request: Message, timeout_s: float) -> Any:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.address, options=_OPTIONS)
        stub = registry_pb2_grpc.RegistryServiceStub(self._channel)  # type: ignore[no-untyped-call]  # protoc's
        with self._lock:
            if self._is_cancelled:
                raise Cancelled
            self._running = getattr(stub, method).future(request, timeout=timeout_s)
        try:
            return self._running.result()
        except grpc.FutureCancelledError:
            raise Cancelled from None
        except grpc.RpcError as error:
            raise from_status(_status(error)) from None
        finally:
            with self._lock:
                self._running = None


def _seconds(lease: registry_pb2.Lease) -> float:
    return lease.ttl.seconds + lease.ttl.nanos / 1e9


def _status(error: Any) -> Status:
    details = b""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            details = value
    return Status(Code(error.code().value[0]), error.details() or "", details)
