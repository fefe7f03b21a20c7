"""Images of models: a model directory on top of a runtime, with the packages that it needs."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from clipper_admin.containers.engine import Engine, translated
from clipper_admin.containers.labels import RUNTIME
from clipper_admin.exceptions import ClipperException
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.manifest import FILE_NAME, Manifest
from clipper_runtime.model_dir import open_model_dir

_log = logging.getLogger(__name__)

_FROM_ENVIRONMENT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
"""Where packages come from while an image is built: as in this process."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Known to every Dockerfile, and not kept in the image's history."""
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_TOLD_LINES = 20
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = (" --->", "Removing intermediate container")


def saved_as(model_dir: Path, name: str, version: str) -> Manifest:
    """The manifest of a model directory, none of whose files has changed.

    Raises:
        ClipperException: it is none, or not of this model and version.
    """
    try:
        manifest = open_model_dir(model_dir, check_environment=False).manifest
    except RuntimeFault as error:
        raise ClipperException(str(error)) from error
    for field, wanted, found in (("name", name, manifest.name), ("version", version, manifest.version)):
        if wanted != found:
            raise ClipperException(
                f"{model_dir} holds a model whose {field} is {found}, not {wanted}: deploy it as what it was saved as."
            )
    return manifest


def build(
    engine: Engine,
    model_dir: Path,
    base_image: str,
    tag: str,
    *,
    packages: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> None:
    """Builds the image of a model; what the build says is logged as it goes.

    Raises:
        ClipperException: the base image cannot be had, or the build fails; says how.
    """
    base = engine.image(base_image)
    config = base.attrs["Config"]
    is_ours = RUNTIME in (config.get("Labels") or {}) and (model_dir / FILE_NAME).is_file()
    variables = _variables()
    dockerfile = _dockerfile(base_image, config.get("User") or "root", packages, variables, is_ours=is_ours)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as context:
        _pack(context, model_dir, dockerfile)
        context.seek(0)
        with translated(f"build image {tag}"):
            steps = engine.sdk.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                labels=dict(labels or {}),
                buildargs={**variables, **_given(_PROXIES)},
            )
            _follow(steps, f"Image {tag} could not be built")


def push(engine: Engine, tag: str) -> None:
    """Pushes an image to the registry that its name begins with.

    Raises:
        ClipperException: that fails; says how.
    """
    _log.info("Pushing model Docker image to %s", tag)
    repository, _, version = tag.rpartition(":")
    with translated(f"push image {tag}"):
        steps = engine.sdk.images.push(repository, tag=version, stream=True, decode=True)
        _follow(steps, f"Image {tag} could not be pushed")


def is_ours(image: Any) -> bool:
    """Whether our own runtime is in an image."""
    return RUNTIME in (image.labels or {})


def _dockerfile(base: str, user: str, packages: Sequence[str], variables: Iterable[str], *, is_ours: bool) -> str:
    """What is done: the model is copied and, on our runtime, gets what it needs and is checked."""
    lines = [f"FROM {base}", *(f"ARG {each}" for each in variables), "COPY model /model/"]
    if is_ours:
        command = ["python", "-m", "clipper_runtime.provision", "/model", *packages]
    elif packages:
        command = ["pip", "install", "--no-cache-dir", *packages]
    else:
        command = []
    if command:
        lines += ["USER root", f"RUN {json.dumps(command)}", f"USER {user}"]
    return "\n".join(lines) + "\n"


def _variables() -> dict[str, str]:
    given = _given(_FROM_ENVIRONMENT)
    for name, value in list(given.items()):
        if any(urlsplit(each).password for each in value.split()):
            _log.warning("%s has a password and is not used, since it would stay in the image", name)
            del given[name]
    return given


def _given(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _pack(target: IO[bytes], model_dir: Path, dockerfile: str) -> None:
    """Writes the context of a build. Whoever runs in the container can read the model, and owns nothing of it."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(fileobj=target, mode="w") as archive:
        recipe = tarfile.TarInfo("Dockerfile")
        recipe.size = len(dockerfile.encode())
        archive.addfile(recipe, io.BytesIO(dockerfile.encode()))
        archive.add(model_dir, arcname="model", filter=plain)


def _follow(steps: Iterable[Mapping[str, Any]], failed: str) -> None:
    """Logs what a build or a push says, and raises what it fails with."""
    said: deque[str] = deque(maxlen=_TOLD_LINES)
    told = None
    for step in steps:
        for line in _COLOURS.sub("", str(step.get("stream", ""))).splitlines():
            if line.startswith(_NOISE) or not line.strip():
                continue
            said.append(line.rstrip())
            _log.info("%s", line.rstrip())
        status = step.get("status")
        if status and "progressDetail" not in step and status != told:
            told = status
            _log.info("%s", status)
        if "error" in step:
            raise ClipperException("\n".join([f"{failed}: {str(step['error']).strip()}", *said]))
