"""Deploys a scikit-learn model with a function of it and a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers.saved import Target, deploy, make_endpoint
from clipper_admin.deployment import Rollout
from clipper_runtime.manifest import Manifest
from clipper_runtime.saving import save_function


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    sklearn_model: Any,
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
    """Registers an application, deploys a model (`deploy_sklearn_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_sklearn_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_sklearn_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            sklearn_model,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_sklearn_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    sklearn_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(model, inputs)` of a scikit-learn model, or of anything else that can be pickled.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the model and a batch of inputs, returns a list with one output for each.
        sklearn_model: a fitted estimator or pipeline. scikit-learn has no format of its own: it is pickled, so replicas
            need the same Python, and should have the same scikit-learn (other minor versions are told in their logs).

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

    def save(model_dir: Path) -> Manifest:
        whole = functools.partial(func, sklearn_model)
        return save_function(model_dir, name=name, version=version, input_type=input_type, func=whole)

    deploy(target, save)
