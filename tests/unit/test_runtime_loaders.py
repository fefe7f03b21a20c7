"""Frameworks' models: a function gets what a loader makes of the directory, once all of that was checked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper_runtime import LoadError, MissingModule, ModelDir, ModelDirError, SaveError, open_model_dir
from clipper_runtime.saving import save_framework_model


@pytest.fixture
def framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A framework with a loader, and one that cannot load."""
    (tmp_path / "framework.py").write_text(
        "def load(directory):\n"
        "    return (directory.path / 'model' / 'weights').read_text(), directory.unpickled('shape.pkl')\n"
        "def fail(directory):\n"
        "    raise ValueError('no weights')\n"
        "def lack(directory):\n"
        "    import no_such_framework\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("framework", None)


def save(tmp_path: Path, loader: str = "framework:load") -> ModelDir:
    (tmp_path / "weights").write_text("42")

    def predict(weights: str, shape: list[int], xs: list[str]) -> list[str]:
        return [f"{x}:{weights}:{shape}" for x in xs]

    save_framework_model(
        tmp_path / "m",
        name="m",
        version=1,
        input_type="strings",
        func=predict,
        loader=loader,
        files={"model/weights": tmp_path / "weights"},
        pickled={"shape.pkl": [3, 4]},
        modules=["pytest"],
    )
    return open_model_dir(tmp_path / "m")


@pytest.mark.usefixtures("framework")
def test_a_function_gets_what_the_loader_returns_before_the_inputs(tmp_path: Path) -> None:
    directory = save(tmp_path)
    assert directory.load().predict(["a", "b"]) == ["a:42:[3, 4]", "b:42:[3, 4]"]
    assert directory.manifest.packages["pytest"] == pytest.__version__
    assert set(directory.manifest.files) == {"func.pkl", "shape.pkl", "model/weights"}


@pytest.mark.usefixtures("framework")
def test_what_a_loader_raises_is_told_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="ValueError: no weights"):
        save(tmp_path, "framework:fail").load()


@pytest.mark.usefixtures("framework")
def test_a_framework_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModule, match="no_such_framework"):
        save(tmp_path, "framework:lack").load()


def test_a_loader_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModule, match="no_such_runtime"):
        save(tmp_path, "no_such_runtime:load").load()


@pytest.mark.usefixtures("framework")
def test_a_pickle_that_changed_after_the_check_is_never_unpickled(tmp_path: Path) -> None:
    directory = save(tmp_path)
    (directory.path / "shape.pkl").write_bytes(b"something else")
    with pytest.raises(ModelDirError, match="has changed since it was checked"):
        directory.load()


@pytest.mark.parametrize("loader", ["load", "framework.load", "framework:", "a b:c"])
def test_a_loader_is_named_as_module_and_function(tmp_path: Path, loader: str) -> None:
    with pytest.raises(ValueError, match="names no class"):
        save(tmp_path, loader)


def test_a_class_is_no_function_of_a_model(tmp_path: Path) -> None:
    wrong: Any = Path
    with pytest.raises(SaveError, match="func must be a function"):
        save_framework_model(
            tmp_path / "m", name="m", version=1, input_type="strings", func=wrong, loader="a:b", files={}
        )
