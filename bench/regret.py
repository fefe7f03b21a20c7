"""What learning is worth, in a simulated world: regret by policy, and what happens when the best model fails.

    python bench/regret.py [--queries 20000] [--seed 1] [--out build/selection]

Prints two tables and draws three figures (SVG): cumulative regret on models that stay what they are, and, for exp3 and
exp4, the error and the say of each model while the best one fails from the first quarter of the queries to the half
(the shape of figure 8 in Crankshaw et al., "Clipper", NSDI 2017). Everything is pure and seeded: no cluster, no clock.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from selection_world import History, learn, mean_share, regret, uniform_regret

from clipper_selection import names, policy

STATIONARY = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
LEARNERS = [name for name in names() if policy(name).LEARNS]
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#7f7f7f")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 64, 130, 36, 44


def figure(title: str, unit: str, lines: Mapping[str, Sequence[float]], end: int, marks: Sequence[int] = ()) -> str:
    """A drawing of lines over queries, each given at even distances from 0 to `end`; `marks` are dashed."""
    highest = max(max(line) for line in lines.values()) * 1.05 or 1.0
    lowest = min(0.0, *(min(line) for line in lines.values()))

    def x(query: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * query / end

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - lowest) / (highest - lowest)

    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-size="12" '
    head += f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/><text x="{LEFT}" y="20">'
    parts = [f"{head}{title}</text>"]
    for step in range(5):
        value, query = lowest + (highest - lowest) * step / 4, end * step // 4
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
            f'<text x="{x(query):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{query}</text>'
        )
    parts += [
        f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#888" '
        'stroke-dasharray="4 4"/>'
        for mark in marks
    ]
    for at, (name, line) in enumerate(lines.items()):
        colour = COLOURS[at % len(COLOURS)]
        points = " ".join(f"{x(end * k / max(1, len(line) - 1)):.1f},{y(value):.1f}" for k, value in enumerate(line))
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'
            f'<text x="{WIDTH - RIGHT + 8}" y="{TOP + 14 + 18 * at}" fill="{colour}">{name}</text>'
        )
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">queries; {unit}</text></svg>')
    return "\n".join(parts)


def cumulative_regret(history: History) -> list[float]:
    """The regret up to each of 200 points."""
    best = max(STATIONARY.values())
    each = [sum(weight * (best - STATIONARY[model]) for model, weight in shares.items()) for shares in history.shares]
    total = [0.0, *accumulate(each)]
    return total[:: max(1, len(total) // 200)]


def smoothed(values: Sequence[float], window: int, points: int = 200) -> list[float]:
    """Means over the last `window` values, at `points` places."""
    total = [0.0, *accumulate(values)]
    places = [round(len(values) * k / points) for k in range(points + 1)]
    return [(total[at] - total[max(0, at - window)]) / max(1, min(at, window)) for at in places]


def stationary(console: Console, queries: int, seed: int, out: Path) -> None:
    """Models that stay what they are."""
    uniform = uniform_regret(STATIONARY, queries)
    table = Table("policy", "regret", "of uniform", "error", "say of the best at the end", title=f"{queries} queries")
    lines = {"uniform": [uniform * k / 200 for k in range(201)]}
    for name in LEARNERS:
        history = learn(policy(name), STATIONARY, queries=queries, seed=seed)
        lines[name] = cumulative_regret(history)
        table.add_row(
            name,
            f"{regret(history, STATIONARY):.0f}",
            f"{regret(history, STATIONARY) / uniform:.3f}",
            f"{sum(history.errors) / queries:.3f}",
            f"{mean_share(history, 'a', queries * 9 // 10, queries):.2f}",
        )
    console.print(table)
    (out / "regret.svg").write_text(figure("Regret, five models right in 0.9 … 0.5", "errors more", lines, queries))


def failing(console: Console, queries: int, seed: int, out: Path) -> None:
    """The best model fails for a while."""
    first, second = queries // 4, queries // 2

    def rights(query: int) -> Mapping[str, float]:
        return {**STATIONARY, "a": 0.3} if first <= query < second else STATIONARY

    table = Table("policy", "phase", "error", "say of the best model", title="the best model fails, and is restored")
    for name in ("exp3", "exp4"):
        history = learn(policy(name), rights, queries=queries, seed=seed)
        window = max(1, queries // 40)
        lines = {"error": smoothed(history.errors, window)}
        lines |= {
            f"say of {model}": smoothed([each.get(model, 0.0) for each in history.shares], window)
            for model in STATIONARY
        }
        drawing = figure(f"{name}: the best model fails", f"means of {window}", lines, queries, (first, second))
        (out / f"{name}.svg").write_text(drawing)
        for phase, start, end in (
            ("before", first // 2, first),
            ("failed", (first + second) // 2, second),
            ("restored", (second + queries) // 2, queries),
        ):
            error = sum(history.errors[start:end]) / (end - start)
            table.add_row(name, phase, f"{error:.3f}", f"{mean_share(history, 'a', start, end):.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=20_000, help="how many each policy answers (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="of all randomness (default 1)")
    parser.add_argument("--out", type=Path, default=Path("build/selection"), help="where figures go")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    stationary(console, given.queries, given.seed, given.out)
    failing(console, given.queries, given.seed, given.out)
    console.print(f"figures: {', '.join(str(path) for path in sorted(given.out.glob('*.svg')))}")


if __name__ == "__main__":
    main()
