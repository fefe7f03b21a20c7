"""Asks a gRPC server whether it serves: grpc.health.v1.Health/Check, for containers' health checks.

    python -m clipper_rpc.probe 127.0.0.1:7000      exits with 0 if it does, else with 1 and says why

A health check runs every few seconds, for ever. Importing a gRPC library costs a second of CPU, so this speaks the few
bytes of HTTP/2 that one call needs, with the standard library alone.

Source: RFC 9113 section 4 (frames), RFC 7541 section 6 (headers), grpc/doc/PROTOCOL-HTTP2.md, grpc.health.v1.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x7
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED = 0x4, 0x8
_STREAM = 1
_SERVING = b"\x08\x01"
"""HealthCheckResponse{status: SERVING}."""
_LARGEST_FRAME = 1 << 14


class NotServing(Exception):  # named for what is the case
    """The server cannot be reached, does not answer in time, or says that it does not serve."""


def check(address: str, timeout_s: float = 2.0) -> None:
    """Returns if the server at "host:port" serves.

    Raises:
        NotServing: it does not, or has not said so within the timeout.
    """
    host, _, port = address.rpartition(":")
    until = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s) as connection:
            connection.sendall(_request(address))
            answer = _answer(connection, until)
    except TimeoutError as error:
        raise NotServing(f"{address}: no answer within {timeout_s:g} s") from error
    except (OSError, ValueError) as error:
        raise NotServing(f"{address}: {error}") from error
    if answer != _SERVING:
        raise NotServing(f"{address}: says that it does not serve")


def is_serving(address: str, timeout_s: float = 2.0) -> bool:
    """Whether the server at "host:port" says within the timeout that it serves."""
    try:
        check(address, timeout_s)
    except NotServing:
        return False
    return True


def _request(authority: str) -> bytes:
    """All that a client sends for one call with an empty HealthCheckRequest."""
    headers = b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http (indexed: 3, 6)
            b"\x04" + _text("/grpc.health.v1.Health/Check"),  # :path (name indexed: 4)
            b"\x01" + _text(authority),  # :authority (name indexed: 1)
            b"\x0f\x10" + _text("application/grpc"),  # content-type (name indexed: 31)
            b"\x00" + _text("te") + _text("trailers"),
        )
    )
    return b"".join(
        (
            _PREFACE,
            _frame(_SETTINGS, 0, 0, b""),
            _frame(_HEADERS, _END_HEADERS, _STREAM, headers),
            _frame(_DATA, _END_STREAM, _STREAM, bytes(5)),  # not compressed, no bytes
        )
    )


def _answer(connection: socket.socket, until: float) -> bytes:
    """The message that comes back on the stream; empty if the call fails."""
    message = b""
    while True:
        kind, flags, stream, payload = _next_frame(connection, until)
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        if kind == _GOAWAY or (kind == _RST_STREAM and stream == _STREAM):
            return b""
        if kind == _DATA and stream == _STREAM:
            message += payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
            if len(message) > len(_SERVING) + 4:
                return message[5:]
        if kind in (_DATA, _HEADERS) and stream == _STREAM and flags & _END_STREAM:
            return message[5:]


def _next_frame(connection: socket.socket, until: float) -> tuple[int, int, int, bytes]:
    high, low, kind, flags, stream = struct.unpack("!BHBBI", _exactly(connection, 9, until))
    size = high << 16 | low
    if size > _LARGEST_FRAME:
        raise ValueError("does not speak HTTP/2")
    return kind, flags, stream & 0x7FFFFFFF, _exactly(connection, size, until)


def _exactly(connection: socket.socket, size: int, until: float) -> bytes:
    received = b""
    while len(received) < size:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionError("closed the connection without an answer")
        received += part
    return received


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def _text(text: str) -> bytes:
    """A string of a header: its length, below 127, and its bytes, not compressed."""
    raw = text.encode("ascii")[:126]
    return bytes((len(raw),)) + raw


def main(arguments: list[str]) -> int:
    """Runs the probe: ADDRESS [SECONDS]; returns the exit code."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("Usage: python -m clipper_rpc.probe HOST:PORT [TIMEOUT_S]\n")
        return 2
    try:
        check(arguments[0], float(arguments[1]) if len(arguments) == 2 else 2.0)
    except NotServing as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
