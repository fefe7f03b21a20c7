"""The settings of one manager. Only `app` reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import click
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CLIPPER_MANAGER_"


def _checked_redis(url: str) -> str:
    if not re.match(r"(redis|rediss|unix)://.", url):
        raise ValueError("write redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://PATH")
    _ = urlsplit(url).port  # complains if it is no number
    return url


def _checked_cluster(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][-._A-Za-z0-9]{0,62}", name):
        raise ValueError("write 1 to 63 letters, digits, hyphens, dots and underscores; a letter or digit first")
    return name


def _checked_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("write HOST:PORT, for example 10.0.0.5:7001")
    return address


class Settings(BaseSettings):
    """Flags, else variables CLIPPER_MANAGER_..., else the defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, env_ignore_empty=True, use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 7001
    """The port to listen on; 0 takes a free one."""
    advertise: Annotated[str, AfterValidator(_checked_address)] | None = None
    """Where others reach it, HOST:PORT, for the list of instances. Default: where it listens."""
    redis_url: Annotated[str, AfterValidator(_checked_redis)] = "redis://127.0.0.1:6379/0"
    """Where the configuration is kept: redis://HOST:PORT/DB, rediss://... or unix://PATH."""
    cluster: Annotated[str, AfterValidator(_checked_cluster)] = "default-cluster"
    """The name of the cluster: managers of the same cluster on one Redis share one configuration."""
    lease_ttl_s: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """How many seconds a registration lasts that is not renewed."""
    history: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """How many changes are kept for watchers that resume; older ones get everything anew."""
    transport: Literal["auto", "native", "grpcio"] = "auto"
    """What carries gRPC."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: that and above."""
    metrics_port: Annotated[int, Field(ge=-1, le=65535)] = 1391
    """The port of its metrics; 0 takes a free one (as if it is taken), -1 is off."""
    grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How many seconds running calls may take when the process is asked to stop."""
    ready_fd: Annotated[int, Field(ge=0)] | None = None
    """An inherited descriptor that gets one line of JSON, {"address", "pid"}, once the manager serves."""


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a click command one flag per setting, with its description, default and variable."""
    for name, field in reversed(Settings.model_fields.items()):
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        default = "" if field.default is None else f"Default: {field.default}. "
        click.option(
            "--" + name.replace("_", "-"),
            type=click.Choice(choices) if choices else None,  # all else pydantic checks
            metavar=None if choices else "VALUE",
            help=f"{field.description} {default}[env: {PREFIX}{name.upper()}]",
        )(command)
    return command
