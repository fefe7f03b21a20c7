"""What Clipper's own integration tests did with a cluster, for any container manager: no fixed sleeps, no defaults.

Each scenario gets a connected cluster with nothing in it and may leave things behind. Objectives are long: what is
under test is that every query gets its prediction, not how fast this machine is.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer

_SLO_MICROS = 20_000_000
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_NOBODY = "No connected models found for query"


def post(connection: ClipperConnection, application: str, body: Any, *, slash: str = "") -> Any:
    """What REST answers to a query."""
    url = f"http://{connection.get_query_addr()}/{application}/predict{slash}"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with _DIRECTLY.open(request, timeout=60) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as refused:
        with refused:
            return json.load(refused)


def deploy(connection: ClipperConnection, model: str, version: Any, func: Callable[[Any], Any], **how: Any) -> None:
    python_deployer.deploy_python_closure(connection, model, version, "doubles", func, **how)


def says(text: str) -> Callable[[Any], Any]:
    return lambda xs: [text for _ in xs]


def configuration(connection: ClipperConnection) -> None:
    """The short tests without models that run: two versions are read back, linked, unlinked, one is current."""
    connection.register_application("testapp", "doubles", "DEFAULT", 30000)
    assert connection.get_all_apps() == ["testapp"]
    assert connection.get_linked_models("testapp") == []
    with pytest.raises(ClipperException, match="test-model"):
        connection.link_model_to_app("testapp", "test-model")
    for version in ("v1", "v2"):
        connection.register_model("m", version, "doubles")
        assert connection.get_model_info("m", version)["model_version"] == version  # type: ignore[index]
    connection.link_model_to_app("testapp", "m")
    assert connection.get_linked_models("testapp") == ["m"]
    assert connection.get_current_model_version("m") == "v2"
    connection.set_model_version("m", "v1")
    current = {each["model_version"]: each["is_current_version"] for each in connection.get_all_models(verbose=True)}
    assert current == {"v1": True, "v2": False}
    assert post(connection, "testapp", {"input": [1.0]})["default_explanation"] == _NOBODY
    connection.unlink_model_from_app("testapp", "m")
    assert connection.get_linked_models("testapp") == []
    connection.unregister_application("testapp")
    assert connection.get_all_apps() == []
    assert post(connection, "testapp", {"input": [1.0]})["error"]


def inactive_versions(connection: ClipperConnection) -> None:
    """Version 1 with two replicas, version 2 with three: stopping what is inactive leaves three, of version 2."""
    deploy(connection, "m", 1, says("one"), num_replicas=2)
    deploy(connection, "m", 2, says("two"), num_replicas=3)
    assert len(connection.get_all_model_replicas()) == 5
    connection.stop_inactive_model_versions(["m"])
    assert connection.get_all_models() == ["m:2"]
    assert connection.get_num_replicas("m") == 3
    until(lambda: len(connection.get_all_model_replicas()) == 3, "three replicas are registered")


def rehearsed_and_served(connection: ClipperConnection) -> None:
    """A function tried in the session answers as the served one does, single and batch, with a trailing slash too."""

    def total(xs: Any) -> list[Any]:
        return [float(sum(x)) for x in xs]

    connection.register_application("hello-world", "doubles", "-1.0", _SLO_MICROS)
    deploy(connection, "sum-model", 1, total)
    connection.link_model_to_app("hello-world", "sum-model")
    single, batch = {"input": [1.1, 2.2, 3.3]}, {"input_batch": [[1.1, 2.2, 3.3], [4.4, 5.5, 6.6]]}
    for slash in ("", "/"):
        served = post(connection, "hello-world", single, slash=slash)
        assert [served["output"]] == connection.test_predict_function(single, total, "doubles")
        many = post(connection, "hello-world", batch, slash=slash)["batch_predictions"]
        assert [each["output"] for each in many] == connection.test_predict_function(batch, total, "doubles")


def pinned_versions(connection: ClipperConnection) -> None:
    """A query names a version, or none, or one that is not there, which is told in Clipper's words."""
    connection.register_application("app", "doubles", "DEFAULT", _SLO_MICROS)
    for version, text in (("v1", "one"), ("v2", "two")):
        deploy(connection, "m", version, says(text))
    connection.link_model_to_app("app", "m")
    assert post(connection, "app", {"input": [1.0], "version": "v1"})["output"] == "one"
    assert post(connection, "app", {"input": [1.0]})["output"] == "two"
    refused = post(connection, "app", {"input": [1.0], "version": "v9"})
    assert refused["cause"] == "Requested version: v9 does not exist for model: m"


def defaults_and_batches(connection: ClipperConnection) -> None:
    """The long tests: no link, then a model; a batch of four; the length of the input; replicas down to none."""
    connection.register_application("app", "doubles", "DEFAULT", _SLO_MICROS)
    unlinked = post(connection, "app", {"input": [1.0]})
    assert (unlinked["default"], unlinked["output"]) == (True, "DEFAULT")
    deploy(connection, "m", 1, lambda xs: [str(len(x)) for x in xs], num_replicas=2)
    connection.link_model_to_app("app", "m")
    batch = post(connection, "app", {"input_batch": [[1.0], [1.0, 2.0], [], [3.0] * 7]})["batch_predictions"]
    assert [(each["output"], each["default"]) for each in batch] == [(1, False), (2, False), (0, False), (7, False)]
    for replicas in (2, 1):
        connection.set_num_replicas("m", replicas)
        assert [post(connection, "app", {"input": [float(each)] * 3})["default"] for each in range(10)] == [False] * 10
    connection.set_num_replicas("m", 0)
    last = post(connection, "app", {"input": [0.5]})
    assert (last["default"], last["default_explanation"]) == (True, _NOBODY)


def fixed_batches(connection: ClipperConnection) -> None:
    """With batches of nine and 450 queries in one request, at least 70 % of the answers come from full batches."""

    def size(xs: Any) -> list[str]:
        time.sleep(0.02)
        return [str(len(xs)) for _ in xs]

    connection.register_application("app", "doubles", "DEFAULT", _SLO_MICROS)
    deploy(connection, "m", 1, size, batch_size=9)
    connection.link_model_to_app("app", "m")
    found = post(connection, "app", {"input_batch": [[float(each)] for each in range(450)]})["batch_predictions"]
    sizes = [each["output"] for each in found]
    assert not any(each["default"] for each in found)
    assert max(sizes) == 9
    assert sizes.count(9) >= 0.7 * len(sizes)


def many_apps_many_models(connection: ClipperConnection, logs: Path) -> None:
    """Two applications, three versions each, deployed in turn while they are asked; not one default."""
    for application in ("app1", "app2"):
        connection.register_application(application, "doubles", "DEFAULT", _SLO_MICROS)
        for version in (1, 2, 3):
            deploy(connection, application, version, says(str(version)))
            if version == 1:
                connection.link_model_to_app(application, application)
            found = [post(connection, application, {"input": [float(each)]}) for each in range(25)]
            assert not any(each["default"] for each in found), found
            until(
                lambda version=version, name=application: (  # type: ignore[misc]
                    post(connection, name, {"input": [time.time()]})["output"] == version
                ),
                f"version {version} answers",
            )
    assert all(Path(each).is_file() for each in connection.get_clipper_logs(str(logs)))
    assert connection.inspect_instance()


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Waits until something has come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
