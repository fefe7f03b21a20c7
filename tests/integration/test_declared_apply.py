"""`clipperctl apply`, `diff` and `export` against a manager."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from managers import manager

from clipper_admin import Client
from clipperctl.command import cli
from clipperctl.main import exit_code
from processes import Process, RedisServer

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "app.yaml")
EMPTY = "applications: []\nmodels: []\n"


@pytest.fixture(scope="module")
def process(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with manager(redis_server.url, tmp_path_factory.mktemp("manager"), "--cluster", "declared") as process:
        yield process


Run = Callable[..., Result]


@pytest.fixture
def run(process: Process) -> Iterator[Run]:
    """Runs clipperctl against the manager, whose configuration is empty at first."""

    def invoke(command: str, *options: str, text: str | None = None) -> Result:
        return CliRunner().invoke(cli, [command, *options, "--manager", process.address], input=text)

    yield invoke
    assert invoke("apply", "-f", "-", "--prune", "--yes", text=EMPTY).exit_code == 0


def code(done: Result) -> int:
    """What the command would exit with."""
    return done.exit_code if done.exception is None or done.exit_code != 1 else exit_code(done.exception)


def configuration(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(run("export").output)
    return found


def test_the_example_is_applied_once_and_for_all(run: Run) -> None:
    done = run("apply", "-f", EXAMPLE)
    assert done.exit_code == 0, done.output
    assert done.output.endswith("Applied.\n")
    assert run("apply", "-f", EXAMPLE).output == "Nothing to do: the cluster is as the file says.\n"
    assert run("diff", "-f", EXAMPLE).exit_code == 0


def test_an_export_is_a_file_that_says_what_is(run: Run) -> None:
    run("apply", "-f", EXAMPLE)
    exported = run("export").output
    assert run("diff", "-f", "-", "--prune", text=exported).output == "No difference.\n"
    run("apply", "-f", "-", "--prune", "--yes", text=EMPTY)
    assert configuration(run) == {"applications": [], "models": []}
    run("apply", "-f", "-", text=exported)
    assert run("export").output == exported


def test_a_dry_run_and_a_diff_change_nothing(run: Run) -> None:
    shown = run("apply", "-f", EXAMPLE, "--dry-run")
    assert "+ application hello-world" in shown.output
    assert run("diff", "-f", EXAMPLE).exit_code == 1
    assert configuration(run) == {"applications": [], "models": []}


def test_of_a_file_with_one_fault_nothing_is_applied_and_the_fault_is_told_with_its_line(run: Run) -> None:
    text = "applications:\n- {name: good, input_type: doubles}\n- name: bad\n  input_type: doubles\n  links: [nobody]\n"
    done = run("apply", "-f", "-", text=text)
    assert code(done) == 2
    assert str(done.exception).startswith('<stdin>:5:11: applications[1].links[0]: No model "nobody".')
    assert configuration(run)["applications"] == []


def test_all_that_the_manager_refuses_is_told_at_once(run: Run) -> None:
    text = (
        "applications:\n- {name: a, input_type: strings, objective: 5h, links: [m]}\n"
        "- {name: b, input_type: strings, links: [m]}\n"
        "models:\n- {name: m, versions: [{version: '1', input_type: doubles}]}\n"
    )
    told = str(run("diff", "-f", "-", text=text).exception).splitlines()
    assert [line.split(": ")[0] for line in told] == ["<stdin>:2:3", "<stdin>:2:57", "<stdin>:3:42"]
    assert "from 1 ms to 1 hour" in told[0]
    assert "must have the same input type" in told[2]


def test_what_is_deleted_is_asked_for_first(run: Run) -> None:
    run("apply", "-f", EXAMPLE)
    assert run("apply", "-f", "-", "--prune", text=EMPTY).exit_code != 0
    assert len(configuration(run)["applications"]) == 2


def test_policies_links_batching_and_versions_follow_the_file(run: Run, process: Process) -> None:
    run("apply", "-f", EXAMPLE)
    document = yaml.safe_load(Path(EXAMPLE).read_text())
    hello, digits = document["applications"]
    hello["objective"] = "20ms"
    digits["policy"], digits["links"] = "static", ["digits-forest"]
    model = document["models"][0]
    model["current"] = "3"
    del model["canary"]
    model["versions"][1]["batching"] = {"policy": "fixed", "max_batch_rows": 8}
    done = run("apply", "-f", "-", text=yaml.safe_dump(document))
    assert done.exit_code == 0, done.output + str(done.exception)
    with Client(process.address) as client:
        assert client.get_application("hello-world").objective_us == 20_000
        assert [link.model for link in client.get_application("digits").links] == ["digits-forest"]
        assert client.get_model("sum-model").current_version == "3"
        assert client.get_model("sum-model").canary_version == ""
        assert client.get_model_version("sum-model", "2").max_batch_rows == 8


def test_programs_get_the_differences_as_data(run: Run) -> None:
    rows = json.loads(run("diff", "-f", EXAMPLE, "-o", "json").stdout)
    created = {row["what"]: row["fields"] for row in rows if row["action"] == "create"}
    assert created["application digits"]["objective"] == {"from": None, "to": "50ms"}
    assert json.loads(run("export", "-o", "json").stdout) == {"applications": [], "models": []}


def test_a_file_that_is_not_there_is_a_usage_error(run: Run) -> None:
    done = run("apply", "-f", "nowhere.yaml")
    assert done.exit_code == 2
    assert "nowhere.yaml cannot be read" in done.output
