"""policy evaluate: what other policies would have earned, from the prediction log of frontends."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipperctl import output, texts
from clipperctl.completion import application_names
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipper_selection import Arm, Policy
    from clipperctl.offpolicy import Estimate, Logged

_DRAWS = 200


@dataclass
class Log:
    """The queries of one application that have an outcome."""

    queries: list[Logged] = field(default_factory=list)
    earned: list[float] = field(default_factory=list)
    """What the answers that were given were worth, where one model alone had given them."""
    models: tuple[str, ...] = ()
    unjoined: int = 0
    """How many queries have no outcome (yet)."""


@click.command(
    epilog="""\b
Examples:
  # where the log is: CLIPPER_FRONTEND_PREDICTION_LOG=/var/log/clipper clipperctl start
  clipperctl policy evaluate hello-world --log /var/log/clipper
  clipperctl policy evaluate hello-world --log /var/log/clipper --weights a=0.9,b=0.1
  clipperctl policy evaluate hello-world --log /var/log/clipper --policy ucb1
  clipperctl policy evaluate hello-world --log /var/log/clipper --policy exp3 -p eta=0.1 --state learned.json

\b
How it is done, and what to look out for: docs/feedback.md.
"""
)
@click.argument("application", shell_complete=application_names)
@click.option(
    "--log",
    "directory",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The directory of the prediction log.",
)
@click.option("--weights", metavar="MODEL=SHARE,...", help="Evaluates fixed shares of the queries.")
@click.option("--policy", "name", metavar="POLICY", help="Evaluates a policy, as it stands by what it has learned.")
@click.option("-p", "--parameter", "given", type=texts.Parameter(), multiple=True, help="A parameter of that policy.")
@click.option(
    "--state",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What it has learned, from `policy export`.  [default: nothing]",
)
@click.option("--confidence", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.9999), help="Of intervals.")
@with_session
def evaluate(
    session: Session,
    application: str,
    directory: Path,
    weights: str | None,
    name: str | None,
    given: Sequence[tuple[str, object]],
    state: Path | None,
    confidence: float,
) -> None:
    """Estimates the mean reward that other policies would have earned, from the log of what was shown.

    Without --weights and --policy: that of each model alone. Three estimates, each with its interval: by inverse
    propensity, self-normalised, doubly robust.
    """
    from clipperctl import offpolicy

    log = read(directory, application)
    if not log.queries:
        raise click.ClickException(
            f"No query of {application} with an outcome is in {directory} ({log.unjoined} have none yet)."
        )
    candidates = _candidates(log, weights, name, dict(given), state)
    rows = []
    if log.earned:
        own = offpolicy.observed(log.earned, confidence=confidence)
        rows.append({"policy": "(as logged)", "queries": len(log.earned), "observed": _told(own)})
    for title, chosen in candidates:
        found = offpolicy.evaluate(log.queries, chosen, confidence=confidence)
        rows.append(
            {
                "policy": title,
                "queries": found.queries,
                "effective": round(found.effective),
                "inverse_propensity": _told(found.inverse_propensity),
                "self_normalised": _told(found.self_normalised),
                "doubly_robust": _told(found.doubly_robust),
                "unsupported": found.unsupported,
            }
        )
        if found.unsupported > 0.01:
            click.echo(
                f"{title}: {found.unsupported:.0%} of its choices are models that the log never chose; "
                "the estimates leave them out.",
                err=True,
            )
    if session.output != "table":
        output.show(session.output, rows, "")
        return
    shown = [{key: _cell(value) for key, value in row.items()} for row in rows]
    columns = {
        "policy": "POLICY",
        "queries": "QUERIES",
        "effective": "EFFECTIVE",
        "observed": "OBSERVED",
        "inverse_propensity": "INVERSE PROPENSITY",
        "self_normalised": "SELF-NORMALISED",
        "doubly_robust": "DOUBLY ROBUST",
    }
    output.print_table(shown, columns)


def _told(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _cell(value: object) -> object:
    match value:
        case {"value": mean, "low": low, "high": high}:
            return f"{mean:.4f} ({low:.4f} to {high:.4f})"
        case _:
            return value


def read(directory: Path, application: str) -> Log:
    """The log of an application: queries joined with their outcomes, whichever frontend has written them."""
    from clipperctl.offpolicy import Logged

    shown: dict[int, dict[str, Any]] = {}
    outcomes: dict[int, dict[str, Any]] = {}
    for line in _lines(directory):
        if line.get("application") == application:
            (shown if line["kind"] == "shown" else outcomes)[line["query_id"]] = line
    log = Log(unjoined=len(shown.keys() - outcomes.keys()))
    models: set[str] = set()
    for query_id, line in shown.items():
        models.update(line["models"])
        outcome = outcomes.get(query_id)
        if outcome is None:
            continue
        rewards = {model: 1.0 - loss for model, loss in outcome["losses"].items()}
        log.queries.append(Logged(line["context"], rewards, outcome["propensities"]))
        given = [each["model"] for each in line["asked"] if each["weight"] > 0]
        if len(given) == 1 and given[0] in rewards:
            log.earned.append(rewards[given[0]])
    log.models = tuple(sorted(models))
    return log


def _lines(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("predictions-*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except ValueError:  # the last line of a process that was killed
                continue


def _candidates(
    log: Log, weights: str | None, name: str | None, given: dict[str, object], state: Path | None
) -> list[tuple[str, list[Mapping[str, float]]]]:
    """Titles, and for each query with which probability each model would have been asked."""
    found: list[tuple[str, list[Mapping[str, float]]]] = []
    if weights is not None:
        found.append((weights, [shares(weights, log.models)] * len(log.queries)))
    if name is not None:
        found.append((name, _by_policy(log, name, given, state)))
    if not found:
        found.extend((f"always {model}", [{model: 1.0}] * len(log.queries)) for model in log.models)
    return found


def shares(text: str, models: Sequence[str]) -> dict[str, float]:
    """Typed shares of the queries, a=0.9,b=0.1; together 1."""
    found = {}
    for part in text.split(","):
        model, _, share = part.strip().partition("=")
        try:
            found[model] = float(share or 1.0)
        except ValueError:
            raise click.UsageError(f"{part!r} is no share: write MODEL=SHARE, e.g. a=0.9,b=0.1.") from None
        if model not in models:
            raise click.UsageError(f"{model!r} is not in the log; there are {', '.join(models)}.")
        if not 0 <= found[model] < float("inf"):
            raise click.UsageError(f"{part!r}: a share is at least 0.")
    total = sum(found.values())
    if not total:
        raise click.UsageError("At least one share must be above 0.")
    return {model: share / total for model, share in found.items()}


def _by_policy(log: Log, name: str, given: dict[str, object], state: Path | None) -> list[Mapping[str, float]]:
    import clipper_selection
    from clipper_selection import Arm, BadParameter, UnknownPolicy

    try:
        policy = clipper_selection.policy(name, given)
    except UnknownPolicy:
        known = ", ".join(clipper_selection.names())
        raise click.UsageError(f"{name!r} is not installed here; there are {known}.") from None
    except BadParameter as error:
        raise click.UsageError(str(error)) from None
    if policy.ASKS_ALL:
        raise click.UsageError(
            f"{name} asks all models and combines their answers: a log of single answers does not tell what it would "
            "have earned. Evaluate policies that ask one model."
        )
    own, contexts = _learned(state)
    arms = [Arm(model) for model in log.models]
    by_context: dict[str, Mapping[str, float]] = {}
    for query in log.queries:
        if query.context not in by_context:
            learned = contexts.get(query.context) or (policy.inherited(own) if query.context else own)
            by_context[query.context] = chances(policy, learned, arms, query.context)
    return [by_context[query.context] for query in log.queries]


def _learned(path: Path | None) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    if path is None:
        return {}, {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["state"]["values"], {name: each["values"] for name, each in found["contexts"].items()}
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise click.UsageError(f"{path} is not what `policy export` writes: {error}") from None


def chances(policy: Policy, state: Mapping[str, float], arms: Sequence[Arm], context: str) -> Mapping[str, float]:
    """With which probability a policy asks each model: a policy tells that of what it has drawn, so it draws often."""
    uniform = random.Random(0).random  # the same chances each time
    found: dict[str, float] = {}
    for _ in range(_DRAWS):
        choice = policy.select(state, arms, context, uniform)
        found.update(zip(choice.models, choice.propensities, strict=True))
    total = sum(found.values())
    return {model: share / total for model, share in found.items()}
