"""Peers that get lost: killed, hanging, or behind a network that carries nothing any more."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path


class Network:
    """Carries bytes between its own port and another one of this machine, until it is told to drop them."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.carried = 0
        """How many bytes have gone through."""
        self._to = to
        self._carries = asyncio.Event()
        self._carries.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def drop_everything(self) -> None:
        """From now on nothing gets through. Connections stay, and new ones are taken."""
        self._carries.clear()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._to)
        for task in (
            asyncio.create_task(self._carry(reader, there[1])),
            asyncio.create_task(self._carry(there[0], writer)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65_536):
                    await self._carries.wait()
                    self.carried += len(data)
                    writer.write(data)
                await self._carries.wait()
        finally:
            writer.close()

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def network(to: int) -> AsyncIterator[Network]:
    """A network to a port of this machine; its own port is `port`."""
    made = Network(to)
    server = await asyncio.start_server(made.connected, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await made.end()


PEER = """
    import asyncio, ctypes, sys
    from clipper_rpc.transport import Unary
    from wires import transport

    def hold(call):
        print("call", flush=True)

    def work(call):
        ctypes.PyDLL(None).usleep(3_000_000)  # nobody else gets the interpreter's lock meanwhile
        call.reply(b"done")

    async def main():
        methods = {"/test.Echo/Hold": Unary(hold), "/test.Echo/Work": Unary(work)}
        server = await transport(sys.argv[1]).serve(methods, "127.0.0.1:0")
        print(server.port, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


class Peer:
    """A server in a process of its own: "/test.Echo/Hold" never answers, "/test.Echo/Work" works for three seconds."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.port = int(self._line())

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    async def called(self) -> None:
        """Returns when a call has reached it."""
        assert await asyncio.to_thread(self._line) == b"call\n"

    @contextmanager
    def hanging(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)  # the kernel goes on acknowledging
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def peer(name: str) -> Iterator[Peer]:
    command = [sys.executable, "-c", textwrap.dedent(PEER), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()


async def least_s(attempt: Callable[[], Awaitable[float]], enough_s: float = 1.0) -> float:
    """The least seconds of some attempts, up to one that needs less than enough: a busy machine needs several."""
    least = 60.0
    for _ in range(4):
        least = min(least, await attempt())
        if least < enough_s:
            break
    return least
