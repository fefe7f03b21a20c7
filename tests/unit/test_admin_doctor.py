"""What the doctor makes of what it sees."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import doctor
from clipper_admin.client import Client
from clipper_admin.doctor import Verdict
from clipper_admin.resources import Application, Instance, Link, Model, Replica
from clipper_admin.supervisor.records import ClusterStatus, ProcessStatus
from clipper_rpc.errors import NoReplica
from clipper_runtime.names import InputType


class FakeClient(Client):
    """Knows what it is given."""

    def __init__(self, **known: list[Any]) -> None:
        self._known = known

    def list_instances(self) -> list[Instance]:
        return self._known.get("instances", [])

    def list_replicas(self, model: str = "", version: str = "") -> list[Replica]:
        return self._known.get("replicas", [])

    def list_applications(self) -> list[Application]:
        return self._known.get("applications", [])

    def list_models(self) -> list[Model]:
        return self._known.get("models", [])


def application(*models: str, default: bool = True) -> Application:
    links = tuple(map(Link, models))
    return Application("app", InputType.DOUBLES, 100_000, has_default_output=default, links=links)


def found(**known: list[Any]) -> dict[str, doctor.Finding]:
    return {each.subject: each for each in doctor.configuration(FakeClient(**known))}


def process(state: str, restarts: int = 0) -> dict[str, Any]:
    return ProcessStatus("frontend", "frontend", state, 7, "", "", restarts, "was ended by SIGKILL", "").to_json()


def examined(*processes: dict[str, Any]) -> doctor.Finding:
    return next(doctor.processes(ClusterStatus("c", "running", 1, "", {}, list(processes), [])))


def test_an_application_without_a_model_is_told_with_what_it_answers() -> None:
    assert "its default output" in found(applications=[application()])["application app"].found
    finding = found(applications=[application(default=False)])["application app"]
    assert (finding.verdict, "an error" in finding.found) == (Verdict.WARNING, True)
    assert finding.advice == "clipperctl link app MODEL"


def test_a_model_without_a_current_version_is_told() -> None:
    models = [Model("m", InputType.DOUBLES, "")]
    assert (
        "no version of m is current" in found(applications=[application("m")], models=models)["application app"].found
    )


def test_a_current_version_without_a_replica_has_failed_and_one_with_an_answering_replica_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = [Model("m", InputType.DOUBLES, "2")]
    one = [Replica("m", "1", 0, "h:1", InputType.DOUBLES)]
    monkeypatch.setattr(doctor, "check", lambda address: None)
    finding = found(applications=[application("m")], models=models, replicas=one)["application app"]
    assert (finding.verdict, "no replica of m:2 is up" in finding.found) == (Verdict.FAILED, True)
    two = [Replica("m", "2", 1, "h:2", InputType.DOUBLES)]
    findings = found(applications=[application("m")], models=models, replicas=two)
    assert findings["application app"].verdict == Verdict.OK
    assert findings["replica m:2:1"].found == "serves at h:2"


def test_a_shadow_is_not_taken_for_a_model_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "check", lambda address: None)
    models = [Model("m", InputType.DOUBLES, "1"), Model("next", InputType.DOUBLES, "1")]
    replicas = [Replica(each.name, "1", 0, "h:1", InputType.DOUBLES) for each in models]
    shadow = Link("next", is_shadow=True)
    only = Application("app", InputType.DOUBLES, 100_000, links=(shadow,))
    finding = found(applications=[only], models=models, replicas=replicas)["application app"]
    assert (finding.verdict, "no model is linked" in finding.found) == (Verdict.WARNING, True)
    both = Application("app", InputType.DOUBLES, 100_000, links=(Link("m"), shadow))
    finding = found(applications=[both], models=models, replicas=replicas)["application app"]
    assert (finding.verdict, finding.found) == (Verdict.OK, "is answered by m; shadowed by next")
    finding = found(applications=[both], models=models, replicas=replicas[:1])["application app"]
    assert finding.verdict == Verdict.WARNING
    assert finding.found == "is answered by m, but no replica of next:1 is up"


def test_an_application_of_several_models_has_failed_only_where_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "check", lambda address: None)
    models = [Model("a", InputType.DOUBLES, "1"), Model("b", InputType.DOUBLES, "1")]
    of_b = [Replica("b", "1", 0, "h:1", InputType.DOUBLES)]
    finding = found(applications=[application("a", "b")], models=models, replicas=of_b)["application app"]
    assert (finding.verdict, finding.found) == (Verdict.WARNING, "is answered by b, but no replica of a:1 is up")
    finding = found(applications=[application("a", "b")], models=models)["application app"]
    assert (finding.verdict, "its default output" in finding.found) == (Verdict.FAILED, True)


def test_a_cluster_without_frontends_or_with_other_builds_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "check", lambda address: None)
    findings = found(instances=[Instance("manager", "m-1", "h:7001", "clipper-serve 0.0.1")])
    assert findings["frontends"].verdict == Verdict.FAILED
    assert "clipper-serve 0.0.1" in findings["versions"].found


def test_a_manager_that_cannot_be_asked_is_a_finding() -> None:
    class Away(FakeClient):
        def list_instances(self) -> list[Instance]:
            raise NoReplica(model="m", version="1")

    assert [each.verdict for each in doctor.configuration(Away())] == [Verdict.FAILED]


def test_processes_that_wait_or_were_started_again_are_told_with_their_last_exit() -> None:
    assert examined(process("running")).verdict == Verdict.OK
    assert "SIGKILL" in examined(process("running", restarts=3)).found
    assert examined(process("running", restarts=3)).verdict == Verdict.WARNING
    waiting = examined(process("waiting", restarts=3))
    assert (waiting.verdict, waiting.advice) == (Verdict.FAILED, "see why: clipperctl logs frontend")


def test_a_redis_that_cannot_be_reached_is_a_finding(tmp_path: Path) -> None:
    (finding,) = doctor.redis(f"unix://{tmp_path}/no.sock")
    assert finding.verdict == Verdict.FAILED
    assert "predictions go on" in finding.advice


def test_a_disk_that_is_nearly_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["free"])  # noqa: PYI024  # the form that shutil has
    monkeypatch.setattr("shutil.disk_usage", lambda directory: usage(10**8))
    (finding,) = doctor.disk(Path(os.sep))
    assert (finding.verdict, finding.found) == (Verdict.WARNING, f"0.1 GB free in {os.sep}")


def test_an_append_only_file_that_is_off_or_cannot_be_written_is_told() -> None:
    def verdict(**persistence: object) -> Verdict:
        return next(doctor._durability(persistence)).verdict

    assert verdict(aof_enabled=0) == Verdict.WARNING
    assert verdict(aof_enabled=1, aof_last_write_status="err") == Verdict.FAILED
    assert verdict(aof_enabled=1, aof_last_write_status="ok") == Verdict.OK
