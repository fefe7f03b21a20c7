"""Many calls with random cancels and deadlines between two processes: memory stays flat, and no call is stuck.

    python bench/soak.py [--calls 10000000] [--transport native]

Prints the memory of both processes along the way. Fails when a call has no outcome, an outcome is wrong, or either
process ends with more than 20 MB above what it had after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop

from clipper_rpc import choose
from clipper_rpc.errors import Code
from clipper_rpc.transport import OutgoingCall, Reply

IN_FLIGHT = 200
FLAT_KB = 20_000
EXPECTED = {Code.OK.name, Code.DEADLINE_EXCEEDED.name}


def rss_kb(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


class Soak:
    """Keeps calls going until all are made; counts how they ended."""

    def __init__(self, calls: int, transport: choose.TransportName, address: str) -> None:
        self.left = calls
        self.under_way: dict[int, OutgoingCall] = {}
        self.ends: Counter[str] = Counter()
        self.finished = asyncio.Event()
        self.channels = [choose.transport(transport).connect(address) for _ in range(4)]
        self.chance = random.Random(1)

    def start(self) -> None:
        """Makes one call; one in ten is cancelled later, one in fifty has a deadline that cannot be met."""
        number = self.left
        self.left -= 1
        payload = number.to_bytes(8, "big") * self.chance.choice([1, 1, 1, 10, 1000])
        deadline_ns = time.monotonic_ns() + (1000 if number % 50 == 0 else 60_000_000_000)
        channel = self.channels[number % len(self.channels)]

        def done(reply: Reply) -> None:
            del self.under_way[number]
            if reply.status.is_ok:
                assert reply.payload == payload, "an answer is not that of its call"
            name = reply.status.code.name
            self.ends[name if name in EXPECTED else f"{name}: {reply.status.message}"] += 1
            self.go_on()

        self.under_way[number] = channel.call("/bench.Echo/Echo", payload, done, deadline_ns=deadline_ns)
        if self.chance.random() < 0.1:
            victim = self.chance.choice(list(self.under_way))
            self.under_way.pop(victim).cancel()
            self.ends["cancelled here"] += 1

    def go_on(self) -> None:
        """Starts calls up to the limit."""
        while self.left and len(self.under_way) < IN_FLIGHT:
            self.start()
        if not self.left and not self.under_way:
            self.finished.set()


async def soak(calls: int, transport: choose.TransportName, address: str, server: int) -> None:
    """Runs the calls and watches memory."""
    run = Soak(calls, transport, address)
    run.go_on()
    early: list[int] = []
    for tenth in range(1, 11):
        while run.left > calls * (10 - tenth) // 10:
            await asyncio.sleep(0.05)
        memory = [rss_kb(os.getpid()), rss_kb(server)]
        early = early or memory
        print(f"{calls * tenth // 10:>12,} calls  client {memory[0]:,} kB  server {memory[1]:,} kB", flush=True)
    await asyncio.wait_for(run.finished.wait(), 120)
    print(dict(run.ends))
    assert sum(run.ends.values()) == calls, "some calls have no outcome"
    assert set(run.ends) <= {*EXPECTED, "cancelled here"}, "some calls failed"
    assert all(now - then < FLAT_KB for now, then in zip(memory, early, strict=True)), "memory has grown"
    for channel in run.channels:
        await channel.close()


def main() -> None:
    """Starts the server and soaks it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--transport", default="native", choices=["native", "grpcio"])
    options = parser.parse_args()
    read, write = os.pipe()
    script = str(Path(__file__).parent / "transport_server.py")
    command = [sys.executable, script, "--transport", options.transport, "--ready-fd", str(write)]
    with subprocess.Popen(command, pass_fds=(write,)) as server:
        os.close(write)
        with os.fdopen(read) as ready:
            address = ready.readline().split('"')[3]
        try:
            uvloop.run(soak(options.calls, options.transport, address, server.pid))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
