"""Integration tests run on uvloop, as the processes do; and the pairs of transports that many of them go through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import pytest
import uvloop
from wires import CLIENTS, TRANSPORTS, Wire


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops that tests run on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[(served, called) for served in TRANSPORTS for called in CLIENTS], ids="<-".join)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Each way of serving, called by each client."""
    async with AsyncExitStack() as stack:
        server, called = request.param
        yield Wire(server, called, stack)


@pytest.fixture(params=TRANSPORTS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Each way of serving, called by grpcio's own client."""
    async with AsyncExitStack() as stack:
        yield Wire(request.param, "grpc.aio", stack)


@pytest.fixture(params=TRANSPORTS)
async def one(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Each transport on one side; the other side is a stranger."""
    async with AsyncExitStack() as stack:
        yield Wire(request.param, request.param, stack)
