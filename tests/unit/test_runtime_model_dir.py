"""Model directories: what is saved comes back; what was touched is refused before any of it runs."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipper_runtime import (
    EnvironmentMismatch,
    LoadError,
    MissingModule,
    Model,
    ModelDirError,
    SaveError,
    environment,
    open_model_dir,
    save_class,
    save_function,
)
from clipper_runtime.model_dir import load_class


@pytest.fixture(autouse=True)
def _own_imports() -> Iterator[None]:
    """What a test imports is gone after it."""
    modules, path, bytecode = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.path[:] = path
    sys.dont_write_bytecode = bytecode


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a model may be saved."""
    return tmp_path / "models" / "m" / "1"


def sums(inputs: Any) -> list[float]:
    return [float(each) for each in inputs.sum(axis=1)]


def saved(place: Path, func: Any = sums) -> Path:
    save_function(place, name="m", version=1, input_type="doubles", func=func)
    return place


def rewrite(place: Path, **changes: Any) -> None:
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def listing(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_a_function_comes_back_with_what_it_refers_to(place: Path) -> None:
    offset = np.array([1.0, 2.0])

    def shifted(inputs: Any) -> list[Any]:
        return list(inputs + offset)

    opened = open_model_dir(saved(place, shifted))
    outputs: Any = opened.load().predict(np.zeros((2, 2)))
    np.testing.assert_array_equal(outputs, [[1.0, 2.0], [1.0, 2.0]])
    assert opened.warnings == ()


def test_the_manifest_tells_what_was_saved(place: Path) -> None:
    written = save_function(place, name="m", version=7, input_type="double", func=len)
    assert (written.name, written.version, written.input_type) == ("m", "7", "doubles")
    assert written.python == environment.python_version()
    assert written.packages == {"cloudpickle": environment.installed("cloudpickle"), "numpy": np.__version__}
    assert {name: each.model_dump() for name, each in written.files.items()} == {
        "func.pkl": listing(place / "func.pkl")
    }
    assert open_model_dir(place).manifest == written
    assert sorted(each.name for each in place.parent.iterdir()) == ["1"], "nothing is left beside it"


def test_packages_that_the_function_uses_are_recorded(place: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])

    def classify(inputs: Any) -> Any:
        import click

        return click and model.predict(inputs)

    written = save_function(place, name="m", version=1, input_type="doubles", func=classify, packages={"extra": "1.2"})
    assert {"scikit-learn", "click", "numpy", "cloudpickle", "extra"} <= set(written.packages)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "Sum Model"}, "is no name"),
        ({"version": "1/2"}, "is no version"),
        ({"input_type": "images"}, "no input type"),
        ({"func": 3}, "func must be a function"),
        ({"func": Model}, "there is save_class"),
    ],
)
def test_a_field_that_is_not_valid_is_refused_and_nothing_is_written(
    place: Path, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SaveError, match=problem):
        save_function(place, **{"name": "m", "version": 1, "input_type": "doubles", "func": len, **fields})
    assert not place.exists()


def test_a_function_that_cannot_be_pickled_is_refused_with_a_hint(place: Path) -> None:
    lock = threading.Lock()
    with pytest.raises(SaveError, match="make connections, locks and open files inside of it"):
        saved(place, lambda inputs: [lock.locked() for _ in inputs])
    assert not place.parent.exists()


def test_a_directory_is_never_written_twice(place: Path) -> None:
    saved(place)
    before = (place / "manifest.json").read_bytes()
    with pytest.raises(SaveError, match="is not empty"):
        saved(place)
    assert (place / "manifest.json").read_bytes() == before


def test_an_empty_directory_is_taken(place: Path) -> None:
    place.mkdir(parents=True)
    assert open_model_dir(saved(place)).manifest.name == "m"


def test_a_tampered_pickle_is_refused_and_never_runs(place: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    evil = pickle.dumps(Payload(trace))
    original = (saved(place) / "func.pkl").read_bytes()
    (place / "func.pkl").write_bytes(evil)
    with pytest.raises(ModelDirError, match=r"func\.pkl: has \d+ bytes, but the manifest says"):
        open_model_dir(place)
    (place / "func.pkl").write_bytes(original[:-1] + b"!")
    with pytest.raises(ModelDirError, match=r"func\.pkl: is not what was saved: its SHA-256 is"):
        open_model_dir(place)
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists(), "the payload works"


def test_a_pickle_that_changes_after_the_check_is_refused_and_never_runs(place: Path, tmp_path: Path) -> None:
    opened = open_model_dir(saved(place))
    (place / "func.pkl").write_bytes(pickle.dumps(Payload(tmp_path / "trace")))
    with pytest.raises(ModelDirError, match="has changed since it was checked"):
        opened.load()
    assert not (tmp_path / "trace").exists()


def test_a_missing_file_is_told(place: Path) -> None:
    (saved(place) / "func.pkl").unlink()
    with pytest.raises(ModelDirError, match=r"func\.pkl: is listed in the manifest, but there is no such file"):
        open_model_dir(place)


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_link_out_of_the_directory_is_refused(place: Path, tmp_path: Path, where: str) -> None:
    saved(place)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data").write_bytes(b"x")
    if where == "file":
        name = "data"
        (place / "data").symlink_to(outside / "data")
    else:
        name = "folder/data"
        (place / "folder").symlink_to(outside)
    rewrite(place, files={"func.pkl": listing(place / "func.pkl"), name: listing(outside / "data")})
    with pytest.raises(ModelDirError, match="is a link"):
        open_model_dir(place)


def test_a_link_to_the_whole_directory_is_fine(place: Path, tmp_path: Path) -> None:
    saved(place)
    (tmp_path / "current").symlink_to(place)
    assert open_model_dir(tmp_path / "current").path == place


def test_a_link_as_manifest_is_refused(place: Path, tmp_path: Path) -> None:
    saved(place)
    (place / "manifest.json").rename(tmp_path / "elsewhere.json")
    (place / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ModelDirError, match="is a link or too large"):
        open_model_dir(place)


def test_a_path_out_of_the_directory_is_refused_with_its_field(place: Path) -> None:
    saved(place)
    rewrite(place, files={"func.pkl": listing(place / "func.pkl"), "../../secret": listing(place / "func.pkl")})
    with pytest.raises(ModelDirError, match=r"manifest\.json: files\.\.\./\.\./secret.*plain path inside"):
        open_model_dir(place)


def test_a_directory_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ModelDirError, match=r"has no manifest\.json. Write one with clipper_runtime\.save_function"):
        open_model_dir(tmp_path)
    with pytest.raises(ModelDirError, match="no such directory"):
        open_model_dir(tmp_path / "nowhere")


def test_another_format_is_refused(place: Path) -> None:
    rewrite(saved(place), format=2)
    with pytest.raises(ModelDirError, match="this runtime reads format 1"):
        open_model_dir(place)


def test_another_python_is_refused_for_pickles_with_both_versions(place: Path) -> None:
    rewrite(saved(place), python="3.7.4")
    with pytest.raises(EnvironmentMismatch) as caught:
        open_model_dir(place)
    assert f"Python 3.7 (saved with 3.7.4), but this is {environment.python_version()}" in str(caught.value)
    assert open_model_dir(place, check_environment=False).warnings == caught.value.problems


def test_another_patch_of_python_is_fine(place: Path) -> None:
    rewrite(saved(place), python=".".join([*environment.python_version().split(".")[:2], "99"]))
    assert open_model_dir(place).warnings == ()


def test_another_major_version_of_a_package_is_refused_with_both_versions_and_a_remedy(place: Path) -> None:
    rewrite(saved(place), packages={"numpy": "1.26.4", "no-such-package": "0.1"})
    with pytest.raises(EnvironmentMismatch) as caught:
        open_model_dir(place)
    text = str(caught.value)
    assert f"- numpy 1.26.4, but {np.__version__} is installed" in text
    assert "- no-such-package 0.1, but it is not installed" in text
    assert "pip install no-such-package==0.1 numpy==1.26.4" in text


def test_another_minor_version_of_a_package_is_only_told(place: Path) -> None:
    major = np.__version__.partition(".")[0]
    rewrite(saved(place), packages={"numpy": f"{major}.0.1"})
    assert open_model_dir(place).warnings == (f"numpy {major}.0.1, but {np.__version__} is installed",)


def test_errors_survive_pickling() -> None:
    for error in (ModelDirError(Path("p"), "x"), EnvironmentMismatch(["a"], "b"), MissingModule("m"), LoadError("l")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


MODULE = """
from pathlib import Path
from {helper} import LABEL
import click

class Doubler:
    def load(self, directory: Path) -> None:
        self.factor = float((directory / "data" / "factor.txt").read_text())

    def predict(self, inputs):
        return [f"{{LABEL}} {{x * self.factor}}" for x in inputs[:, 0]]

class Silent:
    pass

class Picky:
    def __init__(self, required):
        pass

    def predict(self, inputs):
        return []

class Quitter:
    def load(self, directory):
        raise SystemExit("enough")

    def predict(self, inputs):
        return []
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own that imports another one of theirs."""
    folder = tmp_path / "project"
    (folder / "shelf").mkdir(parents=True)
    (folder / "shelf" / "__init__.py").write_text("from shelf.words import LABEL\n")
    (folder / "shelf" / "words.py").write_text("LABEL = 'is'\n")
    (folder / "own_model.py").write_text(MODULE.format(helper="shelf"))
    (folder / "factor.txt").write_text("2")
    monkeypatch.syspath_prepend(str(folder))
    return "own_model"


def forget(*names: str) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in names:
            del sys.modules[name]


def test_a_class_travels_with_its_sources_and_files(own_module: str, place: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    written = save_class(
        place,
        name="m",
        version="1",
        input_type="doubles",
        model_class=f"{own_module}:Doubler",
        files={"data/factor.txt": project / "factor.txt"},
    )
    assert set(written.files) == {
        "code/own_model.py",
        "code/shelf/__init__.py",
        "code/shelf/words.py",
        "data/factor.txt",
    }
    assert "click" in written.packages
    project.rename(tmp_path / "gone")
    forget("own_model", "shelf")
    sys.path.remove(str(project))
    model = open_model_dir(place).load()
    assert model.predict(np.array([[1.5]])) == ["is 3.0"]
    assert not list(place.rglob("__pycache__")), "the directory stays as it was saved"


def test_code_that_nobody_listed_is_never_importable(own_module: str, place: Path, tmp_path: Path) -> None:
    save_class(place, name="m", version=1, input_type="doubles", model_class=f"{own_module}:Silent")
    (place / "code" / "numpy.py").write_text("raise SystemExit('hijacked')\n")
    with pytest.raises(ModelDirError, match=r"numpy\.py: is not listed in the manifest"):
        open_model_dir(place)


def test_another_python_is_only_told_for_sources(own_module: str, place: Path) -> None:
    save_class(place, name="m", version=1, input_type="doubles", model_class=f"{own_module}:Doubler")
    rewrite(place, python="3.7.4")
    assert open_model_dir(place).warnings == (
        f"Python 3.7 (saved with 3.7.4), but this is {environment.python_version()}",
    )


def test_a_class_of_the_session_is_pickled(place: Path) -> None:
    class Local(Model):
        def predict(self, inputs: Any) -> Any:
            return [self.directory.name] * len(inputs)

        def load(self, directory: Path) -> None:
            self.directory = directory

    written = save_class(place, name="m", version=1, input_type="doubles", model_class=Local)
    assert list(written.files) == ["class.pkl"]
    assert open_model_dir(place).load().predict(np.zeros((2, 1))) == ["1", "1"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("own_model:Silent", "own_model:Silent is no class with a method predict"),
        ("own_model:Picky", "raised TypeError.*required"),
        ("own_model:Quitter", "raised SystemExit: enough"),
        ("own_model:Missing", "raised AttributeError"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_told(own_module: str, tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(LoadError, match=problem):
        load_class(name, tmp_path)


def test_a_module_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingModule, match=r"No module named 'no_such_module'.*pkgs_to_install"):
        load_class("no_such_module:Model", tmp_path)


@pytest.mark.parametrize("bad", ["Ranker", "a b:C", ":C", "m:"])
def test_a_class_name_that_is_none_is_refused(place: Path, bad: str) -> None:
    with pytest.raises(SaveError, match='a class or "module:Class"'):
        save_class(place, name="m", version=1, input_type="doubles", model_class=bad)


def test_a_class_without_predict_is_refused(place: Path) -> None:
    with pytest.raises(SaveError, match=r"dict has no predict\(inputs\)"):
        save_class(place, name="m", version=1, input_type="doubles", model_class=dict)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a": "/no/such/file"}, "no such file"),
        ({"../a": "{here}"}, "plain path inside"),
        ({"/a": "{here}"}, "plain path inside"),
        ({"manifest.json": "{here}"}, "cannot list itself"),
    ],
)
def test_files_that_cannot_travel_are_refused_and_nothing_is_written(
    place: Path, files: dict[str, str], problem: str
) -> None:
    here = {name: path.format(here=__file__) for name, path in files.items()}
    with pytest.raises(SaveError, match=problem):
        save_class(place, name="m", version=1, input_type="doubles", model_class="json:JSONDecoder", files=here)
    assert not place.exists()


def test_a_folder_travels_whole(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"a")
    written = save_class(
        place,
        name="m",
        version=1,
        input_type="doubles",
        model_class="json:JSONDecoder",
        files={"data": tmp_path / "weights"},
    )
    assert list(written.files) == ["data/deep/a.bin"]
    assert (place / "data/deep/a.bin").read_bytes() == b"a"
