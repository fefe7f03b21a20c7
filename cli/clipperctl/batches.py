"""How the queries for a model are batched: the knobs, and what frontends have learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from clipperctl import output
from clipperctl.completion import model_names
from clipperctl.session import Session, with_session

_WHY = {
    "ceiling": "the largest batch that it may have",
    "budget": "a larger one would take too long",
    "reach": "still growing",
    "probe": "trying a larger one",
    "least": "even one input takes too long",
    "learning": "nothing known yet",
}
_REPLICA = {
    "replica": "REPLICA",
    "state": "STATE",
    "latency": "LATENCY (95 %) OF n INPUTS",
    "batch_rows": "BATCH",
    "why": "WHY",
    "margin": "IN HAND",
    "batches": "BATCHES",
    "mean_rows": "MEAN SIZE",
    "troubles": "TIMED OUT / LOST",
}
_CURVE = {
    "replica": "REPLICA",
    "rows": "INPUTS",
    "count": "BATCHES",
    "median": "MEDIAN",
    "longest": "LONGEST",
    "predicted": "LEARNED",
}


@click.command(
    epilog="""\b
Examples:
  clipperctl model profile sum-model
  clipperctl model profile sum-model --version 1 -o json
"""
)
@click.argument("name", shell_complete=model_names)
@click.option("--version", default="", help="Which one.  [default: the current one]")
@with_session
def profile(session: Session, name: str, version: str) -> None:
    """Shows what a frontend has learned of a model: latencies, batch sizes and why, refusals, second tries.

    Each frontend process learns for itself; one of them answers.
    """
    with session.predicting() as client:
        found = client.get_model_profile(name, version)
    if session.output != "table":
        output.show(session.output, found, "")
        return
    click.echo(_summary(found))
    output.print_table([_replica(each) for each in found["replicas"]], _REPLICA)
    samples = [_sample(each, sample) for each in found["replicas"] for sample in each["latencies"]]
    if samples:
        click.echo()
        output.print_table(samples, _CURVE)


@click.command(
    epilog="""\b
Examples:
  clipperctl model batching sum-model                                   # shows it
  clipperctl model batching sum-model --linger-ms 2 --hedge-percent 5
  clipperctl model batching sum-model --policy fixed --batch-size 32
  clipperctl model batching sum-model --policy default --batch-size 0   # the frontend's choice again
"""
)
@click.argument("name", shell_complete=model_names)
@click.option("--version", help="Which one.  [default: the current one]")
@click.option(
    "--policy",
    type=click.Choice(["default", "fixed", "aimd", "quantile"]),
    help="How sizes are chosen: always the largest, or as large as the objective allows (two ways to find that).",
)
@click.option("--batch-size", type=click.IntRange(0), help="The largest batch, in inputs; 0: the frontend's limit.")
@click.option("--linger-ms", type=click.FloatRange(0, 1000), help="How long a batch may wait for more to come.")
@click.option("--in-flight", type=click.IntRange(0), help="Batches that a replica may have at once; 0: the default.")
@click.option("--queue", type=click.IntRange(0), help="Queries that may wait; 0: the frontend's limit.")
@click.option("--hedge-percent", type=click.IntRange(0, 100), help="Inputs per hundred that may be sent a second time.")
@click.option("--retry/--no-retry", default=None, help="Whether queries of a lost replica move to another one.")
@with_session
def batching(
    session: Session,
    name: str,
    version: str | None,
    policy: str | None,
    batch_size: int | None,
    linger_ms: float | None,
    in_flight: int | None,
    queue: int | None,
    hedge_percent: int | None,
    retry: bool | None,
) -> None:
    """Shows or changes how the queries for a version are batched. Frontends follow at once."""
    settings: dict[str, Any] = {
        "policy": policy,
        "max_batch_rows": batch_size,
        "linger_ms": linger_ms,
        "max_batches_in_flight": in_flight,
        "max_queue_rows": queue,
        "hedge_percent": hedge_percent,
        "no_retry": None if retry is None else not retry,
    }
    with session.connected() as connection:
        client = connection.client
        chosen = version or connection.get_current_model_version(name)
        if any(value is not None for value in settings.values()):
            found = client.set_batching(name, chosen, **settings)
        else:
            found = client.get_batching(name, chosen)
    output.show_one(session.output, {"model_name": name, "model_version": chosen, **found})


def _summary(found: Mapping[str, Any]) -> str:
    sent = f"{found['rows']} queries in {found['batches']} batches, {found['waiting_rows']} wait"
    refused = (
        f"refused: {found['refused_hopeless']} could not be in time, {found['refused_full']} found the queue full; "
        f"given up: {found['given_up']}"
    )
    settings = (
        f"Model {found['model']}:{found['version']}, policy {found['policy']}, "
        f"objective {_ms(found['objective_us'])}, up to {found['max_batches_in_flight']} batches at a replica"
    )
    lines = [settings, f"{sent}; {refused}"]
    if found["hedge_percent"]:
        lines.append(
            f"second tries, at most {found['hedge_percent']} %: {found['hedges']} ({found['hedged_rows']} queries), "
            f"{found['hedges_won']} were faster; {found['hedges_denied']} denied"
        )
    return "\n".join([*lines, ""])


def _replica(found: Mapping[str, Any]) -> dict[str, Any]:
    is_known = found["samples"] > 0
    return {
        "replica": f"{found['replica_id']} at {found['address']}",
        "state": "on trial" if found["on_trial"] else found["state"],
        "latency": f"{_ms(found['fixed_us'])} + {_ms(found['per_row_us'])} · n" if is_known else "not known",
        "batch_rows": found["batch_rows"],
        "why": _WHY.get(found["limit"], found["limit"])
        + (f" (budget {_ms(found['budget_us'])})" if found["limit"] in ("budget", "least", "probe") else ""),
        "margin": _ms(found["margin_us"]),
        "batches": found["batches"],
        "mean_rows": f"{found['rows'] / found['batches']:.1f}" if found["batches"] else "-",
        "troubles": f"{found['timeouts']} / {found['losses']}",
    }


def _sample(replica: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "replica": replica["replica_id"],
        "rows": f"{found['rows']:.3g}",
        "count": found["count"],
        "median": _ms(found["median_us"]),
        "longest": _ms(found["longest_us"]),
        "predicted": _ms(found["predicted_us"]),
    }


def _ms(us: float) -> str:
    digits = 0 if us >= 100_000 else 1 if us >= 10_000 else 2
    return f"{us / 1000:.{digits}f} ms" if us >= 1000 else f"{us:.3g} µs"
