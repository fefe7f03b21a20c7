"""Deploys a Python function of this session, with all that it refers to, as a model (contract P1)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clipper_admin.connection import ClipperConnection
from clipper_admin.exceptions import ClipperException
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.model_dir import save_function

_log = logging.getLogger(__name__)


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any], Any],
    default_output: Any = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Registers an application, deploys a function as a model and links them, all under one name.

    Args:
        clipper_conn: connected to a cluster.
        name: of both the application and the model: lower-case letters, digits and inner dashes.
        input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        func: takes a batch of inputs, returns a list with one output for each.
        default_output: answered when no prediction can be given in time.
        version: the model's version; numbers become text.
        slo_micros: the time within which every query is answered, in microseconds.
        labels: text for people.
        registry: for container managers with images.
        base_image: for container managers with images.
        num_replicas: how many copies of the model run.
        batch_size: the largest batch; -1: the frontend's choice.
        pkgs_to_install: packages that the function needs besides those that it refers to.

    Raises:
        ClipperException: one of the steps is refused; those before it stay.
    """
    clipper_conn.register_application(name, input_type, default_output, slo_micros)
    deploy_python_closure(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_python_closure(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any], Any],
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploys a function as a version of a model and, once its replicas answer health, makes it the current one.

    Whatever the function refers to travels along: other functions, data, trained models, your own modules. Installed
    packages do not: their versions are recorded and checked where the model is loaded.

    Args:
        clipper_conn: connected to a cluster.
        name: the model's name: lower-case letters, digits and inner dashes.
        version: its version; numbers become text.
        input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        func: takes a batch of inputs, returns a list with one output for each.
        base_image: for container managers with images.
        labels: text for people.
        registry: for container managers with images.
        num_replicas: how many copies of the model run.
        batch_size: the largest batch; -1: the frontend's choice.
        pkgs_to_install: packages that the function needs besides those that it refers to.

    Raises:
        ClipperException: it cannot be saved or deployed; nothing of it is left then.
    """
    with tempfile.TemporaryDirectory(prefix="clipper-") as scratch:
        model_dir = Path(scratch) / "model"
        _log.info("Saving function to %s", model_dir)
        try:
            manifest = save_function(model_dir, name=name, version=version, input_type=input_type, func=func)
        except RuntimeFault as error:
            raise ClipperException(str(error)) from error
        _log.info("Serialized and supplied predict function")
        _log.info("Recorded the environment: Python %s, %s", manifest.python, _told(manifest.packages))
        _log.info("Python closure saved")
        clipper_conn.build_and_deploy_model(
            name,
            version,
            input_type,
            str(model_dir),
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
        )


def _told(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())
