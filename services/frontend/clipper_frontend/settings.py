"""The settings of one frontend. Only `app` reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import click
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from clipper_rpc.transport import MAX_MESSAGE_BYTES


def _addresses(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(each.strip() for each in value.split(",") if each.strip())


def _checked_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is no address: write host:port, e.g. 127.0.0.1:7001")
    return address


def _checked_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    if not addresses:
        raise ValueError("give at least one address")
    return tuple(map(_checked_address, addresses))


def _checked_redis(url: str) -> str:
    if not re.match(r"(redis|rediss|unix)://.", url):
        raise ValueError("write redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://PATH")
    _ = urlsplit(url).port  # complains if it is no number
    return url


def _checked_cluster(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][-._A-Za-z0-9]{0,62}", name):
        raise ValueError("write 1 to 63 letters, digits, hyphens, dots and underscores; a letter or digit first")
    return name


_Addresses = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_addresses), AfterValidator(_checked_addresses)]


class Settings(BaseSettings):
    """Flags, else variables CLIPPER_FRONTEND_..., else the defaults."""

    model_config = SettingsConfigDict(
        env_prefix="CLIPPER_FRONTEND_", frozen=True, env_ignore_empty=True, use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 7000
    """The port to listen on; 0 takes a free one."""
    manager: _Addresses = ("127.0.0.1:7001",)
    """Managers, host:port[,host:port...]; any one that answers will do."""
    advertise: Annotated[str, AfterValidator(_checked_address)] | None = None
    """Where others reach it, host:port, for the list of instances. Default: where it listens."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """How many processes share the port; above 1 this one only looks after them."""
    transport: Literal["auto", "native", "grpcio"] = "auto"
    """What carries gRPC."""
    redis_url: Annotated[str, AfterValidator(_checked_redis)] = "redis://127.0.0.1:6379/0"
    """Where policies that learn keep what they have learned: redis://HOST:PORT/DB, rediss://... or unix://PATH."""
    cluster: Annotated[str, AfterValidator(_checked_cluster)] = "default-cluster"
    """The name of the cluster: the frontends and managers of one cluster on one Redis share what is learned."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: that and above."""
    ready_fd: Annotated[int, Field(ge=0)] | None = None
    """An inherited descriptor that gets one line of JSON once all processes answer."""
    grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How many seconds running calls may take when the process is asked to stop."""
    reply_margin_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """How many milliseconds before a client's deadline its default leaves, so that it arrives in time."""
    max_batch_rows: Annotated[int, Field(ge=1, le=100_000)] = 512
    """The largest batch of a model that sets no limit itself, in inputs; most are smaller, by the objective."""
    max_batches_in_flight: Annotated[int, Field(ge=1, le=64)] = 2
    """How many batches one replica may have at once, if its version does not say; all but the first are full ones."""
    late_answers_ms: Annotated[float, Field(ge=0, le=3_600_000)] = 5_000.0
    """How many milliseconds after the last caller has given up the answer to a batch is still taken: it fills the
    cache, and shows how fast the replica is. A replica that takes longer is asked for one query at a time."""
    max_queue_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000
    """How many inputs may wait for one version, if it does not say; more are refused."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """To how many replicas a query is given, one after the other, when they are lost."""
    cache_bytes: Annotated[int, Field(ge=0, le=2**40)] = 32 * 1024 * 1024
    """What the prediction cache may take, all counted, shared out among the workers; 0 turns it off, and with it the
    joining of identical queries."""
    cache_ttl_s: Annotated[float, Field(ge=0, le=10**9)] = 0.0
    """How many seconds a cached prediction is good for; 0: until it is evicted or its version is gone."""
    max_batch_inputs: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """How many inputs one PredictBatch may have."""
    max_stream_queries: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    """How many queries of one PredictStream may be under way."""
    feedback_window_s: Annotated[float, Field(ge=1, le=10**7)] = 3600.0
    """How many seconds after an answer feedback by its query id is taken."""
    max_remembered_queries: Annotated[int, Field(ge=0, le=10**9)] = 500_000
    """How many queries are remembered for that, in Redis, over all frontends; the oldest go first."""
    feedback_token_s: Annotated[float, Field(ge=1, le=10**8)] = 86_400.0
    """How many seconds a token of feedback is known: sent again within that time it changes nothing."""
    max_contexts: Annotated[int, Field(ge=1, le=10**8)] = 100_000
    """For how many users or sessions an application keeps a state of their own; those taught longest ago go first."""
    context_s: Annotated[float, Field(ge=1, le=10**9)] = 30 * 86_400.0
    """How many seconds the state of a user or session is kept after it was last taught."""
    max_cached_contexts: Annotated[int, Field(ge=1, le=10**7)] = 10_000
    """How many of these states each process keeps at hand, per application."""
    max_explained_queries: Annotated[int, Field(ge=0, le=100_000)] = 10_000
    """How many predictions, and as many other answers, each process remembers for clipperctl explain; 0: none."""
    prediction_log: Path | None = None
    """A directory for the prediction log of applications that learn, which clipperctl policy evaluate reads."""
    prediction_log_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of queries that is logged."""
    prediction_log_mb: Annotated[float, Field(ge=0.1, le=10**6)] = 256.0
    """How many megabytes the files of the prediction log may take; the oldest go first."""
    max_message_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = MAX_MESSAGE_BYTES
    """The largest message, each way."""
    max_connection_age_s: Annotated[float, Field(ge=0, le=10**7)] = 0.0
    """After how many seconds a client is asked to connect anew, so that clients spread over new frontends; 0: never."""
    max_concurrent_calls: Annotated[int, Field(ge=0, le=2**20)] = 0
    """How many calls of one connection run at a time; 0: what the transport thinks best (native: 1024)."""
    compress_above_bytes: Annotated[int, Field(ge=-1, le=2**31 - 1)] = -1
    """Answers with more bytes are compressed (gzip) for clients that read that; -1: none is."""
    metrics_port: Annotated[int, Field(ge=-1, le=65535)] = 1390
    """The port of its metrics; 0 takes a free one (as if it is taken), -1 is off."""
    told_at: Path | None = None
    """Set for a worker: the socket at which it tells its parent about itself, beside those of its siblings."""
    shared_port: bool = False
    """Set for a worker: other processes listen on the port too."""
    parent_fd: Annotated[int, Field(ge=0)] | None = None
    """Set for a worker: it stops when this descriptor is closed, since then its parent is gone."""

    def as_flags(self) -> list[str]:
        """The flags that give these settings to another process."""
        return [text for name, value in self for text in _flag(name, value)]


_INTERNAL = frozenset(("shared_port", "parent_fd", "told_at"))


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a click command one flag per setting, with its description, default and variable."""
    for name, field in reversed(Settings.model_fields.items()):
        click.option(
            _flag_name(name),
            type=_click_type(field),
            metavar=_metavar(name, field),
            help=f"{field.description} {_default(field)}[env: CLIPPER_FRONTEND_{name.upper()}]",
            hidden=name in _INTERNAL,
        )(command)
    return command


def _flag(name: str, value: object) -> Iterator[str]:
    if value is not None:
        yield _flag_name(name)
        yield ",".join(value) if isinstance(value, tuple) else str(value)


def _flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def _click_type(field: FieldInfo) -> click.Choice[str] | None:
    if get_origin(field.annotation) is Literal:
        return click.Choice(get_args(field.annotation))
    return None  # pydantic checks it


def _metavar(name: str, field: FieldInfo) -> str | None:
    if name == "manager":
        return "HOST:PORT[,...]"
    return "NUMBER" if isinstance(field.default, int | float) else None


def _default(field: FieldInfo) -> str:
    if field.default is None:
        return ""
    value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    return f"Default: {value}. "
