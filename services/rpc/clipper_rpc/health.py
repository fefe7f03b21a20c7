"""grpc.health.v1 for any server: what is up, told first when it goes down.

Names are "" for the process and the full name of each service. Watchers are told of every change.
Source: github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from grpc_health.v1 import health_pb2

from clipper_rpc.errors import UnknownService
from clipper_rpc.services import typed_methods
from clipper_rpc.transport import Streaming, Unary

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The health of one process: NOT_SERVING until `set_serving`."""

    def __init__(self, *services: str) -> None:
        self._services = frozenset(("", *services))
        self._serving = False
        self._has_ended = False
        self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """Whether the process takes work."""
        return self._serving

    def set_serving(self, serving: bool) -> None:
        """Says from now on that the process takes work, or does not; all watchers are told."""
        if serving != self._serving:
            self._serving = serving
            self._tell()

    def end(self) -> None:
        """Says that the process stops: NOT_SERVING for good. Watches end with that, so that none holds up the stop."""
        self._serving = False
        self._has_ended = True
        self._tell()

    def methods(self) -> dict[str, Unary | Streaming]:
        """The methods of grpc.health.v1.Health for the transport."""
        service = health_pb2.DESCRIPTOR.services_by_name["Health"]
        return typed_methods(service, self, process="server")

    async def check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        """Tells the health of one service now."""
        if request.service not in self._services:
            raise UnknownService(service=request.service)
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def list(self, request: health_pb2.HealthListRequest) -> health_pb2.HealthListResponse:
        """Tells the health of every service now."""
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in sorted(self._services)
            }
        )

    async def watch(self, request: health_pb2.HealthCheckRequest) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tells the health of one service now and whenever it changes."""
        while True:
            changed, is_last = self._changed, self._has_ended
            yield health_pb2.HealthCheckResponse(status=self._status(request.service))
            if is_last:
                return
            await changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> int:
        if service not in self._services:
            return int(_UNKNOWN)
        return int(SERVING if self._serving else NOT_SERVING)
