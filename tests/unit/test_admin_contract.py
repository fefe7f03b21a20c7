"""The Python API has Clipper's names: every method, its arguments in their order, and their defaults.

The tables are Clipper's own signatures. Ours may have more arguments at the end, and a default where Clipper had none.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable

import pytest

import clipper_admin
from clipper_admin import ClipperConnection, ClipperException, DockerContainerManager, UnconnectedException
from clipper_admin.container_manager import ContainerManager
from clipper_admin.decorators import retry

START = (
    "query_frontend_image mgmt_frontend_image frontend_exporter_image cache_size=33554432 "
    "qf_http_thread_pool_size=1 qf_http_timeout_request=5 qf_http_timeout_content=300 num_frontend_replicas=1"
)
BUILD = "container_registry=None pkgs_to_install=None"
CONNECTION = {
    "__init__": "container_manager",
    "start_clipper": START,
    "connect": "",
    "register_application": "name input_type default_output slo_micros",
    "unregister_application": "name",
    "delete_application": "name",
    "link_model_to_app": "app_name model_name",
    "unlink_model_from_app": "app_name model_name",
    "build_and_deploy_model": "name version input_type model_data_path base_image labels=None container_registry=None "
    "num_replicas=1 batch_size=-1 pkgs_to_install=None",
    "build_model": f"name version model_data_path base_image {BUILD}",
    "deploy_model": "name version input_type image labels=None num_replicas=1 batch_size=-1",
    "register_model": "name version input_type image=None labels=None batch_size=-1",
    "get_current_model_version": "name",
    "get_num_replicas": "name version=None",
    "set_num_replicas": "name num_replicas version=None",
    "get_all_apps": "verbose=False",
    "get_app_info": "name",
    "get_linked_models": "app_name",
    "get_all_models": "verbose=False",
    "get_model_info": "name version",
    "get_all_model_replicas": "verbose=False",
    "get_model_replica_info": "name version replica_id",
    "get_clipper_logs": "logging_dir='clipper_logs/'",
    "inspect_instance": "",
    "set_model_version": "name version num_replicas=None",
    "get_query_addr": "",
    "get_metric_addr": "",
    "stop_models": "model_names",
    "stop_versioned_models": "model_versions_dict",
    "stop_inactive_model_versions": "model_names",
    "stop_all_model_containers": "",
    "stop_all": "graceful=True",
    "test_predict_function": "query func input_type",
}
MANAGER = {
    "start_clipper": START.replace("=33554432", "").replace("=1", "").replace("=5", "").replace("=300", ""),
    "connect": "",
    "deploy_model": "name version input_type image",
    "get_num_replicas": "name version",
    "set_num_replicas": "name version input_type image num_replicas",
    "get_logs": "logging_dir",
    "stop_models": "models",
    "stop_all_model_containers": "",
    "stop_all": "graceful=True",
    "get_admin_addr": "",
    "get_query_addr": "",
    "get_metric_addr": "",
}
DOCKER = (
    "cluster_name='default-cluster' docker_ip_address='localhost' use_centralized_log=False fluentd_port=24224 "
    "clipper_query_port=1337 clipper_management_port=1338 clipper_rpc_port=7000 redis_ip=None redis_port=6379 "
    "prometheus_port=9090 docker_network='clipper_network' extra_container_kwargs=None"
)
_ENDPOINT = (
    "default_output='None' version=1 slo_micros=3000000 labels=None registry=None base_image='default' num_replicas=1 "
)
_DEPLOY = "base_image='default' labels=None registry=None num_replicas=1 "
_END = "batch_size=-1 pkgs_to_install=None"
DEPLOYERS = {
    "python.create_endpoint": f"clipper_conn name input_type func {_ENDPOINT}{_END}",
    "python.deploy_python_closure": f"clipper_conn name version input_type func {_DEPLOY}{_END}",
    "pyspark.create_endpoint": f"clipper_conn name input_type func pyspark_model sc {_ENDPOINT}{_END}",
    "pyspark.deploy_pyspark_model": f"clipper_conn name version input_type func pyspark_model sc {_DEPLOY}{_END}",
    "tensorflow.create_endpoint": f"clipper_conn name input_type func tf_sess_or_saved_model_path {_ENDPOINT}{_END}",
    "tensorflow.deploy_tensorflow_model": "clipper_conn name version input_type func tf_sess_or_saved_model_path "
    f"{_DEPLOY}{_END}",
    "keras.create_endpoint": f"clipper_conn name input_type func model_path_or_object {_ENDPOINT}{_END}",
    "keras.deploy_keras_model": f"clipper_conn name version input_type func model_path_or_object {_DEPLOY}{_END}",
    "pytorch.create_endpoint": f"clipper_conn name input_type func pytorch_model {_ENDPOINT}{_END}",
    "pytorch.deploy_pytorch_model": f"clipper_conn name version input_type func pytorch_model {_DEPLOY}{_END}",
    "onnx.create_pytorch_endpoint": f"clipper_conn name input_type inputs func pytorch_model {_ENDPOINT}"
    f"onnx_backend='onnxruntime' {_END}",
    "onnx.deploy_pytorch_model": f"clipper_conn name version input_type inputs func pytorch_model {_DEPLOY}"
    f"onnx_backend='onnxruntime' {_END}",
    "sklearn.create_endpoint": f"clipper_conn name input_type func sklearn_model {_ENDPOINT}{_END}",
    "sklearn.deploy_sklearn_model": f"clipper_conn name version input_type func sklearn_model {_DEPLOY}{_END}",
    "xgboost.create_endpoint": f"clipper_conn name input_type func xgboost_model {_ENDPOINT}{_END}",
    "xgboost.deploy_xgboost_model": f"clipper_conn name version input_type func xgboost_model {_DEPLOY}{_END}",
    "lightgbm.create_endpoint": f"clipper_conn name input_type func lightgbm_model {_ENDPOINT}{_END}",
    "lightgbm.deploy_lightgbm_model": f"clipper_conn name version input_type func lightgbm_model {_DEPLOY}{_END}",
    "onnx.create_endpoint": f"clipper_conn name input_type func onnx_model {_ENDPOINT}{_END}",
    "onnx.deploy_onnx_model": f"clipper_conn name version input_type func onnx_model {_DEPLOY}{_END}",
}


def arguments(function: Callable[..., object]) -> list[tuple[str, str]]:
    """Names and defaults ("" for none) of what can be given by position."""
    found = inspect.signature(function).parameters.values()
    return [
        (each.name, "" if each.default is each.empty else repr(each.default))
        for each in found
        if each.kind is each.POSITIONAL_OR_KEYWORD and each.name != "self"
    ]


def agree(function: Callable[..., object], wanted: str) -> None:
    clippers = [(name, default) for name, _, default in (each.partition("=") for each in wanted.split())]
    ours = arguments(function)
    assert [name for name, _ in ours[: len(clippers)]] == [name for name, _ in clippers]
    for (name, default), (_, found) in zip(clippers, ours, strict=False):
        assert not default or found == default, name
    assert all(default for _, default in ours[len(clippers) :]), "what is ours alone has a default"


@pytest.mark.parametrize("name", CONNECTION)
def test_clipper_connection_has_clippers_methods(name: str) -> None:
    agree(getattr(ClipperConnection, name), CONNECTION[name])


@pytest.mark.parametrize("name", MANAGER)
def test_container_managers_have_clippers_methods(name: str) -> None:
    agree(getattr(ContainerManager, name), MANAGER[name])
    for manager in (clipper_admin.LocalContainerManager, DockerContainerManager, clipper_admin.RemoteContainerManager):
        agree(getattr(manager, name), MANAGER[name])


def test_the_docker_container_manager_is_made_as_in_clipper() -> None:
    agree(DockerContainerManager.__init__, DOCKER)


@pytest.mark.parametrize("name", DEPLOYERS)
def test_deployers_take_what_clippers_took_and_how_a_version_goes_live(name: str) -> None:
    module, _, function = name.partition(".")
    found = getattr(importlib.import_module(f"clipper_admin.deployers.{module}"), function)
    agree(found, DEPLOYERS[name])
    assert "options" in inspect.signature(found).parameters


def test_every_method_is_described_and_typed() -> None:
    for name in CONNECTION:
        method = getattr(ClipperConnection, name)
        assert name == "__init__" or method.__doc__
        assert all(
            each.annotation is not each.empty for each in list(inspect.signature(method).parameters.values())[1:]
        )


def test_unconnected_methods_say_what_to_do() -> None:
    connection = ClipperConnection(clipper_admin.RemoteContainerManager("127.0.0.1:1"))
    assert issubclass(UnconnectedException, ClipperException)
    for ask in (
        connection.get_all_apps,
        connection.get_query_addr,
        connection.get_clipper_logs,
        connection.inspect_instance,
        lambda: connection.get_app_info("app"),
        lambda: connection.stop_models(["m"]),
        lambda: connection.set_model_version("m", 1),
        lambda: connection.ask_model_version("m", 1, [[1.0]]),
    ):
        with pytest.raises(UnconnectedException, match=r"Call connect\(\) to find a running one"):
            ask()


def test_the_version_is_told() -> None:
    assert clipper_admin.__version__[0].isdigit()


def test_what_fails_is_tried_again_and_at_last_comes_through(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    @retry(ValueError, tries=3, delay=0, backoff=2, logger=logging.getLogger("test"))
    def fail(until: int) -> int:
        calls.append(until)
        if len(calls) < until:
            raise ValueError("not yet")
        return len(calls)

    assert fail(3) == 3
    assert len(caplog.records) == 2
    calls.clear()
    with pytest.raises(ValueError, match="not yet"):
        fail(4)
    assert len(calls) == 3

    @retry(ValueError)
    def fail_otherwise() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fail_otherwise()
