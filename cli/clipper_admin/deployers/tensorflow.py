"""Deploys a TensorFlow model with a function of it and a batch."""

from __future__ import annotations

import importlib
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
    tf_sess_or_saved_model_path: Any,
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
    """Registers an application, deploys a model (`deploy_tensorflow_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_tensorflow_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_tensorflow_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            tf_sess_or_saved_model_path,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_tensorflow_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    tf_sess_or_saved_model_path: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(model, inputs)` of a TensorFlow model.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the model and a batch of inputs, returns a list with one output for each. The model is what
            tf.saved_model.load returns; for a session, a checkpoint and a frozen graph it is a tf.compat.v1.Session.
        tf_sess_or_saved_model_path: one of
            - a tf.Module, which is saved as SavedModel; or the path of the folder of a SavedModel;
            - a tf.compat.v1.Session, of which a checkpoint is saved; or the path of the folder of a checkpoint;
            - the path of a frozen graph (.pb).

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

    def write(scratch: Path) -> FrameworkModel:
        if isinstance(tf_sess_or_saved_model_path, str | Path):
            return _saved(Path(tf_sess_or_saved_model_path).expanduser())
        tf = importlib.import_module("tensorflow")
        if isinstance(tf_sess_or_saved_model_path, tf.compat.v1.Session):
            with tf_sess_or_saved_model_path.graph.as_default():
                tf.compat.v1.train.Saver().save(tf_sess_or_saved_model_path, str(scratch / "model.ckpt"))
        else:
            tf.saved_model.save(tf_sess_or_saved_model_path, str(scratch))
        return _saved(scratch)

    deploy_framework_model(target, func, write, "TensorFlow model")


def _saved(path: Path) -> FrameworkModel:
    if (path / "saved_model.pb").is_file():
        loader, files = "tensorflow_saved_model", {"model": path}
    elif path.is_dir() and all(any(path.glob(each)) for each in ("*.meta", "*.index", "*.data*", "checkpoint")):
        loader, files = "tensorflow_checkpoint", {"model": path}
    elif path.suffix == ".pb" and path.is_file():
        loader, files = "tensorflow_graph", {"model/graph.pb": path}
    elif path.is_dir() and len(found := list(path.glob("*.pb"))) == 1:
        loader, files = "tensorflow_graph", {"model/graph.pb": found[0]}
    else:
        raise ClipperException(
            f"{path} is neither the folder of a SavedModel (saved_model.pb), nor that of a checkpoint (.meta, .index, "
            ".data and checkpoint), nor a frozen graph (.pb)."
        )
    return FrameworkModel(loader, ["tensorflow"], files)
