"""Python values to inputs and outputs and back; what Clipper's dicts look like; trying a function without a cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipper.v1 import values_pb2
from clipper_admin import ClipperConnection, ClipperException, RemoteContainerManager, UnconnectedException, views
from clipper_admin.convert.values import from_output, to_input, to_output
from clipper_admin.models import check_packages
from clipper_admin.resources import Application, Link, ModelVersion
from clipper_rpc.errors import InvalidField
from clipper_runtime.names import InputType


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        ([1, 2.5], "doubles", values_pb2.Input(doubles=values_pb2.Doubles(values=[1, 2.5]))),
        (np.array([1, 2.5]), "doubles", values_pb2.Input(doubles=values_pb2.Doubles(values=[1, 2.5]))),
        ((), "doubles", values_pb2.Input(doubles=values_pb2.Doubles())),
        ([0.5], "floats", values_pb2.Input(floats=values_pb2.Floats(values=[0.5]))),
        ([1, np.int64(-2)], "integers", values_pb2.Input(integers=values_pb2.Integers(values=[1, -2]))),
        ("hé", "strings", values_pb2.Input(string="hé")),
        (b"\xff", "bytes", values_pb2.Input(bytes=b"\xff")),
        ("aGk=", "bytes", values_pb2.Input(bytes=b"hi")),
    ],
)
def test_values_become_inputs_of_their_type(value: object, kind: str, wanted: values_pb2.Input) -> None:
    assert to_input(value, InputType(kind)) == wanted


def test_nested_lists_become_tensors() -> None:
    tensor = to_input([[1.0, 2.0], [3.0, 4.0]], InputType.TENSORS).tensor
    assert (tensor.data_type, list(tensor.shape)) == (values_pb2.DATA_TYPE_FLOAT64, [2, 2])
    assert from_output(values_pb2.Output(tensor=tensor)).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    scalar = to_input(np.float32(1.5), InputType.TENSORS).tensor
    assert list(scalar.shape) == []
    turned = to_input(np.arange(6, dtype=">i4").reshape(2, 3).T, InputType.TENSORS).tensor
    assert from_output(values_pb2.Output(tensor=turned)).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1.5", "doubles"),
        (1.5, "doubles"),
        ([True], "doubles"),
        (["1"], "floats"),
        ([[1.0]], "doubles"),
        (np.ones((2, 2)), "doubles"),
        (None, "doubles"),
        ({"a": 1}, "doubles"),
        ([1.5], "integers"),
        ([2**31], "integers"),
        ([True], "integers"),
        (5, "strings"),
        (["a"], "strings"),
        ("not base64!", "bytes"),
        (["a"], "tensors"),
        ([[1], [2, 3]], "tensors"),
    ],
)
def test_values_of_another_type_are_refused_with_an_example(value: object, kind: str) -> None:
    with pytest.raises(InvalidField, match=rf"(?s)is no value of type {kind}: give .+"):
        to_input(value, InputType(kind))


@pytest.mark.parametrize("value", ["text", "-1.0", 0.5, 7, True, None, [1, "a"], {"a": None}, b"\x00", 2**60])
def test_outputs_come_back_as_they_were(value: object) -> None:
    found = from_output(to_output(value))
    assert found == value
    assert type(found) is type(value)


def test_vectors_come_back_as_lists_and_nothing_as_none() -> None:
    assert from_output(values_pb2.Output(doubles=values_pb2.Doubles(values=[1, 2]))) == [1.0, 2.0]
    assert from_output(values_pb2.Output(integers=values_pb2.Integers(values=[1, 2]))) == [1, 2]
    assert from_output(values_pb2.Output(floats=values_pb2.Floats(values=[0.5]))) == [0.5]
    assert from_output(values_pb2.Output()) is None
    with pytest.raises(InvalidField, match="a set is no output"):
        to_output({1})


def test_plain_values_are_what_json_can_write() -> None:
    found = views.plain({"a": b"hi", "b": np.array([1.0, np.nan]), "c": (float("inf"), 1), 2: "x"})
    assert found == {"a": "aGk=", "b": [1.0, None], "c": [None, 1], "2": "x"}


def test_applications_and_versions_look_as_they_did_in_clipper() -> None:
    application = Application("a", InputType.DOUBLES, 100000, True, 0.5, links=(Link("m"),))
    assert views.application(application) == {
        "name": "a",
        "input_type": "doubles",
        "default_output": "0.5",
        "latency_slo_micros": 100000,
        "linked_models": ["m"],
    }
    assert views.application(Application("a", InputType.DOUBLES, 1000))["default_output"] is None
    version = ModelVersion("m", "1", InputType.BYTES, ("x",), "/image", is_current=True)
    assert views.model_version(version) == {
        "model_name": "m",
        "model_version": "1",
        "input_type": "bytes",
        "labels": ["x"],
        "container_name": "/image",
        "model_data_path": "",
        "batch_size": -1,
        "cache": True,
        "is_current_version": True,
    }


@pytest.fixture
def connection() -> ClipperConnection:
    """Not connected, and there is nothing to connect to."""
    return ClipperConnection(RemoteContainerManager("127.0.0.1:1", "127.0.0.1:1"))


def test_methods_that_need_a_cluster_say_so(connection: ClipperConnection) -> None:
    calls: list[Any] = [
        connection.get_all_apps,
        connection.get_all_models,
        connection.get_query_addr,
        connection.get_clipper_logs,
        connection.inspect_instance,
        lambda: connection.register_application("a", "doubles", "x", 1),
        lambda: connection.link_model_to_app("a", "m"),
        lambda: connection.deploy_model("m", 1, "doubles", "/x"),
        lambda: connection.set_num_replicas("m", 1),
        lambda: connection.get_app_info("a"),
        lambda: connection.stop_models(["m"]),
    ]
    for call in calls:
        with pytest.raises(UnconnectedException, match=r"connect\(\)"):
            call()
    assert "not connected" in repr(connection)


def test_a_function_is_tried_without_a_cluster_as_a_replica_would_call_it(connection: ClipperConnection) -> None:
    seen: list[Any] = []

    def total(xs):
        seen.append(type(xs).__name__)
        return [str(sum(x)) for x in xs]

    assert connection.test_predict_function({"input": [1, 2.5]}, total, "doubles") == ["3.5"]
    assert connection.test_predict_function({"input_batch": [[1, 2], [3]]}, total, "d") == ["3.0", "3.0"]
    assert connection.test_predict_function({"input_batch": []}, total, "doubles") == []
    assert connection.test_predict_function({"input": [float("inf")]}, total, "floats") == ["inf"]
    assert connection.test_predict_function({"input": [2.0]}, lambda xs: (x[0] for x in xs), "doubles") == [2.0]
    assert connection.test_predict_function({"input": "abc"}, lambda xs: [x[::-1] for x in xs], "strings") == ["cba"]
    assert seen == []  # a copy was called, as it would be elsewhere


@pytest.mark.parametrize(
    ("query", "func", "kind", "told"),
    [
        ({"inputs": [1.0]}, len, "doubles", '"input"'),
        ({"input": "a"}, len, "doubles", "is no value of type doubles"),
        ({"input": [1.0]}, len, "complex", "no input type"),
        ({"input": [1.0]}, lambda _: None, "doubles", "returned a NoneType"),
        ({"input": [1.0]}, lambda _: [1, 2], "doubles", "2 outputs for 1 inputs"),
        (None, len, "doubles", "A query is"),
        (["input"], len, "doubles", "A query is"),
        ({"input": [1.0]}, None, "doubles", "func must be a function, not None"),
        ({"input": [1e300]}, len, "floats", "fit 32 bits"),
        ({"input": [10**400]}, len, "doubles", "is no value of type doubles"),
        ({"input": [1.0]}, lambda _: "a", "doubles", "returned a str"),
        ({"input": [1.0]}, lambda _: {0: 1}, "doubles", "returned a dict"),
        ({"input": [1.0]}, lambda _: {1}, "doubles", "returned a set"),
        ({"input_batch": [[1.0], [2.0]]}, lambda _: [1, object()], "doubles", "Output 1 could not be served: a object"),
    ],
)
def test_a_trial_that_cannot_work_says_why(
    connection: ClipperConnection, query: dict[str, Any], func: Any, kind: str, told: str
) -> None:
    with pytest.raises(ClipperException, match=told):
        connection.test_predict_function(query, func, kind)


def test_an_error_of_the_function_comes_through(connection: ClipperConnection) -> None:
    with pytest.raises(ZeroDivisionError):
        connection.test_predict_function({"input": [1.0]}, lambda _: 1 / 0, "doubles")


def test_batch_sizes_and_lists_of_names_are_checked_before_anything_is_asked(connection: ClipperConnection) -> None:
    connection.connect()
    with pytest.raises(ClipperException, match="batch_size is 0"):
        connection.deploy_model("m", 1, "doubles", "/x", batch_size=0)
    with pytest.raises(ClipperException, match="no input type"):
        connection.register_application("a", "complex", "x", 1000)
    connection.close()


def test_packages_are_looked_up_by_name_and_exact_version() -> None:
    check_packages(["numpy", "grpcio>=1.0", "scikit-learn", f"numpy=={np.__version__}"])
    with pytest.raises(ClipperException, match=r"pip install numpy==0\.0\.1 nope"):
        check_packages(["numpy==0.0.1", "nope", "click"])
    with pytest.raises(ClipperException, match="is no requirement"):
        check_packages(["!"])


def test_a_remote_cluster_is_configured_but_not_run_from_here(connection: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match="run by somebody else"):
        connection.start_clipper()
    with pytest.raises(ClipperException, match="run by somebody else"):
        connection.stop_all()
