"""HTTP/2 by hand, for what no client library would send."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*headers: tuple[str, str]) -> bytes:
    """A header block: literals that are never indexed."""
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, length = len(raw) - 127, b"\x7f"
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return length + bytes([rest]) + raw


def request(path: str, *more: tuple[str, str], method: str = "POST", content: str = "application/grpc") -> bytes:
    return block(
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", content),
        ("te", "trailers"),
        *more,
    )


def message(payload: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", flag, len(payload) if length is None else length) + payload


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


class Connection:
    """One connection that speaks frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def read(self) -> Frame | None:
        """The next frame; None at the end of the connection."""
        try:
            head = await self.reader.readexactly(9)
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)

    async def read_until(self, kind: int, stream: int, flags: int = 0) -> Frame | None:
        """The next frame of that kind with these flags, or the end."""
        while (got := await self.read()) is not None:
            if got.kind == kind and got.stream == stream and got.flags & flags == flags:
                return got
        return None

    async def ended(self) -> None:
        """Returns once the peer has closed the connection."""
        while await self.read() is not None:
            pass


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server of that handler; its port. When it is left, its connections are closed and their handlers have ended."""
    running: set[asyncio.Future[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.ensure_future(run(reader, writer))
        running.add(ended)
        await asyncio.wait([ended])  # this task is the loop's own, which must not be cancelled

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def connected(port: int, *, preface: bool = True) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Connection(reader, writer)
    try:
        if preface:
            await connection.send(PREFACE, frame(SETTINGS, 0, 0))
        yield connection
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def texts(block: bytes) -> bytes:
    """The texts of a header block, Huffman-coded or not, joined; enough to look for words in them."""
    found, position = [], 0
    while position < len(block):
        first = block[position]
        if first & 0x80:  # an indexed field: its name and value are in a table
            index, position = _integer(block, position, 7)
            found.append({8: b"200", 13: b"404"}.get(index, b""))
            continue
        prefix = 6 if first & 0x40 else 5 if first & 0x20 else 4
        index, position = _integer(block, position, prefix)
        if prefix == 5:
            continue
        for _ in range(1 if index else 2):
            is_huffman = bool(block[position] & 0x80)
            length, position = _integer(block, position, 7)
            text = block[position : position + length]
            found.append(_huffman(text) if is_huffman else text)
            position += length
    return b" ".join(found)


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    value, position = block[position] & (2**bits - 1), position + 1
    if value < 2**bits - 1:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


# The codes of printable ASCII in HPACK (RFC 7541, appendix B), as bits.
_CODES = {
    " ": "010100", "%": "010101", "-": "010110", ".": "010111", "/": "011000", "0": "00000", "1": "00001",
    "2": "00010", "3": "011001", "4": "011010", "5": "011011", "6": "011100", "7": "011101", "8": "011110",
    "9": "011111", ":": "1011100", ";": "11111011", ",": "11111010", '"': "1111111001", "(": "1111111010",
    ")": "1111111011", "=": "100000", "_": "100010", "a": "00011", "b": "100011", "c": "00100", "d": "100100",
    "e": "00101", "f": "100101", "g": "100110", "h": "100111", "i": "00110", "j": "1110100", "k": "1110101",
    "l": "101000", "m": "101001", "n": "101010", "o": "00111", "p": "101011", "q": "1110110", "r": "101100",
    "s": "01000", "t": "01001", "u": "101101", "v": "1110111", "w": "1111000", "x": "1111001", "y": "1111010",
    "z": "1111011",
}  # fmt: skip
_LETTERS = {code: letter for letter, code in _CODES.items()}


def _huffman(text: bytes) -> bytes:
    bits = "".join(f"{byte:08b}" for byte in text)
    out, code = [], ""
    for bit in bits:
        code += bit
        if code in _LETTERS:
            out.append(_LETTERS[code])
            code = ""
    return "".join(out).encode()
