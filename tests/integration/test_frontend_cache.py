"""The prediction cache, deadlines and refusals on the whole chain: gateway, frontend, manager, real runtimes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from gateways import Chain, chain, until
from peers import doubles

from clipper.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc
from clipper_runtime import save_function
from processes import RedisServer, module

DOUBLES = 4


def counting(first: int = 0) -> Any:
    """A model that answers with how many batches it has computed; it sleeps as many seconds as the first number says.

    It raises for a negative second number.
    """

    def count(xs: Any) -> list[str]:
        import time

        state["batches"] += 1
        for x in xs:
            time.sleep(x[0])
            if len(x) > 1 and x[1] < 0:
                raise ValueError("negative")
        return [str(state["batches"])] * len(xs)

    state = {"batches": first}
    return count


class House:
    """A chain, and clients of its gRPC services."""

    def __init__(self, made: Chain, channels: list[grpc.Channel]) -> None:
        self.chain = made
        frontend, manager = channels
        self.ask = predict_pb2_grpc.PredictServiceStub(frontend).Predict
        self.admin = admin_pb2_grpc.AdminServiceStub(manager)

    def predict(self, app: str, *values: float, **fields: Any) -> predict_pb2.PredictResponse:
        return self.ask(asking(app, *values, **fields), timeout=30)

    def application(self, name: str, *, objective_ms: int, default: str | None = "-1") -> None:
        message = admin_pb2.Application(name=name, input_type=DOUBLES)  # type: ignore[arg-type]
        message.latency_objective.FromMilliseconds(objective_ms)
        if default is not None:
            message.default_output.string = default
        self.admin.CreateApplication(admin_pb2.CreateApplicationRequest(application=message))

    def link(self, app: str, model: str) -> None:
        self.admin.LinkModel(admin_pb2.LinkModelRequest(application=app, model=model))

    def version(self, model: str, **fields: Any) -> None:
        wanted = admin_pb2.ModelVersion(model=model, version="1", input_type=DOUBLES, **fields)  # type: ignore[arg-type]
        self.admin.CreateModelVersion(admin_pb2.CreateModelVersionRequest(model_version=wanted, activate=True))

    def change(self, model: str, **fields: Any) -> None:
        """Changes how version 1 is batched and cached."""
        wanted = admin_pb2.ModelVersion(model=model, version="1", input_type=DOUBLES, **fields)  # type: ignore[arg-type]
        self.admin.UpdateModelVersion(admin_pb2.UpdateModelVersionRequest(model_version=wanted))

    def run(self, model: str, func: Any, place: str = "") -> Any:
        """Starts a replica of version 1."""
        directory = self.chain.directory / (place or model)
        save_function(directory, name=model, version="1", input_type="doubles", func=func)
        arguments = ["--model-dir", str(directory), "--manager", self.chain.manager.address, "--port", "0"]
        return self.chain._run(f"runtime-{place or model}", module("clipper_runtime", *arguments))


def asking(app: str, *values: float, **fields: Any) -> predict_pb2.PredictRequest:
    return predict_pb2.PredictRequest(application=app, input=doubles(*values), **fields)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Application "app" (5 s) and "hasty" (150 ms) are answered by the model "count"."""
    directory = tmp_path_factory.mktemp("cache")
    redis = RedisServer(directory)
    redis.start()
    try:
        with (
            chain(directory, redis.url) as made,
            grpc.insecure_channel(made.frontend.address) as frontend,
            grpc.insecure_channel(made.manager.address) as manager,
        ):
            house = House(made, [frontend, manager])
            house.application("app", objective_ms=5000)
            house.application("hasty", objective_ms=150)
            house.version("count")
            house.link("app", "count")
            house.link("hasty", "count")
            house.run("count", counting())
            until(lambda: not house.predict("app", 0).default, "the model answers")
            yield house
    finally:
        redis.kill()


def test_a_thousand_identical_queries_at_once_cost_one_model_call(house: House) -> None:
    before = int(house.predict("app", 0, 1).output.string)
    calls = [house.ask.future(asking("app", 0.5, 2), timeout=30) for _ in range(1000)]
    replies = [call.result() for call in calls]
    assert {reply.output.string for reply in replies} == {str(before + 1)}
    assert not any(reply.default for reply in replies)
    assert len({reply.query_id for reply in replies}) == 1000
    how = [(reply.contributions[0].cached, reply.contributions[0].joined) for reply in replies]
    assert how.count((False, False)) == 1, "one was computed, the others have joined it or came later"
    assert int(house.predict("app", 0, 3).output.string) == before + 2


def test_an_answer_is_given_again_until_somebody_wants_a_fresh_one(house: House) -> None:
    first = house.predict("app", 0, 10, explain=True)
    again = house.predict("app", 0, 10, explain=True)
    assert (first.contributions[0].cached, again.contributions[0].cached) == (False, True)
    assert again.output == first.output
    assert again.confidence == 1.0
    assert first.timing.batch_rows == 1
    assert first.timing.queue_us + first.timing.model_us + first.timing.network_us <= first.timing.total_us
    assert (again.timing.batch_rows, again.timing.model_us) == (0, 0)
    fresh = house.predict("app", 0, 10, bypass_cache=True)
    assert not fresh.contributions[0].cached
    assert int(fresh.output.string) == int(first.output.string) + 1


def test_an_answer_is_explained_over_rest(house: House) -> None:
    body = {"input": [0, 20], "explain": True}
    responses = [house.chain.query.post("/app/predict", json=body) for _ in range(2)]
    first, again = (response.json() for response in responses)
    assert (first["contributions"][0]["cached"], again["contributions"][0]["cached"]) == (False, True)
    assert first["timing"]["batch_rows"] == 1
    assert responses[0].headers["server-timing"].startswith("queue;dur=")
    fresh = house.chain.predict("app", body | {"bypass_cache": True})
    assert not fresh["contributions"][0]["cached"]
    assert sorted(house.chain.predict("app", {"input": [0, 20]})) == ["default", "output", "query_id"]


def test_an_error_is_not_kept(house: House) -> None:
    one, other = (house.predict("app", 0, -1) for _ in range(2))
    assert one.default_reason == other.default_reason == predict_pb2.DEFAULT_REASON_MODEL_ERROR
    assert not any(reply.contributions[0].cached for reply in (one, other))


def test_an_answer_that_came_too_late_is_there_the_next_time(house: House) -> None:
    late = house.predict("hasty", 0.4, 30)
    assert late.default_reason == predict_pb2.DEFAULT_REASON_LATE
    batches = int(house.predict("app", 0, 31).output.string)
    kept = house.predict("hasty", 0.4, 30)
    assert kept.contributions[0].cached
    assert int(kept.output.string) == batches - 1


def test_a_clients_deadline_holds_over_rest(house: House) -> None:
    started = time.monotonic()
    response = house.chain.query.post("/app/predict", json={"input": [2, 40]}, headers={"Grpc-Timeout": "300m"})
    assert response.status_code == 200, response.text
    assert response.json()["default_explanation"].startswith("Failed to retrieve a prediction response within")
    assert time.monotonic() - started < 2, "it was answered before the model was done"
    assert house.chain.query.post("/app/predict", json={"input": [0]}, headers={"Grpc-Timeout": "x"}).status_code == 400


def test_a_query_that_is_refused_gets_429_and_when_to_try_again(house: House) -> None:
    house.application("crowded", objective_ms=5000, default=None)
    house.link("crowded", "count")
    house.chain.serves("crowded", {"input": [0]})
    house.change("count", batching={"policy": "POLICY_FIXED", "max_batch_rows": 1, "max_queue_rows": 1})
    numbers = itertools.count(50)
    refused: list[httpx.Response] = []

    def somebody_is_refused() -> bool:
        with ThreadPoolExecutor(8) as pool:
            inputs = [[0.3, next(numbers)] for _ in range(8)]
            found = list(pool.map(lambda x: house.chain.query.post("/crowded/predict", json={"input": x}), inputs))
        assert {response.status_code for response in found} <= {200, 429}
        refused.extend(response for response in found if response.status_code == 429)
        return bool(refused)

    until(somebody_is_refused, "the frontend has heard of the narrow queue")
    house.change("count")
    for response in refused:
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"] == "Query processing error"


def test_a_model_without_cache_computes_every_query(house: House) -> None:
    assert house.predict("app", 0).contributions[0].cached
    house.change("count", no_cache=True)
    until(lambda: not house.predict("app", 0).contributions[0].cached, "the frontend has heard of it")
    first, again = (int(house.predict("app", 0).output.string) for _ in range(2))
    assert again == first + 1
    house.change("count")
    until(lambda: house.predict("app", 0).contributions[0].cached, "the frontend has heard of it")


def test_a_version_that_is_deployed_anew_under_its_old_name_never_gives_old_answers(house: House) -> None:
    house.application("redeployed", objective_ms=5000)
    house.version("phoenix")
    house.link("redeployed", "phoenix")
    old = house.run("phoenix", counting())
    until(lambda: not house.predict("redeployed", 0).default, "the model answers")
    assert house.predict("redeployed", 0).contributions[0].cached
    house.admin.DeleteModelVersion(admin_pb2.DeleteModelVersionRequest(model="phoenix", version="1", force=True))
    old.stop()
    assert house.predict("redeployed", 0).default, "its traffic has ended, hits included"
    house.version("phoenix")
    house.run("phoenix", counting(100), place="phoenix-again")
    until(lambda: not house.predict("redeployed", 0).default, "the model answers")
    assert int(house.predict("redeployed", 0).output.string) > 100
