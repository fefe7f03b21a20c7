"""`clipperctl explain`: what happened to one query."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from clipperctl import output, texts
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipper_admin import Client
    from clipper_admin.resources import Explanation

_WHAT_TO_DO = {
    "NO_MODEL": "Link a model:  clipperctl link {application} MODEL",
    "NO_REPLICA": "See what became of its replicas:  clipperctl status;  clipperctl logs --model {model}",
    "LATE": "See how fast it is, and how many wait:  clipperctl model profile {model};  clipperctl top",
    "OVERLOADED": "See how many wait, and start more replicas:  clipperctl top;  clipperctl model scale {model} N",
    "MODEL_ERROR": "See what the model says:  clipperctl logs --model {model}",
    "REPLICA_LOST": "See why it ended:  clipperctl logs --model {model};  clipperctl status",
    "LOW_CONFIDENCE": "See what the models have learned:  clipperctl policy show {application}",
}


@click.command(
    epilog="""\b
Examples:
  clipperctl predict hello-world '[1, 2]' -o json | jq .query_id
  clipperctl explain 4294967297
  clipperctl explain 4294967297 -o json
  clipperctl explain 4294967297 --frontend 10.0.0.7:7000
"""
)
@click.argument("query_id", type=click.IntRange(1, 2**53 - 1))
@with_session
def explain(session: Session, query_id: int) -> None:
    """Tells what happened to a query: who was asked, where the time went, and why there was no prediction.

    QUERY_ID is in every answer, and in the log's lines about defaults and errors. Frontends remember their last answers
    only (clipper-frontend --max-explained-queries), without inputs and outputs.
    """
    with ExitStack() as stack:
        found = _asked(session.frontends(stack), query_id)
    output.show(session.output, _data(found), "\n".join(told(found)))


def _asked(clients: dict[str, Client], query_id: int) -> Explanation:
    """What the first frontend tells that remembers it; the error of one if none does."""
    from clipper_rpc.errors import AnswerNotRemembered, ClipperError

    problem: ClipperError | None = None
    for client in clients.values():
        try:
            return client.explain_query(query_id)
        except ClipperError as error:
            if problem is None or isinstance(problem, AnswerNotRemembered):
                problem = error  # one that did not answer may be the one that knows
    assert problem is not None
    raise problem


def _data(found: Explanation) -> dict[str, Any]:
    told = dataclasses.asdict(found)
    return {**told, "answered_at": found.answered_at.isoformat() if found.answered_at else None}


def told(found: Explanation) -> list[str]:
    """What people read."""
    at = ""
    if found.answered_at is not None:
        iso = found.answered_at.isoformat(timespec="milliseconds")
        at = f" at {iso.replace('+00:00', 'Z')}, {output.ago(iso)} ago"
    what = {"prediction": "a prediction", "default": "the default output", "error": "an error"}.get(found.outcome, "?")
    lines = [f"Query {found.query_id} of application {found.application} got {what}{at}."]
    if found.reason:
        code = f", {found.error_reason}" if found.error_reason not in ("", found.reason) else ""
        lines.append(f"Why: {found.explanation} ({found.reason}{code})")
    elif found.confidence < 1:
        lines.append(f"Confidence: {found.confidence:.3g}")
    lines.append(f"Time: {texts.timed(found.timing)}; {_deadline(found)}")
    if found.lost_replicas:
        lines.append(f"Replicas that were lost while they had it: {found.lost_replicas}")
    for part in found.parts:
        asked = part.contribution
        if part.reason:
            more = part.explanation.removeprefix(found.explanation).strip()  # what was not said above
            said = f", {part.reason}" if part.reason != found.reason else ""
            lines.append(f"  {_named(asked.model, asked.version)} gave no answer{said}{f': {more}' if more else ''}")
        else:
            weight = "" if asked.weight in (0, 1) else f", weight {asked.weight:.3g}"
            hedged = ", a second try" if part.hedged else ""
            lines.append(f"  {texts.contributed(asked)}{weight}{hedged}")
    if found.reason:
        lines.append(_advice(found))
    return lines


def _deadline(found: Explanation) -> str:
    objective = f"the objective is {texts.ms(found.objective_us)}"
    if found.deadline_us < found.objective_us:
        return f"{objective}, but the client had time for {texts.ms(found.deadline_us)} only"
    return objective


def _advice(found: Explanation) -> str:
    models = [part.contribution.model for part in found.parts if part.reason in ("", found.reason)]
    return _WHAT_TO_DO.get(found.reason, "").format(application=found.application, model=(models or ["MODEL"])[0])


def _named(model: str, version: str) -> str:
    return f"{model}:{version}" if version else model
