"""GET /metrics on the event loop: accepts there, puts the text together in a thread, polls nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipper_rpc.telemetry.export import CONTENT_TYPE

_log = logging.getLogger(__name__)

_HEAD_WITHIN_S = 5.0
_MAX_HEAD_BYTES = 16 * 1024
_MAX_CONNECTIONS = 64
_SWITCH_INTERVAL_S = 0.0005
"""How long a thread that puts a text together keeps the event loop from the interpreter, at most."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is found at a path."""

    content: Callable[[], Awaitable[bytes]]
    content_type: str = CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class Desk:
    """What answers questions at a path: `content` gets what follows the question mark, as it is."""

    content: Callable[[str], Awaitable[bytes]]
    content_type: str = CONTENT_TYPE


Pages = Mapping[str, Page | Desk]
"""What a process tells, by path."""


@contextlib.asynccontextmanager
async def serving(pages: Pages, host: str, port: int) -> AsyncIterator[str]:
    """Serves pages while it is open, and gives the address; an empty one when the port is -1: off.

    A port that is taken is exchanged for a free one: what watches a process must not keep it from its work.
    """
    if port < 0:
        yield ""
        return
    endpoint = Endpoint(pages)
    try:
        await endpoint.listen(host, port)
    except OSError as error:
        if not port:
            raise
        await endpoint.listen(host, 0)
        _log.warning(
            "metrics_port_taken", extra={"wanted": f"{host}:{port}", "using": endpoint.address, "problem": str(error)}
        )
    try:
        yield endpoint.address
    finally:
        await endpoint.close()


@contextlib.asynccontextmanager
async def serving_at(pages: Pages, path: Path) -> AsyncIterator[str]:
    """Serves pages at a unix socket while it is open."""
    endpoint = Endpoint(pages)
    await endpoint.listen_at(path)
    try:
        yield endpoint.address
    finally:
        await endpoint.close()


def text_page(text: Callable[[], bytes]) -> Page:
    """A page whose text is put together in a thread."""
    return Page(lambda: asyncio.to_thread(text))


class Endpoint:
    """A small HTTP server for a few pages that machines look at: GET and HEAD, one request per connection."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self.address = ""
        """host:port, or the path of a socket, where it listens; empty before."""

    async def listen(self, host: str, port: int) -> None:
        """Listens; port 0 picks a free one.

        Raises:
            OSError: the address cannot be listened on.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
        self._server = await asyncio.start_server(self._accept, host, port, limit=_MAX_HEAD_BYTES)
        found = self._server.sockets[0].getsockname()[1]
        self.address = f"[{host}]:{found}" if ":" in host else f"{host}:{found}"

    async def listen_at(self, path: Path) -> None:
        """Listens at a unix socket, in the place of whoever did before."""
        await asyncio.to_thread(path.unlink, missing_ok=True)
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
        self._server = await asyncio.start_unix_server(self._accept, path, limit=_MAX_HEAD_BYTES)
        self.address = str(path)

    async def close(self) -> None:
        """Takes no connections any more and cuts off those that there are."""
        if self._server is not None:
            self._server.close()
            for task in self._answering:
                task.cancel()
            if self._answering:
                await asyncio.wait(self._answering)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if len(self._answering) <= _MAX_CONNECTIONS:
                    async with asyncio.timeout(_HEAD_WITHIN_S):
                        head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    await writer.drain()
        except asyncio.CancelledError:  # the process stops; nobody awaits this task
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path, _, question = rest.partition(" ")[0].partition("?")
        page = self._pages.get(path)
        if page is None:
            return _response("404 Not Found", "text/plain", f"There is {' '.join(self._pages)}\n".encode())
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"GET it.\n")
        try:
            body = await (page.content(question) if isinstance(page, Desk) else page.content())
        except Exception as error:  # noqa: BLE001  # the outermost boundary: answers and goes on
            _log.error("metrics_failed", exc_info=error)
            return _response("500 Internal Server Error", "text/plain", b"The log tells more.\n")
        return _response("200 OK", page.content_type, body, with_body=method == "GET")


def _response(status: str, content_type: str, body: bytes, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
