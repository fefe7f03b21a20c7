"""Messages of clipper.v1 as the dicts that Clipper's Python API returns (contract M9 to M14)."""

from __future__ import annotations

import json
from typing import Any

from clipper.v1 import admin_pb2, values_pb2
from clipper_admin.values import from_output, to_plain
from clipper_runtime.manifest import InputType

_INPUT_TYPES = {each.number: each for each in InputType}


def input_type(number: int) -> str:
    """The name of an input type."""
    return str(_INPUT_TYPES.get(number, ""))


def application(found: admin_pb2.Application) -> dict[str, Any]:
    """An application."""
    return {
        "name": found.name,
        "input_type": input_type(found.input_type),
        "default_output": default_output(found.default_output) if found.HasField("default_output") else None,
        "latency_slo_micros": found.latency_objective.ToMicroseconds(),
        "linked_models": [link.model for link in found.links],
    }


def default_output(output: values_pb2.Output) -> str:
    """A default output as text, as Clipper's users gave it."""
    value = to_plain(from_output(output))
    return value if isinstance(value, str) else json.dumps(value)


def model_version(found: admin_pb2.ModelVersion) -> dict[str, Any]:
    """A version of a model."""
    return {
        "model_name": found.model,
        "model_version": found.version,
        "input_type": input_type(found.input_type),
        "labels": list(found.labels),
        "container_name": found.image,
        "model_data_path": found.data_path,
        "batch_size": found.batching.max_batch_rows or -1,
        "is_current_version": found.state == admin_pb2.ModelVersion.STATE_ACTIVE,
    }


def replica(found: admin_pb2.Replica) -> dict[str, Any]:
    """A replica."""
    return {
        "model_id": f"{found.model}:{found.version}",
        "model_name": found.model,
        "model_version": found.version,
        "model_replica_id": found.replica_id,
        "input_type": input_type(found.input_type),
        "address": found.address,
        "host": found.host,
    }
