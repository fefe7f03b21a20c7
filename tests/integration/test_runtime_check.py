"""`clipperctl runtime check`: rules hold where they are kept, and are broken where they are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_runtime import serving
from click.testing import CliRunner, Result

from clipperctl.command import cli
from processes import Process, free_port, module

MODEL = """
class Sum:
    def predict(self, inputs):
        if any(-99 in row for row in inputs):
            raise ValueError("cannot take -99")
        return [float(sum(row)) for row in inputs]

class Length:
    max_batch_rows = 2

    def predict(self, inputs):
        return [f"{type(each).__name__}:{len(each)}:{each!r}" for each in inputs]
"""


def check(address: str, *options: str) -> Result:
    return CliRunner().invoke(cli, ["runtime", "check", address, *options])


def rows(address: str, *options: str) -> dict[str, dict[str, Any]]:
    """Rows by rule."""
    return {row["rule"]: row for row in json.loads(check(address, "-o", "json", *options).stdout)}


def broken(*faults: str) -> set[str]:
    """The rules that a runtime with these faults breaks."""
    with serving(*faults) as address:
        return {rule for rule, row in rows(address, "--failing-input", "[-99]").items() if row["result"] == "broken"}


@pytest.fixture
def runtime(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Process]:
    """Our own runtime, with a model of this file: (class, input type)."""
    (tmp_path / "models_to_check.py").write_text(MODEL)
    name, input_type = request.param
    flags = ["--model-class", f"models_to_check:{name}", "--name", "m", "--version", "1", "--input-type", input_type]
    command = module("clipper_runtime", *flags, "--manager", "none")
    process = Process(command, log=tmp_path / "runtime.log", env={"PYTHONPATH": str(tmp_path)})
    yield process.start()
    process.stop()


@pytest.mark.parametrize("runtime", [("Sum", "doubles")], indirect=True)
def test_our_own_runtime_keeps_every_rule(runtime: Process) -> None:
    done = check(runtime.address, "--failing-input", "[-99, 1]")
    assert done.exit_code == 0, done.output
    assert "m:1 (doubles), by clipper-runtime" in done.output
    assert "\n25 holds\n" in done.output


@pytest.mark.parametrize("runtime", [("Length", each) for each in ("strings", "bytes", "tensors")], indirect=True)
def test_our_own_runtime_keeps_the_rules_of_every_type_and_batch_size(runtime: Process) -> None:
    done = check(runtime.address)
    assert done.exit_code == 0, done.output
    assert "broken" not in done.output.splitlines()[-1]


def test_a_runtime_without_faults_breaks_nothing() -> None:
    assert broken() == set()


@pytest.mark.parametrize(
    ("fault", "rules"),
    [
        (
            "reversed",
            {
                "results in the order of inputs",
                "a wrong input fails alone",
                "an input without value fails alone",
                "an error of the model fails alone",
            },
        ),
        (
            "loses the last",
            {
                "a result for every input of a batch",
                "results in the order of inputs",
                "a wrong input fails alone",
                "an input without value fails alone",
                "an error of the model fails alone",
            },
        ),
        ("takes no inputs", {"an empty batch is INVALID_ARGUMENT"}),
        ("default limits", {"messages above 4 MiB are taken"}),
        ("talks", {"errors are short and of one line"}),
        (
            "fails together",
            {
                "an input of another type is an error",
                "a wrong input fails alone",
                "an input without value fails alone",
                "an error of the model fails alone",
            },
        ),
        (
            "takes anything",
            {
                "an input of another type is an error",
                "a wrong input fails alone",
                "an input without value fails alone",
                "an error of the model fails alone",
            },
        ),
        ("not serving", {"health is SERVING"}),
        ("unnamed", {"GetModelInfo tells the model"}),
    ],
)
def test_a_fault_breaks_its_rules_and_no_others(fault: str, rules: set[str]) -> None:
    assert broken(fault) == rules


def test_what_a_broken_rule_does_to_a_cluster_is_told_and_the_exit_code_is_1() -> None:
    with serving("loses the last") as address:
        done = check(address)
    assert done.exit_code == 1
    assert "7 inputs got 3 results" in done.output
    assert "The frontend fails whole batches." in done.output


def test_where_predictions_cannot_be_judged_the_rules_about_them_are_skipped() -> None:
    with serving("not serving") as address:
        found = rows(address)
    assert found["one input, one result"]["found"] == "needs a runtime that serves"
    assert found["other methods are UNIMPLEMENTED"]["result"] == "skipped"


def test_an_output_that_says_nothing_is_no_result() -> None:
    with serving("says nothing") as address:
        assert "neither a readable output nor an error" in rows(address)["one input, one result"]["found"]


def test_health_that_is_not_there_is_told() -> None:
    with serving("without health") as address:
        assert "UNIMPLEMENTED" in rows(address)["health is SERVING"]["found"]


def test_an_address_where_nobody_is_ends_with_5() -> None:
    done = check(f"127.0.0.1:{free_port()}", "--timeout", "0.3")
    assert done.exit_code == 5
    assert "nobody answers" in done.output


def test_an_input_that_is_none_of_the_models_type_is_a_usage_error() -> None:
    with serving() as address:
        done = check(address, "--input", '"text"')
    assert done.exit_code != 0
    assert "text" in str(done.exception) + done.output
