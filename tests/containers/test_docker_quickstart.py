"""The quickstart of Clipper's own README, as its readers type it: unchanged, imports included."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

# ruff: noqa: E501  # the lines of the README are as they are

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

FIRST_SESSION = [
    """from clipper_admin import ClipperConnection, DockerContainerManager
clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.start_clipper()
""",
    """clipper_conn.register_application(name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=100000)
""",
    """clipper_conn.get_all_apps()
""",
    """def feature_sum(xs):
    return [str(sum(x)) for x in xs]
""",
    """from clipper_admin.deployers import python as python_deployer
""",
    """python_deployer.deploy_python_closure(clipper_conn, name="sum-model", version=1, input_type="doubles", func=feature_sum)
""",
    """clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")
""",
    """import requests, json, numpy as np
headers = {"Content-type": "application/json"}
requests.post("http://localhost:1337/hello-world/predict", headers=headers, data=json.dumps({"input": list(np.random.random(10))})).json()
""",
]
CURL = """$ curl -X POST --header "Content-Type:application/json" -d '{"input": [1.1, 2.2, 3.3]}' 127.0.0.1:1337/hello-world/predict
"""
SECOND_SESSION = [
    """from clipper_admin import ClipperConnection, DockerContainerManager
clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.connect()
""",
    """clipper_conn.stop_all()
""",
]
DIGEST = "8267ac037e13027ad87e6c3aa4e859cd36ffae0b2ea993564bcfc4d99156cbe3"
"""Of these blocks, one after the other, as they stand in README.md of ucbrise/clipper at 9f25e3fc."""

# As an interactive interpreter: each statement in one namespace; the value of an expression is printed.
SESSION = """
import ast, json, sys
namespace = {"__name__": "__main__"}
for block in json.loads(sys.argv[1]):
    for node in ast.parse(block).body:
        exec(compile(ast.Interactive([node]), "README.md", "single"), namespace)
if "start_clipper" in sys.argv[1]:
    print("AT", namespace["clipper_conn"].get_query_addr())
"""


def session(blocks: list[str]) -> str:
    """What an interpreter prints for these blocks."""
    done = subprocess.run([sys.executable, "-c", SESSION, json.dumps(blocks)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def nothing_runs(engine: Any) -> Iterator[None]:
    """The quickstart names no cluster and no port, so both must be free."""
    label = {"label": "ai.clipper.container.label=default-cluster"}
    if engine.containers.list(all=True, filters=label):
        pytest.skip("a default-cluster of the developer's runs")
    yield
    for each in engine.containers.list(all=True, filters=label):
        each.remove(force=True, v=True)
    for each in engine.volumes.list(filters=label):
        each.remove()
    for each in engine.images.list(filters=label):
        engine.images.remove(each.id, force=True)


def test_the_quickstart_runs_unchanged(nothing_runs: None, engine: Any) -> None:
    start, query = FIRST_SESSION[:-1], FIRST_SESSION[-1]
    printed = session(start)
    assert "['hello-world']" in printed
    address = printed.split("AT ")[1].strip()  # another one than the README's where that port is taken
    replied = session([query.replace("localhost:1337", address)])
    assert re.search(r"'output': [\d.]+, 'default': False", replied), replied
    curl = CURL.removeprefix("$ ").replace("127.0.0.1:1337", address)
    answer = json.loads(subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout)
    assert (answer["output"], answer["default"]) == (6.6, False)
    session(SECOND_SESSION)
    assert not engine.containers.list(all=True, filters={"label": "ai.clipper.container.label=default-cluster"})


def test_the_quickstart_is_the_one_of_clippers_readme() -> None:
    *before, query = FIRST_SESSION
    blocks = [*before, CURL, query, *SECOND_SESSION]
    assert hashlib.sha256("".join(blocks).encode()).hexdigest() == DIGEST
