"""Which transport runs."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Literal

from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.transport import Transport

TransportName = Literal["auto", "native", "grpcio"]


def transport(name: TransportName = "auto") -> Transport:
    """The transport of that name; "auto" is grpcio for now.

    Raises:
        ImportError: "native" was asked for and the extension is missing.
    """
    if name in ("grpcio", "auto"):  # "auto" goes native once that passes the whole behaviour suite
        return GrpcioTransport()
    if importlib.util.find_spec("clipper_rpc._native") is None:
        raise ImportError("The native transport was not built (no cargo at install time). Use --transport grpcio.")
    native: Transport = importlib.import_module("clipper_rpc.native_transport").NativeTransport()
    return native
