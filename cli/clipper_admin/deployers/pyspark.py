"""Deploys a Spark model with a function of the session, it and a batch."""

from __future__ import annotations

import json
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
    pyspark_model: Any,
    sc: Any,
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
    """Registers an application, deploys a model (`deploy_pyspark_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_pyspark_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_pyspark_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            pyspark_model,
            sc,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_pyspark_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    pyspark_model: Any,
    sc: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(spark, model, inputs)` of a Spark model. Each replica has a Spark session of its own.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes a SparkSession, the model and a batch of inputs, returns a list with one output for each.
        pyspark_model: a fitted model or pipeline of pyspark.ml, or a model of pyspark.mllib. Replicas need Java.
        sc: the SparkContext that the model was trained with.

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
    model_class = f"{type(pyspark_model).__module__}.{type(pyspark_model).__qualname__}"
    if not hasattr(pyspark_model, "save"):
        raise ClipperException(f"{model_class} cannot be saved by Spark.")

    def write(scratch: Path) -> FrameworkModel:
        folder, about = scratch / "model", scratch / "spark.json"
        if model_class.startswith("pyspark.mllib."):
            pyspark_model.save(sc, folder.as_uri())
        else:
            pyspark_model.save(folder.as_uri())
        about.write_text(json.dumps({"class": model_class}))
        return FrameworkModel("spark_model", ["pyspark"], {"model": folder, "spark.json": about})

    deploy_framework_model(target, func, write, "Spark model")
