"""`clipperctl top`: what goes on right now, looked at again and again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from clipperctl import output
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clipper.v1.inspect_pb2 import GetStatsResponse
    from clipper_admin import Client
    from clipper_admin.live import ApplicationRates, Live, ModelRates

_APPLICATIONS = ("APPLICATION", "QUERIES/s", "P50", "P99", "OBJECTIVE", "MISSED", "WHY")
_MODELS = ("MODEL", "INPUTS/s", "BATCH", "BATCH P99", "WAIT P99", "QUEUE", "REPLICAS", "CACHE", "ERRORS")
_MANY = 0.01


@click.command(
    epilog="""\b
Examples:
  clipperctl top                              # until interrupted
  clipperctl top --interval 5 --count 1       # the next five seconds, once
  clipperctl top --count 10 -o json | jq -c '.applications[]'
"""
)
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option("-n", "--count", type=click.IntRange(1), help="How often.  [default: on a terminal for ever, else once]")
@with_session
def top(session: Session, interval: float, count: int | None) -> None:
    """Shows live rates, latencies, defaults and their reasons, queues and replicas.

    MISSED is the share of answers that were no prediction: default outputs, and errors where there is no default.
    """
    from rich.console import Console
    from rich.live import Live as Screen

    console = Console()
    if count is None and not (console.is_terminal and session.output == "table"):
        count = 1
    with ExitStack() as stack:
        looks = _looks(session.frontends(stack), interval, count)
        if session.output == "json":
            for each in looks:
                click.echo(json.dumps(each.to_json()))
        elif session.output == "yaml":
            for each in looks:
                output.show("yaml", [each.to_json()], "")
        elif console.is_terminal:
            with Screen(console=console, auto_refresh=False, screen=count is None) as screen:
                for each in looks:
                    screen.update(_tables(each), refresh=True)
        else:
            wide = Console(width=240)
            for each in looks:
                wide.print(_tables(each))


def _looks(clients: dict[str, Client], interval_s: float, count: int | None) -> Iterator[Live]:
    from clipper_admin.live import live

    before, before_s = _stats(clients), time.monotonic()
    while count is None or count > 0:
        time.sleep(interval_s)
        now, now_s = _stats(clients), time.monotonic()
        yield live(before, now, now_s - before_s)
        before, before_s = now, now_s
        count = None if count is None else count - 1


def _stats(clients: dict[str, Client]) -> dict[str, GetStatsResponse]:
    """What those frontends tell that answer; the error of the last one if none does."""
    from clipper_rpc.errors import ClipperError

    found: dict[str, GetStatsResponse] = {}
    problem: ClipperError | None = None
    for address, client in clients.items():
        try:
            found[address] = client.get_stats()
        except ClipperError as error:
            problem = error
    if not found and problem is not None:
        raise problem
    return found


def _tables(found: Live) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    queries = sum(each.queries_per_s for each in found.applications)
    head = Text(f"{queries:,.1f} queries/s over {found.seconds:.1f} s, {found.frontends} frontend(s)\n", style="bold")
    return Group(
        head,
        _table(_APPLICATIONS, [_application(each) for each in found.applications], "No application is registered."),
        Text(),
        _table(_MODELS, [_model(each) for each in found.models], "No model is deployed."),
    )


def _table(headings: tuple[str, ...], rows: list[tuple[Any, ...]], empty: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(empty, style="dim")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, heading in enumerate(headings):
        is_text = heading in ("WHY", "ERRORS")
        table.add_column(heading, justify="left" if number == 0 or is_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else Text(str(each)) for each in row))
    return table


def _application(each: ApplicationRates) -> tuple[Any, ...]:
    from rich.text import Text

    late = each.p99_ms is not None and each.objective_ms and each.p99_ms > each.objective_ms
    why = _counts(each.defaults) + ("; " if each.defaults and each.errors else "") + _counts(each.errors)
    return (
        each.application,
        f"{each.queries_per_s:,.1f}",
        _time(each.p50_ms),
        Text(_time(each.p99_ms), style="red" if late else ""),
        _time(each.objective_ms or None),
        Text(f"{each.missed_share:.1%}", style="red" if each.missed_share > _MANY else ""),
        why,
    )


def _model(each: ModelRates) -> tuple[Any, ...]:
    from rich.text import Text

    replicas = f"{each.replicas_up}" + (f" (+{each.replicas_down} down)" if each.replicas_down else "")
    return (
        f"{each.model}:{each.version}",
        f"{each.inputs_per_s:,.1f}",
        "-" if each.batch_rows is None else f"{each.batch_rows:.1f}",
        _time(each.batch_p99_ms),
        _time(each.wait_p99_ms),
        f"{each.queue_rows:,}",
        Text(replicas, style="" if each.replicas_up and not each.replicas_down else "red"),
        "-" if each.cache_share is None else f"{each.cache_share:.0%}",
        _counts(each.errors),
    )


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in found.items())


def _time(ms: float | None) -> str:
    if ms is None:
        return "-"
    digits = max(0, 2 - math.floor(math.log10(ms))) if ms > 0 else 0
    return f"{ms:.{min(digits, 2)}f} ms"
