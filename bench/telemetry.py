"""What counting costs: predictions with a frontend that counts, beside one that does not, in turns.

    python bench/telemetry.py [--seconds 4] [--in-flight 128] [--rounds 3]

The same chain as bench/predict.py, on the native transport. Load on a shared machine comes and goes, so the CPU time
that the frontend takes per answer says more than the rate; both are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import predict as chain

from clipper.v1 import predict_pb2
from load import cpu_s, grpc_load
from processes import module

OFF = "--count-nothing"


def frontend_that_counts_nothing() -> None:
    """A frontend whose observer looks away."""
    from clipper_frontend import observing
    from clipper_frontend.app import main
    from clipper_frontend.metrics import Metrics

    observing.Observer.answered = lambda *_: None  # type: ignore[method-assign,assignment]
    observing.Observer.sending = lambda *_: ()  # type: ignore[method-assign,assignment]
    Metrics.counting = lambda _, connect: connect  # type: ignore[method-assign,assignment]
    sys.argv.remove(OFF)
    main()


def measured(directory: Path, *, counts: bool, in_flight: int, seconds: float) -> tuple[float, float]:
    """Predictions per second, and microseconds of the frontend's CPU for each."""

    def command(name: str, *arguments: str) -> list[str]:
        if name == "clipper_frontend" and not counts:
            return [sys.executable, __file__, OFF, *arguments]
        return module(name, *arguments)

    chain.module = command
    request = predict_pb2.PredictRequest(application="bench")
    request.input.doubles.values.extend(chain.VECTOR)
    directory.mkdir()
    with chain.cluster(directory, "native", 1) as who:
        address = who["frontend"].address
        chain.answered(address, request)
        before = cpu_s(who["frontend"].pid)
        method, message = "/clipper.v1.PredictService/Predict", request.SerializeToString()
        load = grpc_load(address, method, message, connections=4, in_flight=in_flight, seconds=seconds)
        # The warm-up second is in the CPU time but not in the answers.
        cpu = (cpu_s(who["frontend"].pid) - before) * seconds / (seconds + 1)
        return load.per_s, 1e6 * cpu / load.answers


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(options.rounds):
            for counts in (True, False) if number % 2 else (False, True):
                place = Path(scratch, f"{number}-{counts}")
                one = measured(place, counts=counts, in_flight=options.in_flight, seconds=options.seconds)
                found[counts].append(one)
    table = Table(title=f"{options.in_flight} in flight, native transport, medians of {options.rounds}")
    for heading in ("the frontend", "predictions per second", "its CPU µs per answer"):
        table.add_column(heading, justify="left" if heading == "the frontend" else "right")
    for counts, name in ((False, "counts nothing"), (True, "counts")):
        rate, cpu = (statistics.median(column) for column in zip(*found[counts], strict=True))
        table.add_row(name, f"{rate:,.0f}", f"{cpu:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    if OFF in sys.argv:
        frontend_that_counts_nothing()
    else:
        main()
