"""The engine in virtual time: what load, objectives, lingering and replicas do to throughput and lateness.

    python bench/simulate.py [--seconds 2] [--plots build/simulation]

Runs the real dispatcher, pools and policies on a made-up clock, before made-up replicas on which a batch of n queries
takes fixed + per_row * n milliseconds (and some noise): no sockets, no waiting, the same figures on every machine.
Queries come by chance (Poisson). Prints tables, and draws them as SVG where matplotlib is (`make bench` has it).

    good/s          answers within the objective, per second
    in time         their share of all queries that were admitted, whatever became of those
    default         the share of queries that got none: refused at once, or late
    per model s     answers for each second that a model computed: what counts where models share a machine
    refused after   the median time until a refusal
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from engines import Pace, Plant
from rich.console import Console
from rich.table import Table

from clipper_frontend.batch_policies import Policy
from clipper_frontend.query import Reason

MS = 1_000_000
PACES = {
    "5 ms + 0.02 ms each": Pace(5, 0.02, noise=0.03),
    "5 ms + 0.5 ms each": Pace(5, 0.5, noise=0.03),
    "0.2 ms + 0.5 ms each": Pace(0.2, 0.5, noise=0.03),
    "5 ms + 0.5 ms each, noisy": Pace(5, 0.5, noise=0.25),
    "5 ms + 0.5 ms each, pausing": Pace(5, 0.5, noise=0.03, pause_share=0.02, pause_ms=5),
}
"""Latency models: a large fixed cost, a usual one, next to none, one that varies, and one that pauses now and then."""
BATCHERS: dict[str, dict[str, object]] = {
    "one by one": {"policy": Policy.FIXED, "max_batch_rows": 1},
    "fixed 32": {"policy": Policy.FIXED, "max_batch_rows": 32},
    "aimd": {"policy": Policy.AIMD},
    "quantile": {"policy": Policy.QUANTILE},
}


@dataclass(frozen=True)
class Point:
    """What became of the queries of one run."""

    asked_per_s: float
    good_per_s: float
    in_time: float
    defaults: float
    batch_rows: float
    per_model_s: float
    refused_ms: float | None
    """None if nobody was refused."""


def run(
    per_s: float, seconds: float, *paces: Pace, objective_ms: float, warm_up_s: float = 1.0, **batching: object
) -> Point:
    """Queries come by chance, whatever becomes of those before. The first second, in which it learns, is left out."""
    plant = Plant(*paces, objective_ms=objective_ms, **batching)
    plant.load(per_s, warm_up_s)
    before = [len(replica.sizes) for replica in plant.replicas]
    end_ns = plant.clock.ns + int(seconds * 1e9)
    answers = plant.load(per_s, seconds)
    batches = [replica.sizes[start:] for replica, start in zip(plant.replicas, before, strict=True)]
    busy_s = (
        sum(pace.fixed_ms + pace.per_row_ms * rows for pace, own in zip(paces, batches, strict=True) for rows in own)
        / 1000
    )
    answered = [(query, at_ns) for query, at_ns in answers if query.batch is not None]
    good = [at_ns for query, at_ns in answered if at_ns <= query.deadline_ns]
    admitted = sum(query.reason is not Reason.OVERLOADED for query, _ in answers)
    refused = [at_ns - query.arrived_ns for query, at_ns in answers if query.reason is Reason.OVERLOADED]
    return Point(
        asked_per_s=len(answers) / seconds,
        good_per_s=sum(at_ns <= end_ns for at_ns in good) / seconds,
        in_time=len(good) / max(1, admitted),
        defaults=1 - len(answered) / max(1, len(answers)),
        batch_rows=mean(rows for own in batches for rows in own),
        per_model_s=len(answered) / busy_s,
        refused_ms=median(refused) / MS if refused else None,
    )


def capacity_per_s(pace: Pace, objective_ms: float, max_rows: int = 1000) -> float:
    """What a replica can do at most while each batch takes 45 % of the objective: see clipper_frontend.admission."""
    rows = 1
    if pace.fixed_ms + pace.per_row_ms < 0.45 * objective_ms:
        rows = min(max_rows, int((0.45 * objective_ms - pace.fixed_ms) / pace.per_row_ms))
    return 1000 * rows / (pace.fixed_ms + pace.per_row_ms * rows)


def by_load(seconds: float, loads: Iterable[float] = (0.25, 0.5, 0.75, 1, 1.5, 2, 4)) -> dict[str, list[Point]]:
    """Each way to batch under growing load, in shares of what is possible; 5 ms + 0.5 ms each, 50 ms."""
    pace = PACES["5 ms + 0.5 ms each"]
    most = capacity_per_s(pace, 50)
    return {
        name: [run(share * most, seconds, pace, objective_ms=50, **batching) for share in loads]
        for name, batching in BATCHERS.items()
    }


def by_objective(
    seconds: float,
    objectives_ms: Iterable[float] = (20, 50, 100, 200),
    models: Iterable[str] = tuple(PACES),
    batchers: Sequence[str] = ("one by one", "quantile"),
) -> dict[str, list[Point]]:
    """Each latency model at 1.5 times what it can do, one by one and in batches, for growing objectives."""
    return {
        f"{model}, {name}": [
            run(1.5 * capacity_per_s(PACES[model], ms), seconds, PACES[model], objective_ms=ms, **BATCHERS[name])
            for ms in objectives_ms
        ]
        for model in models
        for name in batchers
    }


def by_linger(seconds: float, lingers_ms: Iterable[float] = (0, 0.5, 1, 2, 4)) -> dict[str, list[Point]]:
    """Four replicas under moderate load: with nothing to wait for they take queries one by one, unless they linger."""
    paces = {"5 ms + 0.02 ms each": Pace(5, 0.02), "0.1 ms + 0.5 ms each": Pace(0.1, 0.5)}
    return {
        name: [run(800, seconds, *[pace] * 4, objective_ms=50, linger_ns=int(ms * MS)) for ms in lingers_ms]
        for name, pace in paces.items()
    }


def by_replicas(seconds: float, counts: Iterable[int] = (1, 2, 3, 4)) -> dict[str, list[Point]]:
    """More and more replicas, each with as much load as one can bear, and half as much again."""
    pace = PACES["5 ms + 0.5 ms each"]
    per_s = 1.5 * capacity_per_s(pace, 50)
    return {"quantile": [run(count * per_s, seconds, *[pace] * count, objective_ms=50) for count in counts]}


def by_in_flight(seconds: float, counts: Iterable[int] = (1, 2, 3, 4)) -> dict[str, list[Point]]:
    """Up to so many batches at a replica, at 1.5 times what it can do, objective 50 ms; near and farther away."""
    paces = {
        f"{fixed_ms:g} ms + {per_row_ms:g} ms each, {network_ms:g} ms away": Pace(
            fixed_ms, per_row_ms, 0.03, network_ms
        )
        for fixed_ms, per_row_ms in ((5, 0.5), (0.3, 0.1))
        for network_ms in (0.2, 2)
    }
    return {
        name: [
            run(
                1.5 * capacity_per_s(pace, 50, 128),
                seconds,
                pace,
                objective_ms=50,
                max_batch_rows=128,
                max_batches_in_flight=count,
            )
            for count in counts
        ]
        for name, pace in paces.items()
    }


def table_of(title: str, what: str, marks: Sequence[str], found: dict[str, list[Point]]) -> Table:
    """A table of the points of several runs."""
    table = Table(title=title)
    for heading in ("", what, "asked/s", "good/s", "in time", "default", "rows", "per model s", "refused after"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, points in found.items():
        for mark, point in zip(marks, points, strict=True):
            table.add_row(
                name,
                mark,
                f"{point.asked_per_s:,.0f}",
                f"{point.good_per_s:,.0f}",
                f"{point.in_time:.1%}",
                f"{point.defaults:.1%}",
                f"{point.batch_rows:.1f}",
                f"{point.per_model_s:,.0f}",
                "" if point.refused_ms is None else f"{point.refused_ms:.1f} ms",
            )
        table.add_section()
    return table


def draw(path: Path, title: str, what: str, xs: Sequence[float], found: dict[str, list[Point]]) -> None:
    """Draws throughput, shares in time and of defaults, and answers per second of model time, one above the other."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(7, 10), sharex=True, layout="constrained")
    kinds = [
        ("good_per_s", "good answers/s"),
        ("in_time", "share in time"),
        ("defaults", "share of defaults"),
        ("per_model_s", "answers per model s"),
    ]
    for axis, (field, label) in zip(axes, kinds, strict=True):
        for name, points in found.items():
            axis.plot(xs, [getattr(point, field) for point in points], marker="o", label=name)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[3].set_yscale("log")
    axes[1].set_ylim(0, 1.05)
    axes[2].set_ylim(-0.05, 1.05)
    axes[-1].set_xlabel(what)
    axes[0].legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Runs all sweeps, prints the tables and draws the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="length of one run, in virtual time")
    parser.add_argument("--plots", type=Path, default=Path("build/simulation"), help="where the plots go")
    options = parser.parse_args()
    loads, objectives, lingers, counts = (
        (0.25, 0.5, 0.75, 1, 1.5, 2, 4),
        (20, 50, 100, 200),
        (0, 0.5, 1, 2, 4),
        (1, 2, 3, 4),
    )
    s = options.seconds
    sweeps = [
        ("load", "ways to batch: 5 ms + 0.5 ms each, objective 50 ms", "load", loads, by_load(s, loads)),
        ("objective", "at 1.5 times what it can do", "objective, ms", objectives, by_objective(s, objectives)),
        (
            "linger",
            "four replicas, 800 queries per second, objective 50 ms",
            "linger, ms",
            lingers,
            by_linger(s, lingers),
        ),
        ("replicas", "5 ms + 0.5 ms each, objective 50 ms", "replicas", counts, by_replicas(s, counts)),
        ("in-flight", "at 1.5 times what it can do, objective 50 ms", "batches", counts, by_in_flight(s, counts)),
    ]
    console = Console(width=140)
    for _, title, what, marks, found in sweeps:
        console.print(table_of(title, what, [f"{mark:g}" for mark in marks], found))
    try:
        options.plots.mkdir(parents=True, exist_ok=True)
        for name, title, what, marks, found in sweeps:
            draw(options.plots / f"{name}.svg", title, what, marks, found)
    except ImportError:
        console.print("No plots: matplotlib is missing. Install it with: uv pip install --group bench")
    else:
        console.print(f"Plots: {options.plots}/*.svg")


if __name__ == "__main__":
    main()
