"""Deploys a Keras model with a function of it and a batch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers.saved import FrameworkModel, Target, deploy_framework_model, make_endpoint, only_file
from clipper_admin.deployment import Rollout
from clipper_admin.exceptions import ClipperException


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    model_path_or_object: Any,
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
    """Registers an application, deploys a model (`deploy_keras_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_keras_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_keras_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            model_path_or_object,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_keras_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    model_path_or_object: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(model, inputs)` of a Keras model.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the model and a batch of inputs, returns a list with one output for each.
        model_path_or_object: a Keras model, which is saved in Keras's own format; or the path of a saved one, .keras
            or .h5. Own layers must be registered with Keras by a module that replicas can import.

    Raises:
        ClipperException: it cannot be saved or deployed; nothing of it is left then.
    """
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
    keras = importlib.import_module("keras")
    saved = only_file(model_path_or_object, (".keras", ".h5")) if isinstance(model_path_or_object, str | Path) else None
    if saved is None and not hasattr(model_path_or_object, "save"):
        raise ClipperException(f"{type(model_path_or_object).__name__} is no Keras model, and no path of one.")

    def write(scratch: Path) -> FrameworkModel:
        backend = keras.backend.backend()
        file = saved or scratch / f"{backend}.keras"
        if saved is None:
            model_path_or_object.save(file)
        return FrameworkModel("keras_model", ["keras", backend], {f"model/{backend}{file.suffix}": file})

    deploy_framework_model(target, func, write, "Keras model")
