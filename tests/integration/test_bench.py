"""The benchmark harness runs and measures what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load (Debian: nghttp2-client)")
def test_the_bench_prints_rates_latencies_and_cpu_of_the_whole_chain() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "bench/predict.py", "--seconds", "1", "--transport", "grpcio"),
            *("--in-flight", "32", "--one-each", "16"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    for name in ("32 in flight over 4", "16 connections, one query each"):
        assert f"grpc.aio echo, {name} " in done.stdout, done.stdout
        row = re.search(f"Predict on grpcio, {name} .*", done.stdout)
        assert row is not None, done.stdout
        assert re.search(r"frontend \d+ +runtime \d+ +manager \d+", row[0]), row[0]
