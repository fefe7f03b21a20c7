"""Every example runs, and does what it says. Those of large frameworks are run by `make test-frameworks` only."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from clusters import local_cluster
from frameworks import LARGE, skip_unless_installed

from clipper_admin import ClipperConnection

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORKS = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "onnx": "onnxruntime",
    "pytorch": "torch",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "pyspark": "pyspark",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def cluster(home: Path) -> Iterator[ClipperConnection]:
    """The cluster that scripts connect to if they name none."""
    with local_cluster(home, "default-cluster") as connection:
        yield connection


def example(name: str) -> ModuleType:
    """An example as a module of its own, as if it were the script that is run."""
    path = EXAMPLES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_framework_has_an_example() -> None:
    assert {each.stem.removesuffix("_model") for each in (EXAMPLES / "frameworks").glob("*.py")} == set(FRAMEWORKS)


def test_the_basic_query(cluster: ClipperConnection) -> None:
    batch = example("basic_query").run(cluster)
    assert [each["output"] for each in batch] == [3, 7.5, 0]


def test_the_image_query(cluster: ClipperConnection) -> None:
    over_rest, over_grpc = example("image_query").run(cluster)
    assert over_rest == over_grpc == {"brighter": "right", "difference": 129.4}


def test_the_feedback_loop_learns_whom_to_trust(cluster: ClipperConnection) -> None:
    assert example("feedback_loop").run(cluster) > 25


def test_a_version_step_by_step(cluster: ClipperConnection, capsys: pytest.CaptureFixture[str]) -> None:
    assert example("versions").run(cluster) == "1"
    shown = capsys.readouterr().out
    assert "refused: Version 2 of model versions does not go live: for golden example 1 of 2" in shown
    assert "staged, asked directly: [3, 10]" in shown


@pytest.mark.timeout(600)  # Spark starts twice
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.frameworks] if FRAMEWORKS[name] in LARGE else []) for name in FRAMEWORKS],
)
def test_a_model_of_each_framework_is_served_by_its_script(cluster: ClipperConnection, home: Path, name: str) -> None:
    skip_unless_installed(FRAMEWORKS[name])
    if name == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    script = [sys.executable, str(EXAMPLES / "frameworks" / f"{name}_model.py")]
    environment = {**os.environ, "CLIPPER_HOME": str(home)}
    try:
        done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=540, check=False)
    finally:
        cluster.stop_all_model_containers()
    assert done.returncode == 0, done.stderr
    _, _, answer = done.stdout.strip().rpartition("\n")[2].partition(": ")
    assert math.isfinite(float(answer))


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    code = code.replace("\nanswer\n", "\nassert answer.output == 7.5, answer\n")
    assert "assert answer" in code
    environment = {**os.environ, "CLIPPER_HOME": str(tmp_path)}
    run = [sys.executable, "-c", code]
    try:
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    finally:
        subprocess.run(
            [sys.executable, "-m", "clipperctl", "stop", "--cluster", "notebook"],
            env=environment,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "Stopped all Clipper cluster" in done.stderr
