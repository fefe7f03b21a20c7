"""Deploys a LightGBM model, in LightGBM's own format, with a function of it and a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers.saved import FrameworkModel, Target, deploy_framework_model, make_endpoint
from clipper_admin.deployment import Rollout
from clipper_admin.exceptions import ClipperException


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    lightgbm_model: Any,
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
    """Registers an application, deploys a model (`deploy_lightgbm_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_lightgbm_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_lightgbm_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            lightgbm_model,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_lightgbm_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    lightgbm_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(booster, inputs)` of a LightGBM Booster.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the Booster and a batch of inputs, returns a list with one output for each.
        lightgbm_model: a Booster. Of a model of the scikit-learn interface it is `model.booster_`, whose predictions
            are not classes; to deploy the model itself, pickled, there is `deployers.sklearn`.

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
    if hasattr(lightgbm_model, "booster_"):
        raise ClipperException(
            "LightGBM's format keeps the Booster of a model, not its scikit-learn interface. Give model.booster_, "
            "or use clipper_admin.deployers.sklearn."
        )
    if not hasattr(lightgbm_model, "save_model"):
        raise ClipperException(f"{lightgbm_model!r} is no Booster of LightGBM.")

    def write(scratch: Path) -> FrameworkModel:
        lightgbm_model.save_model(scratch / "model.txt")
        return FrameworkModel("lightgbm_model", ["lightgbm"], {"model/model.txt": scratch / "model.txt"})

    deploy_framework_model(target, func, write, "LightGBM model")
