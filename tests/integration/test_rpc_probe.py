"""The probe of containers' health checks, against every transport and against what is no gRPC server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from wires import TRANSPORTS, transport

from clipper_rpc.health import Health
from clipper_rpc.probe import NotServing, check, is_serving
from processes import free_port


@pytest.fixture(params=TRANSPORTS)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Health, str]]:
    health = Health("clipper.v1.PredictService")
    serving = await transport(request.param).serve(health.methods(), "127.0.0.1:0")
    yield health, f"127.0.0.1:{serving.port}"
    await serving.stop(0)


async def test_a_server_that_serves_is_healthy(server: tuple[Health, str]) -> None:
    health, address = server
    health.set_serving(True)
    await asyncio.to_thread(check, address)


async def test_a_server_that_does_not_serve_yet_is_not_healthy(server: tuple[Health, str]) -> None:
    _, address = server
    with pytest.raises(NotServing, match="says that it does not serve"):
        await asyncio.to_thread(check, address)


async def test_a_server_without_the_health_service_is_not_healthy() -> None:
    serving = await transport("grpcio").serve({}, "127.0.0.1:0")
    assert not await asyncio.to_thread(is_serving, f"127.0.0.1:{serving.port}")
    await serving.stop(0)


def test_nobody_listening_is_not_healthy() -> None:
    with pytest.raises(NotServing, match="refused"):
        check(f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("answer", "problem"), [(b"", "no answer within"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2")]
)
async def test_a_server_of_another_kind_is_not_healthy(answer: bytes, problem: str) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await until_asked.wait()
        writer.close()

    until_asked = asyncio.Event()
    serving = await asyncio.start_server(talk, "127.0.0.1", 0)
    host, port = serving.sockets[0].getsockname()
    try:
        with pytest.raises(NotServing, match=problem):
            await asyncio.to_thread(check, f"{host}:{port}", 0.2)
    finally:
        until_asked.set()
        serving.close()


async def test_the_command_says_by_its_exit_code_whether_the_server_serves(server: tuple[Health, str]) -> None:
    health, address = server

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "clipper_rpc.probe", *arguments], capture_output=True, text=True, check=False
        )

    found = await asyncio.to_thread(run, address)
    assert (found.returncode, found.stdout) == (1, "")
    assert "does not serve" in found.stderr
    health.set_serving(True)
    assert (await asyncio.to_thread(run, address, "5")).returncode == 0
    assert (await asyncio.to_thread(run)).returncode == 2
