"""Arguments that cannot be are refused by their names, before anything is asked or started."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from clipper_admin import (
    ClipperConnection,
    ClipperException,
    InvalidArgumentException,
    LocalContainerManager,
    RemoteContainerManager,
    models,
)
from clipper_admin.convert.values import to_output
from clipper_rpc.errors import InvalidField
from clipperctl.main import exit_code

Call = Callable[[ClipperConnection, Any], Any]


@pytest.fixture
def unconnected() -> ClipperConnection:
    """Whatever gets past the checks raises UnconnectedException, which no test here expects."""
    return ClipperConnection(RemoteContainerManager("127.0.0.1:1"))


def deploy(**how: Any) -> Call:
    (name,) = how

    def call(connection: ClipperConnection, value: Any) -> None:
        connection.build_and_deploy_model("m", 1, "doubles", "/nowhere", **{name: value})

    return call


REFUSED: list[tuple[str, Call, list[Any]]] = [
    (
        "no name",
        lambda c, x: c.register_application(x, "doubles", "", 1000),
        [None, 5, ["x"], "", "a/b", "é", "a" * 64],
    ),
    ("no input type", lambda c, x: c.register_application("a", x, "", 1000), [None, 5, ["doubles"], "", "doublez"]),
    ("slo_micros", lambda c, x: c.register_application("a", "d", "", x), [None, "9", 1.5, float("nan"), True, 10**20]),
    ("no version", lambda c, x: c.build_model("m", x, "/nowhere"), [None, True, ["1"], "", "a/b", "é", -1, "x" * 64]),
    ("num_replicas", lambda c, x: c.set_num_replicas("m", x), [None, "2", 2.5, -1, True, 257, float("inf")]),
    ("num_replicas", deploy(num_replicas=0), [None, "2", 2.5, -1, 100_000]),
    ("batch_size", deploy(batch_size=0), [None, "9", 1.5, 0, -2, 2**40]),
    ("labels", deploy(labels=0), ["label", [1], [None], 5, {"a": 1}, b"ab"]),
    ("pkgs_to_install", deploy(pkgs_to_install=0), ["numpy", [5], 5]),
    ("model_names", lambda c, x: c.stop_models(x), ["m", 5, [1]]),
    ("model_names", lambda c, x: c.stop_inactive_model_versions(x), ["m", 5]),
    ("the versions of each", lambda c, x: c.stop_versioned_models(x), [["m"], {"m": "10"}, {"m": 1}, None, "m"]),
    ("replica_id", lambda c, x: c.get_model_replica_info("m", 1, x), ["x", None, -1, 0.5]),
    ("share", lambda c, x: c.set_model_version("m", 1, share=x), ["x", 0, 2, None, True, float("nan")]),
]


@pytest.mark.parametrize(
    ("told", "call", "value"), [(told, call, value) for told, call, values in REFUSED for value in values]
)
def test_what_cannot_be_is_refused_by_its_name(
    unconnected: ClipperConnection, told: str, call: Call, value: Any
) -> None:
    with pytest.raises(ClipperException, match=told) as refused:
        call(unconnected, value)
    assert exit_code(refused.value) == 2, "a value that is not allowed, to clipperctl"


@pytest.mark.parametrize("name", ["cache_size", "num_frontend_replicas"])
@pytest.mark.parametrize("value", ["1", None, -1, 1.5])
def test_a_cluster_is_not_started_with_what_cannot_be(tmp_path: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentException, match=name):
        LocalContainerManager(home=tmp_path / "home").start_clipper(**{name: value})
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("value", [{"a": object()}, {"a": float("nan")}, [float("inf")]])
def test_a_default_output_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidField, match="is no JSON"):
        to_output(value)


def test_packages_of_another_version_than_is_installed_are_told_with_the_one_that_is() -> None:
    numpy = version("numpy")
    with pytest.raises(ClipperException, match=rf"numpy>=99 \({numpy} is installed\).*pip install 'numpy>=99'"):
        models.check_packages(["numpy>=99"])
    with pytest.raises(ClipperException, match=r"lacks: clipper-no-such-package\. "):
        models.check_packages(["clipper-no-such-package", "numpy"])
    models.check_packages(["numpy", f"numpy=={numpy}", "numpy>=1,<99", "colorama; sys_platform == 'no-such'"])
    with pytest.raises(ClipperException, match="is no requirement"):
        models.check_packages(["no such"])
