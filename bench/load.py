"""Load from another process with h2load (Debian: nghttp2-client), and CPU time of processes from /proc."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What one run of h2load saw."""

    answers: int
    per_s: float
    p50_ms: float
    p99_ms: float


def grpc_load(address: str, method: str, message: bytes, *, connections: int, in_flight: int, seconds: float) -> Load:
    """Calls a unary gRPC method with one message, closed loop: each answer is followed by the next call.

    Args:
        in_flight: calls under way at once, over all connections.

    Raises:
        RuntimeError: h2load is missing, or calls failed on the wire. (h2load does not look at grpc-status: callers
            check the answers themselves.)
    """
    if shutil.which("h2load") is None:
        raise RuntimeError("h2load is missing: apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory() as directory:
        body, log = Path(directory, "body"), Path(directory, "log")
        body.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
        arguments = ["h2load", "-c", str(connections), "-m", str(in_flight // connections), "-D", f"{seconds:g}"]
        arguments += ["--warm-up-time", "1", "-d", str(body), "--log-file", str(log)]
        arguments += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{method}"]
        run = subprocess.run(arguments, capture_output=True, text=True, check=True)
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", run.stdout)
        if counts is None or int(counts[1]) == 0 or int(counts[2]) + int(counts[3]) + int(counts[4]):
            raise RuntimeError(f"calls failed:\n{run.stdout}\n{run.stderr}")
        micros = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    answers = int(counts[1])
    return Load(answers, answers / seconds, _quantile_ms(micros, 0.5), _quantile_ms(micros, 0.99))


def _quantile_ms(sorted_us: list[int], share: float) -> float:
    return sorted_us[min(len(sorted_us) - 1, int(share * len(sorted_us)))] / 1000


def cpu_s(pid: int) -> float:
    """CPU seconds that a process and its children have used so far."""
    total = 0.0
    for each in [pid, *_descendants(pid)]:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(") ", 1)[1].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return total


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]
