"""A model runtime of its own process, for tests that kill it: python -m model_process --ready-fd N."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from peers import PeerModel


async def main(ready_fd: int) -> None:
    peer = await PeerModel().start()
    with os.fdopen(ready_fd, "w") as ready:
        ready.write(json.dumps({"address": peer.address, "pid": os.getpid()}) + "\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[sys.argv.index("--ready-fd") + 1])))
