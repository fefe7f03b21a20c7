"""The bench of learning runs, and its drawings can be read."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_bench_of_regret_prints_every_policy_and_draws_what_happened(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "bench/regret.py", "--queries", "400", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for name in ("epsilon_greedy", "ucb1", "thompson", "exp3", "exp4", "restored"):
        assert name in done.stdout
    for name, lines in (("regret", 6), ("exp3", 6), ("exp4", 6)):
        drawing = ET.parse(tmp_path / f"{name}.svg")
        assert len(drawing.findall("{http://www.w3.org/2000/svg}polyline")) == lines
