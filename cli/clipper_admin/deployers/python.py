"""Deploys a Python function of this session, with all that it refers to, as a model (contract P1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers.saved import Target, deploy, make_endpoint
from clipper_admin.deployment import Rollout
from clipper_runtime.manifest import Manifest
from clipper_runtime.saving import save_function

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
    **options: Unpack[Rollout],
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
        options: activate, golden, cache: how it goes live, see `clipper_admin.deployment.Rollout`.

    Raises:
        ClipperException: one of the steps is refused; then the application is gone again.
    """

    def deploy_it() -> None:
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
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


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
    **options: Unpack[Rollout],
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
        options: activate, golden, cache: how it goes live, see `clipper_admin.deployment.Rollout`.

    Raises:
        ClipperException: it cannot be saved or deployed; nothing of it is left then.
    """

    def save(model_dir: Path) -> Manifest:
        _log.info("Saving function to %s", model_dir)
        manifest = save_function(model_dir, name=name, version=version, input_type=input_type, func=func)
        _log.info("Serialized and supplied predict function")
        _log.info("Python closure saved")
        return manifest

    target = Target(
        clipper_conn,
        name,
        version,
        input_type,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
        options,
    )
    deploy(target, save)
