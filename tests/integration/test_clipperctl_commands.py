"""The command as a user runs it, against a real cluster: what it prints, where, and what it exits with."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from clusters import until

from clipper_admin import LocalContainerManager
from clipperctl.main import main

pytestmark = pytest.mark.cluster

SHOUT = "def shout(texts):\n    return [text.upper() + '!' for text in texts]\n"
_ASKS_FOR_EVER = """
import json, sys
from clipper_admin import Client
addresses = json.loads(sys.argv[1])["addresses"]
with Client(addresses["manager"], addresses["frontend"]) as client:
    greeter = client.describe_application("greeter")
    client.predict(greeter, "x")
    print("asking", flush=True)
    while True:
        client.predict(greeter, "x")
"""
PORTS = ["--query-port", "0", "--admin-port", "0", "--frontend-port", "0", "--manager-port", "0"]


class Shell:
    """Runs clipperctl with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Runs it in this process: a process of its own would spend most of its time on imports."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.home)
            patch.setattr(sys, "argv", ["clipperctl", *words])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            patch.setattr(sys, "path", sys.path[:])
            for name, value in {"CLIPPER_HOME": str(self.home), **env}.items():
                patch.setenv(name, value)
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exited:
                main()
        code = exited.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def run_alone(self, *words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Runs it as a user does."""
        environment = {**os.environ, "CLIPPER_HOME": str(self.home), **env}
        command = [sys.executable, "-m", "clipperctl", *words]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=environment, cwd=self.home, timeout=90
        )

    def ok(self, *words: str, stdin: str = "") -> str:
        """The data that a command prints; it must succeed."""
        run = self.run(*words, stdin=stdin)
        assert run.returncode == 0, run
        return run.stdout

    def data(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))

    def fails(self, code: int, *words: str) -> str:
        """What a command says on stderr; it must exit with the code, and without a traceback."""
        run = self.run(*words)
        assert run.returncode == code, run
        assert "Traceback" not in run.stderr
        return run.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("home")
    (home / "shout.py").write_text(SHOUT)
    shell = Shell(home)
    shell.ok("start", *PORTS)
    try:
        shell.ok(
            "app", "register", "greeter", "--input-type", "strings", "--default-output", '"hello"', "--objective", "1s"
        )
        shell.ok("model", "deploy", "shout", "--version", "1", "--input-type", "strings", "--file", "shout.py:shout")
        shell.ok("link", "greeter", "shout")
        yield shell
    finally:
        LocalContainerManager(home=home).stop_all()


def test_predict_prints_the_output_alone_or_everything_for_programs(shell: Shell) -> None:
    assert shell.ok("predict", "greeter", '"good morning"') == "GOOD MORNING!\n"
    assert shell.ok("predict", "greeter", "-", stdin="good evening\n") == "GOOD EVENING!\n"
    found = shell.data("predict", "greeter", "x")
    assert (found["output"], found["default"]) == ("X!", False)
    assert found["contributions"][0]["model"] == "shout"
    assert shell.ok("predict", "greeter", "--batch", '["a", "b"]') == "A!\nB!\n"


def test_the_command_runs_in_a_shell_with_pipes(shell: Shell) -> None:
    run = shell.run_alone("predict", "greeter", "-", stdin="from a pipe\n")
    assert (run.returncode, run.stdout, run.stderr) == (0, "FROM A PIPE!\n", "")
    run = shell.run_alone("app", "show", "nope")
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.startswith('Error: No application "nope"')


def test_a_default_is_printed_with_its_reason_on_stderr(shell: Shell) -> None:
    shell.ok("app", "register", "lonely", "--input-type", "doubles", "--default-output", "-1.0")
    run = shell.run("predict", "lonely", "[1, 2]")
    assert (run.returncode, run.stdout) == (0, "-1\n")
    assert "No connected models found for query" in run.stderr
    shell.ok("app", "register", "strict", "--input-type", "doubles")
    assert "No model is linked" in shell.fails(5, "predict", "strict", "[1, 2]")
    for name in ("lonely", "strict"):
        shell.ok("app", "unregister", name, "--yes")


def test_the_profile_of_a_model_tells_what_was_learned_of_it(shell: Shell) -> None:
    for number in range(3):
        shell.ok("predict", "greeter", f"profile {number}")
    found = shell.data("model", "profile", "shout")
    [replica] = found["replicas"]
    assert (found["version"], found["policy"], replica["state"]) == ("1", "quantile", "up")
    assert replica["samples"] >= 3
    assert replica["fixed_us"] + replica["per_row_us"] > 0
    table = shell.ok("model", "profile", "shout", "--version", "1")
    assert "Model shout:1, policy quantile, objective 1000 ms" in table
    assert "LATENCY (95 %) OF n INPUTS" in table
    assert "No model" in shell.fails(3, "model", "profile", "nobody")


def test_batching_is_shown_and_changed_and_frontends_follow(shell: Shell) -> None:
    assert shell.data("model", "batching", "shout")["policy"] == "default"
    changed = shell.data("model", "batching", "shout", "--policy", "aimd", "--linger-ms", "1.5", "--hedge-percent", "5")
    assert (changed["policy"], changed["linger_ms"], changed["hedge_percent"]) == ("aimd", 1.5, 5)
    until(lambda: shell.data("model", "profile", "shout")["policy"] == "aimd", "the frontend follows")
    assert "no_retry" in shell.fails(2, "model", "batching", "shout", "--no-retry")
    back = shell.data("model", "batching", "shout", "--policy", "default", "--linger-ms", "0", "--hedge-percent", "0")
    assert back == {"model_name": "shout", "model_version": "1"} | {
        "policy": "default",
        "linger_ms": 0.0,
        "no_retry": False,
        "max_batch_rows": 0,
        "max_queue_rows": 0,
        "max_batches_in_flight": 0,
        "hedge_percent": 0,
    }


def test_an_application_learns_and_what_it_learned_is_shown_kept_and_forgotten(shell: Shell) -> None:
    shell.ok("app", "register", "learner", "--input-type", "strings")
    shell.ok("policy", "set", "learner", "epsilon_greedy", "-p", "epsilon=0.25", "-p", "loss=zero_one")
    shell.ok("link", "learner", "shout")
    query_id = shell.data("predict", "learner", "x", "--context", "ann")["query_id"]
    told = ("feedback", "learner", "--query-id", str(query_id), "--label", "X!", "--token", "t")
    assert "has learned from it" in shell.ok(*told)
    assert "acknowledged before" in shell.ok(*told)
    assert shell.data("feedback", "learner", "--input", "y", "--label", "no")["learned"] is True
    found = shell.data("policy", "show", "learner")
    assert (found["policy"], found["parameters"]) == ("epsilon_greedy", {"epsilon": 0.25, "loss": "zero_one"})
    assert (found["observations"], found["state"]) == (2, {"shout/plays": 2.0, "shout/reward": 1.0})
    table = shell.ok("policy", "show", "learner", "--context", "ann")
    assert [line.split() for line in table.splitlines()[-2:]] == [["MODEL", "PLAYS", "REWARD"], ["shout", "1", "1"]]

    exported = shell.ok("policy", "export", "learner")
    assert json.loads(exported)["contexts"]["ann"]["observations"] == 1
    assert "Nothing was done" in shell.fails(1, "policy", "reset", "learner")
    shell.ok("policy", "reset", "learner", "--yes")
    assert "Nothing was learned" in shell.ok("policy", "show", "learner")
    shell.ok("policy", "import", "learner", "-", stdin=exported)
    assert shell.ok("policy", "export", "learner") == exported
    shell.ok("policy", "set", "learner", "thompson")
    assert "learned by epsilon_greedy" in shell.run("policy", "import", "learner", "-", stdin=exported).stderr

    assert "is remembered" in shell.fails(3, "feedback", "learner", "--query-id", "1", "--reward", "1")
    assert "from 0 to 1" in shell.fails(2, "feedback", "learner", "--query-id", "1", "--reward", "2")
    assert "either --query-id or --input" in shell.fails(2, "feedback", "learner", "--reward", "1")
    assert "either --label or --reward" in shell.fails(2, "feedback", "learner", "--query-id", "1")
    assert "not known here" in shell.fails(2, "policy", "set", "learner", "nonsense")
    shell.ok("app", "unregister", "learner", "--yes")


def test_a_shadow_is_linked_and_compared(shell: Shell) -> None:
    shell.ok("app", "register", "shadowed", "--input-type", "strings", "--default-output", "?")
    assert "No shadows" in shell.run("app", "shadows", "shadowed").stderr
    assert "shadows application" in shell.ok("link", "shadowed", "shout", "--shadow", "--share", "0.5")
    assert shell.data("predict", "shadowed", "x")["default_reason"] == "NO_MODEL"
    [found] = shell.data("app", "shadows", "shadowed")
    assert (found["model"], found["share"], found["agreement"]) == ("shout", 0.5, None)
    assert "never has a say" in shell.fails(2, "link", "shadowed", "shout", "--shadow", "--weight", "2")
    assert "--share is for" in shell.fails(2, "link", "shadowed", "shout", "--share", "0.5")
    shell.ok("app", "unregister", "shadowed", "--yes")


def test_policies_are_listed_and_evaluated_from_a_log(shell: Shell, tmp_path: Path) -> None:
    listed = {each["name"]: each for each in shell.data("policy", "list")}
    assert listed["exp3"]["learns"] is True
    assert "eta" in {each["name"] for each in listed["exp3"]["parameters"]}
    with (tmp_path / "predictions-1.jsonl").open("w") as log:
        for number in range(100):
            model, loss = ("a", 0.0) if number % 2 else ("b", 1.0)
            asked = [{"model": model, "version": "1", "propensity": 0.5, "output": "x", "weight": 1.0}]
            shown = {"kind": "shown", "context": "", "models": ["a", "b"], "asked": asked}
            outcome = {"kind": "outcome", "losses": {model: loss}, "propensities": {model: 0.5}}
            for line in (shown, outcome):
                log.write(json.dumps({**line, "query_id": number, "application": "app"}) + "\n")
    evaluated = {each["policy"]: each for each in shell.data("policy", "evaluate", "app", "--log", str(tmp_path))}
    assert evaluated["(as logged)"]["observed"]["value"] == 0.5
    assert evaluated["always a"]["self_normalised"]["value"] == 1.0
    assert evaluated["always b"]["inverse_propensity"]["value"] == 0.0
    state = tmp_path / "learned.json"
    state.write_text(json.dumps({"state": {"values": {"a/plays": 9, "a/reward": 9, "b/plays": 9}}, "contexts": {}}))
    given = ("--policy", "epsilon_greedy", "-p", "epsilon=0.2", "--state", str(state))
    [_, found] = shell.data("policy", "evaluate", "app", "--log", str(tmp_path), *given)
    assert found["self_normalised"]["value"] == pytest.approx(0.9)
    assert "asks all models" in shell.fails(2, "policy", "evaluate", "app", "--log", str(tmp_path), "--policy", "exp4")
    assert "No query of nobody" in shell.fails(1, "policy", "evaluate", "nobody", "--log", str(tmp_path))


def test_lists_and_details_in_each_form(shell: Shell) -> None:
    assert "greeter" in shell.ok("app", "list")
    assert [each["name"] for each in shell.data("app", "list")] == ["greeter"]
    assert yaml.safe_load(shell.ok("app", "show", "greeter", "-o", "yaml"))["linked_models"] == ["shout"]
    model = shell.data("model", "list")[0]
    assert (model["model_name"], model["is_current_version"], model["replicas"]) == ("shout", True, 1)
    assert shell.data("model", "show", "shout")["applications"] == ["greeter"]


def test_errors_are_one_line_and_exit_codes_tell_their_kind(shell: Shell) -> None:
    assert shell.fails(3, "app", "show", "nope").startswith('Error: No application "nope"')
    assert "exists already" in shell.fails(4, "app", "register", "greeter", "--input-type", "strings")
    assert "runs already" in shell.fails(4, "start")
    assert "is no name" in shell.fails(2, "app", "register", "Bad_Name", "--input-type", "strings")
    assert 'No model "nope"' in shell.fails(3, "link", "greeter", "nope")
    assert "does not run" in shell.run("status", "--cluster", "other").stdout
    assert "No cluster other runs here" in shell.fails(5, "app", "list", "--cluster", "other")
    assert "is no value of type strings" not in shell.fails(2, "predict", "greeter", "--batch", "5")
    again = ["model", "deploy", "shout", "--version", "1", "--input-type", "strings", "--file", "shout.py:shout"]
    assert "version 1 already" in shell.fails(4, *again)


def test_top_shows_what_goes_on_while_it_looks(shell: Shell) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-c", _ASKS_FOR_EVER, shell.ok("status", "-o", "json")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "asking\n"
        (live,) = map(json.loads, shell.ok("top", "--interval", "0.5", "-o", "json").splitlines())
        (greeter,) = (each for each in live["applications"] if each["application"] == "greeter")
        assert greeter["queries_per_s"] > 0
        assert greeter["p50_ms"] is not None
        assert [(each["model"], each["replicas_up"]) for each in live["models"]] == [("shout", 1)]
        told = shell.ok("top", "--interval", "0.2", "--count", "1")
        assert "APPLICATION" in told
        assert "shout:1" in told
    finally:
        asking.kill()
        asking.communicate()


def test_explain_tells_what_happened_to_a_query(shell: Shell) -> None:
    asked = shell.data("predict", "greeter", "what happened?", "--fresh")
    told = shell.data("explain", str(asked["query_id"]))
    assert (told["query_id"], told["application"], told["outcome"]) == (asked["query_id"], "greeter", "prediction")
    (part,) = told["parts"]
    assert part["contribution"] == asked["contributions"][0]
    assert part["timing"]["batch_rows"] == 1
    said = shell.ok("explain", str(asked["query_id"]))
    assert f"Query {asked['query_id']} of application greeter got a prediction" in said
    assert "shout:1 answered after" in said
    admin = f"http://{shell.data('status')['addresses']['admin']}"
    over_rest = httpx.get(f"{admin}/v1/queries/{asked['query_id']}:explain").json()
    assert (over_rest["application"], over_rest["outcome"]) == ("greeter", "OUTCOME_PREDICTION")
    page, stats = httpx.get(f"{admin}/"), httpx.get(f"{admin}/status/stats").json()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "greeter" in [each["application"] for each in stats["frontends"][0]["stats"]["applications"]]
    assert "keeps its last 10000 predictions" in shell.fails(3, "explain", str(2**52))
    assert "0 is not in the range" in shell.fails(2, "explain", "0")


def test_the_doctor_finds_a_healthy_cluster_well_and_says_what_to_do_about_others(shell: Shell) -> None:
    findings = {each["subject"]: each for each in shell.data("doctor")}
    assert {each["verdict"] for each in findings.values()} <= {"ok", "warning"}
    assert findings["application greeter"]["found"] == "is answered by shout"
    assert {"Redis", "clocks", "process gateway", "REST query port", "replica shout:1:0"} <= set(findings)
    assert "clipperctl start" in shell.run("doctor", "--cluster", "other").stdout
    elsewhere = shell.run("doctor", "--manager", "127.0.0.1:1", "--quiet")
    assert elsewhere.returncode == 1
    assert "✗ manager: 127.0.0.1:1" in elsewhere.stdout


def test_what_destroys_asks_first(shell: Shell) -> None:
    shell.ok("app", "register", "spare", "--input-type", "doubles")
    run = shell.run("app", "unregister", "spare", stdin="n\n")
    assert run.returncode == 1
    assert "Delete application spare?" in run.stderr
    assert "--yes" in run.stderr
    assert "spare" in shell.ok("app", "list")
    assert shell.run("app", "unregister", "spare", stdin="y\n").returncode == 0
    assert "spare" not in shell.ok("app", "list")


def test_versions_are_deployed_scaled_activated_and_stopped(shell: Shell) -> None:
    (shell.home / "whisper.py").write_text("def whisper(texts):\n    return [text.lower() for text in texts]\n")
    deploy = ["model", "deploy", "shout", "--version", "2", "--input-type", "strings", "--replicas", "2"]
    shell.ok(*deploy, "--function", "whisper:whisper", "--label", "quiet")
    assert shell.data("model", "show", "shout")["labels"] == ["quiet"]
    assert shell.data("model", "scale", "shout", "1")["replicas"] == 1
    assert shell.ok("predict", "greeter", "ABC", "--version", "2") == "abc\n"
    shell.ok("model", "activate", "shout", "1")
    shell.ok("model", "activate", "shout", "2", "--share", "0.25")
    assert shell.data("model", "show", "shout")["on_trial"] == "version 2 with 0.25 of the queries"
    shell.ok("model", "activate", "shout", "1")
    assert shell.data("model", "show", "shout")["model_version"] == "1"
    shell.ok("model", "stop", "shout", "--inactive", "--yes")
    assert [each["model_version"] for each in shell.data("model", "list")] == ["1"]
    assert shell.fails(3, "model", "stop", "nope", "--yes")


def test_a_version_is_staged_proven_by_examples_and_asked_before_it_goes_live(shell: Shell) -> None:
    (shell.home / "mutter.py").write_text("def mutter(texts):\n    return [text[:3] for text in texts]\n")
    (shell.home / "examples.json").write_text('[["abcdef", "abc"], ["x", "y"]]')
    deploy = ["model", "deploy", "shout", "--version", "3", "--input-type", "strings", "--function", "mutter:mutter"]
    golden = str(shell.home / "examples.json")
    assert "'y' is expected, but it answered 'x'" in shell.fails(1, *deploy, "--golden", golden)
    (shell.home / "examples.json").write_text('[["abcdef", "abc"]]')
    assert shell.data(*deploy, "--golden", golden, "--stage")["is_current_version"] is False
    assert shell.ok("model", "ask", "shout", "3", "good morning") == "goo\n"
    shell.ok("model", "stop", "shout", "--version", "3", "--yes")


def test_status_shows_every_process(shell: Shell) -> None:
    found = shell.data("status")
    assert found["state"] == "running"
    assert {each["name"] for each in found["processes"]} == {
        "redis",
        "manager",
        "frontend",
        "gateway",
        "model-shout_1-0",
    }
    text = shell.ok("status")
    assert found["addresses"]["query"] in text
    assert "model-shout_1-0" in text
    assert "\x1b" not in text


def test_a_cluster_elsewhere_is_reached_by_its_addresses(shell: Shell, tmp_path: Path) -> None:
    at = shell.data("status")["addresses"]
    elsewhere = Shell(tmp_path)
    assert elsewhere.ok("predict", "greeter", "x", "--frontend", at["frontend"]) == "X!\n"
    assert "greeter" in elsewhere.ok("app", "list", "--manager", at["manager"])
    assert "shout:1:" in elsewhere.ok("status", "--manager", at["manager"])
    assert "run by others" in elsewhere.fails(2, "stop", "--manager", at["manager"])
    run = elsewhere.run("app", "list", CLIPPER_MANAGER=at["manager"])
    assert "greeter" in run.stdout


def test_logs_are_readable_for_people_and_whole_for_programs(shell: Shell) -> None:
    text = shell.ok("logs", "manager", "frontend")
    assert "listening" in text
    assert "{" not in text.splitlines()[0]
    lines = [json.loads(line) for line in shell.ok("logs", "manager", "-o", "json").splitlines()]
    assert {line["log"] for line in lines} == {"manager"}
    assert "There are: " in shell.fails(2, "logs", "nothing")


def test_logs_follow_until_interrupted(shell: Shell) -> None:
    follow = subprocess.Popen(
        [sys.executable, "-m", "clipperctl", "logs", "manager", "--follow", "-n", "1", "--home", str(shell.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert follow.stdout is not None
        assert follow.stdout.readline()  # the last line so far: it looks from here on
        shell.ok("app", "register", "noticed", "--input-type", "doubles")
        assert any("noticed" in line for line in iter(follow.stdout.readline, ""))
    finally:
        follow.send_signal(2)
        _, err = follow.communicate(timeout=20)
        shell.ok("app", "unregister", "noticed", "--yes")
    assert follow.returncode == 130
    assert "Traceback" not in err


def test_stop_and_start_keep_what_was_configured_and_purge_does_not(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("start", "--cluster", "brief", *PORTS)
    try:
        shell.ok("app", "register", "a", "--input-type", "doubles", "--cluster", "brief")
        assert shell.ok("stop", "--cluster", "brief") == "Cluster brief is stopped.\n"
        assert shell.run("status", "--cluster", "brief").returncode == 5
        shell.ok("start", "--cluster", "brief", *PORTS)
        assert [each["name"] for each in shell.data("app", "list", "--cluster", "brief")] == ["a"]
    finally:
        shell.ok("stop", "--cluster", "brief", "--purge", "--yes")
    assert not (tmp_path / "brief").exists()
    assert shell.ok("stop", "--cluster", "brief") == "Cluster brief does not run.\n"


def test_completion_offers_the_names_of_the_cluster(shell: Shell) -> None:
    run = shell.run_alone(COMP_WORDS="clipperctl app show gr", COMP_CWORD="3", _CLIPPERCTL_COMPLETE="bash_complete")
    assert run.stdout == "plain,greeter\n"
    run = shell.run_alone(COMP_WORDS="clipperctl pr", COMP_CWORD="1", _CLIPPERCTL_COMPLETE="bash_complete")
    assert run.stdout == "plain,predict\n"
