"""The command's texts: what is typed, what is printed, what `--help` says; no cluster."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml
from click.testing import CliRunner

from clipper.v1.predict_pb2 import DefaultReason
from clipper_admin import ClipperException
from clipper_admin.exceptions import AlreadyRunningException, NotRunningException
from clipper_admin.resources import Contribution, Explanation, Part, Prediction, Timing
from clipper_rpc.errors import (
    ApplicationExists,
    ApplicationNotFound,
    ClipperError,
    InvalidField,
    Late,
    ModelError,
    NoReplica,
    StaleRevision,
)
from clipperctl import output, texts
from clipperctl.command import cli
from clipperctl.explain import told
from clipperctl.main import exit_code


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:123456", ":7001"])
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    for option in ("--manager", "--frontend"):
        found = CliRunner().invoke(cli, ["app", "list", option, address])
        assert (found.exit_code, "write HOST:PORT" in found.output) == (2, True)
    found = CliRunner().invoke(cli, ["runtime", "check", address])
    assert (found.exit_code, "write HOST:PORT" in found.output) == (2, True)


@pytest.mark.parametrize(("name", "version"), [("m/", "1"), ("", "1"), ("m", "../1"), ("m", "x" * 64)])
def test_what_cannot_be_called_so_is_refused_before_its_file_is_run(name: str, version: str) -> None:
    deploy = ["model", "deploy", name, "--version", version, "--input-type", "doubles", "--file", "nowhere.py:f"]
    found = CliRunner().invoke(cli, deploy)
    assert found.exit_code == 2
    assert "is no name" in found.output or "is no version" in found.output


_INTERRUPTED_WHILE_IT_IMPORTS = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "clipperctl.apps":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from clipperctl.main import main
main()
"""


def test_an_interrupt_is_no_traceback_however_early_it_comes() -> None:
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED_WHILE_IT_IMPORTS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def commands(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield names
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, *names, name)


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*words, "--help"])
    assert shown.exit_code == 0
    is_group = words in [(), ("app",), ("model",), ("runtime",), ("policy",)]
    assert is_group or "Example" in shown.output
    assert words != () or "Exit codes" in shown.output


@pytest.mark.parametrize(
    ("text", "micros"),
    [("50ms", 50000), ("1.5s", 1500000), ("100000", 100000), ("100000us", 100000), ("2 m", 120000000), (7, 7)],
)
def test_times_are_written_with_their_unit(text: str, micros: int) -> None:
    assert texts.Objective().convert(text, None, None) == micros


@pytest.mark.parametrize("text", ["", "fast", "-1s", "1h"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="50ms"):
        texts.Objective().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("[1.1, 2]", "doubles", [1.1, 2]),
        ('"good morning"', "strings", "good morning"),
        ("good morning", "strings", "good morning"),
        ("5", "strings", "5"),
        ("aGk=", "bytes", "aGk="),
        ("[[1], [2]]", "tensors", [[1], [2]]),
    ],
)
def test_inputs_are_typed_as_json_and_strings_also_as_they_are(text: str, kind: str, value: object) -> None:
    assert texts.given(text, kind) == value


def test_inputs_come_from_files_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xff\x00")
    assert texts.given(f"@{path}", "bytes") == b"\xff\x00"
    with pytest.raises(click.UsageError, match="not UTF-8"):
        texts.given(f"@{path}", "strings")
    with pytest.raises(click.UsageError, match="cannot be read"):
        texts.given(f"@{path}.not", "strings")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"[1, 2]\n")))
    assert texts.given("-", "doubles") == [1, 2]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"[[1], [2]]\n")))
    assert texts.given_batch("-") == [[1], [2]]


def test_what_is_not_json_is_refused_with_an_example() -> None:
    with pytest.raises(click.UsageError, match=r"Write e\.g\. '\[1\.1, 2\.2, 3\.3\]'"):
        texts.given("1.1 2.2", "doubles")
    with pytest.raises(click.UsageError, match="A batch is a JSON array"):
        texts.given_batch("5")


@pytest.mark.parametrize(("text", "value"), [('"hello"', "hello"), ("hello", "hello"), ("-1.0", -1.0), ("null", None)])
def test_default_outputs_are_json_or_text(text: str, value: object) -> None:
    assert texts.default_output(text) == value


def test_functions_are_found_in_files_and_modules(tmp_path: Path) -> None:
    (tmp_path / "a_neighbour.py").write_text("FACTOR = 2\n")
    path = tmp_path / "typed_model.py"
    path.write_text("from a_neighbour import FACTOR\ndef f(xs):\n    return [FACTOR * x for x in xs]\n")
    assert texts.function_at(f"{path}:f")([1]) == [2]
    assert texts.function_at("json:dumps") is json.dumps


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("no_colon", "names no function"),
        ("/tmp:f", "/tmp is no Python file"),
        ("json:nothing", "has no function nothing"),
        ("json:__name__", "has no function"),
        ("no_such_module:f", "ModuleNotFoundError"),
        ("/no/such/file.py:f", "cannot be loaded"),
    ],
)
def test_what_is_no_function_is_refused_with_the_reason(place: str, told: str) -> None:
    with pytest.raises(click.UsageError, match=told):
        texts.function_at(place)


def test_data_is_printed_as_json_or_yaml_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    data = [{"name": "ä", "n": 1, "none": None}]
    output.show_rows("json", data, {"name": "NAME"}, "none")
    assert json.loads(capsys.readouterr().out) == data
    output.show_rows("yaml", data, {"name": "NAME"}, "none")
    assert yaml.safe_load(capsys.readouterr().out) == data


def test_tables_are_whole_where_no_terminal_is_and_take_nothing_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_rows(
        "table", [{"name": "x" * 200, "labels": ["[bold]"], "is": True}], {"name": "N", "labels": "L", "is": "I"}, ""
    )
    shown = capsys.readouterr().out
    assert "x" * 200 in shown
    assert "[bold]" in shown
    assert "yes" in shown
    assert "\x1b" not in shown


def test_an_empty_list_says_so_on_stderr_and_prints_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_rows("table", [], {"name": "NAME"}, "No applications.")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "No applications.\n")
    output.show_rows("json", [], {"name": "NAME"}, "No applications.")
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (65, "1m"), (7300, "2h"), (200000, "2d"), (-5, "0s")])
def test_ages_are_told_in_their_largest_unit(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    then = datetime.fromtimestamp(now.timestamp() - seconds, UTC)
    assert output.ago(then.isoformat(), now) == text


def caused(cause: BaseException) -> ClipperException:
    error = ClipperException("told")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClipperException("x"), 1),
        (ModelError(model="m", version="1", kind="E", problem="p"), 1),
        (caused(InvalidField(field="f", problem="p")), 2),
        (caused(ValueError("x")), 2),
        (ApplicationNotFound(application="a"), 3),
        (caused(ApplicationExists(application="a")), 4),
        (StaleRevision(what="a", stored="1", given="2"), 4),
        (AlreadyRunningException("x"), 4),
        (NotRunningException("x"), 5),
        (NoReplica(model="m", version="1"), 5),
        (Late(application="a", objective_ms="1"), 5),
    ],
)
def test_exit_codes_tell_what_kind_of_error_it_was(error: ClipperError | ClipperException, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    shown = CliRunner().invoke(cli, ["completion", shell])
    assert shown.exit_code == 0
    assert "_CLIPPERCTL_COMPLETE" in shown.output


@pytest.mark.parametrize(
    "words",
    [
        ["model", "deploy", "m"],
        ["model", "deploy", "m", "--file", "x.py:f", "--model-dir", "y"],
        ["model", "deploy", "m", "--file", "x.py:f"],
        ["model", "stop", "m", "--version", "1", "--inactive"],
        ["start", "--manager", "a:1"],
        ["app", "register", "a"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2_and_starts_nothing(words: list[str], tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["--home", str(tmp_path), *words])
    assert shown.exit_code == 2, shown.output
    assert list(tmp_path.iterdir()) == []


def test_an_explained_answer_names_who_has_answered_and_where_the_time_went() -> None:
    answered = Contribution("m", "1", 1.0, 9_000, replica_id=3)
    timing = Timing(queue_us=4000, linger_us=2000, batch_rows=7, model_us=4000, network_us=1000, total_us=10_000)
    found = Prediction(1, 6.5, False, timing=timing, contributions=(answered,))
    assert texts.explained(found) == [
        "m:1 answered after 9 ms (replica 3)",
        (
            "10 ms in all, 4 ms in the queue (2 ms of it for more to come), 4 ms in the model, in a batch of 7, "
            "1 ms on the way there and back"
        ),
    ]


def test_an_explained_answer_of_the_cache_says_so_and_so_does_a_joined_one_and_a_late_model() -> None:
    timing = Timing(queue_us=0, linger_us=0, batch_rows=0, model_us=0, network_us=0, total_us=30)
    contributions = (
        Contribution("hit", "1", 1.0, 1, cached=True),
        Contribution("joined", "1", 1.0, 1500, replica_id=2, joined=True),
        Contribution("late", "1", 0.0, 0),
    )
    assert texts.explained(Prediction(1, 6.5, False, timing=timing, contributions=contributions)) == [
        "hit:1 answered after 0.001 ms (from the cache)",
        "joined:1 answered after 1.5 ms (replica 2, with an identical query that was under way)",
        "late:1 did not answer in time",
        "0.03 ms in all",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("eta=0.1", ("eta", 0.1)), ("memory=200", ("memory", 200.0)), ("combine=vote", ("combine", "vote"))],
)
def test_a_policys_parameter_is_a_name_with_a_number_or_a_word(text: str, expected: tuple[str, object]) -> None:
    assert texts.Parameter().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["eta", "=1", "eta="])
def test_what_is_no_parameter_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write eta="):
        texts.Parameter().convert(text, None, None)


def explanation(reason: str, *, deadline_us: int = 20_000) -> Explanation:
    asked = Contribution("sum", "1", weight=0.0 if reason else 1.0, latency_us=0 if reason else 6000, replica_id=2)
    batch = Timing(queue_us=3000, linger_us=2000, batch_rows=8, model_us=2000, network_us=1000, total_us=6000)
    none = Timing(0, 0, 0, 0, 0, total_us=20_000)
    part = Part(
        asked,
        reason,
        "Too slow. It waited." if reason else "",
        None if reason else batch,
        hedged=False,
        lost_replicas=0,
    )
    return Explanation(
        query_id=7,
        application="app",
        answered_at=datetime.now(UTC),
        outcome="default" if reason else "prediction",
        reason=reason,
        explanation="Too slow." if reason else "",
        error_reason="",
        objective_us=20_000,
        deadline_us=deadline_us,
        timing=none if reason else batch,
        confidence=0.0 if reason else 1.0,
        parts=(part,),
        lost_replicas=0,
    )


def test_a_prediction_is_explained_with_who_answered_and_where_the_time_went() -> None:
    first, time, answered = told(explanation(""))
    assert first.startswith("Query 7 of application app got a prediction at 20")
    assert first.endswith(" ago.")
    assert time == (
        "Time: 6 ms in all, 3 ms in the queue (2 ms of it for more to come), 2 ms in the model, in a batch of 8, "
        "1 ms on the way there and back; the objective is 20 ms"
    )
    assert answered == "  sum:1 answered after 6 ms (replica 2)"


def test_a_default_is_explained_with_its_cause_and_what_to_do() -> None:
    assert told(explanation("LATE", deadline_us=5000))[1:] == [
        "Why: Too slow. (LATE)",
        "Time: 20 ms in all; the objective is 20 ms, but the client had time for 5 ms only",
        "  sum:1 gave no answer: It waited.",
        "See how fast it is, and how many wait:  clipperctl model profile sum;  clipperctl top",
    ]


@pytest.mark.parametrize("reason", [each for each in DefaultReason.keys() if not each.endswith("UNSPECIFIED")])  # noqa: SIM118
def test_for_each_reason_there_is_something_to_do(reason: str) -> None:
    assert "clipperctl" in told(explanation(reason.removeprefix("DEFAULT_REASON_")))[-1]
