"""The endpoint: what it tells is Prometheus text, and nothing that asks it does harm."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clipper_rpc.telemetry.endpoint import Endpoint, text_page
from clipper_rpc.telemetry.export import Exposition
from clipper_rpc.telemetry.families import Family, counter, durations, gauge, histogram
from clipper_rpc.telemetry.siblings import ask_all, socket_of
from clipper_rpc.telemetry.tally import Histogram


def told() -> list[Family]:
    latency = Histogram()
    latency.include(3_000_000)
    latency.observe_all([2_900_000, 3_000_001])
    return [
        histogram("clipper.predict.duration", "How long.", [({"application": "a"}, durations(latency))], "s"),
        counter("clipper.defaults", "Defaults.", [({"reason": "LATE", "application": 'quoted "\n'}, 3)]),
        gauge("clipper.cache.size", "Bytes.", [({}, 7)], "By"),
    ]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint({"/metrics": text_page(Exposition([told], process="test", transport="none").text)})
    await found.listen("127.0.0.1", 0)
    yield found
    await found.close()


async def test_what_is_told_follows_the_conventions(endpoint: Endpoint) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://{endpoint.address}/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    duration = "clipper_predict_duration_seconds"
    assert families[duration].type == "histogram"
    assert samples[f"{duration}_bucket", ("application", "a"), ("le", "0.003")] == 1
    assert samples[f"{duration}_bucket", ("application", "a"), ("le", "+Inf")] == 2
    assert samples[f"{duration}_sum", ("application", "a")] == pytest.approx(0.005900001)
    assert samples["clipper_defaults_total", ("application", 'quoted "\n'), ("reason", "LATE")] == 3
    assert samples["clipper_cache_size_bytes",] == 7
    assert {"clipper_build_info", "process_resident_memory_bytes", "process_cpu_seconds"} <= families.keys()


async def test_whoever_asks_for_nonsense_is_told_so_and_harms_nobody(endpoint: Endpoint) -> None:
    host, port = endpoint.address.split(":")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://{endpoint.address}/")).status_code == 404
        assert (await client.post(f"http://{endpoint.address}/metrics")).status_code == 405
        head = await client.head(f"http://{endpoint.address}/metrics")
        assert (head.status_code, head.text) == (200, "")
    for garbage in (b"\x00\r\n\r\n", b"GET /metrics", b"x" * 100_000):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(garbage)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
    async with httpx.AsyncClient() as client:
        answers = await asyncio.gather(*(client.get(f"http://{endpoint.address}/metrics") for _ in range(20)))
    assert {each.status_code for each in answers} == {200}


async def test_closing_waits_for_nobody(endpoint: Endpoint) -> None:
    host, port = endpoint.address.split(":")
    reader, writer = await asyncio.open_connection(host, port)
    async with httpx.AsyncClient() as client:
        await client.get(f"http://{endpoint.address}/metrics")
    await asyncio.wait_for(endpoint.close(), 5)
    assert await reader.read() == b""
    writer.close()


async def test_siblings_tell_together_and_a_dead_one_is_left_out(tmp_path: Path) -> None:
    found = [Endpoint({"/x": text_page(lambda text=text: text)}) for text in (b"zero", b"one")]
    for number, each in enumerate(found):
        await each.listen_at(socket_of(tmp_path, str(number)))
    socket_of(tmp_path, "2").touch()
    try:
        assert await ask_all(tmp_path, "/x") == {"0": b"zero", "1": b"one"}
        assert await ask_all(tmp_path, "/y") == {}
    finally:
        for each in found:
            await each.close()
