# The native extension (services/rpc/native): what it looks like from Python, whether it was built or not.

from collections.abc import Callable
from typing import Any, Protocol

from clipper_rpc.errors import ClipperError
from clipper_rpc.transport import Metadata, Reply, Status, UnaryCall

class Listener(Protocol):
    def message(self, payload: bytes, held: int, /) -> None: ...
    def ended(self, reply: Reply | None, /) -> None: ...

class ServedStream:
    method: str
    metadata: Metadata
    deadline_ns: int | None
    def listen(self, listener: Any) -> None: ...
    def taken(self, held: int) -> None: ...
    def send(self, payload: bytes) -> bool: ...
    def set_initial_metadata(self, metadata: Metadata) -> None: ...
    def finish(self, error: ClipperError | None, trailing: Metadata) -> None: ...

class CalledStream:
    def taken(self, held: int) -> None: ...
    def send(self, payload: bytes) -> bool: ...
    def end(self) -> None: ...
    def cancel(self) -> None: ...

class OutgoingCall:
    def cancel(self) -> None: ...

class Server:
    port: int
    def __init__(
        self,
        call_soon: Callable[..., object],
        address: str,
        methods: list[tuple[str, Any, bool]],
        hooks: tuple[
            Callable[[UnaryCall, BaseException], None],
            Callable[[ServedStream, Any], None],
            Callable[[ClipperError | Status], tuple[int, str, bytes]],
        ],
        *,
        limit: int,
        reuse_port: bool,
        max_streams: int,
        max_age_s: float | None,
        keepalive_s: tuple[float, float] | None,
        compress_above: int | None,
        tls: tuple[bytes, bytes, bytes | None] | None,
    ) -> None: ...
    def fileno(self) -> int: ...
    def drain(self) -> None: ...
    def stop(self, grace_s: float, done: Callable[[], None]) -> bool: ...
    def close(self) -> None: ...

class Channel:
    def __init__(
        self,
        call_soon: Callable[..., object],
        address: str,
        make_reply: Callable[[int, str, bytes, bytes, Metadata, Metadata], Reply],
        limit: int,
        keepalive_s: tuple[float, float] | None,
        tls: tuple[str, bytes, tuple[bytes, bytes] | None] | None,
    ) -> None: ...
    def fileno(self) -> int: ...
    def drain(self) -> None: ...
    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        deadline_ns: int | None,
        metadata: Metadata,
    ) -> OutgoingCall: ...
    def stream(
        self, method: str, payload: bytes | None, listener: Listener, deadline_ns: int | None, metadata: Metadata
    ) -> CalledStream: ...
    def close(self, done: Callable[[], None]) -> bool: ...
