"""Tables for people; JSON and YAML for programs. Data goes to stdout, all else to stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

_WIDE = 240
"""The width of tables where stdout is no terminal: nothing is cut."""


def show(output: str, data: object, text: str) -> None:
    """Prints data for programs, or the text for people."""
    match output:
        case "json":
            click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        case "yaml":
            click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
        case _:
            click.echo(text)


def show_rows(output: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """Prints rows: all their fields for programs; for people those of `columns` (field to heading), or `empty`."""
    if output != "table":
        show(output, [dict(row) for row in rows], "")
    elif not rows:
        click.echo(empty, err=True)
    else:
        print_table(rows, columns)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], title: str = "") -> None:
    """Prints a table."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(field)) for field in columns))
    console.print(table)


def show_one(output: str, row: Mapping[str, Any]) -> None:
    """Prints one thing: for people a line for each of its fields."""
    width = max(map(len, row), default=0)
    show(output, dict(row), "\n".join(f"{field:<{width}}  {_text(value)}" for field, value in row.items()))


def ago(iso: str, now: datetime | None = None) -> str:
    """How long ago a time was, as people say it: 12s, 5m, 3h, 2d."""
    if not iso:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - datetime.fromisoformat(iso)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _cell(value: object) -> str:
    text = _text(value)
    return text.replace("[", r"\[")  # rich takes brackets for markup


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(str(each) for each in value) or "-"
        case _:
            return str(value)
