"""What fields may be: each check returns its value or says what is allowed, with an example.

`field` is the path in the request, as the caller wrote it: "application.name".

Raises (all of them):
    InvalidField: the value is not allowed.
"""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import replace

import clipper_selection
from clipper_manager.resources import (
    MS,
    Application,
    Batching,
    Instance,
    ModelVersion,
    SelectionPolicy,
)
from clipper_rpc.errors import InvalidField

MIN_OBJECTIVE_NS = MS
MAX_OBJECTIVE_NS = 3600 * 1000 * MS
MAX_LINGER_NS = 1000 * MS
MAX_DEFAULT_OUTPUT_BYTES = 1024 * 1024
MAX_LABELS = 64
MAX_LABEL_BYTES = 256
MAX_TEXT_BYTES = 4096
MAX_ROWS = 2**31 - 1

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_INSTANCE_ID = re.compile(r"[A-Za-z0-9](?:[-._:A-Za-z0-9]{0,126}[A-Za-z0-9])?")
_HOST = re.compile(r"\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?")


def _refuse(field: str, problem: str) -> InvalidField:
    return InvalidField(field=field, problem=problem)


def name(field: str, value: str) -> str:
    """The name of an application or model: a DNS label."""
    if not _NAME.fullmatch(value):
        given = f'"{clipped(value)}" is not a name' if value else "required"
        raise _refuse(
            field,
            f"{given}; a name has 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end, "
            'for example "hello-world"',
        )
    return value


def version(field: str, value: str) -> str:
    """The version of a model."""
    if not _VERSION.fullmatch(value):
        given = f'"{clipped(value)}" is not a version' if value else "required"
        raise _refuse(
            field,
            f"{given}; a version has 1 to 63 letters, digits, hyphens, dots and underscores, with a letter or digit at "
            'either end, for example "1" or "2.0.1"',
        )
    return value


def instance_id(field: str, value: str) -> str:
    """The id of a process."""
    if not _INSTANCE_ID.fullmatch(value):
        given = f'"{clipped(value)}" is no instance id' if value else "required"
        raise _refuse(field, f"{given}; it has 1 to 128 letters, digits, hyphens, dots, colons and underscores")
    return value


def lease_id(field: str, value: str) -> str:
    """The id of a lease."""
    if not value:
        raise _refuse(field, "required; it is in the answer to the registration")
    if len(value) > 128:
        raise _refuse(field, "no lease of this cluster; they are shorter")
    return value


def address(field: str, value: str) -> str:
    """Where a process is reached: host:port."""
    host, _, port = value.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    if not is_port or len(host) > 255 or not _HOST.fullmatch(host):
        given = f'"{clipped(value)}" is no address' if value else "required"
        raise _refuse(field, f'{given}; give host:port, for example "10.0.0.7:7010"')
    return value


def text(field: str, value: str, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """Text for people, of limited length."""
    size = len(value.encode())
    if size > limit_bytes:
        raise _refuse(field, f"has {size} bytes; at most {limit_bytes} are kept")
    return value


def replica_id(field: str, value: int) -> int:
    """The number of a replica."""
    if value < 0:
        raise _refuse(field, f"is {value}; replicas are numbered from 0")
    return value


def weight(field: str, value: float) -> float:
    """The weight of a link; 0 if none was given."""
    if not math.isfinite(value) or value < 0:
        raise _refuse(field, f"is {value}; a weight is above 0 (default 1)")
    return value


def share(field: str, value: float) -> float:
    """The share of a model's queries that a version gets; 0 stands for 1."""
    if not 0 <= value <= 1:  # NaN is not, either
        raise _refuse(field, f"is {value}; a share is above 0 and at most 1 (default 1)")
    return value or 1.0


def shadow_share(field: str, value: float, *, shadow: bool) -> float:
    """The share of the queries that a shadow gets, where 0 stands for 1; 0 for a link that is no shadow."""
    if not shadow and value:
        raise _refuse(field, f"is {value}, but the link is no shadow; set shadow, or leave it out")
    return share(field, value) if shadow else 0.0


def rows(field: str, value: int) -> int:
    """A count of inputs or batches; 0 leaves it to the frontend."""
    if not 0 <= value <= MAX_ROWS:
        raise _refuse(field, f"is {value}; give at least 1, or 0 for the default")
    return value


def labels(field: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of a version."""
    if len(values) > MAX_LABELS:
        raise _refuse(field, f"has {len(values)} labels; at most {MAX_LABELS} are kept")
    for value in values:
        if not value:
            raise _refuse(field, "a label is empty; leave it out")
        if "," in value or ":" in value:
            raise _refuse(field, f'the label "{clipped(value)}" has a comma or colon in it')
        text(field, value, MAX_LABEL_BYTES)
    return values


def selection_policy(field: str, policy: SelectionPolicy) -> SelectionPolicy:
    """A policy that is installed here, with parameters that it takes; no name stands for "static"."""
    policy = replace(policy, name=policy.name or "static")
    try:
        clipper_selection.policy(policy.name, json.loads(policy.parameters))
    except clipper_selection.UnknownPolicy:
        raise _refuse(
            f"{field}.name",
            f'"{clipped(policy.name)}" is not known here; there are {", ".join(clipper_selection.names())}; a plug-in '
            "must be installed beside managers and frontends",
        ) from None
    except clipper_selection.BadParameter as error:
        raise _refuse(f"{field}.parameters.{clipped(error.parameter)}", clipped(error.problem, 300)) from None
    except Exception as error:
        _log.exception("plugin_failed", extra={"policy": policy.name})
        problem = f"the plug-in failed with {type(error).__name__}: {error}"
        raise _refuse(f"{field}.name", clipped(problem, 300)) from error
    return policy


def batching(field: str, value: Batching) -> Batching:
    """How a version's queries are batched."""
    if not 0 <= value.linger_ns <= MAX_LINGER_NS:
        raise _refuse(f"{field}.linger", f"is {value.linger_ns / 1e9:g} s; it is from 0 to 1 s")
    rows(f"{field}.max_batch_rows", value.max_batch_rows)
    rows(f"{field}.max_queue_rows", value.max_queue_rows)
    rows(f"{field}.max_batches_in_flight", value.max_batches_in_flight)
    if not 0 <= value.hedge_percent <= 100:
        raise _refuse(f"{field}.hedge_percent", f"is {value.hedge_percent}; it is from 0 (never) to 100")
    if value.hedge_percent and value.no_retry:
        raise _refuse(
            f"{field}.hedge_percent",
            "asks a model twice now and then, which no_retry forbids; leave one of them out",
        )
    return value


def application(value: Application) -> Application:
    """An application as it may be stored."""
    name("application.name", value.name)
    if not MIN_OBJECTIVE_NS <= value.latency_objective_ns <= MAX_OBJECTIVE_NS:
        raise _refuse(
            "application.latency_objective",
            f"is {value.latency_objective_ns / 1e9:g} s; it is from 1 ms to 1 hour (default 100 ms)",
        )
    if not 0 <= value.confidence_threshold <= 1:
        raise _refuse("application.confidence_threshold", f"is {value.confidence_threshold}; it is from 0 to 1")
    if value.confidence_threshold and value.default_output is None:
        raise _refuse(
            "application.confidence_threshold",
            f"is {value.confidence_threshold:g}, but below it the default output is answered: set default_output too",
        )
    if value.default_output is not None and len(value.default_output) > MAX_DEFAULT_OUTPUT_BYTES:
        raise _refuse(
            "application.default_output",
            f"has {len(value.default_output)} bytes; at most {MAX_DEFAULT_OUTPUT_BYTES} are kept",
        )
    return replace(value, selection_policy=selection_policy("application.selection_policy", value.selection_policy))


def model_version(value: ModelVersion) -> ModelVersion:
    """A version as it may be stored."""
    name("model_version.model", value.model)
    version("model_version.version", value.version)
    labels("model_version.labels", value.labels)
    text("model_version.image", value.image)
    text("model_version.data_path", value.data_path)
    batching("model_version.batching", value.batching)
    return value


def instance(value: Instance) -> Instance:
    """A process as it may be registered."""
    instance_id("instance.instance_id", value.instance_id)
    address("instance.address", value.address)
    text("instance.build", value.build, 256)
    return value


def clipped(value: str, most: int = 80) -> str:
    """A given text as errors show it."""
    return value if len(value) <= most else f"{value[: most - 1]}…"
