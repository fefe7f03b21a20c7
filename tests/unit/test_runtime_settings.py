"""Settings: flags before variables, Clipper's own variables understood, mistakes told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from clipper_runtime.app import main
from clipper_runtime.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CLIPPER_"):
            monkeypatch.delenv(name)


def test_the_defaults_are_these() -> None:
    settings = Settings()
    assert settings.manager == ("127.0.0.1:7001",)
    assert (settings.host, settings.port, settings.threads, settings.grace_s) == ("127.0.0.1", 0, 1, 10.0)
    assert settings.isolate
    assert settings.environment_check
    assert settings.model_dir is None


def test_the_variables_of_clippers_containers_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CLIPPER_MODEL_NAME": "sum-model",
        "CLIPPER_MODEL_VERSION": "3",
        "CLIPPER_INPUT_TYPE": "ints",
        "CLIPPER_MODEL_PATH": "/model",
        "CLIPPER_IP": "10.0.0.5",
        "CLIPPER_PORT": "7100",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.name, settings.version, settings.input_type) == ("sum-model", "3", "integers")
    assert settings.model_dir == Path("/model")
    assert settings.manager == ("10.0.0.5:7100",)


def test_our_own_variables_come_before_clippers_and_flags_before_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_MODEL_NAME", "clippers")
    monkeypatch.setenv("CLIPPER_IP", "10.0.0.5")
    monkeypatch.setenv("CLIPPER_RUNTIME_NAME", "ours")
    monkeypatch.setenv("CLIPPER_RUNTIME_MANAGER", "a:1, b:2")
    monkeypatch.setenv("CLIPPER_RUNTIME_THREADS", "4")
    assert (Settings().name, Settings().manager, Settings().threads) == ("ours", ("a:1", "b:2"), 4)
    flags: dict[str, Any] = {"name": "flag", "manager": "c:3", "threads": 2}
    settings = Settings(**flags)
    assert (settings.name, settings.manager, settings.threads) == ("flag", ("c:3",), 2)


def test_a_runtime_can_do_without_a_manager() -> None:
    flags: dict[str, Any] = {"manager": "none"}
    assert Settings(**flags).manager == ()


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_RUNTIME_ADVERTISE", "")
    assert Settings().advertise is None


WRONG = {
    "a port that is none": ({"port": 70000}, "less than or equal to 65535"),
    "no threads": ({"threads": 0}, "greater than or equal to 1"),
    "a manager without a port": ({"manager": "localhost"}, "must be host:port"),
    "an address without a host": ({"advertise": ":7000"}, "must be host:port"),
    "a name that is none": ({"name": "Sum"}, "is no name"),
    "a type that is none": ({"input_type": "images"}, "there are: bytes"),
    "a class that is none": ({"model_class": "Ranker"}, 'must be "module:Class"'),
}


@pytest.mark.parametrize(("flags", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_not_valid_is_refused(flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**flags)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Give --model-dir, or --model-class with --name and --version"),
        (["--model-class", "m:C"], "--model-class needs --name and --version"),
        (["--model-dir", "d", "--manager", "nowhere"], "--manager: 'nowhere' is no address"),
        (["--model-dir", "d", "--threads", "0"], "--threads: Input should be greater than or equal to 1"),
    ],
)
def test_wrong_flags_are_told_by_their_names(arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert problem in result.output


def test_help_shows_examples_and_exit_codes() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "python -m clipper_runtime --model-dir models/sum-model/1" in result.output
    assert "Exit codes:" in result.output


def test_every_setting_is_a_flag() -> None:
    flags = {parameter.name for parameter in main.params}
    assert set(Settings.model_fields) == flags
