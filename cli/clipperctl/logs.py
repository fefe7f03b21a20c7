"""clipperctl logs: what the processes of a cluster say, together and in order of time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from clipperctl.log_filter import Since, Wanted, fields, moment
from clipperctl.session import Session, with_session

_LOOK_AGAIN_S = 0.2
_ALL = 10**9
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Line = tuple[str, str]
"""The name of a process, and what it said."""


@click.command(
    epilog="""\b
Examples:
  clipperctl logs                               # the last lines of every process
  clipperctl logs frontend -n 100
  clipperctl logs model-sum-model_1-0 --follow
  clipperctl logs --app hello-world --since 10m # what was said of an application
  clipperctl logs --model sum-model -f          # of a model: by its replicas, and by others of it
  clipperctl logs --request order-66            # of one request, by its X-Request-Id, in all processes
  clipperctl logs --docker --since 1h           # of a cluster that runs in Docker
  clipperctl logs manager -o json               # as the process has written it
"""
)
@click.argument("processes", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Goes on with new lines until interrupted.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), help="Per process, at first.  [default: 20; all with a filter or --since]"
)
@click.option("--app", "application", default="", metavar="NAME", help="Only lines about this application.")
@click.option("--model", default="", metavar="NAME", help="Only lines about this model, and those of its replicas.")
@click.option("--request", default="", metavar="ID", help="Only lines about the request with this X-Request-Id.")
@click.option("--since", type=Since(), metavar="TIME", help="Only lines from then on: 10m, 2h, 2026-11-23T08:30.")
@click.option("--docker", is_flag=True, help="The cluster's containers instead of local processes.")
@with_session
def logs(
    session: Session,
    processes: tuple[str, ...],
    follow: bool,
    lines: int | None,
    application: str,
    model: str,
    request: str,
    since: datetime | None,
    docker: bool,
) -> None:
    """Shows the logs of a cluster's processes (see `clipperctl status`), all of them by default."""
    wanted = Wanted(application, model, request, since)
    most = lines if lines is not None else 20 if wanted.is_anything else _ALL
    source = _docker if docker else _local
    for name, line in source(session, processes, wanted, most, follow):
        _print_line(session.output, name, line)


def _local(session: Session, processes: tuple[str, ...], wanted: Wanted, most: int, follow: bool) -> Iterator[Line]:
    from clipper_admin.supervisor.log_files import last_lines

    files = {found.name.removesuffix(".log"): found for found in session.local().log_files() if found.suffix == ".log"}
    chosen = {name: files[name] for name in _chosen(list(files), processes)}
    positions = {name: path.stat().st_size for name, path in chosen.items()}
    found: list[Line] = []
    for name, path in chosen.items():
        older = [path.with_name(f"{path.name}.{number}") for number in (2, 1)] if most == _ALL else []
        of_process = [
            line for file in (*older, path) for line in last_lines(file, most if wanted.is_anything else _ALL)
        ]
        found += _last(most, [(name, line) for line in of_process if wanted.has(name, line)])
    yield from in_order(found)
    if follow:
        yield from (each for each in _new_lines(chosen, positions) if wanted.has(*each))


def _docker(session: Session, processes: tuple[str, ...], wanted: Wanted, most: int, follow: bool) -> Iterator[Line]:
    from clipper_admin import DockerContainerManager
    from clipper_admin.containers.reading import lines_of, new_lines_of, process_of

    containers = {each.name: each for each in DockerContainerManager(session.cluster).containers()}
    chosen = {name: containers[name] for name in _chosen(list(containers), processes)}
    of = {name: process_of(container) for name, container in chosen.items()}
    now = datetime.now(UTC)
    found: list[Line] = []
    for name, container in chosen.items():
        tail = most if wanted.is_anything else None
        of_process = lines_of(container, tail, wanted.since)
        found += _last(most, [(name, line) for line in of_process if wanted.has(of[name], line)])
    yield from in_order(found)
    if follow:
        yield from ((name, line) for name, line in new_lines_of(chosen, now) if wanted.has(of[name], line))


def _chosen(known: list[str], processes: tuple[str, ...]) -> list[str]:
    unknown = set(processes) - set(known)
    if unknown:
        there_are = ", ".join(known) or "none yet"
        raise click.UsageError(f"No log of {', '.join(sorted(unknown))}. There are: {there_are}.")
    return [name for name in known if not processes or name in processes]


def _last(most: int, lines: list[Line]) -> list[Line]:
    return lines[-most:] if most else []


def in_order(lines: list[Line]) -> list[Line]:
    """Lines of several processes in order of time; a line without one stays behind the one before it."""
    times: dict[str, datetime] = {}
    keyed: list[tuple[datetime, Line]] = []
    for name, line in lines:
        at = moment(fields(line)) or times.get(name, _LONG_AGO)
        times[name] = at
        keyed.append((at, (name, line)))
    keyed.sort(key=lambda each: each[0])
    return [line for _, line in keyed]


def _print_line(form: str, process: str, line: str) -> None:
    from clipper_admin.supervisor.log_files import readable

    if form == "table":
        click.echo(f"{click.style(process, fg='cyan')}  {readable(line)}")
        return
    click.echo(json.dumps({"log": process, **(fields(line) or {"event": line})}, ensure_ascii=False))


def _new_lines(paths: dict[str, Path], positions: dict[str, int]) -> Iterator[Line]:
    """The lines that are added from now on, of whichever file; a file that has become shorter was rotated."""
    rests = dict.fromkeys(paths, b"")
    while True:
        for name, path in paths.items():
            try:
                with path.open("rb") as file:
                    if path.stat().st_size < positions[name]:
                        positions[name], rests[name] = 0, b""
                    file.seek(positions[name])
                    data = rests[name] + file.read()
                    positions[name] = file.tell()
            except FileNotFoundError:  # just being rotated
                continue
            *whole, rests[name] = data.split(b"\n")
            yield from ((name, line.decode(errors="replace")) for line in whole)
        time.sleep(_LOOK_AGAIN_S)
