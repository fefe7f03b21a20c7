"""Asking an application."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from clipperctl import output, texts
from clipperctl.completion import application_names
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipper_admin.resources import Prediction


@click.command(
    epilog="""\b
Examples:
  clipperctl predict hello-world '[1.1, 2.2, 3.3]'
  clipperctl predict hello-world --batch '[[1.1, 2.2], [3.3, 4.4]]' -o json
  echo '[1.1, 2.2, 3.3]' | clipperctl predict hello-world -
  clipperctl predict greeter 'good morning'
  clipperctl predict cats @cat.jpg                     # input type bytes: the file as it is
  clipperctl predict hello-world '[1, 2]' --frontend 10.0.0.7:7000
  clipperctl predict hello-world '[1, 2]' --explain    # where the time went, on stderr
"""
)
@click.argument("application", shell_complete=application_names)
@click.argument("value")
@click.option("--batch", is_flag=True, help="VALUE is a JSON array of inputs.")
@click.option("--version", default="", help="Asks this version of the model.  [default: the current one]")
@click.option("--context", default="", metavar="USER", help="The user or session that asks.")
@click.option("--fresh", is_flag=True, help="Has it computed, whatever the prediction cache knows.")
@click.option("--explain", is_flag=True, help="Tells who has answered, and where the time went.")
@with_session
def predict(
    session: Session,
    application: str,
    value: str,
    batch: bool,
    version: str,
    context: str,
    fresh: bool,
    explain: bool,
) -> None:
    """Asks an application for a prediction, over gRPC.

    VALUE is JSON (strings also without quotation marks, bytes as base64); `-` reads stdin and @PATH a file. Prints the
    output, and on stderr why it is a default if it is one.
    """
    with session.predicting() as client:
        asked = client.describe_application(application)
        if batch:
            inputs = texts.given_batch(value)
            results = client.predict_batch(
                asked, inputs, version=version, context=context, fresh=fresh, explain=explain
            )
        else:
            given = texts.given(value, asked.input_type)
            found = client.predict(asked, given, version=version, context=context, fresh=fresh, explain=explain)
    if not batch:
        output.show(session.output, _data(found), _line(found))
        _tell(found)
        return
    from clipper_rpc.errors import ClipperError

    data = [
        {"error": each.reason, "cause": str(each)} if isinstance(each, ClipperError) else _data(each)
        for each in results
    ]
    lines = [f"error: {each}" if isinstance(each, ClipperError) else _line(each) for each in results]
    output.show(session.output, data, "\n".join(lines))
    for each in results:
        if not isinstance(each, ClipperError):
            _tell(each)
    if any(isinstance(each, ClipperError) for each in results):
        click.get_current_context().exit(1)


def _data(found: Prediction) -> dict[str, Any]:
    from clipper_admin import views

    return {
        "query_id": found.query_id,
        "output": views.plain(found.output),
        "default": found.default,
        **({"default_reason": found.default_reason} if found.default else {}),
        **({"default_explanation": found.default_explanation} if found.default else {}),
        "confidence": found.confidence,
        **({"timing": dataclasses.asdict(found.timing)} if found.timing is not None else {}),
        "contributions": [dataclasses.asdict(each) for each in found.contributions],
    }


def _line(found: Prediction) -> str:
    from clipper_admin import views

    plain = views.plain(found.output)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _tell(found: Prediction) -> None:
    if found.default:
        click.echo(f"query {found.query_id}: default output ({found.default_explanation})", err=True)
    if found.timing is not None:
        for line in texts.explained(found):
            click.echo(f"query {found.query_id}: {line}", err=True)
