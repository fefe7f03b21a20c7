"""Functions travel with the user's own code, and say what else they need."""

from __future__ import annotations

import importlib
import pickle
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from clipper_runtime import SaveError
from clipper_runtime.packing import pack
from clipper_runtime.sources import collect, is_local

Project = Callable[..., ModuleType]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Makes modules of the user's own and imports the first one."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(sources: dict[str, str] | None = None, /, **modules: str) -> ModuleType:
        for name, source in {**modules, **(sources or {})}.items():
            file = tmp_path / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return importlib.import_module(next(iter(modules)))

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def elsewhere(data: bytes, *forgotten: str) -> Any:
    """Unpickles as in a process where these modules are not."""
    for name in list(sys.modules):
        if name.partition(".")[0] in forgotten:
            del sys.modules[name]
    path = list(sys.path)
    sys.path[:] = [each for each in sys.path if not (Path(each) / f"{forgotten[0]}.py").exists()]
    try:
        return pickle.loads(data)
    finally:
        sys.path[:] = path


def test_code_of_local_modules_travels_by_value(project: Project) -> None:
    module = project(
        own_entry="from own_helper import twice\ndef predict(xs): return [twice(x) for x in xs]\n",
        own_helper="import json\ndef twice(x): return json.dumps(x * 2)\n",
    )
    packed = pack(module.predict)
    assert packed.shipped == frozenset()
    assert elsewhere(packed.data, "own_entry", "own_helper")([4]) == ["8"]
    assert cloudpickle.list_registry_pickle_by_value() == set(), "the session's own settings are as before"


def test_a_function_of_the_session_that_uses_a_local_module_takes_it_along(project: Project) -> None:
    module = project(own_tools="FACTOR = 3\ndef times(x): return x * FACTOR\n")

    def predict(xs: list[int]) -> list[int]:
        return [module.times(x) for x in xs]

    assert elsewhere(pack(predict).data, "own_tools")([4]) == [12]


def test_what_cannot_travel_by_value_travels_as_source(project: Project) -> None:
    module = project(own_locked="import threading\nLOCK = threading.Lock()\ndef f(x): return x\n")

    def predict(xs: list[int]) -> list[int]:
        return [module.f(x) for x in xs]

    packed = pack(predict)
    assert packed.shipped == {"own_locked"}, "and nothing else: the test's own module travels by value"
    assert pickle.loads(packed.data)([1]) == [1]


def test_local_modules_that_are_imported_while_it_runs_travel_as_source(project: Project, tmp_path: Path) -> None:
    module = project(
        {"own_package/__init__": "from . import thing\n", "own_package/thing": ""},
        own_lazy="def predict(xs):\n    import own_late\n    from click import echo\n    return own_late.f(xs)\n",
        own_late="import own_deeper\nimport requests\nfrom own_package import thing\ndef f(xs): return xs\n",
        own_deeper="",
    )
    packed = pack(module.predict)
    assert packed.shipped == {"own_late"}
    assert "click" in packed.modules
    sources = collect(packed.shipped)
    assert set(sources.files) == {
        "own_late.py",
        "own_deeper.py",
        "own_package/__init__.py",
        "own_package/thing.py",
    }
    assert sources.modules == {"requests"}


def test_local_modules_stay_where_they_are_if_asked(project: Project) -> None:
    module = project(own_stays="def predict(xs): return xs\n")
    packed = pack(module.predict, local_modules=False)
    assert packed.shipped == frozenset()
    with pytest.raises(ModuleNotFoundError):
        elsewhere(packed.data, "own_stays")


def test_what_the_session_registered_itself_stays_registered(project: Project) -> None:
    module = project(own_registered="def predict(xs): return xs\n")
    cloudpickle.register_pickle_by_value(module)
    try:
        pack(module.predict)
        assert cloudpickle.list_registry_pickle_by_value() == {"own_registered"}
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def test_installed_packages_are_not_local() -> None:
    assert not any(
        is_local(name) for name in ("numpy", "click", "json", "sys", "clipper_runtime", "__main__", "no_such")
    )


def test_a_source_that_cannot_be_read_is_told(project: Project, tmp_path: Path) -> None:
    project(own_fine="")
    (tmp_path / "own_broken.py").write_text("def f(:\n")
    with pytest.raises(SaveError, match=r"own_broken\.py cannot be read"):
        collect(["own_broken"])


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_huge").mkdir()
    for number in range(2001):
        (tmp_path / "own_huge" / f"m{number}.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(SaveError, match="too many files to travel"):
        collect(["own_huge"])
