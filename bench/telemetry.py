"""What counting costs: the frontend's Python with and without it, in turns, in one process.

    python bench/telemetry.py [--bursts 400] [--rows 64]

A burst of queries goes through the door, the engine and codec to a replica that answers at once, and back; no wire, so
that the cost of counting is compared with as little as possible: with the wire its share is smaller still. The CPU time
of the fastest tenth of the bursts counts, since load on a shared machine only ever adds to it.

    python bench/telemetry.py --chain [--seconds 2] [--in-flight 128] [--rounds 16]

The same chain as bench/predict.py, on the native transport: predictions per second and CPU of the frontend, of two
clusters that are asked in turns; the best quarter of the turns counts. What is counted is all of metrics, causes in the
log, and what `clipperctl explain` remembers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import predict as chain
from engine_fakes import MS, FakeClock, NoStates

from clipper.v1 import predict_pb2, values_pb2
from clipper_frontend.chooser import Chooser
from clipper_frontend.dispatch import Dispatcher
from clipper_frontend.metrics import Metrics
from clipper_frontend.observing import Observer
from clipper_frontend.outputs import Outputs
from clipper_frontend.pool import Limits
from clipper_frontend.predictor import Predictor
from clipper_frontend.recent import Recent
from clipper_frontend.routes import Application, Batching, Link, Model, Replica, RouteTable, Version
from clipper_frontend.runtime import Answer, Description, Lost, Predictions
from clipper_frontend.service import PredictService
from load import cpu_s, grpc_load
from processes import Process, module

OFF = "--count-nothing"
DOUBLES = values_pb2.INPUT_TYPE_DOUBLES


class Replies:
    """A replica that has answered before it is asked."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._output = values_pb2.Output(string="5.0").SerializeToString()

    def predict(
        self, inputs: Sequence[bytes], _deadline_ns: int, done: Callable[[Answer], None], _metadata: object = ()
    ) -> Replies:
        answer = Predictions([self._output] * len(inputs), 100)
        self._clock.call_soon(lambda: done(answer))
        return self

    def describe(self, _deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        self._clock.call_soon(lambda: done(Description()))

    def cancel(self) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


class Call:
    """A call of which only the payload matters."""

    deadline_ns = None
    metadata = ()
    method = "/clipper.v1.PredictService/Predict"
    on_leave = None
    answers = 0

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def reply(self, _payload: bytes, _trailing: object = ()) -> None:
        Call.answers += 1


def frontend(*, counts: bool, rows: int) -> tuple[FakeClock, PredictService]:
    """The frontend's Python between a call and a replica."""
    clock = FakeClock()
    observer = Observer(Metrics(clock), recent=Recent(10_000))
    limits = Limits(rows, 10_000, 2, 3, 1_000_000)
    replies = Replies(clock)
    dispatcher = Dispatcher(clock, lambda *_: replies, limits, observer if counts else None)
    ids = count(1).__next__
    predictor = Predictor(dispatcher, ids, Chooser(dispatcher, ids, Outputs(), NoStates()), reply_margin_ns=5 * MS)
    table = RouteTable.of(
        [
            Application("bench", DOUBLES, 5000 * MS, b"x", (Link("sum"),)),
            Model("sum", "1"),
            Version("sum", "1", "uid", DOUBLES, Batching(max_batch_rows=rows)),
            Replica("sum", "1", 0, "a:1"),
        ]
    )
    observer.metrics.follow(table)
    predictor.use(table)
    clock.settle()
    service = PredictService(predictor, clock, max_batch_inputs=1, max_stream_queries=1, observer=observer)
    if not counts:
        observer.answered = lambda *_: None  # type: ignore[method-assign,assignment]
    return clock, service


def in_process(bursts: int, rows: int) -> dict[bool, float]:
    """Microseconds of CPU for each query, counted and not."""
    payload = a_request().SerializeToString()
    houses = {counts: frontend(counts=counts, rows=rows) for counts in (False, True)}
    took: dict[bool, list[int]] = {False: [], True: []}
    for burst in range(2 * bursts):
        counts = bool(burst % 2)
        clock, service = houses[counts]
        calls = [Call(payload) for _ in range(rows)]
        before = Call.answers
        start_ns = time.thread_time_ns()
        for call in calls:
            service.predict(call)  # type: ignore[arg-type]
        clock.advance(MS)
        took[counts].append(time.thread_time_ns() - start_ns)
        assert Call.answers - before == rows
    return {
        counts: statistics.mean(sorted(each)[: max(1, bursts // 10)]) / rows / 1000 for counts, each in took.items()
    }


def frontend_that_counts_nothing() -> None:
    """A frontend process whose observer looks away."""
    from clipper_frontend.app import main as run

    Observer.answered = lambda *_: None  # type: ignore[method-assign,assignment]
    Observer.sending = lambda *_: ()  # type: ignore[method-assign,assignment]
    Metrics.returned = lambda *_: None  # type: ignore[method-assign,assignment]
    sys.argv.remove(OFF)
    run()


@contextmanager
def chained(directory: Path, *, counts: bool) -> Iterator[Process]:
    """The frontend of a cluster of real processes that answers."""

    def command(name: str, *arguments: str) -> list[str]:
        if name == "clipper_frontend" and not counts:
            return [sys.executable, __file__, OFF, *arguments]
        return module(name, *arguments)

    chain.module = command
    directory.mkdir()
    with chain.cluster(directory, "native", 1) as who:
        chain.answered(who["frontend"].address, a_request())
        yield who["frontend"]


def through_the_chain(options: argparse.Namespace) -> Table:
    """Measures with real processes: both are there all the time, and asked in turns."""
    message = a_request().SerializeToString()
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        frontends = {
            counts: stack.enter_context(chained(Path(scratch, str(counts)), counts=counts)) for counts in (False, True)
        }
        for number in range(options.rounds):
            for counts in (True, False) if number % 2 else (False, True):
                found[counts].append(asked(frontends[counts], message, options.in_flight, options.seconds))
    table = Table(title=f"{options.in_flight} in flight, native transport, best quarter of {options.rounds} turns each")
    for heading in ("the frontend", "predictions per second", "its CPU µs per answer"):
        table.add_column(heading, justify="left" if heading == "the frontend" else "right")
    best = {}
    for counts, name in ((False, "counts nothing"), (True, "counts")):
        rates, cpus = zip(*found[counts], strict=True)
        quarter = max(1, options.rounds // 4)
        rate, cpu = best[counts] = statistics.mean(sorted(rates)[-quarter:]), statistics.mean(sorted(cpus)[:quarter])
        table.add_row(name, f"{rate:,.0f}", f"{cpu:.2f}")
    changes = [f"{100 * (on / off - 1):+.1f} %" for on, off in zip(best[True], best[False], strict=True)]
    table.add_row("counting", *changes)
    return table


def asked(frontend: Process, message: bytes, in_flight: int, seconds: float) -> tuple[float, float]:
    """Predictions per second, and microseconds of the frontend's CPU for each."""
    before = cpu_s(frontend.pid)
    method = "/clipper.v1.PredictService/Predict"
    load = grpc_load(frontend.address, method, message, connections=4, in_flight=in_flight, seconds=seconds)
    # The warm-up second is in the CPU time but not in the answers.
    return load.per_s, 1e6 * (cpu_s(frontend.pid) - before) * seconds / (seconds + 1) / load.answers


def a_request() -> predict_pb2.PredictRequest:
    """One query of application "bench"."""
    request = predict_pb2.PredictRequest(application="bench")
    request.input.doubles.values.extend(chain.VECTOR)
    return request


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bursts", type=int, default=400)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--chain", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=16)
    options = parser.parse_args()
    if options.chain:
        Console(width=100).print(through_the_chain(options))
        return
    found = in_process(options.bursts, options.rows)
    table = Table(title=f"bursts of {options.rows}, no wire")
    for heading in ("the frontend's Python", "µs per query"):
        table.add_column(heading, justify="left" if heading != "µs per query" else "right")
    table.add_row("counts nothing", f"{found[False]:.2f}")
    table.add_row("counts", f"{found[True]:.2f}")
    table.add_row("counting", f"{found[True] - found[False]:.2f} ({100 * (found[True] / found[False] - 1):.1f} %)")
    Console(width=100).print(table)


if __name__ == "__main__":
    if OFF in sys.argv:
        frontend_that_counts_nothing()
    else:
        main()
