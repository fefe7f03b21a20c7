"""Every process of a real cluster is killed while a client asks on: the frontend never goes away.

The client asks fifty times a second, over gRPC, open loop: a query is sent when its time has come, whatever became of
those before.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
import pytest

from clipper.v1 import predict_pb2, predict_pb2_grpc
from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.deployers import python as python_deployer
from clipper_admin.supervisor.records import ProcessStatus

pytestmark = pytest.mark.cluster

RATE_PER_S = 50
OBJECTIVE_MICROS = 1_000_000
_numbers = itertools.count()
"""No input is asked twice: the cache would answer it."""


@dataclass
class Seen:
    """What the client saw."""

    answers: int = 0
    defaults: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Client:
    """Asks on in a thread of its own until it is told to stop."""

    def __init__(self, address: str) -> None:
        self.seen = Seen()
        self._channel = grpc.insecure_channel(address)
        self._predict = predict_pb2_grpc.PredictServiceStub(self._channel).Predict
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open = threading.Semaphore(0)
        self._sent = 0
        self._thread = threading.Thread(target=self._ask_on)

    def __enter__(self) -> Self:
        self._thread.start()
        self.ask_for(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for _ in range(self._sent):
            assert self._open.acquire(timeout=20), "a query was never answered"
        self._channel.close()

    def ask_for(self, seconds: float) -> None:
        """Returns after the client has asked on for some seconds."""
        assert not self._stop.wait(seconds)

    def _ask_on(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            request = predict_pb2.PredictRequest(application="app")
            number = float(next(_numbers))
            request.input.doubles.values.extend([number, 1.0])
            call = self._predict.future(request, timeout=10)
            call.add_done_callback(self._seen(number + 1.0))
            self._sent += 1
            due += 1 / RATE_PER_S
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _seen(self, expected: float) -> Callable[[grpc.Future], None]:
        def done(call: grpc.Future) -> None:
            with self._lock:
                error = call.exception()
                if error is not None:
                    self.seen.errors.append(repr(error))
                elif call.result().default:
                    self.seen.defaults.append(call.result().default_explanation)
                elif float(call.result().output.string) != expected:
                    self.seen.wrong.append(f"{call.result().output} instead of {expected}")
                else:
                    self.seen.answers += 1
            self._open.release()

        return done


def feature_sum(xs):
    return [str(sum(x)) for x in xs]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    """A cluster with one application on two replicas of the sum model."""
    home = tmp_path_factory.mktemp("chaos")
    manager = LocalContainerManager(
        "chaos", home=home, clipper_query_port=0, clipper_management_port=0, clipper_rpc_port=0, manager_port=0
    )
    connection = ClipperConnection(manager)
    connection.start_clipper()
    try:
        connection.register_application("app", "doubles", "-1.0", OBJECTIVE_MICROS)
        python_deployer.deploy_python_closure(connection, "model", 1, "doubles", feature_sum, num_replicas=2)
        connection.link_model_to_app("app", "model")
        yield connection
    finally:
        connection.stop_all()
        assert not (Path(home) / "chaos" / "cluster.json").exists(), "the cluster was stopped"


def processes(connection: ClipperConnection, kind: str) -> list[ProcessStatus]:
    status = connection.cm.status()
    return [process for process in map(ProcessStatus.from_json, status.processes) if process.kind == kind]


def kill(connection: ClipperConnection, kind: str) -> None:
    os.kill(processes(connection, kind)[0].pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def restarted(connection: ClipperConnection, kind: str, before: list[ProcessStatus]) -> Callable[[], bool]:
    old = {process.pid for process in before}

    def condition() -> bool:
        now = processes(connection, kind)
        return len({p.pid for p in now} & old) == len(old) - 1 and all(p.state == "running" for p in now)

    return condition


def replicas_up(connection: ClipperConnection) -> bool:
    return len(connection.get_all_model_replicas()) == 2


@pytest.mark.parametrize("kind", ["replica", "manager", "redis"])
def test_a_killed_process_costs_no_query_and_comes_back_by_itself(connection: ClipperConnection, kind: str) -> None:
    before = processes(connection, kind)
    with Client(connection.cm.get_frontend_addr()) as client:
        kill(connection, kind)
        client.ask_for(2)
        wait_until(restarted(connection, kind, before), f"{kind} runs again")
        client.ask_for(2)
    seen = client.seen
    assert seen.errors == []
    assert seen.wrong == []
    # Those that the killed replica had in flight may take their default; with time left they move to the other one.
    assert len(seen.defaults) <= (2 if kind == "replica" else 0), seen.defaults
    assert seen.answers > 3 * RATE_PER_S

    def everything_as_it_was() -> bool:
        return connection.get_all_apps() == ["app"] and replicas_up(connection)

    wait_until(everything_as_it_was, "configuration and replicas are as they were")
    assert connection.get_linked_models("app") == ["model"]
    assert connection.get_current_model_version("model") == "1"
    connection.register_application("later", "doubles", "0", OBJECTIVE_MICROS)  # and can be changed again
    connection.unregister_application("later")


def test_a_killed_frontend_is_there_again_on_the_same_port(connection: ClipperConnection) -> None:
    before = processes(connection, "frontend")
    address = connection.cm.get_frontend_addr()
    kill(connection, "frontend")
    wait_until(restarted(connection, "frontend", before), "the frontend runs again")
    with Client(address) as client:
        client.ask_for(1)
    assert client.seen.errors == []
    assert client.seen.answers > 0


def test_the_frontend_answers_with_manager_and_redis_away_at_once(connection: ClipperConnection) -> None:
    stopped = [processes(connection, kind)[0].pid for kind in ("manager", "redis")]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with Client(connection.cm.get_frontend_addr()) as client:
            client.ask_for(3)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert client.seen.errors == []
    assert client.seen.defaults == []
    assert client.seen.answers > 3 * RATE_PER_S


def test_a_hung_replica_takes_only_what_it_had(connection: ClipperConnection) -> None:
    wait_until(lambda: replicas_up(connection), "two replicas")
    hung = processes(connection, "replica")[0].pid
    with Client(connection.cm.get_frontend_addr()) as client:
        os.kill(hung, signal.SIGSTOP)
        try:
            client.ask_for(3)
        finally:
            os.kill(hung, signal.SIGCONT)
        client.ask_for(1)
    assert client.seen.errors == []
    assert len(client.seen.defaults) <= 5, client.seen.defaults
    assert client.seen.answers > 3 * RATE_PER_S
