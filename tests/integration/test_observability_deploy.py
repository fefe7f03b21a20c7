"""What is deployed to look at a cluster: valid by its own tools, and about metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "observability" / "prometheus"
GRAFANA = ROOT / "deploy" / "observability" / "grafana"
_NOT_TO_BE_HAD = 69
_SUFFIXES = {"", "_total", "_seconds", "_bytes", "_bucket", "_sum", "_count"} | {
    f"_seconds_{part}" for part in ("bucket", "sum", "count")
}
_OF_PROMETHEUS_ITSELF = {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def promtool(*arguments: str) -> str:
    run = subprocess.run([ROOT / "tools" / "promtool", *arguments], capture_output=True, text=True, cwd=PROMETHEUS)
    if run.returncode == _NOT_TO_BE_HAD:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def told_names() -> set[str]:
    """What our processes tell, without units and suffixes, with underscores."""
    call = re.compile(r'(?:counter|gauge|histogram)\(\s*f?"(clipper[.\w{}]+)"')
    found: set[str] = set()
    for package in ("services", "runtimes"):
        for path in (ROOT / package).rglob("*.py"):
            found.update(call.findall(path.read_text()))
    became = (ROOT / "services/frontend/clipper_frontend/metrics_export.py").read_text()
    kinds = re.findall(r'^    "(\w+)": "', became, re.MULTILINE)
    return {
        name.replace(".", "_").replace("{name}", kind) for name in found for kind in (kinds if "{" in name else [""])
    }


def asked_names(expressions: list[str]) -> set[str]:
    return {name for each in expressions for name in re.findall(r"(?<![:\w])(?:clipper|process)_\w+", each)}


def rules() -> list[dict[str, str]]:
    return [
        rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
    ]


def panels() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((GRAFANA / "dashboards" / "clipper.json").read_text())["panels"]
    return found


def panel_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]  # type: ignore[attr-defined]


def test_promtool_finds_the_scrape_config_and_the_rules_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_alerts_fire_for_what_they_are_about_and_for_nothing_else() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


def test_alerts_and_panels_ask_for_metrics_that_a_process_tells() -> None:
    told = {name + suffix for name in told_names() for suffix in _SUFFIXES} | _OF_PROMETHEUS_ITSELF
    asked = asked_names([rule["expr"] for rule in rules()] + panel_expressions())
    assert len(asked) > 20
    assert asked <= told


def test_panels_ask_for_recorded_rules_that_there_are() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for each in panel_expressions() for name in re.findall(r"application:[\w:]+", each)}
    assert asked
    assert asked <= recorded


def test_every_panel_says_what_it_shows_and_does_not_overlap_another() -> None:
    places = set()
    for panel in panels():
        assert panel["description"]
        grid = panel["gridPos"]
        assert isinstance(grid, dict)
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not places & cells
        places |= cells


def test_every_service_that_is_scraped_and_every_file_that_is_mounted_is_in_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    scraped = {name for job in config["scrape_configs"] for found in job["dns_sd_configs"] for name in found["names"]}
    assert scraped <= set(compose["services"])
    for service in ("prometheus", "grafana"):
        for volume in compose["services"][service]["volumes"]:
            source = volume.partition(":")[0]
            assert (ROOT / "deploy" / source).is_dir() if source.startswith(".") else source in compose["volumes"]
