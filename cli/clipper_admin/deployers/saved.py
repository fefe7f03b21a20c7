"""What all deployers do: save a model into a directory, deploy that, and make an endpoint of it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployment import Rollout
from clipper_admin.exceptions import ClipperException
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.manifest import Manifest
from clipper_runtime.saving import save_framework_model

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model goes: what every deployer takes besides the model itself."""

    clipper_conn: ClipperConnection
    name: str
    version: str | int
    input_type: str
    base_image: str
    labels: Sequence[str] | None
    registry: str | None
    num_replicas: int
    batch_size: int
    pkgs_to_install: Sequence[str] | None
    rollout: Rollout


@dataclass(frozen=True, slots=True)
class FrameworkModel:
    """A framework's model, written in a form that a loader of the runtime reads."""

    loader: str
    """The name of a function of clipper_runtime.loaders."""
    modules: Iterable[str]
    """The framework's top-level modules: the versions of their packages are recorded."""
    files: Mapping[str, str | Path]
    """By their path in the model directory."""
    pickled: Mapping[str, object] = field(default_factory=dict)
    """What is pickled as functions are, by the name of the file."""


def deploy(target: Target, save: Callable[[Path], Manifest]) -> None:
    """Saves a model into a directory that does not exist yet, and deploys that.

    Raises:
        ClipperException: it cannot be saved or deployed; nothing of it is left then.
    """
    with tempfile.TemporaryDirectory(prefix="clipper-") as scratch:
        model_dir = Path(scratch) / "model"
        with _told():
            manifest = save(model_dir)
        packages = ", ".join(f"{name} {version}" for name, version in manifest.packages.items())
        _log.info("Recorded the environment: Python %s, %s", manifest.python, packages)
        target.clipper_conn.build_and_deploy_model(
            target.name,
            target.version,
            target.input_type,
            str(model_dir),
            target.base_image,
            target.labels,
            target.registry,
            target.num_replicas,
            target.batch_size,
            target.pkgs_to_install,
            **target.rollout,
        )


def deploy_framework_model(
    target: Target, func: Callable[..., Any], write: Callable[[Path], FrameworkModel], what: str
) -> None:
    """Deploys a function of a framework's model and a batch.

    Args:
        target: where it goes.
        func: the function.
        write: writes the model's files into an empty directory.
        what: the model, for people.
    """

    def save(model_dir: Path) -> Manifest:
        with tempfile.TemporaryDirectory(prefix="clipper-") as scratch:
            found = write(Path(scratch))
            _log.info("%s saved", what)
            return save_framework_model(
                model_dir,
                name=target.name,
                version=target.version,
                input_type=target.input_type,
                func=func,
                loader=f"clipper_runtime.loaders:{found.loader}",
                files=found.files,
                pickled=found.pickled,
                modules=found.modules,
            )

    deploy(target, save)


def make_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    default_output: Any,
    slo_micros: int,
    deploy_model: Callable[[], None],
) -> None:
    """Registers an application, deploys a model and links them, all under one name.

    Raises:
        ClipperException: one of the steps is refused; then the application is gone again.
    """
    clipper_conn.register_application(name, input_type, default_output, slo_micros)
    try:
        deploy_model()
        clipper_conn.link_model_to_app(name, name)
    except BaseException:  # also Ctrl-C: half an endpoint is none
        clipper_conn.unregister_application(name)
        raise


def only_file(place: str | Path, suffixes: Sequence[str]) -> Path:
    """The path of a saved model, if it is a file that ends so.

    Raises:
        ClipperException: it is not.
    """
    path = Path(place).expanduser()
    if not path.is_file() or path.suffix not in suffixes:
        raise ClipperException(f"{path} is no file that ends in {' or '.join(suffixes)}.")
    return path


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeFault as error:
        raise ClipperException(str(error)) from error
