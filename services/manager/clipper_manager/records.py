"""Values as JSON text, as the store keeps them.

A newer build may have written fields that this one does not know: they are left out. Fields that an older build did not
write take their defaults.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from clipper_manager.resources import (
    KINDS,
    Application,
    Batching,
    BatchPolicy,
    Entity,
    InputType,
    Instance,
    InstanceKind,
    Link,
    Model,
    ModelVersion,
    Replica,
    SelectionPolicy,
    VersionState,
    kind_of,
)


def encode(entity: Entity) -> str:
    """The text of an entity."""
    return json.dumps(asdict(entity), separators=(",", ":"), sort_keys=True, default=_plain, ensure_ascii=False)


def decode(key: str, text: str) -> Entity | None:
    """The entity of that key; None if it is of a kind that only a newer build knows."""
    try:
        kind = kind_of(key)
    except KeyError:
        return None
    known = {field.name for field in fields(kind)}
    values: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in known}
    if kind in (Application, Model, ModelVersion, Replica):
        values["input_type"] = InputType(values["input_type"])
    if kind is Application:
        output = values.get("default_output")
        values["default_output"] = None if output is None else b64decode(output)
        values["selection_policy"] = SelectionPolicy(**values["selection_policy"])
        values["links"] = tuple(Link(**link) for link in values["links"])
    elif kind is ModelVersion:
        values["labels"] = tuple(values["labels"])
        values["state"] = VersionState(values["state"])
        batching = values["batching"]
        values["batching"] = Batching(**{**batching, "policy": BatchPolicy(batching["policy"])})
    elif kind is Instance:
        values["kind"] = InstanceKind(values["kind"])
    return kind(**values)


def encode_changes(puts: Iterable[Entity], deletes: Iterable[str]) -> str:
    """The text of an entry of the stream of changes: `{"puts": {key: text}, "deletes": [key]}`."""
    return json.dumps({"puts": {put.key: encode(put) for put in puts}, "deletes": list(deletes)}, ensure_ascii=False)


def decode_changes(text: str) -> tuple[tuple[Entity, ...], tuple[str, ...]]:
    """What such a text puts and deletes."""
    record = json.loads(text)
    puts = (decode(key, put) for key, put in record.get("puts", {}).items())
    known = (key for key in record["deletes"] if key.partition("/")[0] in KINDS)
    return tuple(put for put in puts if put is not None), tuple(known)


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"{type(value)} has no place in a record")
