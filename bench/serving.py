"""What the serving engine promises, measured on a real local cluster in one run: batching, overload, caching.

    python bench/serving.py [--seconds 5] [--transport native]

Starts a cluster of local processes, deploys a model that takes 5 ms per call and 0.25 ms per query, once with batches
of one and once with batches as the frontend finds best, and asks it over gRPC from this process, open loop: queries
come by chance, none of them twice, whatever became of those before. Each has a deadline of 50 ms of its own, and times
are by this client's clock, from sending to answer, and its own delays are part of them: on a busy machine they tell
about the machine. Prints one table; what misses its target is marked, and the exit code is 1 then.

    good/s     answers by the model within 50 ms, per second
    in time    their share of all queries that were accepted, whatever became of those
    refused    answered with the default output and reason OVERLOADED
    own delay  how much later than it should this client ran: it is in each of its times, twice, and cannot be told from
               the cluster's
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from clipper.v1 import predict_pb2
from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer
from clipper_rpc import choose
from clipper_rpc.errors import Code
from clipper_rpc.transport import Channel, Reply

PREDICT = "/clipper.v1.PredictService/Predict"
OBJECTIVE_MS = 50
FIXED_MS = 5.0
PER_QUERY_MS = 0.25
TICK_S = 0.001
BUSY = 0.1
_numbers = count()


def paced() -> Callable[[list[list[float]]], list[str]]:
    """The model: it answers with the number of its call."""
    calls = [0]

    def predict(xs: list[list[float]]) -> list[str]:
        import time

        calls[0] += 1
        time.sleep((5.0 + 0.25 * len(xs)) / 1000)
        return [str(calls[0])] * len(xs)

    return predict


@dataclass
class Seen:
    """What became of the queries of one run."""

    seconds: float
    asked: int = 0
    answers: list[tuple[float, predict_pb2.PredictResponse]] = field(default_factory=list)
    """Milliseconds, and the answer."""
    timed_out: int = 0
    """How many got none before their deadline."""
    own_delays_ms: list[float] = field(default_factory=list)
    """How late this client was each time that it should have run."""

    @property
    def predicted_ms(self) -> list[float]:
        return [ms for ms, reply in self.answers if not reply.default]

    @property
    def good_per_s(self) -> float:
        return sum(ms <= OBJECTIVE_MS for ms in self.predicted_ms) / self.seconds

    @property
    def in_time(self) -> float:
        return self.good_per_s * self.seconds / max(1.0, self.good_per_s * self.seconds + self.late)

    @property
    def refused_ms(self) -> float:
        """The median time until a refusal; NaN if there was none."""
        refused = [ms for ms, reply in self.answers if reply.default_reason == predict_pb2.DEFAULT_REASON_OVERLOADED]
        return median(refused) if refused else float("nan")

    @property
    def own_delay_ms(self) -> float:
        """The 99th percentile of this client's own delays."""
        delays = sorted(self.own_delays_ms)
        return delays[int(0.99 * (len(delays) - 1))] if delays else 0.0

    @property
    def late(self) -> int:
        """How many queries were accepted, and late: by the frontend's clock, or by the client's."""
        defaults = sum(reply.default_reason == predict_pb2.DEFAULT_REASON_LATE for _, reply in self.answers)
        return self.timed_out + defaults + sum(ms > OBJECTIVE_MS for ms in self.predicted_ms)


class Client:
    """Asks, and keeps what comes back."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def ask(
        self, application: str, value: float, done: Callable[[float, Reply], None], patience_ms: int = OBJECTIVE_MS
    ) -> None:
        """Sends one query; `done` gets the milliseconds and the reply."""
        request = predict_pb2.PredictRequest(application=application)
        request.input.doubles.values.append(value)
        sent_ns = time.monotonic_ns()

        def answered(reply: Reply) -> None:
            done((time.monotonic_ns() - sent_ns) / 1e6, reply)

        self._channel.call(
            PREDICT, request.SerializeToString(), answered, deadline_ns=sent_ns + patience_ms * 1_000_000
        )

    async def load(self, application: str, per_s: float, seconds: float) -> Seen:
        """Queries that come by chance, so many per second; all their answers."""
        seen, replies = Seen(seconds), []
        rng = random.Random(1)
        started_s = time.monotonic()
        next_s, due_s = rng.expovariate(per_s), 0.0
        while (now_s := time.monotonic() - started_s) < seconds:
            seen.own_delays_ms.append((now_s - due_s) * 1000)
            while next_s <= now_s:
                self.ask(application, float(next(_numbers)), lambda ms, reply: replies.append((ms, reply)))
                seen.asked += 1
                next_s += rng.expovariate(per_s)
            due_s = time.monotonic() - started_s + TICK_S
            await asyncio.sleep(TICK_S)
        while len(replies) < seen.asked:
            await asyncio.sleep(TICK_S)
        for ms, reply in replies:
            if reply.status.code == Code.DEADLINE_EXCEEDED:
                seen.timed_out += 1
            elif reply.status.is_ok:
                seen.answers.append((ms, predict_pb2.PredictResponse.FromString(reply.payload)))
            else:
                raise RuntimeError(f"a call failed: {reply.status}")
        return seen

    async def volley(self, application: str, value: float, size: int) -> list[predict_pb2.PredictResponse]:
        """The same query many times at once."""
        replies: list[Reply] = []
        for _ in range(size):
            self.ask(application, value, lambda _, reply: replies.append(reply), patience_ms=10_000)
        while len(replies) < size:
            await asyncio.sleep(TICK_S)
        return [predict_pb2.PredictResponse.FromString(reply.payload) for reply in replies]


@contextmanager
def cluster(transport: str) -> Iterator[ClipperConnection]:
    """A local cluster with the two applications, each with its model."""
    ports = {"clipper_query_port": 0, "clipper_management_port": 0, "clipper_rpc_port": 0, "manager_port": 0}
    with tempfile.TemporaryDirectory() as home:
        connection = ClipperConnection(LocalContainerManager("bench", home=home, transport=transport, **ports))
        connection.start_clipper()
        try:
            for name, batch_size in (("one-by-one", 1), ("adaptive", -1)):
                connection.register_application(name, "doubles", "-1.0", OBJECTIVE_MS * 1000)
                python_deployer.deploy_python_closure(connection, name, 1, "doubles", paced(), batch_size=batch_size)
                connection.link_model_to_app(name, name)
            yield connection
        finally:
            connection.stop_all()


def busy_share(seconds: float = 1.0) -> float:
    """How much of this machine's processors others use, from 0 to 1."""

    def ticks() -> tuple[int, int]:
        spent = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(spent), spent[3] + spent[4]

    (all_before, idle_before) = ticks()
    time.sleep(seconds)
    (all_after, idle_after) = ticks()
    return 1 - (idle_after - idle_before) / max(1, all_after - all_before)


class Figures:
    """The table of what was measured, beside what was promised."""

    def __init__(self) -> None:
        self.table = Table(
            title=f"{FIXED_MS:g} ms per call, {PER_QUERY_MS:g} ms per query, objective {OBJECTIVE_MS} ms"
        )
        self.are_all_met = True
        for heading in ("what", "measured", "promised", ""):
            self.table.add_column(heading, justify="right" if heading in ("measured", "promised") else "left")

    def add(self, what: str, measured: str, promised: str = "", *, is_met: bool = True) -> None:
        """Adds a row."""
        self.are_all_met &= is_met
        self.table.add_row(what, measured, promised, "" if not promised else "met" if is_met else "MISSED")


async def measure(address: str, transport: choose.TransportName, seconds: float) -> Figures:
    """Measures everything."""
    figures = Figures()
    channel = choose.transport(transport).connect(address)
    client = Client(channel)
    rows = (0.45 * OBJECTIVE_MS - FIXED_MS) / PER_QUERY_MS
    usual_per_s = 1000 * rows / (0.45 * OBJECTIVE_MS)  # two batches within one objective
    try:
        await client.load("one-by-one", 100, 1)
        alone = await client.load("one-by-one", 400, seconds)
        figures.add("batches of one, 400 queries/s: good/s", f"{alone.good_per_s:,.0f}")
        await client.load("adaptive", usual_per_s, 2)  # learns
        full = await client.load("adaptive", 1.1 * usual_per_s, seconds)
        ratio = full.good_per_s / max(1.0, alone.good_per_s)
        figures.add(f"adaptive, {1.1 * usual_per_s:,.0f} queries/s: good/s", f"{full.good_per_s:,.0f}")
        figures.add("adaptive, against batches of one", f"{ratio:.1f} x", ">= 10 x", is_met=ratio >= 10)
        figures.add("in time", f"{full.in_time:.2%}", ">= 99 %", is_met=full.in_time >= 0.99)
        double = await client.load("adaptive", 2 * full.good_per_s, seconds)
        share = double.good_per_s / full.good_per_s
        figures.add(f"twice as much, {2 * full.good_per_s:,.0f} queries/s: good/s", f"{double.good_per_s:,.0f}")
        figures.add("overload, against capacity", f"{share:.0%}", ">= 90 %", is_met=share >= 0.9)
        figures.add("overload, in time", f"{double.in_time:.2%}", ">= 99 %", is_met=double.in_time >= 0.99)
        refused = double.refused_ms
        figures.add("refused after, median", f"{refused:.1f} ms", "<= 5 ms", is_met=refused <= 5)
        own_ms = max(full.own_delay_ms, double.own_delay_ms)
        figures.add("own delay of this client, 99th percentile", f"{own_ms:.1f} ms")
        calls, late = await model_calls(client, 1000)
        figures.add("model calls for 1,000 identical queries", str(calls), "1", is_met=calls == 1)
        figures.add("of these, answered with the default", str(late))
    finally:
        await channel.close()
    return figures


async def model_calls(client: Client, size: int) -> tuple[int, int]:
    """How many calls of the model the same query costs, many times at once; and to how many it was too late."""

    async def number() -> int:
        [reply] = await client.volley("adaptive", float(next(_numbers)), 1)
        return int(reply.output.string)

    before = await number()
    replies = await client.volley("adaptive", float(next(_numbers)), size)
    return await number() - before - 1, sum(reply.default for reply in replies)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="length of one measurement")
    parser.add_argument("--transport", default="auto", choices=["auto", "native", "grpcio"])
    options = parser.parse_args()
    busy = busy_share()
    with cluster(options.transport) as connection:
        address = connection.cm.get_frontend_addr()
        gc.collect()
        gc.freeze()
        gc.disable()  # it keeps all answers: looking through them stops a client for 50 ms now and then
        figures = uvloop.run(measure(address, options.transport, options.seconds))
    console = Console(width=110)
    console.print(figures.table)
    if busy > BUSY:
        console.print(f"Others used {busy:.0%} of this machine before the run: the figures tell about that, too.")
    sys.exit(0 if figures.are_all_met else 1)


if __name__ == "__main__":
    main()
