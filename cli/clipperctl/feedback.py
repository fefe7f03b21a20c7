"""Telling what turned out to be true."""

from __future__ import annotations

from typing import Any

import click

from clipperctl import output, texts
from clipperctl.completion import application_names
from clipperctl.session import Session, with_session


@click.command(
    epilog="""\b
Examples:
  clipperctl feedback hello-world --query-id 17 --reward 1
  clipperctl feedback hello-world --query-id 17 --label 6.6
  clipperctl feedback hello-world --input '[1.1, 2.2, 3.3]' --label 6.6 --context ann
  clipperctl feedback hello-world --query-id 17 --reward 1 --token order-4711   # safe to send again
"""
)
@click.argument("application", shell_complete=application_names)
@click.option("--query-id", type=int, metavar="ID", help="The answered query that it is about; or give --input.")
@click.option("--input", "value", metavar="VALUE", help="The input that it is about, as for predict.")
@click.option("--label", metavar="VALUE", help="The true output; JSON or text.")
@click.option("--reward", type=float, metavar="NUMBER", help="How good the answer was, 0 to 1; only with --query-id.")
@click.option("--context", default="", metavar="USER", help="The user or session that the input belongs to.")
@click.option("--token", default="", help="The same token counts once.")
@with_session
def feedback(
    session: Session,
    application: str,
    query_id: int | None,
    value: str | None,
    label: str | None,
    reward: float | None,
    context: str,
    token: str,
) -> None:
    """Tells what turned out for a query or an input, so that the application learns which model to trust."""
    if (query_id is None) == (value is None):
        raise click.UsageError("Give either --query-id or --input.")
    if (label is None) == (reward is None):
        raise click.UsageError("Give either --label or --reward.")
    told: dict[str, Any] = {"context": context, "reward": reward, "token": token}
    if label is not None:
        told["label"] = texts.default_output(label)
    with session.predicting() as client:
        if value is None:
            found = client.send_feedback(application, query_id=query_id, **told)
        else:
            asked = client.describe_application(application)
            given = texts.given(value, asked.input_type)
            found = client.send_feedback(application, asked=asked, value=given, **told)
    if found.duplicate:
        text = "This token was acknowledged before; nothing has changed."
    elif found.learned:
        text = f"{application} has learned from it."
    else:
        text = f"Taken; there was nothing that {application} could learn from it."
    output.show(session.output, {"learned": found.learned, "duplicate": found.duplicate}, text)
