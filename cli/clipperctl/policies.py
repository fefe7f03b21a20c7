"""How applications choose among their models, and what they have learned."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipperctl import output, texts
from clipperctl.completion import application_names
from clipperctl.evaluate import evaluate
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipper_admin import Client
    from clipper_admin.learned import SelectionState


@click.group()
def policy() -> None:
    """Policies: which models answer an application's queries, and what it learns."""


@policy.command(
    "list",
    epilog="""\b
Examples:
  clipperctl policy list
  clipperctl policy list -o json | jq '.[] | select(.name == "exp3").parameters'
""",
)
@with_session
def list_(session: Session) -> None:
    """Lists the policies that are installed here, with their parameters."""
    import clipper_selection

    rows: list[dict[str, Any]] = []
    for name in clipper_selection.names():
        made = type(clipper_selection.policy(name))
        about = (made.__doc__ or "").strip().partition("\n")[0]
        parameters = [{"name": each.name, "default": each.default, "about": each.about} for each in made.PARAMETERS]
        rows.append({"name": name, "learns": made.LEARNS, "about": about, "parameters": parameters})
    if session.output == "table":
        shown = [{**row, "parameters": ", ".join(_defaulted(each) for each in row["parameters"])} for row in rows]
        output.print_table(
            shown, {"name": "NAME", "learns": "LEARNS", "parameters": "PARAMETERS", "about": "WHAT IT DOES"}
        )
    else:
        output.show(session.output, rows, "")


def _defaulted(parameter: Mapping[str, Any]) -> str:
    default = parameter["default"]
    return f"{parameter['name']}={default:g}" if isinstance(default, float) else f"{parameter['name']}={default}"


@policy.command(
    epilog="""\b
Examples:
  clipperctl policy show hello-world
  clipperctl policy show hello-world --context ann
  clipperctl policy show hello-world -o json | jq .state
"""
)
@click.argument("application", shell_complete=application_names)
@click.option("--context", default="", metavar="USER", help="What was learned for this user or session.")
@with_session
def show(session: Session, application: str, context: str) -> None:
    """Shows an application's policy and what it has learned, model by model."""
    with session.connected() as connection:
        chosen = connection.client.get_policy(application)
        state = connection.client.get_selection_state(application, context)
    data = {
        "application": application,
        "policy": chosen.name,
        "parameters": dict(chosen.parameters),
        "confidence_threshold": chosen.confidence_threshold,
        "context": context,
        "observations": state.observations,
        "state": dict(state.values),
    }
    if session.output != "table":
        output.show(session.output, data, "")
        return
    given = " ".join(f"{name}={value}" for name, value in chosen.parameters.items())
    whose = f" for {context}" if context else ""
    click.echo(f"{application} chooses by {chosen.name} {given}".rstrip() + ".")
    if not state.values:
        click.echo(f"Nothing was learned{whose} yet.")
        return
    click.echo(f"Learned{whose} from {state.observations} outcomes:\n")
    rows, columns = _by_model(state.values)
    output.print_table(rows, columns)


def _by_model(values: Mapping[str, float]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows per model, and the columns that they have."""
    rows: dict[str, dict[str, Any]] = {}
    columns = {"model": "MODEL"}
    for name, value in values.items():
        model, _, what = name.partition("/")
        what = what or "value"
        rows.setdefault(model, {"model": model})[what] = f"{value:.6g}"
        columns[what] = what.upper().replace("_", " ")
    return list(rows.values()), columns


@policy.command(
    "set",
    epilog="""\b
Examples:
  clipperctl policy set hello-world epsilon_greedy -p epsilon=0.05
  clipperctl policy set hello-world exp4 --threshold 0.7     # below: the default output
  clipperctl policy set hello-world static
""",
)
@click.argument("application", shell_complete=application_names)
@click.argument("name", metavar="POLICY")
@click.option("-p", "--parameter", "given", type=texts.Parameter(), multiple=True, help="A parameter; may be repeated.")
@click.option(
    "--threshold", type=float, metavar="NUMBER", help="The confidence below which the default is answered, 0 to 1."
)
@with_session
def set_(
    session: Session, application: str, name: str, given: Sequence[tuple[str, object]], threshold: float | None
) -> None:
    """Has an application choose by a policy. Parameters that are not given have their default.

    What was learned under a policy of another name is forgotten; other parameters keep it.
    """
    from clipper_admin.learned import Policy

    with session.connected("Changing") as connection:
        if threshold is None:
            threshold = connection.client.get_policy(application).confidence_threshold
        chosen = Policy(name, dict(given), threshold)
        connection.client.set_policy(application, chosen)
    data = {"application": application, "policy": name, "parameters": dict(chosen.parameters)}
    output.show(session.output, data, f"Application {application} chooses by {name} from now on.")


@policy.command(
    epilog="""\b
Examples:
  clipperctl policy reset hello-world --yes
  clipperctl policy reset hello-world --context ann
"""
)
@click.argument("application", shell_complete=application_names)
@click.option("--context", default="", metavar="USER", help="Only what was learned for this user or session.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@with_session
def reset(session: Session, application: str, context: str, yes: bool) -> None:
    """Forgets what an application has learned, for all users and sessions or for one."""
    whose = f"for {context}" if context else "for all its users and sessions"
    if not yes:
        click.confirm(f"Forget what {application} has learned {whose}?", abort=True, err=True)
    with session.connected("Forgetting") as connection:
        connection.client.reset_selection_state(application, context)
    data = {"application": application, "context": context, "reset": True}
    output.show(session.output, data, f"What {application} had learned {whose} is forgotten.")


@policy.command(
    epilog="""\b
Examples:
  clipperctl policy export hello-world > learned.json
  clipperctl policy export hello-world | jq '.contexts | length'
"""
)
@click.argument("application", shell_complete=application_names)
@with_session
def export(session: Session, application: str) -> None:
    """Writes an application's policy and all that it has learned, as JSON, for `policy import`."""
    with session.connected("Reading") as connection:
        client = connection.client
        chosen = client.get_policy(application)
        data = {
            "application": application,
            "policy": chosen.name,
            "parameters": dict(chosen.parameters),
            "state": _state(client.get_selection_state(application)),
            "contexts": {each.context: _state(each) for each in client.list_selection_states(application)},
        }
    if session.output == "yaml":
        output.show("yaml", data, "")
    else:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _state(state: SelectionState) -> dict[str, Any]:
    return {"observations": state.observations, "values": dict(state.values)}


@policy.command(
    "import",
    epilog="""\b
Examples:
  clipperctl policy import hello-world learned.json
  clipperctl policy export hello-world | clipperctl policy import hello-world-two -
""",
)
@click.argument("application", shell_complete=application_names)
@click.argument("file")
@with_session
def import_(session: Session, application: str, file: str) -> None:
    """Replaces what an application has learned by what `policy export` has written. `-` reads stdin."""
    try:
        found = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
        states = {"": found["state"], **found["contexts"]}
        wanted = found["policy"]
        read = {context: (dict(each["values"]), int(each["observations"])) for context, each in states.items()}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise click.UsageError(f"{file} is not what `policy export` writes: {error}") from None
    with session.connected("Writing") as connection:
        client: Client = connection.client
        chosen = client.get_policy(application).name
        if chosen != wanted:
            raise click.UsageError(
                f"This was learned by {wanted}, but {application} chooses by {chosen}. "
                f"First: clipperctl policy set {application} {wanted}"
            )
        client.reset_selection_state(application)
        for context, (values, observations) in read.items():
            if values:
                client.set_selection_state(application, values, context=context, observations=observations)
    data = {"application": application, "contexts": len(read) - 1}
    output.show(session.output, data, f"{application} knows what was exported, for {len(read) - 1} contexts too.")


policy.add_command(evaluate)
