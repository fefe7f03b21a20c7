"""Applications: what product teams query."""

from __future__ import annotations

import dataclasses

import click

from clipperctl import output, texts
from clipperctl.completion import application_names, model_names
from clipperctl.session import Session, with_session

INPUT_TYPES = ("doubles", "floats", "integers", "strings", "bytes", "tensors")


@click.group()
def app() -> None:
    """Applications: what is queried."""


@app.command(
    epilog="""\b
Examples:
  clipperctl app register hello-world --input-type doubles --default-output -1.0
  clipperctl app register greeter --input-type strings --default-output '"hello"' --objective 50ms
  clipperctl app register strict --input-type doubles      # no default: late queries fail
  clipperctl app register digits --input-type doubles --policy exp4 -p eta=0.2 \\
      --default-output '"?"' --threshold 0.6                  # several models, and "?" where they disagree
"""
)
@click.argument("name")
@click.option("--input-type", type=click.Choice(INPUT_TYPES), required=True, help="What its inputs are.")
@click.option("--default-output", metavar="VALUE", help="Answered when no prediction is there in time; JSON or text.")
@click.option(
    "--objective", type=texts.Objective(), default="100ms", show_default=True, help="When every query is answered."
)
@click.option("--policy", default="static", show_default=True, help="How it chooses among its linked models.")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    type=texts.Parameter(),
    multiple=True,
    help="A parameter of the policy; may be repeated.",
)
@click.option(
    "--threshold",
    metavar="NUMBER",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="The confidence below which the default is answered, 0 to 1.",
)
@with_session
def register(
    session: Session,
    name: str,
    input_type: str,
    default_output: str | None,
    objective: int,
    policy: str,
    parameters: tuple[tuple[str, object], ...],
    threshold: float,
) -> None:
    """Registers an application, which can be queried from then on."""
    default = None if default_output is None else texts.default_output(default_output)
    with session.connected("Registering") as connection:
        connection.register_application(
            name,
            input_type,
            default,
            objective,
            policy=policy,
            policy_parameters=dict(parameters),
            confidence_threshold=threshold,
        )
        found = connection.get_app_info(name)
    output.show(session.output, found, f"Application {name} is registered.")


@app.command(
    "list",
    epilog="""\b
Examples:
  clipperctl app list
  clipperctl app list -o json | jq -r '.[].name'
""",
)
@with_session
def list_(session: Session) -> None:
    """Lists all applications."""
    with session.connected() as connection:
        rows = connection.get_all_apps(verbose=True)
    if session.output == "table":
        rows = [{**row, "objective": f"{row['latency_slo_micros'] / 1000:g} ms"} for row in rows]
    columns = {
        "name": "NAME",
        "input_type": "INPUT TYPE",
        "objective": "OBJECTIVE",
        "default_output": "DEFAULT OUTPUT",
        "linked_models": "MODELS",
    }
    output.show_rows(session.output, rows, columns, "No applications. Register one with `clipperctl app register`.")


@app.command(
    epilog="""\b
Example:
  clipperctl app show hello-world -o yaml
"""
)
@click.argument("name", shell_complete=application_names)
@with_session
def show(session: Session, name: str) -> None:
    """Shows one application."""
    with session.connected() as connection:
        found = connection.client.get_application(name)
    from clipper_admin import views

    chooses = {
        "policy": found.policy,
        "policy_parameters": dict(found.policy_parameters),
        "confidence_threshold": found.confidence_threshold,
        "weights": {link.model: link.weight for link in found.links},
    }
    output.show_one(session.output, views.application(found) | chooses)


@app.command(
    epilog="""\b
Example:
  clipperctl link hello-world next-model --shadow
  clipperctl app shadows hello-world
"""
)
@click.argument("name", shell_complete=application_names)
@with_session
def shadows(session: Session, name: str) -> None:
    """Compares the shadows of an application with the answers that it gave to the same queries."""
    with session.connected() as connection:
        found = connection.compare_shadows(name)
    if session.output != "table":
        output.show(session.output, [{**dataclasses.asdict(each), "agreement": each.agreement} for each in found], "")
        return
    rows = [
        {
            "model": each.model,
            "share": f"{each.share:g}",
            "queries": each.queries,
            "agreement": "-" if each.agreement is None else f"{each.agreement:.1%} of {each.compared}",
            "errors": ", ".join(f"{count} {reason}" for reason, count in each.errors.items()) or "none",
            "latency": texts.latencies(each.latency),
            "given": texts.latencies(each.given_latency),
        }
        for each in found
    ]
    columns = {
        "model": "SHADOW",
        "share": "SHARE",
        "queries": "QUERIES",
        "agreement": "AGREES WITH ANSWERS",
        "errors": "ERRORS",
        "latency": "LATENCY p50 / p95 / p99",
        "given": "THAT OF ANSWERS",
    }
    output.show_rows(session.output, rows, columns, "No shadows. Link one with `clipperctl link APP MODEL --shadow`.")


@app.command(
    epilog="""\b
Example:
  clipperctl app unregister hello-world --yes
"""
)
@click.argument("name", shell_complete=application_names)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@with_session
def unregister(session: Session, name: str, yes: bool) -> None:
    """Deletes an application with its links. Its traffic ends at once."""
    if not yes:
        click.confirm(f"Delete application {name}? Its queries will fail at once.", abort=True, err=True)
    with session.connected("Deleting") as connection:
        connection.unregister_application(name)
    output.show(session.output, {"name": name, "deleted": True}, f"Application {name} is deleted.")


@click.command(
    epilog="""\b
Examples:
  clipperctl link hello-world sum-model
  clipperctl link hello-world new-model --weight 0.1     # a canary: one query in eleven
  clipperctl link hello-world next-model --shadow          # gets copies of queries, has no say; see app shadows
"""
)
@click.argument("application", shell_complete=application_names)
@click.argument("model", shell_complete=model_names)
@click.option(
    "--weight",
    type=click.FloatRange(0, min_open=True),
    help="Its share of the queries, or its say in answers, relative to other models; 1 by default. Linking again with "
    "another weight changes it.",
)
@click.option("--shadow", is_flag=True, help="It gets copies of queries, and never has a say in answers.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    help="The share of the queries that a shadow gets; 1 by default.",
)
@with_session
def link(
    session: Session, application: str, model: str, weight: float | None, shadow: bool, share: float | None
) -> None:
    """Routes the queries of an application to a model. Their input types must agree."""
    if shadow and weight is not None:
        raise click.UsageError("A shadow has no --weight: it never has a say. Give it a --share of the queries.")
    if share is not None and not shadow:
        raise click.UsageError("--share is for a --shadow; give other models a --weight.")
    with session.connected("Linking") as connection:
        if shadow:
            connection.shadow_model_of_app(application, model, share or 1.0)
        else:
            connection.link_model_to_app(application, model, weight or 0)
        found = connection.get_app_info(application)
    does = "shadows" if shadow else "is linked to"
    output.show(session.output, found, f"Model {model} {does} application {application}.")


@click.command(
    epilog="""\b
Example:
  clipperctl unlink hello-world sum-model
"""
)
@click.argument("application", shell_complete=application_names)
@click.argument("model", shell_complete=model_names)
@with_session
def unlink(session: Session, application: str, model: str) -> None:
    """Ends the routing of an application's queries to a model."""
    with session.connected("Unlinking") as connection:
        connection.unlink_model_from_app(application, model)
        found = connection.get_app_info(application)
    output.show(session.output, found, f"Model {model} is no longer linked to application {application}.")
