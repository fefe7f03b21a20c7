"""Clipper's REST for administration against a real manager: contract M1 to M16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateways import Chain, chain, until

from processes import RedisServer


@pytest.fixture(scope="module")
def running_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    directory = tmp_path_factory.mktemp("gateway-admin")
    redis = RedisServer(directory)
    redis.start()
    try:
        with chain(directory, redis.url) as made:
            yield made
    finally:
        redis.kill()


@pytest.fixture
def empty(running_chain: Chain) -> Chain:
    """A chain without applications and models."""
    for name in ask(running_chain, "get_all_applications", {"verbose": False}):
        running_chain.tell("delete_app", {"name": name})
    for model in ask(running_chain, "get_all_models", {"verbose": False}):
        name, version = model.split(":")
        running_chain.tell("delete_versioned_model", {"model_name": name, "model_version": version})
    return running_chain


def ask(chain: Chain, route: str, body: dict[str, Any]) -> Any:
    response = chain.admin.post(f"/admin/{route}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(chain: Chain, route: str, body: dict[str, Any], status: int) -> str:
    response = chain.admin.post(f"/admin/{route}", json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert sorted(response.json()) == ["cause", "error"]
    return str(response.json()["cause"])


def app(name: str = "app1", **changed: Any) -> dict[str, Any]:
    made = {"name": name, "input_type": "doubles", "default_output": "-1.0", "latency_slo_micros": 100000}
    return made | changed


def model(name: str = "m", version: str = "1", **changed: Any) -> dict[str, Any]:
    made = {"model_name": name, "model_version": version, "labels": ["ver1", "test"], "input_type": "doubles"}
    return made | {"container_name": "NO_CONTAINER", "model_data_path": "DEPRECATED", "batch_size": -1} | changed


def test_ping_answers_pong(running_chain: Chain) -> None:
    assert running_chain.admin.get("/admin/ping").text == "PONG"


def test_an_application_is_added_shown_and_deleted(empty: Chain) -> None:
    assert empty.tell("add_app", app()) == "Successfully added application with name 'app1'"
    shown = app() | {"linked_models": []}
    assert ask(empty, "get_application", {"name": "app1"}) == shown
    assert ask(empty, "get_all_applications", {"verbose": True}) == [shown]
    assert ask(empty, "get_all_applications", {"verbose": False}) == ["app1"]
    assert empty.tell("get_state", {"app_name": "app1", "uid": 0}) == "-1.0"
    refused(empty, "add_app", app(), 409)
    assert empty.tell("delete_app", {"name": "app1"}) == "Successfully deleted application with name 'app1'"
    refused(empty, "delete_app", {"name": "app1"}, 404)
    assert ask(empty, "get_application", {"name": "app1"}) == {}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("byte", "bytes"), ("b", "bytes"), ("ints", "integers"), ("i", "integers"), ("float", "floats"), ("f", "floats"),
     ("double", "doubles"), ("d", "doubles"), ("str", "strings"), ("strs", "strings"), ("s", "strings")],
)  # fmt: skip
def test_clippers_spellings_of_input_types_are_understood(empty: Chain, spelling: str, name: str) -> None:
    empty.tell("add_app", app(input_type=spelling))
    assert ask(empty, "get_application", {"name": "app1"})["input_type"] == name


@pytest.mark.parametrize(
    "changed",
    [{"input_type": "numbers"}, {"default_output": -1.0}, {"latency_slo_micros": 0}, {"latency_slo_micros": -5},
     {"latency_slo_micros": 10**18}, {"latency_slo_micros": "1"}, {"name": "Under_Score"}, {"name": ""},
     {"name": "a" * 64}],
)  # fmt: skip
def test_a_bad_application_is_refused(empty: Chain, changed: dict[str, Any]) -> None:
    refused(empty, "add_app", app(**changed), 400)
    assert ask(empty, "get_all_applications", {"verbose": False}) == []


def test_versions_are_added_shown_activated_and_deleted(empty: Chain) -> None:
    said = empty.tell("add_model", model())
    assert said == "Successfully added model with name 'm' and input type 'doubles'"
    empty.tell("add_model", model(version="2", labels=[]))
    shown = model(is_current_version=True)
    del shown["batch_size"]
    assert ask(empty, "get_model", {"model_name": "m", "model_version": "1"}) == shown | {"is_current_version": False}
    newer = ask(empty, "get_model", {"model_name": "m", "model_version": "2"})
    assert newer == shown | {"model_version": "2", "labels": []}
    assert ask(empty, "get_all_models", {"verbose": False}) == ["m:1", "m:2"]
    said = empty.tell("set_model_version", {"model_name": "m", "model_version": "1"})
    assert said == "Successfully set model with name 'm' to version '1'"
    assert [each["is_current_version"] for each in ask(empty, "get_all_models", {"verbose": True})] == [True, False]
    refused(empty, "set_model_version", {"model_name": "m", "model_version": "9"}, 404)
    refused(empty, "set_model_version", {"model_name": "n", "model_version": "1"}, 404)
    refused(empty, "add_model", model(), 409)
    said = empty.tell("delete_versioned_model", {"model_name": "m", "model_version": "2"})
    assert said == "Successfully deleted model with name 'm' and version '2'"
    assert ask(empty, "get_model", {"model_name": "m", "model_version": "2"}) == {}
    refused(empty, "delete_versioned_model", {"model_name": "m", "model_version": "2"}, 404)


@pytest.mark.parametrize(
    "changed",
    [{"batch_size": 0}, {"batch_size": -2}, {"labels": ["a,b"]}, {"model_version": "a:b"}, {"model_name": "a,b"},
     {"model_version": 1}, {"labels": None}, {"input_type": "x"}],
)  # fmt: skip
def test_a_bad_version_is_refused(empty: Chain, changed: dict[str, Any]) -> None:
    refused(empty, "add_model", model(**changed), 400)
    assert ask(empty, "get_all_models", {"verbose": False}) == []


def test_links_are_checked_as_in_clipper(empty: Chain) -> None:
    link = {"app_name": "app1", "model_names": ["m"]}
    assert "app1" in refused(empty, "add_model_links", link, 404)
    empty.tell("add_app", app())
    assert refused(empty, "add_model_links", link, 404).startswith("No model with name 'm'")
    empty.tell("add_model", model())
    empty.tell("add_model", model("n"))
    empty.tell("add_model", model("words", input_type="strings"))
    refused(empty, "add_model_links", link | {"model_names": ["words"]}, 409)
    refused(empty, "add_model_links", link | {"model_names": []}, 400)
    refused(empty, "add_model_links", link | {"model_names": ["m", "n"]}, 400)
    said = empty.tell("add_model_links", link)
    assert said == "Successfully linked model with name 'm' to application 'app1'"
    refused(empty, "add_model_links", link, 409)
    refused(empty, "add_model_links", link | {"model_names": ["n"]}, 409)
    assert ask(empty, "get_linked_models", {"app_name": "app1"}) == ["m"]
    assert ask(empty, "get_application", {"name": "app1"})["linked_models"] == ["m"]
    refused(empty, "add_model", model(version="2", input_type="strings"), 409)
    refused(empty, "delete_model_links", link | {"model_names": ["n"]}, 404)
    assert empty.tell("delete_model_links", link) == "Success!"
    assert ask(empty, "get_linked_models", {"app_name": "app1"}) == []
    refused(empty, "get_linked_models", {"app_name": "nobody"}, 404)


def test_replicas_are_shown_as_containers(empty: Chain) -> None:
    assert ask(empty, "get_all_containers", {"verbose": True}) == []
    empty.deploy("counted", lambda xs: [len(x) for x in xs])
    until(lambda: len(ask(empty, "get_all_containers", {"verbose": False})) == 1, "the replica has registered")
    (name,) = ask(empty, "get_all_containers", {"verbose": False})
    model_name, version, replica_id = name.split(":")
    assert (model_name, version) == ("counted-model", "1")
    asked = {"model_name": model_name, "model_version": version, "replica_id": int(replica_id)}
    shown = {
        "model_id": "counted-model:1", "model_name": "counted-model", "model_version": "1",
        "model_replica_id": int(replica_id), "input_type": "doubles",
    }  # fmt: skip
    assert ask(empty, "get_container", asked) == shown
    assert ask(empty, "get_all_containers", {"verbose": True}) == [shown]
    assert ask(empty, "get_container", asked | {"replica_id": 99}) == {}


def test_bad_bodies_say_what_is_expected(empty: Chain) -> None:
    response = empty.admin.post("/admin/add_app", content=b'{"name": "a"')
    assert response.status_code == 400
    assert response.json()["error"] == "Json error"
    cause = refused(empty, "add_app", {}, 400)
    assert cause.startswith("Error parsing JSON: JSON object does not have required key: name")
    assert '"latency_slo_micros" := int' in cause
    refused(empty, "get_all_models", {"verbose": "yes"}, 400)
    wrong_method = empty.admin.get("/admin/add_app")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    assert empty.admin.post("/admin/nothing", json={}).status_code == 404


def test_the_routes_of_the_protos_answer_beside_clippers(empty: Chain) -> None:
    made = {"name": "app2", "input_type": "INPUT_TYPE_DOUBLES", "latency_objective": "0.050s"}
    assert empty.admin.post("/v1/applications", json=made).json()["application"]["name"] == "app2"
    assert ask(empty, "get_application", {"name": "app2"})["latency_slo_micros"] == 50000
    again = empty.admin.post("/v1/applications", json=made)
    assert (again.status_code, again.json()["details"][0]["reason"]) == (409, "APPLICATION_EXISTS")
    assert empty.admin.get("/v1/instances").json()["instances"]
    assert empty.admin.delete("/v1/applications/app2").status_code == 200


def test_what_frontends_have_learned_and_counted_is_there_too(empty: Chain) -> None:
    assert empty.admin.get("/v1/models/m/profile").status_code == 404
    empty.tell("add_model", model())

    def profile() -> bool:
        response = empty.admin.get("/v1/models/m/profile", params={"version": "1"})
        return response.status_code == 200 and response.json()["policy"] == "quantile"

    until(profile, "the frontend knows the version")
    assert empty.admin.get("/v1/stats").json()["processes"] >= 1


def test_health_and_the_description_are_there(running_chain: Chain) -> None:
    until(lambda: running_chain.admin.get("/healthz").status_code == 200, "the manager serves")
    described = running_chain.admin.get("/openapi.json").json()
    assert sum(path.startswith("/admin/") for path in described["paths"]) == 16
    assert "/v1/applications" in described["paths"]
