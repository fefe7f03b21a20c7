"""The process: `clipper-runtime`, or `python -m clipper_runtime`."""

from __future__ import annotations

import os


def run(prog_name: str | None = None) -> None:
    """Runs it; gRPC is imported by this, and reads the environment then.

    A model may start processes (Spark does). In a child that is forked off beside a connection, gRPC's own handlers may
    abort it before its exec: they stay off, unless the environment says otherwise.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from clipper_runtime.app import main

    main(prog_name=prog_name)


if __name__ == "__main__":
    run("python -m clipper_runtime")
