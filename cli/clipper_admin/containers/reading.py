"""The logs of containers, line by line."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from queue import SimpleQueue

from clipper_admin.containers.engine import Container, translated
from clipper_admin.containers.labels import MODEL


def process_of(container: Container) -> str:
    """The name that its process would have in a local cluster, where a replica's tells its model; else its own."""
    model = (container.labels or {}).get(MODEL)
    return f"model-{model}-{container.name}" if model else str(container.name)


def lines_of(container: Container, tail: int | None, since: datetime | None) -> Iterator[str]:
    """What a container has said so far: its last `tail` lines, or all."""
    with translated(f"read the logs of {container.name}"):
        text = container.logs(tail="all" if tail is None else tail, since=since)
    return iter(text.decode(errors="replace").splitlines())


def new_lines_of(containers: Mapping[str, Container], since: datetime) -> Iterator[tuple[str, str]]:
    """What containers say from a moment on, each line with its container's name; ends with the last of them."""
    said: SimpleQueue[tuple[str, str] | None] = SimpleQueue()

    def follow(name: str, container: Container) -> None:
        try:
            with (
                translated(f"read the logs of {name}"),
                closing(container.logs(stream=True, follow=True, since=since)) as parts,
            ):
                for line in _whole(parts):
                    said.put((name, line))
        finally:
            said.put(None)

    for name, container in containers.items():
        threading.Thread(target=follow, args=(name, container), name=f"log-{name}", daemon=True).start()
    open_ = len(containers)
    while open_:
        found = said.get()
        if found is None:
            open_ -= 1
        else:
            yield found


def _whole(parts: Iterable[bytes]) -> Iterator[str]:
    """Lines, however they come in parts."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
