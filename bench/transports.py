"""What a unary call costs on each transport: an echo in Python behind h2load, in one run.

    python bench/transports.py [--seconds 5] [--in-flight 4 32 128 512]

"grpc.aio" is grpcio's own server without Clipper's seam. What is compared is measured one right after the other, while
the others idle. Closed loop: it shows capacity, and latency at that load.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from load import Load, cpu_s, grpc_load
from processes import running

SERVERS = {
    "grpc.aio": ["echo_server.py"],
    "grpcio": ["transport_server.py", "--transport", "grpcio"],
    "native": ["transport_server.py", "--transport", "native"],
}


def command(script: str, *arguments: str) -> list[str]:
    """How a server is started."""
    return [sys.executable, str(Path(__file__).parent / script), *arguments]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="length of one measurement")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[4, 32, 128, 512])
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=100, help="size of the message")
    options = parser.parse_args()
    table = Table(title=f"unary echo of {options.bytes} bytes over {options.connections} connections")
    for heading in ("server", "in flight", "per second", "of grpc.aio", "p50 ms", "p99 ms", "CPU µs per call"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        servers = {
            name: stack.enter_context(running(command(*script), log=Path(scratch, name)))
            for name, script in SERVERS.items()
        }
        for in_flight in options.in_flight:
            yardstick: Load | None = None
            for name, server in servers.items():
                before = cpu_s(server.pid)
                load = grpc_load(
                    server.address,
                    "/bench.Echo/Echo",
                    bytes(options.bytes),
                    connections=options.connections,
                    in_flight=in_flight,
                    seconds=options.seconds,
                )
                # The warm-up second is in the CPU time but not in the answers.
                used_s = (cpu_s(server.pid) - before) * options.seconds / (options.seconds + 1)
                yardstick = yardstick or load
                table.add_row(
                    name,
                    str(in_flight),
                    f"{load.per_s:,.0f}",
                    f"{load.per_s / yardstick.per_s:.1f}",
                    f"{load.p50_ms:.2f}",
                    f"{load.p99_ms:.2f}",
                    f"{1e6 * used_s / load.answers:.1f}",
                )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
