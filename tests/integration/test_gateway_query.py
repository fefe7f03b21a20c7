"""Clipper's REST for queries, over the whole chain: gateway, frontend, manager, runtimes."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gateways import Chain, chain, until

from processes import RedisServer


def feature_sum(xs: Any) -> list[str]:
    for x in xs:
        if len(x) == 1 and x[0] == 13:
            raise ValueError("thirteen")
    return [str(sum(x)) for x in xs]


def integer_sum(xs: Any) -> list[int]:
    return [int(sum(x)) for x in xs]


def kind(xs: Any) -> list[Any]:
    answers = {"json": {"a": [1, None]}, "text": "True", "number": 1.5, "nan": float("nan"), "bytes": b"\x00\xff"}
    return [answers.get(x, x) for x in xs]


def length(xs: Any) -> list[int]:
    return [len(x) for x in xs]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain with a model per input type."""
    directory = tmp_path_factory.mktemp("gateway")
    redis = RedisServer(directory)
    redis.start()
    try:
        with chain(directory, redis.url) as made:
            made.deploy("hello-world", feature_sum)
            made.deploy("whole", integer_sum, input_type="integers")
            made.deploy("small", feature_sum, input_type="floats")
            made.deploy("kinds", kind, input_type="strings")
            made.deploy("raw", length, input_type="bytes")
            for application, value in [
                ("hello-world", [1]), ("whole", [1]), ("small", [1]), ("kinds", "x"), ("raw", "AA=="),
            ]:  # fmt: skip
                made.serves(application, {"input": value})
            made.tell(
                "add_app",
                {"name": "lonely", "input_type": "doubles", "default_output": "-1.0", "latency_slo_micros": 50_000},
            )
            yield made
    finally:
        redis.kill()


def refused(response: httpx.Response, status: int) -> dict[str, str]:
    """The body of a refusal, which is always JSON of the same form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, str] = response.json()
    assert sorted(body) == ["cause", "error"]
    return body


def test_the_readmes_query_is_answered_as_clipper_did(served: Chain) -> None:
    body = b'{"input": [1.1, 2.2, 3.3]}'
    response = served.query.post("/hello-world/predict", content=body, headers={"Content-Type": "application/json"})
    answer = response.json()
    assert sorted(answer) == ["default", "output", "query_id"]
    assert math.isclose(answer["output"], 6.6)
    assert answer["default"] is False
    assert 0 < answer["query_id"] < 2**53
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("application", "value", "output"),
    [
        ("hello-world", [1, 2.5, -3e0], 0.5),
        ("hello-world", [], 0),
        ("whole", [1, -2147483648, 2147483647], 0),
        ("small", [0.5, 1], 1.5),
        ("raw", base64.b64encode(b"five!").decode(), 5),
        ("kinds", "json", {"a": [1, None]}),
        ("kinds", "text", "True"),
        ("kinds", "number", 1.5),
        ("kinds", "nan", None),
        ("kinds", "bytes", "AP8="),
        ("kinds", "[1, 2]", [1, 2]),
        ("kinds", "é\n\U0001f600", "é\n\U0001f600"),
    ],
)
def test_every_input_type_reaches_its_model_and_every_output_comes_back(
    served: Chain, application: str, value: object, output: object
) -> None:
    answer = served.predict(application, {"input": value})
    assert answer["output"] == output, answer
    assert answer["default"] is False


def test_a_batch_is_answered_in_order_and_none_is_missing(served: Chain) -> None:
    answers = served.predict("hello-world", {"input_batch": [[n, 1.0] for n in range(50)]})["batch_predictions"]
    assert [answer["output"] for answer in answers] == [n + 1 for n in range(50)]
    assert len({answer["query_id"] for answer in answers}) == 50


def test_a_batch_of_one_is_answered_bare_and_an_empty_one_empty(served: Chain) -> None:
    assert served.predict("hello-world", {"input_batch": [[1, 2]]})["output"] == 3
    assert served.predict("hello-world", {"input_batch": []}) == {"batch_predictions": []}


def test_input_wins_over_input_batch(served: Chain) -> None:
    assert served.predict("hello-world", {"input_batch": [[1], [2]], "input": [5]})["output"] == 5


def test_a_model_that_raises_is_named_in_the_default(served: Chain) -> None:
    answers = served.predict("hello-world", {"input_batch": [[13], [1]]})["batch_predictions"]
    assert answers[0]["default"] is True
    assert answers[0]["output"] == -1.0
    assert "thirteen" in answers[0]["default_explanation"]
    assert answers[1] == {"query_id": answers[1]["query_id"], "output": 1, "default": False}


def test_an_application_without_a_model_answers_its_default(served: Chain) -> None:
    answer = served.predict("lonely", {"input": [1]})
    assert answer["output"] == -1.0
    assert answer["default"] is True
    assert answer["default_explanation"] == "No connected models found for query"


def test_a_version_can_be_pinned_and_an_unknown_one_is_named(served: Chain) -> None:
    assert served.predict("hello-world", {"input": [1, 2], "version": "1"})["output"] == 3
    body = refused(served.query.post("/hello-world/predict", json={"input": [1], "version": "7"}), 400)
    assert body == {
        "error": "Query processing error",
        "cause": "Requested version: 7 does not exist for model: hello-world-model",
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"input": [1.1, 2.2}', "expected , or ]"),
        (b"", "ends too early"),
        (b"[1.0]", "from an object"),
        (b'{"uid": 0}', "required keys input or input_batch"),
        (b'{"input": "abc"}', "input is a string, not an array of numbers"),
        (b'{"input": [[1.0]]}', "input[0] is an array"),
        (b'{"input_batch": [[1.0], ["x"]]}', "input_batch[1]: Type mismatch! input[0] is a string"),
        (b'{"input": [1.0], "version": 1}', "version is a number, not a string"),
    ],
)
def test_a_bad_query_is_told_what_is_wrong(served: Chain, body: bytes, says: str) -> None:
    refusal = refused(served.query.post("/hello-world/predict", content=body), 400)
    assert refusal["error"] == "Json error"
    assert refusal["cause"].startswith("Error parsing JSON: ")
    assert says in refusal["cause"]
    assert "Expected JSON schema:" in refusal["cause"]


def test_a_fraction_is_no_integer(served: Chain) -> None:
    assert "32-bit integer" in refused(served.query.post("/whole/predict", json={"input": [1.0]}), 400)["cause"]


def test_unknown_applications_paths_and_methods_are_answered(served: Chain) -> None:
    assert "nobody" in refused(served.query.post("/nobody/predict", json={"input": [1.0]}), 404)["cause"]
    refused(served.query.post("/hello-world/nothing", json={}), 404)
    response = served.query.get("/hello-world/predict")
    refused(response, 405)
    assert response.headers["allow"] == "POST"


def test_too_large_a_body_is_refused(served: Chain) -> None:
    refused(served.query.post("/hello-world/predict", content=b"x" * (32 * 1024 * 1024 + 1)), 413)


def test_a_megabyte_of_numbers_is_summed(served: Chain) -> None:
    numbers = [n / 8 for n in range(200_000)]
    assert served.predict("hello-world", {"input": numbers})["output"] == sum(numbers)


def test_a_client_with_little_time_gets_its_default_in_time(served: Chain) -> None:
    response = served.query.post("/lonely/predict", json={"input": [1]}, headers={"Grpc-Timeout": "2S"})
    assert response.json()["default"] is True
    assert (
        "Grpc-Timeout"
        in refused(served.query.post("/lonely/predict", json={"input": [1]}, headers={"Grpc-Timeout": "soon"}), 400)[
            "cause"
        ]
    )


def test_feedback_is_received(served: Chain) -> None:
    response = served.query.post("/hello-world/update", json={"uid": 0, "input": [1.0, 2.0], "label": 3})
    assert (response.status_code, response.text) == (200, "Feedback received? 1")
    refused(served.query.post("/hello-world/update", json={"uid": 0, "input": [1.0]}), 400)
    refused(served.query.post("/nobody/update", json={"uid": 0, "input": [1.0], "label": 1.0}), 404)


def test_the_routes_of_the_protos_answer_beside_clippers(served: Chain) -> None:
    response = served.query.post(
        "/v1/applications/hello-world:predict", json={"input": {"doubles": {"values": [1.0, 2.0]}}}
    )
    assert response.json()["output"] == {"string": "3.0"}
    described = served.query.get("/v1/applications/whole:describe").json()
    assert described["input_type"] == "INPUT_TYPE_INTEGERS"
    missing = served.query.get("/v1/applications/nobody:describe")
    assert (missing.status_code, missing.json()["details"][0]["reason"]) == (404, "APPLICATION_NOT_FOUND")


def test_metrics_count_what_was_answered(served: Chain) -> None:
    def count() -> int:
        counters = served.query.get("/metrics").json()["counters"]
        return int(next(c["app:small:num_predictions"]["count"] for c in counters if "app:small:num_predictions" in c))

    before = count()
    served.predict("small", {"input_batch": [[1], [2], [3]]})
    assert count() == before + 3


def test_a_deleted_application_ends_and_its_name_can_be_used_again(served: Chain) -> None:
    def make(input_type: str) -> None:
        made = {"name": "again", "input_type": input_type, "default_output": "none", "latency_slo_micros": 50_000}
        served.tell("add_app", made)

    def status(value: object) -> int:
        return served.query.post("/again/predict", json={"input": value}).status_code

    make("doubles")
    until(lambda: status([1.5]) == 200, "the application is there")
    served.tell("delete_app", {"name": "again"})
    until(lambda: status([1.5]) == 404, "the application is gone")
    make("strings")
    until(lambda: status("text") == 200, "it takes text now")
    assert status([1.5]) == 400


def test_it_describes_itself(served: Chain) -> None:
    described = served.query.get("/openapi.json").json()
    assert {"/{application}/predict", "/{application}/update", "/metrics"} <= set(described["paths"])
    assert json.dumps(described).count("#/definitions/") > 0


def test_a_new_version_takes_over_and_the_old_one_can_be_pinned(served: Chain) -> None:
    served.deploy("moving", feature_sum)
    served.serves("moving", {"input": [1, 2]})
    served.deploy("moving", length, version="2")
    until(lambda: served.predict("moving", {"input": [1, 2]})["output"] == 2, "version 2 answers")
    assert served.predict("moving", {"input": [1, 2], "version": "1"})["output"] == 3
