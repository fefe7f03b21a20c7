"""The seam between what a process decides and the wire that carries it (DESIGN section 8).

A `Transport` serves raw handlers and makes raw calls: payloads are serialized messages, nothing is parsed in here.
Implementations: `grpcio_transport` (pure Python, the reference) and `native_transport` (Rust, when it was built).

Rules of this file
 1. Everything happens on one asyncio loop: handlers are called on it, and all methods must be called from it.
 2. A unary handler is a plain function. It takes a call and returns at once; the answer comes later, by exactly one
    of `reply` or `fail`. Answering a call whose caller has left does nothing, and is no error.
 3. A caller that leaves (cancels, its deadline passes, its connection breaks) is told once, by `call.on_leave`, if that
    is set; never after the call was answered.
 4. Times are `time.monotonic_ns()` integers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from clipper_rpc.errors import ClipperError, Code

Metadata = tuple[tuple[str, str | bytes], ...]
"""Keys are lower case; values are text, or bytes where the key ends in `-bin`."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The default limit of one message, each way."""


@dataclass(frozen=True, slots=True)
class Status:
    """The outcome of a call as it travels: a code, a text for people, and a serialized google.rpc.Status."""

    code: Code
    message: str = ""
    details: bytes = b""
    """A serialized google.rpc.Status (`grpc-status-details-bin`); empty when there is none."""

    @property
    def is_ok(self) -> bool:
        """Whether the call succeeded."""
        return self.code == Code.OK


OK = Status(Code.OK)


class UnaryCall(Protocol):
    """One call to a unary method, as a handler sees it."""

    on_leave: Callable[[], object] | None
    """Set by the handler: called once if the caller leaves before the answer."""

    @property
    def method(self) -> str:
        """The full name, "/package.Service/Method"."""

    @property
    def payload(self) -> bytes:
        """The serialized request."""

    @property
    def metadata(self) -> Metadata:
        """What the caller sent along. Not free: ask only where it is needed."""

    @property
    def deadline_ns(self) -> int | None:
        """When the caller stops waiting; None when it waits for ever."""

    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        """Answers with a serialized response."""

    def fail(self, error: ClipperError | Status) -> None:
        """Answers with an error."""


class StreamCall(Protocol):
    """One call to a streaming method. Its handler is a coroutine function; it ends the call by returning or raising.

    A caller that leaves cancels the handler.
    """

    @property
    def method(self) -> str:
        """The full name, "/package.Service/Method"."""

    @property
    def metadata(self) -> Metadata:
        """What the caller sent along."""

    @property
    def deadline_ns(self) -> int | None:
        """When the caller stops waiting; None when it waits for ever."""

    def requests(self) -> AsyncIterator[bytes]:
        """The serialized requests, in order; one for a server-streaming method."""

    def send(self, payload: bytes) -> Awaitable[None]:
        """Sends one serialized response; waits while the caller does not take what was sent before (flow control)."""


class AnsweredWithMetadata(Protocol):
    """What every transport's calls, unary and streaming, can do besides. Apart from them since few handlers need it."""

    def set_initial_metadata(self, metadata: Metadata) -> None:
        """Sets what goes out ahead of the first response."""

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """Sets what goes out with the status, be it good or bad."""


UnaryHandler = Callable[[UnaryCall], None]
StreamHandler = Callable[[StreamCall], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Unary:
    """A unary method."""

    handle: UnaryHandler


@dataclass(frozen=True, slots=True)
class Streaming:
    """A method that streams one way or both."""

    handle: StreamHandler


Methods = Mapping[str, Unary | Streaming]
"""Full method name ("/clipper.v1.PredictService/Predict") to its handler."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process proves to be: a certificate chain and its private key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Encrypts what a server takes."""

    identity: Identity
    client_roots: bytes | None = None
    """Certificates (PEM) by which clients must be vouched for; None takes any client."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Encrypts what a channel sends."""

    server_roots: bytes
    """Certificates (PEM) by which the server must be vouched for."""
    identity: Identity | None = None
    """What the client shows if it is asked who it is."""
    server_name: str | None = None
    """The name that the server's certificate must have; None is the host of the address."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When a peer is taken for lost though nobody has said so: its machine is gone, or it hangs."""

    after_s: float
    """How long it may be silent before it is asked whether it is there."""
    timeout_s: float
    """How long it may take to say so."""


WITHIN_A_SECOND = Keepalive(after_s=0.15, timeout_s=0.7)
"""For a channel, which asks only while it waits for an answer. Native does so as often as it takes, and counts only the
time in which it gets to run itself; grpcio gives its peer another second, see docs/transport.md."""

WITHIN_A_MINUTE = Keepalive(after_s=40.0, timeout_s=20.0)
"""For a server, whose silent clients cost it a little memory."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves on the wire."""

    max_message_bytes: int = MAX_MESSAGE_BYTES
    reuse_port: bool = False
    """Whether several processes may listen on the same port; the kernel spreads connections among them."""
    max_concurrent_streams: int | None = None
    """How many calls of one connection run at a time; a client holds further ones back. None is the transport's own
    default: 1024 for native, no limit for grpcio (whose limit refuses calls now and then instead)."""
    tls: ServerTls | None = None
    """None is plain text."""
    max_connection_age_s: float | None = None
    """When a connection is asked to end (its running calls may), so that clients spread anew; None for never."""
    keepalive: Keepalive | None = WITHIN_A_MINUTE
    """When a silent client is taken for lost; None leaves that to the kernel."""
    compress_above_bytes: int | None = None
    """Responses that have more bytes are compressed (gzip) for clients that read that; None never does. (grpcio takes
    for granted that every client reads it.)"""


DEFAULT_OPTIONS = ServerOptions()


class Server(Protocol):
    """A server that listens."""

    @property
    def port(self) -> int:
        """The port that it listens on; 0 for a unix socket."""

    async def stop(self, grace_s: float) -> None:
        """Takes no new calls, lets running ones end for `grace_s` seconds, then cancels them and closes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of a call that was made."""

    status: Status
    payload: bytes = b""
    trailing: Metadata = ()
    initial: Metadata = ()
    """What came ahead of the response."""


class OutgoingCall(Protocol):
    """A call under way."""

    def cancel(self) -> None:
        """Tells the server that nobody waits any more. `done` is then not called."""


class Conversation(Protocol):
    """A call under way that streams both ways. It ends when its responses do, or by `cancel`.

    Iterating yields the serialized responses; the end raises the ClipperError of the status unless that is OK.
    """

    @property
    def trailing(self) -> Metadata:
        """What came with the status; empty before."""

    async def initial_metadata(self) -> Metadata:
        """Waits for what comes ahead of the first response; empty if the call ends without."""

    def send(self, payload: bytes) -> Awaitable[None]:
        """Sends one serialized request; waits while the server does not take what was sent before (flow control)."""

    def end(self) -> None:
        """Says that no more requests will come."""

    def cancel(self) -> None:
        """Tells the server that nobody waits any more. Who still reads gets Cancelled."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The responses."""


class Channel(Protocol):
    """A connection to one address, made again with backoff when it breaks."""

    @property
    def address(self) -> str:
        """Where it connects to."""

    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> OutgoingCall:
        """Makes a unary call.

        `done` is called on the loop exactly once, never from within this method, and not at all once the call was
        cancelled.

        A peer that cannot be reached gives UNAVAILABLE at once, not after the deadline.
        """

    def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        """Makes a server-streaming call and yields its responses. Raises the ClipperError of its status at its end."""

    def converse(self, method: str, *, deadline_ns: int | None = None, metadata: Metadata = ()) -> Conversation:
        """Makes a call that streams requests, responses, or both."""

    async def close(self) -> None:
        """Ends the connection; calls under way end as CANCELLED."""


class Transport(Protocol):
    """One way of carrying calls."""

    @property
    def name(self) -> str:
        """As `choose.transport` takes it."""

    async def serve(self, methods: Methods, address: str, options: ServerOptions = DEFAULT_OPTIONS) -> Server:
        """Listens at `address` ("host:port", port 0 picks a free one) and returns once calls are taken.

        Raises:
            OSError: the address cannot be listened on.
        """

    def connect(
        self,
        address: str,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        tls: ClientTls | None = None,
        keepalive: Keepalive | None = WITHIN_A_SECOND,
    ) -> Channel:
        """Returns a channel to `address`; connects when first needed."""
