"""Policies and losses of other packages: the example is one, found by its entry points, and learns like ours."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from selection_world import learn, regret, uniform_regret

from clipper_manager import checks
from clipper_manager.resources import SelectionPolicy
from clipper_rpc.errors import InvalidField

EXAMPLE = Path(__file__).parents[2] / "examples/selection_plugin"


def installed(directory: Path) -> None:
    """Lays the example's metadata into a directory, as an installer does."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = directory / "clipper_softmax-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def with_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example is installed in this process."""
    from clipper_selection import plugins

    installed(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    plugins.found.cache_clear()
    yield
    plugins.found.cache_clear()
    sys.modules.pop("clipper_softmax", None)


def test_a_new_process_finds_what_is_installed(tmp_path: Path) -> None:
    installed(tmp_path)
    told = subprocess.run(
        [sys.executable, "-c", "import clipper_selection; print(*clipper_selection.names())"],
        env={"PYTHONPATH": f"{tmp_path}:{EXAMPLE}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split()[-1] == "softmax"


@pytest.mark.usefixtures("with_plugin")
def test_the_manager_takes_a_plug_in_and_refuses_what_it_does_not_take() -> None:
    good = SelectionPolicy("softmax", '{"temperature": 0.05}')
    assert checks.selection_policy("p", good) == good
    with pytest.raises(InvalidField, match=r"p.parameters.temperature: is 100; it is from 0.001 to 10"):
        checks.selection_policy("p", SelectionPolicy("softmax", '{"temperature": 100}'))


def test_a_plug_in_that_is_not_installed_is_unknown() -> None:
    with pytest.raises(InvalidField, match=r'"softmax" is not known here; .* must be installed'):
        checks.selection_policy("p", SelectionPolicy("softmax"))


@pytest.mark.usefixtures("with_plugin")
def test_the_example_learns() -> None:
    from clipper_selection import policy

    rights = {"a": 0.9, "b": 0.7, "c": 0.5}
    subject = policy("softmax", {"temperature": 0.05})
    found = regret(learn(subject, rights, queries=2000, seed=1), rights)
    assert found < 0.3 * uniform_regret(rights, 2000)


@pytest.mark.usefixtures("with_plugin")
def test_a_loss_of_a_plug_in_is_named_like_ours() -> None:
    from clipper_selection import policy

    subject = policy("exp3", {"loss": "off_by_one"})
    assert [subject.loss(answer, 7.0) for answer in (7.0, 8.0, 3.0, "x")] == [0, 0.25, 1, 1]


@pytest.mark.usefixtures("with_plugin")
def test_a_plug_in_that_cannot_be_loaded_is_refused_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "clipper_softmax", None)
    with pytest.raises(InvalidField, match="the plug-in failed with ModuleNotFoundError"):
        checks.selection_policy("p", SelectionPolicy("softmax"))
    assert "plugin_failed" in caplog.text
