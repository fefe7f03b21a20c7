"""Several processes behind one port tell as one: each serves its pages at a socket in a directory that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

_WITHIN_S = 2.0
_SUFFIX = ".sock"


def socket_of(directory: Path, name: str) -> Path:
    """Where the process of that name serves its pages."""
    return directory / f"{name}{_SUFFIX}"


async def ask_all(directory: Path, path: str) -> dict[str, bytes]:
    """The page at `path` of each process, by name. Those that do not answer are left out."""
    names = await asyncio.to_thread(_names, directory)
    pages = await asyncio.gather(*(_ask(socket_of(directory, name), path) for name in names))
    return {name: page for name, page in zip(names, pages, strict=True) if page is not None}


def _names(directory: Path) -> list[str]:
    return sorted(found.stem for found in directory.glob(f"*{_SUFFIX}"))


async def _ask(socket: Path, path: str) -> bytes | None:
    try:
        async with asyncio.timeout(_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError):  # it is gone, or about to come
        return None
    return body if head.startswith(b"HTTP/1.1 200") else None


def merged(texts: Mapping[str, bytes], label: str) -> bytes:
    """Prometheus texts of several processes as one, each sample with one more label that names its process."""
    families: dict[str, list[str]] = {}
    for name, text in texts.items():
        samples: list[str] = []
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):  # each family starts with one
                samples = families.setdefault(line, [])
            elif line.startswith("# TYPE "):
                if line not in samples:
                    samples.append(line)
            elif line:
                samples.append(_labelled(line, f'{label}="{name}"'))
    return "".join(f"{line}\n" for header, samples in families.items() for line in (header, *samples)).encode()


def _labelled(sample: str, label: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f"{name}{{{label},{rest}"
    name, _, value = sample.partition(" ")
    return f"{name}{{{label}}} {value}"
