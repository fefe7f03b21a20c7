"""The scenarios of Clipper's own clipper_admin_tests.py (contract 4.1), for any container manager.

Each takes a cluster on which nothing is configured. No fixed sleeps, and no default where a model answers.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from clusters import until
from traffic import another_value

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers.python import create_endpoint, deploy_python_closure

OBJECTIVE_MICROS = 10_000_000
"""Far above what an answer takes on a busy machine."""


def no_op(xs):
    return ["0" for _ in xs]


def length(xs):
    return [str(len(x)) for x in xs]


def batch_size(xs):
    time.sleep(0.05)
    return [str(len(xs)) for _ in xs]


def post(connection: ClipperConnection, application: str, body: dict[str, Any], slash: str = "") -> httpx.Response:
    url = f"http://{connection.get_query_addr()}/{application}/predict{slash}"
    return httpx.post(url, json=body, timeout=60, trust_env=False)


def asked(connection: ClipperConnection, application: str, **body: Any) -> dict[str, Any]:
    reply: dict[str, Any] = post(connection, application, {"input": another_value(), **body}).json()
    return reply


def until_live(connection: ClipperConnection, application: str, output: Any) -> None:
    """Frontends have heard of a change; from then on nothing else is answered."""
    until(lambda: asked(connection, application).get("output") == output, f"{application} answers {output}")


def count(connection: ClipperConnection, *versions: str) -> list[int]:
    """How many replicas of each "model:version" run, as container manager and registry agree."""
    registered = Counter(each.rpartition(":")[0] for each in connection.get_all_model_replicas())
    running = {each: connection.get_num_replicas(*each.split(":")) for each in versions}
    assert {each: number for each, number in running.items() if number} == dict(registered)
    return [running[each] for each in versions]


def application(connection: ClipperConnection, name: str = "app", default: str = "default") -> None:
    connection.register_application(name, "doubles", default, OBJECTIVE_MICROS)


def registers_model_versions(connection: ClipperConnection) -> None:
    for version in (1, 2):
        connection.register_model("m", version, "integers", labels=["label"])
    for version in ("1", "2"):
        info = connection.get_model_info("m", version) or {}
        assert (info["model_name"], info["model_version"], info["labels"]) == ("m", version, ["label"])
    assert connection.get_all_models() == ["m:1", "m:2"]


def registers_and_unregisters_applications(connection: ClipperConnection) -> None:
    application(connection)
    assert connection.get_all_apps() == ["app"]
    until(lambda: post(connection, "app", {"input": [1.0]}).status_code == 200, "it can be queried")
    connection.unregister_application("app")
    assert connection.get_all_apps() == []
    until(lambda: post(connection, "app", {"input": [1.0]}).status_code == 404, "its endpoint is gone")


def refuses_to_link_what_is_not_there(connection: ClipperConnection) -> None:
    application(connection)
    with pytest.raises(ClipperException, match="missing-model"):
        connection.link_model_to_app("app", "missing-model")


def links_and_unlinks(connection: ClipperConnection) -> None:
    application(connection)
    assert connection.get_linked_models("app") == []
    connection.register_model("m", 1, "doubles")
    connection.link_model_to_app("app", "m")
    assert connection.get_linked_models("app") == ["m"]
    connection.unlink_model_from_app("app", "m")
    assert connection.get_linked_models("app") == []


def tells_of_applications(connection: ClipperConnection) -> None:
    application(connection)
    assert (connection.get_app_info("app") or {})["default_output"] == "default"
    assert connection.get_app_info("other") is None


def cannot_scale_without_containers(connection: ClipperConnection) -> None:
    connection.register_model("m", 1, "doubles")
    with pytest.raises(ClipperException, match="containerless"):
        connection.set_num_replicas("m", 3)


def makes_an_older_version_current(connection: ClipperConnection) -> None:
    for version in (1, 2):
        connection.register_model("m", version, "doubles")
    connection.set_model_version("m", 1)
    flags = [(connection.get_model_info("m", version) or {})["is_current_version"] for version in (1, 2)]
    assert flags == [True, False]
    assert connection.get_current_model_version("m") == "1"


def writes_logs_and_inspects(connection: ClipperConnection) -> None:
    with tempfile.TemporaryDirectory() as directory:
        paths = connection.get_clipper_logs(directory)
        assert paths
        assert all(Path(each).exists() for each in paths)
    assert connection.inspect_instance()


def deploys_and_scales(connection: ClipperConnection) -> None:
    deploy_python_closure(connection, "m", 1, "doubles", no_op)
    assert count(connection, "m:1") == [1]
    for number in (4, 2):
        connection.set_num_replicas("m", number)
        assert count(connection, "m:1") == [number]


def stops_what_is_inactive(connection: ClipperConnection) -> None:
    deploy_python_closure(connection, "m", 1, "doubles", no_op, num_replicas=2)
    deploy_python_closure(connection, "m", 2, "doubles", no_op, num_replicas=3)
    assert count(connection, "m:1", "m:2") == [2, 3]
    connection.stop_inactive_model_versions(["m"])
    assert count(connection, "m:1", "m:2") == [0, 3]
    assert connection.get_all_models() == ["m:2"]


def stops_by_model_by_version_and_all(connection: ClipperConnection) -> None:
    versions = ("m:1", "m:2", "n:1", "n:2")
    for each in versions:
        deploy_python_closure(connection, *each.split(":"), "doubles", no_op)
    assert count(connection, *versions) == [1, 1, 1, 1]
    connection.stop_models(["m"])
    assert count(connection, *versions) == [0, 0, 1, 1]
    connection.stop_versioned_models({"n": ["1"]})
    assert count(connection, *versions) == [0, 0, 0, 1]
    assert connection.get_all_models() == ["n:2"]
    connection.stop_all_model_containers()
    assert count(connection, *versions) == [0, 0, 0, 0]
    assert connection.get_all_models() == []


def makes_an_endpoint_in_one_call_and_serves_as_rehearsed(connection: ClipperConnection) -> None:
    create_endpoint(connection, "easy", "doubles", length, slo_micros=OBJECTIVE_MICROS)
    assert connection.get_all_apps() == ["easy"]
    assert connection.get_linked_models("easy") == ["easy"]
    until_live(connection, "easy", 2)
    query = {"input": [1.1, 2.2, 3.3]}
    served = post(connection, "easy", query, slash="/").json()
    assert [str(served["output"])] == connection.test_predict_function(query, length, "doubles")
    assert served["default"] is False
    batch = {"input_batch": [[1.1], [2.2, 3.3], [], [4.4] * 4]}
    served = post(connection, "easy", batch).json()["batch_predictions"]
    assert [str(each["output"]) for each in served] == connection.test_predict_function(batch, length, "doubles")
    assert [each["default"] for each in served] == [False] * 4


def answers_the_version_that_is_asked(connection: ClipperConnection) -> None:
    application(connection)
    for version, text in ((1, "one"), (2, "two")):
        deploy_python_closure(connection, "m", version, "doubles", lambda xs, text=text: [text for _ in xs])
    connection.link_model_to_app("app", "m")
    until_live(connection, "app", "two")
    assert asked(connection, "app", version="1")["output"] == "one"
    assert asked(connection, "app", version="2")["output"] == "two"
    refused = post(connection, "app", {"input": [1.1], "version": "3"})
    assert refused.status_code == 400
    assert refused.json()["cause"] == "Requested version: 3 does not exist for model: m"


def answers_the_default_until_a_model_is_linked_and_when_no_replica_is_left(connection: ClipperConnection) -> None:
    application(connection)
    deploy_python_closure(connection, "m", 1, "doubles", no_op, num_replicas=2)
    until(lambda: asked(connection, "app").get("default") is True, "an unlinked application answers its default")
    connection.link_model_to_app("app", "m")
    until_live(connection, "app", 0)
    connection.set_num_replicas("m", 1)
    assert [asked(connection, "app")["default"] for _ in range(5)] == [False] * 5
    connection.set_num_replicas("m", 0)
    until(lambda: asked(connection, "app")["default"], "no replica is left")
    assert asked(connection, "app")["default_explanation"] == "No connected models found for query"


def fills_batches_of_a_fixed_size(connection: ClipperConnection) -> None:
    """Clipper's had 450 queries of 0.5 s; so many take too long here, and show no more."""
    application(connection)
    deploy_python_closure(connection, "m", 1, "doubles", batch_size, batch_size=9)
    connection.link_model_to_app("app", "m")
    until_live(connection, "app", 1)
    queries = {"input_batch": [[float(at)] for at in range(180)]}
    found = Counter(each["output"] for each in post(connection, "app", queries).json()["batch_predictions"])
    assert max(found) == 9
    assert found[9] >= 0.7 * 180


def keeps_clusters_apart(one: ClipperConnection, other: ClipperConnection) -> None:
    """Clipper's multi_tenancy_test: the same application in two clusters of a host, each with a model of its own."""
    for connection, text in ((one, "one"), (other, "other")):
        deploy_python_closure(connection, "m", 1, "doubles", lambda xs, text=text: [text for _ in xs])
        application(connection, "same")
        connection.link_model_to_app("same", "m")
    for connection, text in ((one, "one"), (other, "other")):
        until_live(connection, "same", text)
        assert [(reply["output"], reply["default"]) for reply in asked_often(connection, "same", 20)] == [
            (text, False)
        ] * 20


def tells_the_metrics_of_each_replica(connection: ClipperConnection, told: Callable[[], list[str]]) -> None:
    """Clipper's clipper_metric_docker: after 100 queries of two replicas every metric of a model is there twice.

    `told` asks each replica for its metrics, in Prometheus' text.
    """
    application(connection)
    deploy_python_closure(connection, "m", 1, "doubles", no_op, num_replicas=2)
    connection.link_model_to_app("app", "m")
    until_live(connection, "app", 0)
    before = sum(counted(each, "clipper_mc_pred_total") for each in told())
    queries = {"input_batch": [another_value() for _ in range(100)]}
    found = post(connection, "app", queries).json()["batch_predictions"]
    assert [each["default"] for each in found] == [False] * 100
    after = told()
    assert len(after) == 2
    assert sum(counted(each, "clipper_mc_pred_total") for each in after) - before == 100
    for each in after:
        for name in ("end_to_end_latency", "handle_time", "recv_time", "parse_time"):
            assert counted(each, f"clipper_mc_{name}_ms_count") >= 0
    assert "model:m:1:num_predictions" in str(connection.inspect_instance()["counters"])


def asked_often(connection: ClipperConnection, name: str, times: int) -> list[dict[str, Any]]:
    return [asked(connection, name) for _ in range(times)]


def counted(metrics: str, name: str) -> float:
    """The value of a metric in Prometheus' text; it must be there."""
    (found,) = (line for line in metrics.splitlines() if re.match(rf"{name}[ {{]", line))
    return float(found.rpartition(" ")[2])


SCENARIOS: list[Callable[[ClipperConnection], None]] = [
    registers_model_versions,
    registers_and_unregisters_applications,
    refuses_to_link_what_is_not_there,
    links_and_unlinks,
    tells_of_applications,
    cannot_scale_without_containers,
    makes_an_older_version_current,
    writes_logs_and_inspects,
    deploys_and_scales,
    stops_what_is_inactive,
    stops_by_model_by_version_and_all,
    makes_an_endpoint_in_one_call_and_serves_as_rehearsed,
    answers_the_version_that_is_asked,
    answers_the_default_until_a_model_is_linked_and_when_no_replica_is_left,
    fills_batches_of_a_fixed_size,
]


def clear(connection: ClipperConnection) -> None:
    """Nothing is configured any more."""
    connection.stop_all_model_containers()
    for name in connection.get_all_apps():
        connection.unregister_application(name)
