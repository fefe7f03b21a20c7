"""Plans and configurations as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from clipper_admin import views
from clipper_admin.convert import declared
from clipper_admin.declared.plan import Plan

if TYPE_CHECKING:
    from clipper_admin.convert.changes import Configuration


class _Dumper(yaml.SafeDumper):
    """Quotes text with unusual line breaks in it, which else would be read as spaces."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = '"' if any(each in text for each in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def rows(plan: Plan) -> list[dict[str, Any]]:
    """A plan for programs."""
    names = {"+": "create", "~": "change", "-": "delete"}
    return [
        {
            "action": names[each.sign],
            "what": each.what,
            "fields": {name: {"from": _plain(old), "to": _plain(new)} for name, (old, new) in each.fields.items()},
        }
        for each in plan.steps
        if each.sign
    ]


def lines(plan: Plan) -> list[str]:
    """A plan for people: a line for each change, and one below for each field of it."""
    found = []
    for each in plan.steps:
        if not each.sign:
            continue
        found.append(f"{each.sign} {each.what}")
        for name, (old, new) in each.fields.items():
            before = "" if each.sign == "+" else f"{_told(old)} → "
            found.append(f"    {name}: {before}{_told(new)}")
    return found


def exported(found: Configuration) -> str:
    """A configuration as a file that `read` takes: applied to an empty cluster it makes the same."""
    applications = []
    for each in sorted(found.applications, key=lambda one: one.name):
        written = {"name": each.name, **declared.written(each, but=("links",))}
        links = [_link(declared.written(declared.normal_link(link))) for link in each.links]
        applications.append({**written, "links": links})
    models = []
    for model in sorted(found.models, key=lambda one: one.name):
        versions = [each for each in found.versions if each.model == model.name]
        entry: dict[str, Any] = {"name": model.name}
        if model.current_version:
            entry["current"] = model.current_version
        if model.canary_version:
            entry["canary"] = {"version": model.canary_version, "share": model.canary_share}
        entry["versions"] = [declared.written(each, but=("model",)) for each in versions]
        models.append(entry)
    document = {"applications": applications, "models": models}
    return yaml.dump(_plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _link(written: dict[str, Any]) -> Any:
    without_defaults = {name: value for name, value in written.items() if (name, value) != ("weight", 1.0)}
    return without_defaults["model"] if len(without_defaults) == 1 else without_defaults


def _plain(value: Any) -> Any:
    return views.plain(value)


def _told(value: Any) -> str:
    match value:
        case None:
            return "none"
        case dict() | list():
            return json.dumps(_plain(value), ensure_ascii=False)
        case bool():
            return "yes" if value else "no"
        case _:
            return str(_plain(value))
