"""Configurations as files: read with the place of every problem, compared, written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from clipper.v1 import admin_pb2, values_pb2
from clipper_admin.convert.changes import Configuration
from clipper_admin.declared import render
from clipper_admin.declared.plan import Plan, plan
from clipper_admin.declared.problems import InvalidDocument
from clipper_admin.declared.wanted import Wanted, read

EXAMPLE = Path(__file__).parents[2] / "examples" / "app.yaml"


def problems(text: str) -> list[tuple[int, int, str]]:
    """Line, column and path of what is wrong."""
    with pytest.raises(InvalidDocument) as caught:
        read(text, "f.yaml")
    return [(each.line, each.column, each.path) for each in caught.value.problems]


def told(text: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        read(text, "f.yaml")
    return str(caught.value)


def lines(found: Configuration, text: str, *, prune: bool = False) -> list[str]:
    return render.lines(plan(found, read(text, "f.yaml"), prune=prune))


def application(name: str = "a", **fields: Any) -> admin_pb2.Application:
    usual: dict[str, Any] = {
        "input_type": values_pb2.INPUT_TYPE_DOUBLES,
        "latency_objective": Duration(nanos=10**8),
        "selection_policy": {"name": "static"},
    }
    return admin_pb2.Application(name=name, **{**usual, **fields})


def version(model: str = "m", name: str = "1", **fields: Any) -> admin_pb2.ModelVersion:
    wanted: dict[str, Any] = {"input_type": values_pb2.INPUT_TYPE_DOUBLES, **fields}
    return admin_pb2.ModelVersion(model=model, version=name, **wanted)


APP = "applications:\n- {name: a, input_type: doubles%s}\n"
MODEL = "models:\n- name: m\n  input_type: doubles\n"


def test_the_example_is_read() -> None:
    wanted = read(EXAMPLE.read_text(), "app.yaml")
    assert list(wanted.applications) == ["hello-world", "digits"]
    assert wanted.applications["digits"].application.selection_policy.parameters["epsilon"] == 0.1
    assert wanted.models["sum-model"].versions["2"].version.batching.linger.ToMilliseconds() == 2


def test_every_problem_is_told_with_its_line_and_column() -> None:
    text = """applications:
  - name: No_Name
    input_type: numbers
    objective: soon
    colour: red
    links: [x, {weight: heavy, model: y}, {weight: 2}]
"""
    assert problems(text) == [
        (2, 11, "applications[0].name"),
        (3, 17, "applications[0].input_type"),
        (4, 16, "applications[0].objective"),
        (5, 13, "applications[0].colour"),
        (6, 25, "applications[0].links[1].weight"),
        (6, 43, "applications[0].links[2]"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "f.yaml:1:1: the file is empty"),
        ("a: [", "f.yaml:1:5: is no YAML"),
        ("- a", "f.yaml:1:1: must be a mapping (name: value), not a list"),
        ("servers: []", "f.yaml:1:10: servers: is not known here; known are applications, models"),
        ("applications: x", "f.yaml:1:15: applications: must be a list (each element after a dash), not text"),
        ("applications: [{name: a}]", "f.yaml:1:16: applications[0]: needs an input_type"),
        ("applications: [{input_type: doubles}]", "needs a name"),
        (APP % "" + "- {name: a, input_type: doubles}", 'f.yaml:3:3: applications[1]: the application "a" stands here'),
        (APP % ", name: b", "stands here twice"),
        (APP % ", links: [m, m]", 'the link to "m" stands here twice'),
        (APP % ", revision: 3", "revision: is not known here"),
        (APP % ", latency_objective: 3s", "latency_objective: is not known here"),
        (MODEL + "  versions: [{version: 1.10}]", 'must be text, not a number; write "1.10"'),
        (MODEL + "  versions: [{version: '1', batching: {policy: huge}}]", "'huge' is none of fixed, aimd, quantile"),
        (MODEL + "  versions: [{version: '1', batching: {max_batch_rows: 9999999999}}]", "9999999999 is out of range"),
        (MODEL + "  versions: [{version: '1', batching: {no_retry: 1}}]", "must be true or false, not a number (1)"),
        ("models: [{name: m, versions: [{version: '1'}]}]", "needs an input_type, here or of its model"),
        (MODEL + "  canary: {version: '2', share: 0.5}", "needs the model's current version"),
        (MODEL + "  current: '2'\n  canary: {version: '2', share: 0.5}", "is the current version itself"),
        (MODEL + "  current: '2'\n  canary: {version: '3', share: 1}", "needs a share above 0 and below 1"),
        ("a: &a [*a]", "refers to itself"),
    ],
)
def test_what_cannot_be_is_told(text: str, found: str) -> None:
    assert found in told(text)


def test_anchors_and_merge_keys_work_as_in_yaml() -> None:
    text = "applications:\n- &a {name: a, input_type: doubles, objective: 1s}\n- {<<: *a, name: b, objective: 2s}\n"
    wanted = read(text, "f.yaml").applications["b"].application
    assert (wanted.input_type, wanted.latency_objective.seconds) == (values_pb2.INPUT_TYPE_DOUBLES, 2)


@pytest.mark.parametrize(
    ("written", "nanos"), [("100ms", 10**8), ("1.5s", 15 * 10**8), ("250us", 25 * 10**4), ("2m", 12 * 10**10)]
)
def test_times_are_written_as_people_do(written: str, nanos: int) -> None:
    made = read(APP % f", objective: {written}", "f.yaml").applications["a"].application
    assert made.latency_objective.ToNanoseconds() == nanos


@pytest.mark.parametrize(
    ("written", "output"),
    [
        ('"-1.0"', values_pb2.Output(string="-1.0")),
        ("0.5", values_pb2.Output(number=0.5)),
        ("[1, 2]", values_pb2.Output(json="[1, 2]")),
        ("{a: true}", values_pb2.Output(json='{"a": true}')),
    ],
)
def test_default_outputs_are_values(written: str, output: values_pb2.Output) -> None:
    made = read(APP % f", default_output: {written}", "f.yaml").applications["a"].application
    assert made.default_output == output


def test_nothing_changes_where_all_is_as_the_file_says() -> None:
    found = Configuration([application(links=[{"model": "m", "weight": 1}])], [], [])
    assert lines(found, APP % ", links: [m]") == []
    assert lines(found, APP % "") == [], "links that are not said stay"


def test_what_the_file_does_not_name_stays_unless_it_is_pruned() -> None:
    found = Configuration([application("b")], [], [version()])
    assert lines(found, APP % "")[0] == "+ application a"
    assert lines(found, "applications: []", prune=True) == ["- application b", "- model m version 1"]


def test_a_change_is_shown_field_by_field() -> None:
    found = Configuration([application(links=[{"model": "m", "weight": 1}])], [], [])
    assert lines(found, APP % ", objective: 50ms, links: [{model: m, weight: 2}, n]") == [
        "~ application a",
        "    objective: 100ms → 50ms",
        "~ link a → m",
        "    weight: 1.0 → 2.0",
        "+ link a → n",
    ]


def test_the_last_version_of_a_new_model_goes_live_and_a_live_one_stays() -> None:
    text = MODEL + "  versions: [{version: '1'}, {version: '2'}]\n"
    assert lines(Configuration(), text)[-2:] == ["~ model m", "    current: none → 2"]
    live = Configuration([], [admin_pb2.Model(name="m", current_version="1")], [version(), version(name="2")])
    assert lines(live, text) == []
    assert lines(live, MODEL + "  current: '2'") == ["~ model m", "    current: 1 → 2"]


def test_a_trial_begins_with_canary_and_ends_without() -> None:
    versions = [version(), version(name="2")]
    before = Configuration([], [admin_pb2.Model(name="m", current_version="1")], versions)
    text = MODEL + "  current: '1'\n"
    trial = text + "  canary: {version: '2', share: 0.1}"
    assert lines(before, trial)[-1] == "    canary: none → 2, 0.1 of the queries"
    model = admin_pb2.Model(name="m", current_version="1", canary_version="2", canary_share=0.1)
    during = Configuration([], [model], versions)
    assert lines(during, trial) == []
    assert lines(during, text)[-1] == "    canary: 2, 0.1 of the queries → none"


def test_what_never_changes_is_refused_at_its_place() -> None:
    found = Configuration([application(input_type=values_pb2.INPUT_TYPE_STRINGS)], [], [version(image="i")])
    wanted = read(APP % "" + MODEL + "  versions: [{version: '1', image: j}]", "f.yaml")
    plan(found, wanted, prune=False)
    node = wanted.applications["a"].node
    assert [(each.line, each.path) for each in sorted(node.problems)] == [
        (2, "applications[0].input_type"),
        (6, "models[0].versions[0].image"),
    ]


def configurations() -> st.SearchStrategy[Configuration]:
    names = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), unique=True, max_size=3)
    outputs = st.one_of(st.text(max_size=5), st.integers(-99, 99), st.lists(st.booleans(), max_size=2))
    parameters = st.dictionaries(st.sampled_from(["epsilon", "x"]), st.floats(0, 1) | st.text(max_size=3), max_size=2)

    def make(apps: list[str], models: list[str], data: list[Any], given: dict[str, Any], micros: int) -> Configuration:
        struct = Struct()
        struct.update(given)  # type: ignore[no-untyped-call]
        policy = admin_pb2.SelectionPolicy(name="exp3" if given else "static", parameters=struct if given else None)
        objective = Duration()
        objective.FromMicroseconds(micros)
        links = [admin_pb2.Link(model=each, weight=at + 1) for at, each in enumerate(models)]
        from clipper_admin.convert.values import to_output

        return Configuration(
            [
                application(
                    each,
                    default_output=to_output(data[0]) if data else None,
                    selection_policy=policy,
                    latency_objective=objective,
                    links=links,
                )
                for each in apps
            ],
            [admin_pb2.Model(name=each, current_version="1") for each in models],
            [
                version(each, name, labels=["x"], batching={"policy": at + 1, "max_batch_rows": at})
                for each in models
                for at, name in enumerate("12")
            ],
        )

    return st.builds(make, names, names, st.lists(outputs, max_size=1), parameters, st.integers(1000, 10**9))


@given(configurations())
def test_a_configuration_that_was_written_is_read_as_the_same(found: Configuration) -> None:
    wanted: Wanted = read(render.exported(found), "f.yaml")
    same: Plan = plan(found, wanted, prune=True)
    assert render.lines(same) == []
    created = plan(Configuration(), wanted, prune=True)
    applications = [
        each.change.create_application.application for each in created.steps if each.what.startswith("appl")
    ]
    assert [each.default_output for each in applications] == [each.default_output for each in sorted_(found)]


def sorted_(found: Configuration) -> list[admin_pb2.Application]:
    return sorted(found.applications, key=lambda each: each.name)
