"""Everything that the README shows works as shown: its blocks are run, in order, as a reader would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Reads one block per line as JSON, runs it in one namespace as an interpreter would, and says when it is done.
_INTERPRETER = """
import json, sys
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    exec(compile(json.loads(line), "README.md", "exec"), namespace)
    print("\\x04", flush=True)
"""


class Interpreter:
    """A Python session that blocks are typed into."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _INTERPRETER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def run(self, block: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(block) + "\n")
        self._process.stdin.flush()
        output = ""
        for line in self._process.stdout:
            if line == "\x04\n":
                return output
            output += line
        raise AssertionError(f"this block of the README failed:\n{block}\n{output}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def blocks() -> list[tuple[str, str]]:
    """The README's code blocks: (language, text), without those that set up the checkout itself."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if "make " not in text]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home of its own, so that a cluster of the developer's is left alone."""
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    yield env
    subprocess.run(["clipperctl", "stop"], env=env, check=False, capture_output=True)


@pytest.mark.cluster
def test_every_block_of_the_readme_works_as_shown(environment: dict[str, str], tmp_path: Path) -> None:
    """A session is new where the text says so: where a block connects again."""
    session: Interpreter | None = None
    addresses: dict[str, str] = {}
    outputs = []
    for language, text in blocks():
        # A developer's own cluster may hold the usual ports; the local one then takes others.
        for usual, actual in addresses.items():
            text = text.replace(f"localhost:{usual}", actual).replace(f"127.0.0.1:{usual}", actual)
        if language == "py":
            if session is None or "import ClipperConnection" in text:
                if session is not None:
                    session.close()
                session = Interpreter(environment)
            outputs.append(session.run(text))
            if "start_clipper" in text:
                addresses["1337"] = session.run("print(clipper_conn.get_query_addr())").strip()
                addresses["7000"] = session.run("print(clipper_conn.cm.get_frontend_addr())").strip()
        elif language == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text], env=environment, cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            outputs.append(done.stdout)
    if session is not None:
        session.close()
    everything = "\n".join(outputs)
    assert re.search(r'"output":\s*6\.6', everything), everything
    assert "6.6" in everything
    assert "GOOD MORNING!" in everything
    assert not list(tmp_path.glob(".clipper/*/*.sock")), "the cluster was stopped"


def test_the_readme_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
