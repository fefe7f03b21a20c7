"""Which transport runs: the native one where it was built, else grpcio, said once in the log."""

from __future__ import annotations

import importlib.util
import logging
from typing import Literal

from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.transport import Transport

TransportName = Literal["auto", "native", "grpcio"]

_log = logging.getLogger(__name__)


def transport(name: TransportName = "auto") -> Transport:
    """The transport of that name; "auto" takes the native one where the extension is there.

    Raises:
        ImportError: "native" was asked for and the extension is missing.
    """
    if name == "grpcio":
        return GrpcioTransport()
    if importlib.util.find_spec("clipper_rpc._native") is None:
        if name == "native":
            raise ImportError("The native transport was not built (no cargo at install time). Use --transport grpcio.")
        _log.info("native_transport_missing", extra={"using": "grpcio"})
        return GrpcioTransport()
    from clipper_rpc.native_transport import NativeTransport

    return NativeTransport()
