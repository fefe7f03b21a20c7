"""The gateway as a process: how it starts, stops, and does without the others for a while."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateways import GATEWAY, chain, events, until

from processes import Process, free_port, running

NOBODY = ["--frontend", "127.0.0.1:1", "--manager", "127.0.0.1:1"]
ANYWHERE = ["--query-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]


def fast(xs: Any) -> list[str]:
    return [str(sum(x)) for x in xs]


def port(address: object) -> int:
    return int(str(address).rpartition(":")[2])


def test_it_tells_where_it_listens_and_ends_by_the_signal_that_it_got(tmp_path: Path) -> None:
    process = Process([str(GATEWAY), *NOBODY, *ANYWHERE], log=tmp_path / "gateway.log").start()
    assert process.ready["pid"] == process.pid
    assert httpx.get(f"http://{process.ready['admin']}/admin/ping").text == "PONG"
    assert process.stop() == -signal.SIGTERM
    logged = events(process)
    assert [each["event"] for each in logged] == ["listening", "stopped"]
    assert logged[0]["query"] == process.ready["query"]
    assert {"time", "level", "process", "pid"} <= set(logged[0])


def test_an_interrupt_ends_it_too(tmp_path: Path) -> None:
    process = Process([str(GATEWAY), *NOBODY, *ANYWHERE], log=tmp_path / "gateway.log").start()
    assert process.stop(signal.SIGINT) == -signal.SIGINT


def test_a_taken_port_is_named_and_the_other_one_is_left(tmp_path: Path) -> None:
    with running([str(GATEWAY), *NOBODY, *ANYWHERE], log=tmp_path / "gateway.log") as first:
        taken, free = str(first.ready["query"]), free_port()
        done = subprocess.run(
            [str(GATEWAY), *NOBODY, "--query-listen", taken, "--admin-listen", f"127.0.0.1:{free}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"The query port cannot listen on {taken}: address already in use" in done.stderr
    assert "--query-listen" in done.stderr
    assert "Traceback" not in done.stderr
    assert "goroutine" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [(["--help"], 0, "Examples:"), (["--version"], 0, "clipper-gateway "), (["--no-such"], 2, "--no-such")],
)
def test_the_command_explains_itself(flags: list[str], code: int, says: str) -> None:
    done = subprocess.run([str(GATEWAY), *flags], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == code
    assert says in done.stdout + done.stderr


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = {"CLIPPER_GATEWAY_QUERY_LISTEN": address, "CLIPPER_GATEWAY_ADMIN_LISTEN": "127.0.0.1:0"}
    with running([str(GATEWAY), *NOBODY], log=tmp_path / "gateway.log", env=env) as process:
        assert process.ready["query"] == address


def test_without_a_frontend_it_says_so_at_once(tmp_path: Path) -> None:
    with running([str(GATEWAY), *NOBODY, *ANYWHERE], log=tmp_path / "gateway.log") as process:
        base = f"http://{process.ready['query']}"
        asked = time.monotonic()
        response = httpx.post(f"{base}/hello-world/predict", json={"input": [1.0]})
        assert time.monotonic() - asked < 2
        assert response.status_code == 503
        assert "The frontend at 127.0.0.1:1 cannot be reached" in response.json()["cause"]
        assert response.headers["retry-after"] == "1"
        assert httpx.get(f"{base}/healthz").status_code == 503
        assert httpx.get(f"http://{process.ready['admin']}/healthz").status_code == 503
        assert httpx.get(f"{base}/metrics").status_code == 200


def test_a_query_under_way_is_answered_before_it_stops(tmp_path: Path, redis_url: str) -> None:
    asked = tmp_path / "asked"

    def slow(xs: Any) -> list[str]:
        if any(len(x) == 2 for x in xs):
            asked.touch()
            time.sleep(0.5)
        return [str(sum(x)) for x in xs]

    with chain(tmp_path, redis_url) as made:
        made.deploy("slow", slow)
        made.serves("slow", {"input": [1.0]})
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(made.predict("slow", {"input": [2.0, 3.0]})))
        asking.start()
        until(asked.exists, "the query has reached the model")
        made.gateway.send_signal(signal.SIGTERM)
        asking.join(20)
        assert answers
        assert answers[0]["output"] == 5
        assert answers[0]["default"] is False
        assert made.gateway.wait() == -signal.SIGTERM


def test_a_frontend_that_was_killed_is_found_again(tmp_path: Path, redis_url: str) -> None:
    with chain(tmp_path, redis_url) as made:
        made.deploy("hello-world", fast)
        made.serves("hello-world", {"input": [1.0]})
        made.frontend.stop(signal.SIGKILL)
        response = made.query.post("/hello-world/predict", json={"input": [1.0]})
        assert response.status_code == 503
        assert sorted(response.json()) == ["cause", "error"]
        again = made.frontend_command(port(made.frontend.address))
        with running(again, log=tmp_path / "frontend-2.log"):
            started = time.monotonic()
            made.serves("hello-world", {"input": [1.0]})
            assert time.monotonic() - started < 10
            assert made.query.get("/healthz").status_code == 200


def test_a_manager_that_was_killed_does_not_stop_queries(tmp_path: Path, redis_url: str) -> None:
    with chain(tmp_path, redis_url) as made:
        made.deploy("hello-world", fast)
        made.serves("hello-world", {"input": [1.0]})
        made.manager.stop(signal.SIGKILL)
        assert made.predict("hello-world", {"input": [1.0, 2.0]})["output"] == 3
        response = made.admin.post("/admin/get_all_applications", json={"verbose": False})
        assert response.status_code == 503
        assert "manager" in response.json()["cause"]


def test_two_hundred_clients_at_once_are_all_answered(tmp_path: Path, redis_url: str) -> None:
    with chain(tmp_path, redis_url) as made:
        made.deploy("hello-world", fast)
        made.serves("hello-world", {"input": [1.0]})
        limits = httpx.Limits(max_connections=200)
        with httpx.Client(base_url=made.query.base_url, timeout=60, limits=limits) as client:

            def ask(n: int) -> float:
                return float(client.post("/hello-world/predict", json={"input": [n, 0.5]}).json()["output"])

            with ThreadPoolExecutor(200) as threads:
                assert list(threads.map(ask, range(1000))) == [n + 0.5 for n in range(1000)]
