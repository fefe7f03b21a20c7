"""Turns domain errors into statuses and back: the only place that knows how an error travels.

The carrier is a google.rpc.Status in `grpc-status-details-bin` with one ErrorInfo (reason, domain, the error's fields
as metadata) and, where trying again may help, a RetryInfo. Clients map (domain, reason) back to the class, never the
text. Source: AIP-193.
"""

from __future__ import annotations

import logging

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from clipper_rpc.errors import DOMAIN, ClipperError, Code, InternalError, all_errors
from clipper_rpc.transport import Status

_log = logging.getLogger(__name__)

_BY_REASON: dict[str, type[ClipperError]] = {cls.reason: cls for cls in all_errors()}

_MAX_TEXT_BYTES = 1024
"""How much of a text travels. HTTP/2 peers refuse trailers above 8 KiB, and an error carries its texts up to three
times: in grpc-message (percent-encoded), in the Status and in the fields of its ErrorInfo."""


class RemoteError(ClipperError):
    """A status from a server whose reason this client does not know (e.g. a newer server, or a proxy in between)."""

    template = "{problem}"

    def __init__(self, *, code: Code, problem: str, reason: str = "UNKNOWN") -> None:
        super().__init__(problem=problem)
        self.code = code  # type: ignore[misc]  # of the instance here: this class stands for many
        self.reason = reason  # type: ignore[misc]


def to_rpc_status(error: ClipperError) -> status_pb2.Status:
    """The google.rpc.Status that stands for an error."""
    rpc = status_pb2.Status(code=int(error.code), message=_clipped(error.message))
    fields = {name: _clipped(value) for name, value in error.fields.items()}
    rpc.details.append(_packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=fields)))
    if error.retry_after_s is not None:
        delay = Duration(nanos=round(error.retry_after_s * 1e9) % 10**9, seconds=int(error.retry_after_s))
        rpc.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return rpc


def to_status(error: ClipperError) -> Status:
    """The status that stands for an error on the wire."""
    return Status(error.code, _clipped(error.message), to_rpc_status(error).SerializeToString())


def from_status(status: Status) -> ClipperError:
    """The error that a status stands for: the same class that the server raised, where it is known here."""
    rpc = status_pb2.Status()
    try:
        rpc.ParseFromString(status.details)
    except DecodeError:
        rpc.Clear()
    for detail in rpc.details:
        info = error_details_pb2.ErrorInfo()
        if not detail.Unpack(info) or info.domain != DOMAIN:
            continue
        cls = _BY_REASON.get(info.reason)
        if cls is not None and cls.code == status.code:
            try:
                return cls(**dict(info.metadata))
            except (KeyError, TypeError):  # fields of another build
                return RemoteError(code=status.code, problem=status.message, reason=info.reason)
        return RemoteError(code=status.code, problem=status.message, reason=info.reason)
    return RemoteError(code=status.code, problem=status.message or status.code.name)


def for_caller(error: BaseException, *, process: str) -> ClipperError:
    """What a caller may know of `error`: domain errors as they are, else INTERNAL, with the trace in the log."""
    if isinstance(error, ClipperError):
        return error
    _log.error("handler_failed", exc_info=error)
    return InternalError(process=process)


def _clipped(text: str) -> str:
    if len(text) * 4 <= _MAX_TEXT_BYTES:
        return text
    encoded = text.encode(errors="replace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return text
    return encoded[: _MAX_TEXT_BYTES - 3].decode(errors="ignore") + "…"


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
