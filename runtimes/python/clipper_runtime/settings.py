"""The settings of one runtime process. Only `app` reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from clipper_runtime.names import InputType, checked_class, checked_name, checked_version

_PREFIX = "CLIPPER_RUNTIME_"


def _both(field: str, clippers: str) -> AliasChoices:
    """A field that is also read from the variable that Clipper's containers know (contract C1)."""
    return AliasChoices(field, f"{_PREFIX}{field.upper()}", clippers)


def _addresses(value: object) -> object:
    """Text with commas as a tuple; "none" as an empty one."""
    if not isinstance(value, str):
        return value
    return () if value.strip().lower() == "none" else tuple(each.strip() for each in value.split(",") if each.strip())


def _checked_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        checked_address(each)
    return value


def checked_address(address: str) -> str:
    """The address, if it is "host:port".

    Raises:
        ValueError: it is not.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is no address: it must be host:port, e.g. 127.0.0.1:7001")
    return address


def _default_managers() -> tuple[str, ...]:
    """Clipper's containers find the cluster by CLIPPER_IP and CLIPPER_PORT."""
    return (f"{os.environ.get('CLIPPER_IP') or '127.0.0.1'}:{os.environ.get('CLIPPER_PORT') or '7001'}",)


class Settings(BaseSettings):
    """Flags, else variables CLIPPER_RUNTIME_..., else those of Clipper's containers, else the defaults."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, env_ignore_empty=True, populate_by_name=True)

    model_dir: Path | None = Field(default=None, validation_alias=_both("model_dir", "CLIPPER_MODEL_PATH"))
    """The model directory; for a model_class: what its `load` is given."""
    model_class: Annotated[str, AfterValidator(checked_class)] | None = None
    """A class to serve without a manifest, as "module:Class"; needs name and version."""
    name: Annotated[str, AfterValidator(checked_name)] | None = Field(
        default=None, validation_alias=_both("name", "CLIPPER_MODEL_NAME")
    )
    """The model's name; the manifest's, where there is one."""
    version: Annotated[str, AfterValidator(checked_version)] | None = Field(
        default=None, validation_alias=_both("version", "CLIPPER_MODEL_VERSION")
    )
    """The model's version; the manifest's, where there is one."""
    input_type: Annotated[InputType, BeforeValidator(InputType.parse)] | None = Field(
        default=None, validation_alias=_both("input_type", "CLIPPER_INPUT_TYPE")
    )
    """The type of its inputs; the manifest's, where there is one, else doubles."""
    manager: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_addresses), AfterValidator(_checked_addresses)] = (
        Field(default_factory=_default_managers)
    )
    """Managers to register with, any of which will do; none: whoever started this process registers it."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port to listen on; 0 takes a free one."""
    advertise: Annotated[str, AfterValidator(checked_address)] | None = None
    """The address that frontends reach it at, if it is another one than it listens on."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """How many batches are predicted at a time. Above 1 the model must be safe for threads."""
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 256
    """How many calls may wait for the model; more are refused."""
    isolate: bool = True
    """Whether a failing batch is asked again in parts, so that only the inputs at fault fail."""
    environment_check: bool = True
    """Whether a model that was saved with other major versions is refused."""
    metrics_port: Annotated[int, Field(ge=-1, le=65535)] = 0
    """The port of its metrics; 0 takes a free one and tells it, -1 is off."""
    grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How long running predictions may take when the process is asked to stop."""
    transport: Literal["auto", "native", "grpcio"] = "auto"
    """What carries gRPC."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: that and above."""
    ready_fd: Annotated[int, Field(ge=0)] | None = None
    """An inherited file descriptor that gets one line of JSON once the model serves."""
    ready_file: Path | None = None
    """A file that is made once the model serves (contract C2: /model_is_ready.check)."""
