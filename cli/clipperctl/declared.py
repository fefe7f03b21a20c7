"""The configuration as a file: apply, diff, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipperctl import output
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipper_admin.declared.plan import Plan

_FILE = click.option("-f", "--file", "file", required=True, metavar="FILE", help="YAML; - is stdin.")
_PRUNE = click.option("--prune", is_flag=True, help="Deletes applications and versions that FILE does not name.")
_DIFFERENT = 1


@click.command(
    epilog="""\b
Examples:
  clipperctl apply -f examples/app.yaml
  clipperctl apply -f app.yaml --dry-run
  clipperctl export | ssh other clipperctl apply -f - --yes
  clipperctl apply -f app.yaml --prune       # what the file does not name is deleted

\b
A file (examples/app.yaml has all that one can say):
  applications:
    - name: hello-world
      input_type: doubles
      default_output: "-1.0"
      objective: 100ms
      links: [sum-model]
"""
)
@_FILE
@_PRUNE
@click.option("--dry-run", is_flag=True, help="Shows what would change, and changes nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is deleted.")
@with_session
def apply(session: Session, file: str, prune: bool, dry_run: bool, yes: bool) -> None:
    """Makes applications, links, policies and versions of models what FILE says: all of it, or nothing.

    The manager looks at every change before; what is wrong is told with its line. What is as the file says already is
    left alone, and so is what it does not name. Replicas are not started: see `clipperctl model deploy` and `scale`.
    """
    from clipper_admin.declared import render
    from clipper_admin.declared.apply import compare

    text, name = _text(file)
    with session.connected("Comparing") as connection:
        found = compare(connection.client, text, name, prune=prune)
        _show(session, found.plan, "Nothing to do: the cluster is as the file says.")
        if dry_run or found.is_done:
            return
        steps = render.rows(found.plan)
        deletes = [each for each in steps if each["action"] == "delete" and not each["what"].startswith("link ")]
        if deletes and not yes:
            click.confirm(f"Delete {len(deletes)} of the above?", abort=True, err=True)
        found.apply(connection.client)
    if session.output == "table":
        click.echo("Applied.")


@click.command(
    epilog="""\b
Examples:
  clipperctl diff -f app.yaml
  clipperctl diff -f app.yaml -o json | jq '.[].what'

\b
Exit codes: 0 the cluster is as the file says, 1 it is not, 2 the file cannot be applied.
"""
)
@_FILE
@_PRUNE
@with_session
def diff(session: Session, file: str, prune: bool) -> None:
    """Shows what `clipperctl apply` would change, and changes nothing."""
    from clipper_admin.declared.apply import compare

    text, name = _text(file)
    with session.connected("Comparing") as connection:
        found = compare(connection.client, text, name, prune=prune)
    _show(session, found.plan, "No difference.")
    if not found.is_done:
        click.get_current_context().exit(_DIFFERENT)


@click.command(
    epilog="""\b
Examples:
  clipperctl export > app.yaml
  clipperctl export --manager 10.0.0.7:7001 | clipperctl apply -f - --cluster copy
"""
)
@with_session
def export(session: Session) -> None:
    """Prints the configuration as a file that `clipperctl apply` takes.

    Replicas are no part of it. Images of local clusters are directories of this machine.
    """
    import yaml

    from clipper_admin.declared import render

    with session.connected() as connection:
        text = render.exported(connection.client.configuration())
    if session.output == "json":
        output.show("json", yaml.safe_load(text), "")
    else:
        click.echo(text, nl=False)


def _text(file: str) -> tuple[str, str]:
    """The text of a file, and its name for problems."""
    if file == "-":
        return sys.stdin.read(), "<stdin>"
    try:
        return Path(file).read_text(encoding="utf-8"), file
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} cannot be read: {error}") from None


def _show(session: Session, plan: Plan, nothing: str) -> None:
    from clipper_admin.declared import render

    colours = {"+": "green", "-": "red", "~": "yellow"}
    if session.output != "table":
        output.show(session.output, render.rows(plan), "")
        return
    for line in render.lines(plan) or [nothing]:
        click.echo(click.style(line, fg=colours.get(line[0])))
