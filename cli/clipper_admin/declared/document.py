"""YAML as a tree of nodes that know where they stand.

Values are plain: text, numbers, truth values, None. Keys are text. Anchors and merge keys work as in YAML; a key that
stands twice in one mapping is a problem, since YAML itself would silently take the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from clipper_admin.declared.problems import InvalidDocument, Problem

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Node:
    """A value and its place."""

    line: int
    column: int
    path: str
    value: Any = None
    """A plain scalar; None for mappings and lists."""
    raw: str = ""
    """A scalar as it is written."""
    items: list[Node] | None = None
    """The elements of a list."""
    fields: dict[str, Node] | None = None
    """The fields of a mapping."""
    problems: list[Problem] = field(default_factory=list)
    """Shared by all nodes of a document."""

    def refuse(self, text: str) -> None:
        """Notes that something is wrong here."""
        self.problems.append(Problem(self.line, self.column, self.path, text))

    @property
    def is_null(self) -> bool:
        """Whether nothing stands here."""
        return self.fields is None and self.items is None and self.value is None

    def mapping(self) -> dict[str, Node]:
        """The fields; a problem, and none, if this is no mapping."""
        if self.fields is None:
            self.refuse(f"must be a mapping (name: value), not {self.kind}")
            return {}
        return self.fields

    def list(self) -> list[Node]:
        """The elements; a problem, and none, if this is no list."""
        if self.items is None:
            self.refuse(f"must be a list (each element after a dash), not {self.kind}")
            return []
        return self.items

    def text(self) -> str:
        """Text; a problem, and "", if this is none. Numbers must be quoted: 1.10 would become 1.1."""
        if not isinstance(self.value, str):
            hint = f'; write "{self.raw}"' if isinstance(self.value, int | float) else ""
            self.refuse(f"must be text, not {self.kind}{hint}")
            return ""
        return self.value

    def plain(self) -> Any:
        """The whole subtree as plain values."""
        if self.fields is not None:
            return {name: each.plain() for name, each in self.fields.items()}
        if self.items is not None:
            return [each.plain() for each in self.items]
        return self.value

    @property
    def kind(self) -> str:
        """What stands here, for people."""
        if self.fields is not None:
            return "a mapping"
        if self.items is not None:
            return "a list"
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "a truth value"
            case int() | float():
                return "a number"
            case str():
                return "text"
            case _:
                return f"a {type(self.value).__name__}"


def parse(text: str, file: str) -> Node:
    """The tree of one document.

    Raises:
        InvalidDocument: it is no YAML, or more than one document.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise InvalidDocument(file, [Problem(1, 1, "", "the file is empty")])
        problems: list[Problem] = []
        return _node(loader, root, "", problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidDocument(file, [Problem(line, column, "", f"is no YAML: {error.problem or error}")]) from None
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise InvalidDocument(file, [Problem(1, 1, "", f"is no YAML: {error}")]) from None
    except RecursionError:
        raise InvalidDocument(file, [Problem(1, 1, "", "refers to itself, or is nested too deeply")]) from None
    finally:
        loader.dispose()


def _node(loader: yaml.SafeLoader, found: yaml.Node, path: str, problems: list[Problem]) -> Node:
    node = Node(found.start_mark.line + 1, found.start_mark.column + 1, path, problems=problems)
    match found:
        case yaml.MappingNode():
            node.fields = _fields(loader, found, node)
        case yaml.SequenceNode():
            node.items = [_node(loader, each, f"{path}[{at}]", problems) for at, each in enumerate(found.value)]
        case _:
            node.value, node.raw = _scalar(loader, found, node), str(found.value)
    return node


def _fields(loader: yaml.SafeLoader, found: yaml.MappingNode, node: Node) -> dict[str, Node]:
    fields: dict[str, Node] = {}
    own = set()
    for key, value in _merged(found):
        name = str(key.value)
        inner = _node(loader, value, f"{node.path}.{name}" if node.path else name, node.problems)
        if key.tag == _MERGE:
            continue
        if any(key is each for each, _ in found.value):
            if name in own:
                node.problems.append(
                    Problem(key.start_mark.line + 1, key.start_mark.column + 1, inner.path, "stands here twice")
                )
            own.add(name)
        fields[name] = inner
    return fields


def _merged(found: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    """The pairs of a mapping, those of its merge keys (<<) first, so that its own win."""
    merged: list[tuple[yaml.Node, yaml.Node]] = []
    for key, value in found.value:
        if key.tag == _MERGE:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for each in reversed(sources):
                if isinstance(each, yaml.MappingNode):
                    merged.extend(_merged(each))
    return [*merged, *(pair for pair in found.value if pair[0].tag != _MERGE)]


def _scalar(loader: yaml.SafeLoader, found: yaml.Node, node: Node) -> Any:
    try:
        value = loader.construct_object(found)
    except (yaml.YAMLError, ValueError) as error:
        node.refuse(f"cannot be read: {getattr(error, 'problem', None) or error}")
        return ""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(found.value)  # dates and the like: as they are written
