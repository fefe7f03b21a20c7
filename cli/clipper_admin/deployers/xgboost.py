"""Deploys an XGBoost model, in XGBoost's own format, with a function of it and a batch."""

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
    xgboost_model: Any,
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
    """Registers an application, deploys a model (`deploy_xgboost_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_xgboost_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_xgboost_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            xgboost_model,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_xgboost_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    xgboost_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(model, inputs)` of an XGBoost model.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the model and a batch of inputs, returns a list with one output for each.
        xgboost_model: a Booster, or a fitted model of the scikit-learn interface (XGBClassifier, XGBRegressor, …).

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
    if not hasattr(xgboost_model, "save_model"):
        raise ClipperException(f"{xgboost_model!r} is no model of XGBoost: it has no save_model.")

    def write(scratch: Path) -> FrameworkModel:
        file = f"{type(xgboost_model).__name__}.ubj"
        xgboost_model.save_model(scratch / file)
        return FrameworkModel("xgboost_model", ["xgboost"], {f"model/{file}": scratch / file})

    deploy_framework_model(target, func, write, "XGBoost model")
