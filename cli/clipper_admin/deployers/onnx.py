"""Deploys an ONNX model, run by ONNX Runtime, with a function of its session and a batch."""

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
    onnx_model: Any,
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
    """Registers an application, deploys a model (`deploy_onnx_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_onnx_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_onnx_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            onnx_model,
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_onnx_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    onnx_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(session, inputs)` of an ONNX model's onnxruntime.InferenceSession.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the session and a batch of inputs, returns a list with one output for each, such as
            `session.run(None, {"input": inputs})[0]`.
        onnx_model: an onnx.ModelProto, its bytes, or the path of an .onnx file; of a folder, if tensors are kept beside
            the one .onnx file in it.

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
        if isinstance(onnx_model, str | Path):
            path = Path(onnx_model).expanduser()
            if path.is_dir() and len(list(path.glob("*.onnx"))) == 1:
                return FrameworkModel("onnx_model", ["onnxruntime"], {"model": path})
            file = only_file(path, (".onnx",))
        else:
            file = scratch / "model.onnx"
            file.write_bytes(_content(onnx_model))
        return FrameworkModel("onnx_model", ["onnxruntime"], {"model/model.onnx": file})

    deploy_framework_model(target, func, write, "ONNX model")


def create_pytorch_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    inputs: Any,
    func: Callable[..., Any],
    pytorch_model: Any,
    default_output: Any = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
    onnx_backend: str = "onnxruntime",
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Registers an application, deploys a model (`deploy_pytorch_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_pytorch_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_pytorch_model(
            clipper_conn,
            name,
            version,
            input_type,
            inputs,
            func,
            pytorch_model,
            base_image,
            labels,
            registry,
            num_replicas,
            onnx_backend,
            batch_size,
            pkgs_to_install,
            **options,
        )

    make_endpoint(clipper_conn, name, input_type, default_output, slo_micros, deploy_it)


def deploy_pytorch_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    inputs: Any,
    func: Callable[..., Any],
    pytorch_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = "onnxruntime",
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(session, inputs)` of a PyTorch model that is exported to ONNX.

    Takes besides what `deployers.python.deploy_python_closure` does:
        inputs: an example of what the module takes, or a tuple of its arguments: it is exported by running it once. The
            first dimension may differ from batch to batch.
        func: as for `deploy_onnx_model`; the names of the module's inputs are those of its forward().
        pytorch_model: a torch.nn.Module.
        onnx_backend: what runs it: "onnxruntime".

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
    if onnx_backend != "onnxruntime":
        raise ClipperException(
            f"There is no ONNX backend {onnx_backend!r}: Caffe2 has been dropped by PyTorch. ONNX Runtime runs ONNX "
            "models: leave onnx_backend out."
        )

    def write(scratch: Path) -> FrameworkModel:
        torch = importlib.import_module("torch")
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in arguments)
        folder = scratch / "model"
        folder.mkdir()
        torch.onnx.export(pytorch_model.eval(), arguments, folder / "model.onnx", dynamic_shapes=shapes, verbose=False)
        return FrameworkModel("onnx_model", ["onnxruntime"], {"model": folder})

    deploy_framework_model(target, func, write, "ONNX model of the Torch model")


def _content(onnx_model: Any) -> bytes:
    if isinstance(onnx_model, bytes):
        return onnx_model
    if hasattr(onnx_model, "SerializeToString"):
        content: bytes = onnx_model.SerializeToString()
        return content
    raise ClipperException(f"{type(onnx_model).__name__} is no ONNX model: give a ModelProto, its bytes or a path.")
