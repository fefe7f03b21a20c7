"""What a model needs when its image is built: decided by the manifest, what is here, and what was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from clipper_runtime import provision, save_function
from clipper_runtime.manifest import Manifest


def sums(inputs: Any) -> list[float]:
    return [float(each.sum()) for each in inputs]


def manifest(tmp_path: Path, **packages: str) -> Manifest:
    return save_function(tmp_path / "m", name="m", version=1, input_type="doubles", func=sums, packages={**packages})


def test_what_is_here_already_is_not_installed(tmp_path: Path) -> None:
    assert provision.needed(manifest(tmp_path), []) == []


def test_what_was_recorded_and_is_missing_is_installed_in_its_version(tmp_path: Path) -> None:
    found = manifest(tmp_path, **{"clipper-no-such": "1.2", "click": "1.0", "numpy": "2.0.0"})
    assert provision.needed(found, []) == ["click==1.0", "clipper-no-such==1.2"]


def test_what_was_asked_for_wins_over_what_was_recorded(tmp_path: Path) -> None:
    found = manifest(tmp_path, **{"Clipper_No.Such": "1.2"})
    assert provision.needed(found, ["clipper-no-such[extra]>=2"]) == ["clipper-no-such[extra]>=2"]


def test_a_directory_without_a_manifest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision.main([str(tmp_path)]) == 4
    assert "manifest.json" in capsys.readouterr().err


def test_without_arguments_the_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert provision.main([]) == 2
    assert "Usage" in capsys.readouterr().err


def test_an_image_that_needs_nothing_is_checked_without_pip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(tmp_path)
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    assert provision.main([str(tmp_path / "m")]) == 0
    assert "Installing" not in capsys.readouterr().out
