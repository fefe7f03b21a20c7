"""The whole chain without a supervisor: manager, frontend and gateway as processes, and runtimes as tests need them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

import clipper_admin
from clipper_runtime import save_function
from processes import Process, module, running

GATEWAY = Path(clipper_admin.__file__).parent / "bin" / "clipper-gateway"
PATIENCE_S = 30.0


class Chain:
    """One of each process. `query` and `admin` are HTTP clients of the gateway's two ports."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        self._redis_url = redis_url
        self._runtimes = 0
        self._ends = ExitStack()
        self.manager: Process
        self.frontend: Process
        self.gateway: Process
        self.query: httpx.Client
        self.admin: httpx.Client

    def start(self, *gateway_flags: str) -> None:
        """Starts manager, frontend and gateway."""
        self.manager = self._run("manager", module("clipper_manager", "--port", "0", "--redis-url", self._redis_url))
        self.frontend = self._run("frontend", self.frontend_command())
        arguments = ["--frontend", self.frontend.address, "--manager", self.manager.address, *gateway_flags]
        listen = ["--query-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        self.gateway = self._run("gateway", [str(GATEWAY), *listen, *arguments])
        self.query = self._ends.enter_context(
            httpx.Client(base_url=f"http://{self.gateway.ready['query']}", timeout=60)
        )
        self.admin = self._ends.enter_context(
            httpx.Client(base_url=f"http://{self.gateway.ready['admin']}", timeout=60)
        )
        until(lambda: self.query.get("/healthz").status_code == 200, "the frontend serves")

    def frontend_command(self, port: int = 0) -> list[str]:
        """The command line of a frontend."""
        return module("clipper_frontend", "--port", str(port), "--manager", self.manager.address)

    def stop(self) -> None:
        """Ends everything, the last first."""
        self._ends.close()

    def _run(self, name: str, arguments: list[str]) -> Process:
        return self._ends.enter_context(running(arguments, log=self.directory / f"{name}.log"))

    def deploy(
        self,
        application: str,
        func: Callable[[Any], Any],
        *,
        input_type: str = "doubles",
        version: str = "1",
        slo_micros: int = 5_000_000,
    ) -> Process:
        """A runtime for the model "{application}-model"; application, version and link are made over REST."""
        name = f"{application}-model"
        place = self.directory / f"{name}-{version}"
        save_function(place, name=name, version=version, input_type=input_type, func=func)
        made = {
            "name": application,
            "input_type": input_type,
            "default_output": "-1.0",
            "latency_slo_micros": slo_micros,
        }
        assert self.admin.post("/admin/add_app", json=made).status_code in (200, 409)
        registered: dict[str, object] = {
            "model_name": name,
            "model_version": version,
            "labels": [],
            "input_type": input_type,
        }
        registered |= {"container_name": "NO_CONTAINER", "model_data_path": "DEPRECATED", "batch_size": -1}
        self.tell("add_model", registered)
        link = {"app_name": application, "model_names": [name]}
        assert self.admin.post("/admin/add_model_links", json=link).status_code in (200, 409)
        self._runtimes += 1
        flags = ["--model-dir", str(place), "--manager", self.manager.address, "--port", "0"]
        return self._run(f"runtime-{self._runtimes}", module("clipper_runtime", *flags))

    def tell(self, route: str, body: Mapping[str, object]) -> str:
        """A change over /admin; returns the sentence."""
        response = self.admin.post(f"/admin/{route}", json=body)
        assert response.status_code == 200, response.text
        return response.text

    def predict(self, application: str, body: dict[str, Any]) -> Any:
        """A prediction that is answered."""
        response = self.query.post(f"/{application}/predict", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def serves(self, application: str, body: dict[str, Any]) -> None:
        """Returns once queries are answered by a model."""

        def answered() -> bool:
            response = self.query.post(f"/{application}/predict", json=body)
            return response.status_code == 200 and not response.json()["default"]

        until(answered, f"{application} is answered by its model")


@contextmanager
def chain(directory: Path, redis_url: str, *gateway_flags: str) -> Iterator[Chain]:
    """A running chain."""
    made = Chain(directory, redis_url)
    try:
        made.start(*gateway_flags)
        yield made
    finally:
        made.stop()


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Waits until something has come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def events(process: Process) -> list[dict[str, Any]]:
    """What a process has logged."""
    return [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
