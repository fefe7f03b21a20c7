"""gRPC's public interoperability tests: grpc-go's client against a TestService on every transport.

Cases that need credentials of a cloud, or load reports (ORCA), do not apply.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import interop
import pytest
from wires import TRANSPORTS, transport

from clipper_rpc.transport import Server

VERSION = "v1.85.0"
CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
    "rpc_soak",
    "channel_soak",
]


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """grpc-go's interoperability client, compiled; from Go's cache if that has it."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go to compile grpc-go's client")
    directory = tmp_path_factory.mktemp("go")
    built = subprocess.run(
        [go, "install", f"google.golang.org/grpc/interop/client@{VERSION}"],
        env={**os.environ, "GOBIN": str(directory), "GOFLAGS": "-mod=mod"},
        cwd=directory,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        pytest.skip(f"grpc-go's client could not be compiled: {built.stderr[-500:]}")
    return directory / "client"


@pytest.fixture(params=TRANSPORTS)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    server = await transport(request.param).serve(interop.methods(), "127.0.0.1:0")
    yield server
    await server.stop(0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES)
async def test_the_case_passes(server: Server, go_client: Path, case: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(go_client),
        "--server_host=127.0.0.1",
        f"--server_port={server.port}",
        f"--test_case={case}",
        "--soak_per_iteration_max_acceptable_latency_ms=20000",  # by how much it is late is nothing to us here
        "--soak_overall_timeout_seconds=50",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()[-2000:]
