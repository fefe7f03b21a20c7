"""Predictions per second through the whole chain, beside a grpc.aio echo measured in the same run.

    python bench/predict.py [--seconds 8] [--in-flight 128] [--one-each 128] [--transport grpcio native] [--hits]

For each transport it starts Redis, manager, frontend and one runtime with the sum model as real processes, loads the
frontend over gRPC with h2load from another process (10 doubles per query, each computed), and prints predictions/s,
p50, p99 and CPU per prediction of each process. What is compared is measured one right after the other, while the
others idle. Closed loop: it shows capacity, and latency at that load. Queries share a few connections, so that several
are in flight on each; those of --one-each have a connection each. With --hits it also measures answers from the
prediction cache.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from clipper.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc, values_pb2
from clipper_runtime.model_dir import save_function
from load import Load, cpu_s, grpc_load
from processes import Process, RedisServer, module, running

VECTOR = [0.5] * 10


def feature_sum(xs):
    """The README's model."""
    return [str(sum(x)) for x in xs]


@contextmanager
def cluster(directory: Path, transport: str, workers: int, cache_bytes: int = 0) -> Iterator[dict[str, Process]]:
    """Real processes that serve application "bench" from model "sum"."""
    with ExitStack() as stack:
        redis_dir = directory / "redis"
        redis_dir.mkdir()
        redis = RedisServer(redis_dir)
        redis.start()
        stack.callback(redis.kill)

        def start(name: str, *arguments: str) -> Process:
            log = directory / f"{name}.log"
            return stack.enter_context(running(module(name, *arguments), log=log))

        manager = start("clipper_manager", "--port", "0", "--redis-url", redis.url)
        save_function(directory / "model", name="sum", version="1", input_type="doubles", func=feature_sum)
        admin = admin_pb2_grpc.AdminServiceStub(stack.enter_context(grpc.insecure_channel(manager.address)))
        doubles = values_pb2.INPUT_TYPE_DOUBLES
        version = admin_pb2.ModelVersion(model="sum", version="1", input_type=doubles)
        admin.CreateModelVersion(admin_pb2.CreateModelVersionRequest(model_version=version, activate=True))
        application = admin_pb2.Application(
            name="bench",
            input_type=doubles,
            default_output=values_pb2.Output(string="-1"),
            latency_objective=Duration(seconds=5),
        )
        admin.CreateApplication(admin_pb2.CreateApplicationRequest(application=application))
        admin.LinkModel(admin_pb2.LinkModelRequest(application="bench", model="sum"))
        frontend = start(
            "clipper_frontend",
            "--port",
            "0",
            "--manager",
            manager.address,
            "--transport",
            transport,
            "--workers",
            str(workers),
            "--cache-bytes",
            str(cache_bytes),
        )
        runtime = start(
            "clipper_runtime",
            "--model-dir",
            str(directory / "model"),
            "--manager",
            manager.address,
            "--transport",
            transport,
        )
        yield {"frontend": frontend, "runtime": runtime, "manager": manager}


def answered(address: str, request: predict_pb2.PredictRequest) -> None:
    """Returns once the model answers; fails if it answers anything but the sum."""
    with grpc.insecure_channel(address) as channel:
        predict = predict_pb2_grpc.PredictServiceStub(channel).Predict
        for _ in range(1000):
            reply = predict(request, timeout=20)
            if not reply.default:
                assert float(reply.output.string) == sum(VECTOR), reply
                return
    raise RuntimeError(f"only defaults: {reply.default_explanation}")


def row(table: Table, name: str, load: Load, cpu: dict[str, float], than: Sequence[Load]) -> None:
    """Adds one measurement, beside others of the same run."""
    costs = "  ".join(f"{who} {1e6 * used / load.answers:.0f}" for who, used in cpu.items())
    times = [f"{load.per_s / other.per_s:.2f}" for other in than]
    latencies = f"{load.p50_ms:.2f}", f"{load.p99_ms:.1f}"
    table.add_row(name, f"{load.per_s:,.0f}", *times, *[""] * (2 - len(times)), *latencies, costs)


@dataclass(frozen=True)
class Pace:
    """How hard to ask."""

    in_flight: int
    connections: int

    def __str__(self) -> str:
        if self.in_flight == 1:
            return "1 connection, one query"
        if self.connections == self.in_flight:
            return f"{self.in_flight} connections, one query each"
        return f"{self.in_flight} in flight over {self.connections}"


def paces(in_flight: Sequence[int], one_each: Sequence[int], connections: int) -> list[Pace]:
    """What to measure, in order of how many are in flight; none has fewer of them than connections."""
    shared = [Pace(number, min(number, connections)) for number in in_flight]
    found = dict.fromkeys(shared + [Pace(number, number) for number in one_each])
    return sorted(found, key=lambda pace: (pace.in_flight, pace.connections))


def _transports() -> list[str]:
    return ["grpcio", "native"] if importlib.util.find_spec("clipper_rpc._native") else ["grpcio"]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="length of one measurement")
    parser.add_argument("--in-flight", type=int, nargs="*", default=[4, 32, 128, 512], help="over all connections")
    parser.add_argument("--connections", type=int, default=4, help="that those in flight share")
    parser.add_argument(
        "--one-each", type=int, nargs="*", default=[128], help="so many in flight, each on a connection of its own"
    )
    parser.add_argument("--transport", nargs="+", default=_transports(), choices=["grpcio", "native"])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--hits", action="store_true", help="measures cache hits, too")
    options = parser.parse_args()

    request = predict_pb2.PredictRequest(application="bench")
    request.input.doubles.values.extend(VECTOR)
    message = request.SerializeToString()
    table = Table(title="one runtime, sum of 10 doubles, every query computed")
    for heading in ("what", "per second", "of echo", "of grpcio", "p50 ms", "p99 ms", "CPU µs per answer"):
        table.add_column(heading, justify="left" if heading in ("what", "CPU µs per answer") else "right")

    def measure(address: str, method: str, pace: Pace, who: dict[str, Process]) -> tuple[Load, dict[str, float]]:
        before = {name: cpu_s(process.pid) for name, process in who.items()}
        load = grpc_load(
            address,
            method,
            message,
            connections=pace.connections,
            in_flight=pace.in_flight,
            seconds=options.seconds,
        )
        # The warm-up second is in the CPU time but not in the answers.
        share = options.seconds / (options.seconds + 1)
        return load, {name: (cpu_s(process.pid) - before[name]) * share for name, process in who.items()}

    predict = "/clipper.v1.PredictService/Predict"
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        echo_command = [sys.executable, str(Path(__file__).parent / "echo_server.py")]
        echo = stack.enter_context(running(echo_command, log=Path(scratch, "echo.log")))
        clusters: dict[tuple[str, str], dict[str, Process]] = {}
        for what, cache_bytes in (("Predict", 0), ("Cache hit", 2**20))[: 1 + options.hits]:
            for transport in options.transport:
                directory = Path(scratch, transport, what)
                directory.mkdir(parents=True)
                made = stack.enter_context(cluster(directory, transport, options.workers, cache_bytes))
                answered(made["frontend"].address, request)
                clusters[what, transport] = made
        for pace in paces(options.in_flight, options.one_each, options.connections):
            echoed, cpu = measure(echo.address, "/bench.Echo/Echo", pace, {"echo": echo})
            row(table, f"grpc.aio echo, {pace}", echoed, cpu, [])
            first: dict[str, Load] = {}
            for (what, transport), who in clusters.items():
                load, cpu = measure(who["frontend"].address, predict, pace, who)
                than = [echoed, first.setdefault(what, load)]
                row(table, f"{what} on {transport}, {pace}", load, cpu, than)
            table.add_section()
        for who in clusters.values():
            answered(who["frontend"].address, request)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
