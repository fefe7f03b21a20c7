"""What a file says: applications with their links, models with their versions.

applications:
- name: hello-world
input_type: doubles
default_output: "-1.0"
objective: 100ms
policy: {name: epsilon_greedy, parameters: {epsilon: 0.1}}      # or just a name
links: [sum-model, {model: other, weight: 2}]
models:
- name: sum-model
input_type: doubles                    # of all its versions that name none
current: "2"                           # by default: as it is; of a new model the last one below
canary: {version: "3", share: 0.1}     # needs current
versions:
- {version: "1", image: NO_CONTAINER, labels: [first], batching: {policy: aimd, linger: 1ms}}
- version: "2"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clipper_admin.convert import declared
from clipper_admin.declared.document import Node, parse
from clipper_admin.declared.problems import InvalidDocument
from clipper_runtime.names import checked_name, checked_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from clipper.v1 import admin_pb2

_PARTS = ("applications", "models")
_MODEL_FIELDS = ("name", "input_type", "current", "canary", "versions")


@dataclass(frozen=True, slots=True)
class WantedLink:
    """A link, and where it stands."""

    node: Node
    link: admin_pb2.Link


@dataclass(frozen=True, slots=True)
class WantedApplication:
    """An application, and where it stands."""

    node: Node
    name: str
    application: admin_pb2.Application
    """Without links."""
    links: dict[str, WantedLink] | None
    """By model; None: whatever they are."""


@dataclass(frozen=True, slots=True)
class WantedVersion:
    """A version, and where it stands."""

    node: Node
    version: admin_pb2.ModelVersion


@dataclass(slots=True)
class WantedModel:
    """A model, and where it stands."""

    node: Node
    name: str
    versions: dict[str, WantedVersion] = field(default_factory=dict)
    current: tuple[Node, str] | None = None
    """None: as it is."""
    canary: tuple[Node, str, float] | None = None
    """The version on trial and its share."""


@dataclass(slots=True)
class Wanted:
    """All that a file says."""

    applications: dict[str, WantedApplication] = field(default_factory=dict)
    models: dict[str, WantedModel] = field(default_factory=dict)


def read(text: str, file: str) -> Wanted:
    """What a file says. `file` is its name, for problems.

    Raises:
        InvalidDocument: it cannot be read, or says what cannot be; all problems, each with its place.
    """
    root = parse(text, file)
    wanted = Wanted()
    for name, node in root.mapping().items():
        if name not in _PARTS:
            node.refuse(f"is not known here; known are {', '.join(_PARTS)}")
        elif not node.is_null:
            for each in node.list():
                (_application if name == "applications" else _model)(wanted, each)
    if root.problems:
        raise InvalidDocument(file, root.problems)
    return wanted


def _application(wanted: Wanted, node: Node) -> None:
    made = declared.application(node)
    name = _named(node, "name", checked_name)
    links = node.fields.get("links") if node.fields else None
    if not made.input_type and node.fields is not None and "input_type" not in node.fields:
        node.refuse("needs an input_type")
    if name in wanted.applications:
        node.refuse(f'the application "{name}" stands here twice')
    wanted.applications[name] = WantedApplication(node, name, made, None if links is None else _links(links))


def _links(node: Node) -> dict[str, WantedLink]:
    links: dict[str, WantedLink] = {}
    for each in node.list() if not node.is_null else []:
        link = declared.link(each)
        if each.fields is not None and "model" not in each.fields:
            each.refuse("needs a model")
        if link.model in links:
            each.refuse(f'the link to "{link.model}" stands here twice')
        links[link.model] = WantedLink(each, link)
    return links


def _model(wanted: Wanted, node: Node) -> None:
    fields = node.mapping()
    for name, inner in fields.items():
        if name not in _MODEL_FIELDS:
            inner.refuse(f"is not known here; known are {', '.join(_MODEL_FIELDS)}")
    model = WantedModel(node, _named(node, "name", checked_name))
    if model.name in wanted.models:
        node.refuse(f'the model "{model.name}" stands here twice')
    wanted.models[model.name] = model
    versions = fields.get("versions")
    for each in versions.list() if versions is not None and not versions.is_null else []:
        _version(model, each, fields.get("input_type"))
    if (current := fields.get("current")) is not None:
        model.current = current, current.text()
    if (canary := fields.get("canary")) is not None and not canary.is_null:
        _canary(model, canary)


def _version(model: WantedModel, node: Node, input_type: Node | None) -> None:
    made = declared.model_version(node, model.name, input_type)
    version = _named(node, "version", checked_version)
    if not made.input_type and not node.problems:
        node.refuse("needs an input_type, here or of its model")
    if version in model.versions:
        node.refuse(f'the version "{version}" stands here twice')
    model.versions[version] = WantedVersion(node, made)


def _canary(model: WantedModel, node: Node) -> None:
    fields = node.mapping()
    for name, inner in fields.items():
        if name not in ("version", "share"):
            inner.refuse("is not known here; known are version, share")
    version = _named(node, "version", checked_version)
    share = fields.get("share")
    value = share.value if share is not None else None
    if not isinstance(value, int | float) or not 0 < value < 1:
        (share or node).refuse("needs a share above 0 and below 1, e.g. 0.1")
    elif model.current is None:
        node.refuse("needs the model's current version, beside which it is tried: name it as `current`")
    elif model.current[1] == version:
        node.refuse("is the current version itself")
    else:
        model.canary = node, version, float(value)


def _named(node: Node, field_name: str, checked: Callable[[str], str]) -> str:
    """The text of a field that must be there, and must be a name."""
    found = (node.fields or {}).get(field_name)
    if found is None:
        if node.fields is not None:
            node.refuse(f"needs a {field_name}")
        return ""
    count = len(node.problems)
    text = found.text()
    if len(node.problems) == count:
        try:
            checked(text)
        except ValueError as error:
            found.refuse(str(error))
    return text
