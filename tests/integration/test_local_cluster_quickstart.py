"""Clipper's quickstart, as its README shows it, with only the class of the container manager exchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clipper_admin import LocalContainerManager

pytestmark = pytest.mark.cluster

QUICKSTART = """
from clipper_admin import ClipperConnection, LocalContainerManager
clipper_conn = ClipperConnection(LocalContainerManager())
clipper_conn.start_clipper()

clipper_conn.register_application(name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=100000)

print(clipper_conn.get_all_apps())

def feature_sum(xs):
    return [str(sum(x)) for x in xs]

from clipper_admin.deployers import python as python_deployer

python_deployer.deploy_python_closure(clipper_conn, name="sum-model", version=1, input_type="doubles", func=feature_sum)

clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")
print(clipper_conn.get_query_addr())
"""
CLEAN_UP = """
from clipper_admin import ClipperConnection, LocalContainerManager
clipper_conn = ClipperConnection(LocalContainerManager())
clipper_conn.connect()
clipper_conn.stop_all()
"""


def python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("CLIPPER_HOME", None)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=home, timeout=90
    )


def test_the_quickstart_serves_predictions_and_a_new_shell_finds_and_stops_the_cluster(tmp_path: Path) -> None:
    try:
        run = python(QUICKSTART, tmp_path)
        assert run.returncode == 0, run.stderr
        apps, address = run.stdout.splitlines()
        assert apps == "['hello-world']"
        for line in (
            "Clipper is running",
            "Application hello-world was successfully registered",
            "Found 0 replicas for sum-model:1. Adding 1",
            "Successfully registered model sum-model:1",
            "Done deploying model sum-model:1.",
            "Model sum-model is now linked to application hello-world",
        ):
            assert line in run.stderr
        url = f"http://{address}/hello-world/predict"
        curl = ["curl", "-sS", "-X", "POST", "--header", "Content-Type:application/json", "-d"]
        answers = [
            json.loads(subprocess.run([*curl, '{"input": [1.1, 2.2, 3.3]}', url], capture_output=True).stdout)
            for _ in range(3)
        ]
        good = [each for each in answers if not each["default"]]
        assert good, f"only defaults, although the machine may be busy: {answers}"
        assert good[0]["output"] == pytest.approx(6.6)
        assert isinstance(good[0]["query_id"], int)
        batch = httpx.post(url, json={"input_batch": [[1, 2], [3.5, 4]]}).json()["batch_predictions"]
        assert [each["output"] for each in batch if not each["default"]] in ([3.0, 7.5], [3.0], [7.5], [])
        assert len(batch) == 2
    finally:
        stopped = python(CLEAN_UP, tmp_path)
    assert stopped.returncode == 0, stopped.stderr
    assert "Stopped all Clipper cluster and all model containers" in stopped.stderr
    assert not LocalContainerManager(home=tmp_path / ".clipper").is_running()
