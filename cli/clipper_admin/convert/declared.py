"""Messages from a file's nodes, and back: field by field, as the messages themselves say.

A field of a message is a field of the file, under the same name; enums are written as their last part in lower case
(POLICY_AIMD is `aimd`), durations as 100ms, 1.5s or 2m, outputs as the value itself. What the manager sets is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from clipper.v1 import admin_pb2, values_pb2
from clipper_admin.convert.values import from_output, to_output
from clipper_admin.declared.document import Node
from clipper_rpc.errors import ClipperError
from clipper_runtime.names import InputType

M = TypeVar("M", bound=Message)
Field: TypeAlias = Any
"""A FieldDescriptor; its type stubs know neither of its two implementations as the other."""

_ALIASES = {"objective": "latency_objective", "policy": "selection_policy"}
"""Shorter names, of fields of Application."""
_SHORT = {full: short for short, full in _ALIASES.items()}
_OF_THE_MANAGER = {
    "create_time",
    "revision",
    "uid",
    "state",
    "selection_generation",
    "linked_applications",
    "current_version",
    "canary_version",
    "canary_share",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h)")
_NANOS = {"us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def fields_of(kind: type[Message], *, but: Iterable[str] = ()) -> list[str]:
    """The names that a file may use for the fields of a message."""
    left_out = _OF_THE_MANAGER | set(but)
    return [_name(kind, each.name) for each in kind.DESCRIPTOR.fields if each.name not in left_out]


def message(kind: type[M], node: Node, *, but: Iterable[str] = ()) -> M:
    """The message that a mapping says; what is wrong is noted at the nodes. Fields of `but` are somebody else's."""
    made = kind()
    others = set(but)
    for name, inner in node.mapping().items():
        if name in others:
            continue
        full = _ALIASES.get(name, name) if kind is admin_pb2.Application else name
        descriptor = kind.DESCRIPTOR.fields_by_name.get(full)
        if descriptor is None or full in _OF_THE_MANAGER or (name in _SHORT and kind is admin_pb2.Application):
            known = ", ".join([*fields_of(kind, but=others), *sorted(others)])
            inner.refuse(f"is not known here; known are {known}")
        elif not inner.is_null or full == "default_output":
            _set(made, descriptor, inner)
    return made


def written(found: Message, *, but: Iterable[str] = ()) -> dict[str, Any]:
    """A message as a file says it: fields that are set and not the default, under the names of the file."""
    left_out = _OF_THE_MANAGER | set(but)
    values = {}
    for descriptor, value in found.ListFields():
        if descriptor.name in left_out or (isinstance(value, Duration) and not value.ToNanoseconds()):
            continue
        name = _name(type(found), descriptor.name)
        if descriptor.is_repeated:
            values[name] = [_plain(descriptor, each) for each in value]
        elif (plain := _plain(descriptor, value)) != {} or isinstance(value, values_pb2.Output):
            values[name] = plain
    return values


def duration_text(found: Duration) -> str:
    """A duration as people write it."""
    nanos = found.seconds * 10**9 + found.nanos
    unit = next((unit for unit in ("s", "ms", "us") if nanos % _NANOS[unit] == 0), "us")
    return f"{nanos / _NANOS[unit]:.15g}{unit}"


def _name(kind: type[Message], name: str) -> str:
    return _SHORT.get(name, name) if kind is admin_pb2.Application else name


def _set(made: Message, descriptor: Field, node: Node) -> None:
    if descriptor.is_repeated:
        getattr(made, descriptor.name).extend(_value(descriptor, each) for each in node.list())
    elif descriptor.type == FieldDescriptor.TYPE_MESSAGE:
        found = _message(descriptor, node)
        if found is not None:
            getattr(made, descriptor.name).CopyFrom(found)
            getattr(made, descriptor.name).SetInParent()
    else:
        try:
            setattr(made, descriptor.name, _value(descriptor, node))
        except (TypeError, ValueError):
            node.refuse(f"{node.value!r} is out of range")


def _message(descriptor: Field, node: Node) -> Message | None:
    match descriptor.message_type.full_name:
        case "google.protobuf.Duration":
            return _duration(node)
        case "google.protobuf.Struct":
            return _struct(node)
        case "clipper.v1.Output":
            return _output(node)
        case "clipper.v1.SelectionPolicy" if node.fields is None:
            return admin_pb2.SelectionPolicy(name=node.text())
        case _:
            return message(message_factory.GetMessageClass(descriptor.message_type), node)


def _value(descriptor: Field, node: Node) -> Any:
    match descriptor.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            return _message(descriptor, node)
        case FieldDescriptor.CPPTYPE_STRING:
            return node.text()
        case FieldDescriptor.CPPTYPE_BOOL:
            return _checked(node, bool, "true or false", False)
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return _checked(node, int | float, "a number", 0.0)
        case FieldDescriptor.CPPTYPE_ENUM:
            return _enum(descriptor, node)
        case _:
            return _checked(node, int, "a whole number", 0)


def _checked(node: Node, kind: Any, wanted: str, otherwise: Any) -> Any:
    is_number = not isinstance(node.value, bool)
    if isinstance(node.value, kind) and (kind is bool or is_number):
        return node.value
    node.refuse(f"must be {wanted}, not {node.kind}{f' ({node.value})' if node.value is not None else ''}")
    return otherwise


def _enum(descriptor: Field, node: Node) -> int:
    names = _enum_names(descriptor)
    found = names.get(str(node.value))
    if found is None:
        node.refuse(f"{node.value!r} is none of {', '.join(names)}")
        return 0
    return found


def _enum_names(descriptor: Field) -> dict[str, int]:
    """The names of an enum's values as a file has them, but for the one that says nothing."""
    if descriptor.enum_type.full_name == "clipper.v1.InputType":
        return {str(each): each.number for each in InputType}
    values = descriptor.enum_type.values
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    return {each.name.removeprefix(prefix).lower(): each.number for each in values if each.number}


def _duration(node: Node) -> Duration | None:
    found = _DURATION.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
    if found is None:
        node.refuse(f"{node.value!r} is no time; write 100ms, 1.5s or 2m")
        return None
    nanos = round(float(found[1]) * _NANOS[found[2]])
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def _struct(node: Node) -> Message:
    made = admin_pb2.SelectionPolicy().parameters
    if node.mapping():
        made.update(node.plain())
    return made


def _output(node: Node) -> values_pb2.Output | None:
    try:
        return to_output(node.plain())
    except ClipperError as error:
        node.refuse(str(error))
        return None


def _plain(descriptor: Field, value: Any) -> Any:
    if descriptor.type == FieldDescriptor.TYPE_ENUM:
        return {number: name for name, number in _enum_names(descriptor).items()}.get(value, value)
    if descriptor.type != FieldDescriptor.TYPE_MESSAGE:
        return value
    writers: dict[str, Callable[[Any], Any]] = {
        "google.protobuf.Duration": duration_text,
        "google.protobuf.Struct": _struct_plain,
        "clipper.v1.Output": from_output,
        "clipper.v1.SelectionPolicy": _policy_plain,
    }
    writer = writers.get(descriptor.message_type.full_name)
    return writer(value) if writer is not None else written(value)


def _policy_plain(value: Any) -> Any:
    return written(value) if value.parameters.fields else value.name


def _struct_plain(value: Message) -> Any:
    """A Struct as plain values; whole numbers without a point."""

    def whole(each: object) -> object:
        match each:
            case float() if each.is_integer():
                return int(each)
            case dict():
                return {name: whole(inner) for name, inner in each.items()}
            case list():
                return [whole(inner) for inner in each]
            case _:
                return each

    return whole(MessageToDict(value))


# What is compared


def normal(found: admin_pb2.Application) -> admin_pb2.Application:
    """An application with the manager's defaults written out, so that two can be compared."""
    made = admin_pb2.Application()
    made.CopyFrom(found)
    if not made.HasField("latency_objective"):
        made.latency_objective.FromMilliseconds(100)
    made.selection_policy.name = made.selection_policy.name or "static"
    return made


def normal_link(found: admin_pb2.Link) -> admin_pb2.Link:
    """A link with the manager's defaults written out."""
    made = admin_pb2.Link(model=found.model, weight=found.weight or 1.0, shadow=found.shadow)
    made.shadow_share = (found.shadow_share or 1.0) if found.shadow else 0.0
    return made


def differences(found: Message, wanted: Message, *, but: Iterable[str] = ()) -> dict[str, tuple[Any, Any]]:
    """The fields in which two messages differ, as (found, wanted); None where a field is at its default."""
    old, new = written(found, but=but), written(wanted, but=but)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


# What a file says


def application(node: Node) -> admin_pb2.Application:
    """The application that a mapping says, without its links."""
    return message(admin_pb2.Application, node, but=("links",))


def link(node: Node) -> admin_pb2.Link:
    """The link that a mapping, or the name of a model alone, says."""
    return admin_pb2.Link(model=node.text()) if node.fields is None else message(admin_pb2.Link, node)


def model_version(node: Node, model: str, input_type: Node | None) -> admin_pb2.ModelVersion:
    """The version that a mapping says, of a model whose versions take `input_type` unless they say another one."""
    made = message(admin_pb2.ModelVersion, node, but=("model",))
    made.model = model
    if input_type is not None and not made.input_type:
        made.input_type = _enum(admin_pb2.ModelVersion.DESCRIPTOR.fields_by_name["input_type"], input_type)  # type: ignore[assignment]  # its number
    return made
