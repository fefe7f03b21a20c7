"""Deploys a PyTorch model with a function of it and a batch."""

from __future__ import annotations

import copy
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
    pytorch_model: Any,
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
    """Registers an application, deploys a model (`deploy_pytorch_model`) and links them, all under one name.

    Arguments and errors are those of `deploy_pytorch_model` and of `deployers.python.create_endpoint`.
    """

    def deploy_it() -> None:
        deploy_pytorch_model(
            clipper_conn,
            name,
            version,
            input_type,
            func,
            pytorch_model,
            base_image,
            labels,
            registry,
            num_replicas,
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
    func: Callable[..., Any],
    pytorch_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[Rollout],
) -> None:
    """Deploys a function `func(model, inputs)` of a PyTorch model. Replicas have it in evaluation mode, on the CPU.

    Takes besides what `deployers.python.deploy_python_closure` does:
        func: takes the model and a batch of inputs, returns a list with one output for each.
        pytorch_model: a ScriptModule, which is saved as TorchScript and needs no code of its own; or a Module, of which
            the numbers are saved as data and the code is pickled.

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
    torch = importlib.import_module("torch")
    if not isinstance(pytorch_model, torch.nn.Module):
        raise ClipperException(f"{type(pytorch_model).__name__} is no torch.nn.Module.")

    def write(scratch: Path) -> FrameworkModel:
        file = scratch / "model.pt"
        if isinstance(pytorch_model, torch.jit.ScriptModule):
            torch.jit.save(pytorch_model, str(file))
            return FrameworkModel("torch_script", ["torch"], {"model/model.pt": file})
        torch.save(_numbers(pytorch_model), file)
        pickled = {"module.pkl": _skeleton(pytorch_model)}
        return FrameworkModel("torch_module", ["torch"], {"model/model.pt": file}, pickled)

    deploy_framework_model(target, func, write, "Torch model")


def _numbers(module: Any) -> dict[str, Any]:
    """All parameters and buffers by name; also those that state_dict leaves out."""
    found = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    return {name: tensor.detach().cpu() for name, tensor in found.items()}


def _skeleton(module: Any) -> Any:
    """The module without its numbers."""
    try:
        return copy.deepcopy(module).to("meta")
    except Exception as error:
        raise ClipperException(
            f"{type(module).__name__} cannot be taken apart ({type(error).__name__}: {error}). Make it a ScriptModule "
            "with torch.jit.script or torch.jit.trace, or refer to it in the function of deploy_python_closure."
        ) from error
