"""Plain values as the dicts that Clipper's Python API returns (contract M9 to M14)."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from clipper_admin.resources import Application, ModelVersion, Replica


def application(found: Application) -> dict[str, Any]:
    """An application; its default output as text, as Clipper's users gave it, or None."""
    default = plain(found.default_output)
    if found.has_default_output and not isinstance(default, str):
        default = json.dumps(default)
    return {
        "name": found.name,
        "input_type": str(found.input_type),
        "default_output": default,
        "latency_slo_micros": found.objective_us,
        "linked_models": [link.model for link in found.links],
    }


def model_version(found: ModelVersion) -> dict[str, Any]:
    """A version of a model."""
    return {
        "model_name": found.model,
        "model_version": found.version,
        "input_type": str(found.input_type),
        "labels": list(found.labels),
        "container_name": found.image,
        "model_data_path": found.data_path,
        "batch_size": found.max_batch_rows or -1,
        "cache": not found.no_cache,
        "is_current_version": found.is_current,
    }


def replica(found: Replica) -> dict[str, Any]:
    """A replica."""
    return {
        "model_id": f"{found.model}:{found.version}",
        "model_name": found.model,
        "model_version": found.version,
        "model_replica_id": found.replica_id,
        "input_type": str(found.input_type),
        "address": found.address,
        "host": found.host,
    }


def plain(value: object) -> Any:
    """A value as JSON can write it: bytes as base64, arrays as lists, what is not a number as null."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return None
        case list() | tuple():
            return [plain(each) for each in value]
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case _ if hasattr(value, "tolist"):  # an array; numpy takes long to import
            return plain(value.tolist())
        case _:
            return value
