"""A unary echo on one of Clipper's transports."""

from __future__ import annotations

import argparse
import asyncio
import json
import os

import uvloop

from clipper_rpc import choose
from clipper_rpc.transport import Unary, UnaryCall


def _echo(call: UnaryCall) -> None:
    call.reply(call.payload)


async def _main(transport: choose.TransportName, ready_fd: int) -> None:
    server = await choose.transport(transport).serve({"/bench.Echo/Echo": Unary(_echo)}, "127.0.0.1:0")
    with os.fdopen(ready_fd, "w") as ready:
        ready.write(json.dumps({"address": f"127.0.0.1:{server.port}", "pid": os.getpid()}) + "\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", choices=["native", "grpcio"], required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(_main(options.transport, options.ready_fd))
