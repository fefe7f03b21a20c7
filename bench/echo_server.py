"""The yardstick: the least that a grpc.aio server in Python can do, a unary echo."""

from __future__ import annotations

import argparse
import json
import os

import grpc
import grpc.aio
import uvloop


async def _echo(request: bytes, _context: object) -> bytes:
    return request


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, _details: object) -> object:
        return grpc.unary_unary_rpc_method_handler(_echo)


async def _main(ready_fd: int) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with os.fdopen(ready_fd, "w") as ready:
        ready.write(json.dumps({"address": f"127.0.0.1:{port}", "pid": os.getpid()}) + "\n")
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready-fd", type=int, required=True)
    uvloop.run(_main(parser.parse_args().ready_fd))
