"""Model runtimes: whether one keeps the rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from clipperctl import output, texts
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipperctl.client import Info

_COLUMNS = {"rule": "RULE", "result": "RESULT", "found": "FOUND", "breaks": "BREAKS"}


@click.group()
def runtime() -> None:
    """Model runtimes: what serves ModelService, in any language."""


@runtime.command(
    epilog="""\b
Examples:
  clipperctl runtime check 127.0.0.1:7100
  clipperctl runtime check 127.0.0.1:7100 --input '[0.1, 0.2]' --input '[1, 1]'     # what the model takes
  clipperctl runtime check 127.0.0.1:7100 --failing-input '[-1, -1]'               # what it raises on
  clipperctl runtime check 127.0.0.1:7100 -o json | jq '.[] | select(.result == "broken")'

\b
Exit codes: 0 all rules hold, 1 some are broken, 5 nobody answers at ADDRESS.
"""
)
@click.argument("address", metavar="HOST:PORT", type=texts.Address())
@click.option("--input", "inputs", multiple=True, metavar="VALUE", help="An input that the model takes; repeat it.")
@click.option("--failing-input", "failing", multiple=True, metavar="VALUE", help="One that makes the model raise.")
@click.option("--timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds for each call.")
@with_session
def check(session: Session, address: str, inputs: tuple[str, ...], failing: tuple[str, ...], timeout: float) -> None:
    """Looks whether the runtime at HOST:PORT keeps the rules of clipper.model.v1.ModelService.

    Needs no cluster. It sends predictions, good and malformed ones: check a runtime before it serves users. VALUE is
    typed as for `clipperctl predict`.
    """
    from clipperctl.client import RuntimeClient
    from clipperctl.conformance.suite import look

    with RuntimeClient(address, timeout_s=timeout) as client, session.working(f"Looking at {address}"):
        info = client.info()
        if info.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            click.echo(f"Error: nobody answers at {address} within {timeout:g} s ({info.code}).", err=True)
            click.get_current_context().exit(5)
        good, bad = ([texts.given(each, info.input_type or "doubles") for each in typed] for typed in (inputs, failing))
        rows = list(look(client, good, bad))
    counts = Counter(str(row.verdict.result) for row in rows)
    if session.output == "table":
        click.echo(f"{address} serves {_told(info)}\n")
    output.show_rows(session.output, [row.data for row in rows], _COLUMNS, "")
    if session.output == "table":
        kinds = [f"{counts[each]} {each}" for each in ("holds", "broken", "warning", "skipped") if counts[each]]
        click.echo(f"\n{', '.join(kinds)}")
    if counts["broken"]:
        click.get_current_context().exit(1)


def _told(info: Info) -> str:
    if not info.model:
        return "a model that it does not name"
    return f"{info.model}:{info.version} ({info.input_type}), by {info.runtime or 'a runtime without a name'}"
