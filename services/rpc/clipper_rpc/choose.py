"""Which transport runs: the native one where it was built, else grpcio, said once in the log."""

from __future__ import annotations

import importlib
import logging
from typing import Literal

from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.transport import Transport

TransportName = Literal["auto", "native", "grpcio"]

_log = logging.getLogger(__name__)


def transport(name: TransportName = "auto") -> Transport:
    """The transport of that name; "auto" takes the native one where the extension is there.

    Raises:
        ImportError: "native" was asked for and the extension is missing or does not fit this machine.
    """
    if name == "grpcio":
        return GrpcioTransport()
    try:
        native: Transport = importlib.import_module("clipper_rpc.native_transport").NativeTransport()
    except ImportError as error:
        if name == "native":
            raise ImportError(
                f"The native transport is not there ({error}): it is built at install time where cargo is found. "
                "Use --transport grpcio, or install cargo and install Clipper again."
            ) from error
        _say_once(str(error))
        return GrpcioTransport()
    return native


_said: set[str] = set()


def _say_once(why: str) -> None:
    if why not in _said:
        _said.add(why)
        _log.warning("native_transport_missing", extra={"using": "grpcio", "why": why})
