"""The transport on grpc.aio: pure Python, always there, and the reference for the native one."""

from __future__ import annotations

from clipper_rpc import grpcio_server
from clipper_rpc.grpcio_channel import GrpcioChannel
from clipper_rpc.grpcio_server import GrpcioServer
from clipper_rpc.transport import (
    DEFAULT_OPTIONS,
    MAX_MESSAGE_BYTES,
    WITHIN_A_SECOND,
    ClientTls,
    Keepalive,
    Methods,
    ServerOptions,
)


class GrpcioTransport:
    """Carries calls with grpc.aio."""

    name = "grpcio"

    async def serve(self, methods: Methods, address: str, options: ServerOptions = DEFAULT_OPTIONS) -> GrpcioServer:
        """See Transport.serve."""
        return await grpcio_server.listen(methods, address, options)

    def connect(
        self,
        address: str,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        tls: ClientTls | None = None,
        keepalive: Keepalive | None = WITHIN_A_SECOND,
    ) -> GrpcioChannel:
        """See Transport.connect."""
        return GrpcioChannel(address, max_message_bytes, tls, keepalive)
