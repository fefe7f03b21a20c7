"""The changes from what is to what is wanted: pure.

Order: versions are registered; applications are deleted, created, changed; links that go, go; versions go live; links
come; versions that are not wanted any more go last. So each change finds what it needs, and types agree at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clipper_admin.convert import changes, declared
from clipper_admin.declared.document import Node
from clipper_admin.declared.wanted import Wanted, WantedApplication, WantedModel

if TYPE_CHECKING:
    from clipper.v1 import admin_pb2
    from clipper_admin.convert.changes import Configuration

_FIXED = ("input_type", "image")


@dataclass(frozen=True, slots=True)
class Step:
    """One change, and what it is for people."""

    sign: str
    """"+", "~" or "-"."""
    what: str
    change: admin_pb2.Change
    node: Node | None = None
    """What in the file asks for it; None for what is not in the file any more."""
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """What changes, as (is, shall be); None for what is at its default."""


@dataclass(slots=True)
class Plan:
    """All changes, in order."""

    steps: list[Step] = field(default_factory=list)

    @property
    def changes(self) -> list[admin_pb2.Change]:
        """What the manager is asked to do."""
        return [each.change for each in self.steps]


def plan(found: Configuration, wanted: Wanted, *, prune: bool) -> Plan:
    """The changes that make `found` what is `wanted`. What the file does not name stays, unless `prune`."""
    made = Plan()
    stored = {each.name: each for each in found.applications}
    for model in wanted.models.values():
        made.steps += _versions(found, model)
    gone = [name for name in stored if prune and name not in wanted.applications]
    links = [_links(stored.get(each.name), each) for each in wanted.applications.values()]
    made.steps += [Step("-", f"application {name}", changes.delete_application(name)) for name in gone]
    for each in wanted.applications.values():
        made.steps += _application(stored.get(each.name), each)
    made.steps += [step for removed, _ in links for step in removed]
    for model in wanted.models.values():
        made.steps += _live(found, model)
    made.steps += [step for _, added in links for step in added]
    if prune:
        made.steps += _unwanted_versions(found, wanted)
    return made


def _application(stored: admin_pb2.Application | None, wanted: WantedApplication) -> list[Step]:
    shall_be = declared.normal(wanted.application)
    what = f"application {wanted.name}"
    if stored is None:
        fields = {name: (None, value) for name, value in declared.written(shall_be, but=("name", "links")).items()}
        return [Step("+", what, changes.create_application(shall_be), wanted.node, fields)]
    fields = declared.differences(declared.normal(stored), shall_be, but=("links",))
    if "input_type" in fields:
        place = (wanted.node.fields or {}).get("input_type", wanted.node)
        place.refuse(f"cannot change: the application takes {fields['input_type'][0]}. Use another name")
    if not fields:
        return []
    return [Step("~", what, changes.update_application(shall_be, stored.revision), wanted.node, fields)]


def _links(stored: admin_pb2.Application | None, wanted: WantedApplication) -> tuple[list[Step], list[Step]]:
    """The links that go and those that come; one that changes does both."""
    if wanted.links is None:
        return [], []
    name = wanted.name
    before = {link.model: declared.normal_link(link) for link in stored.links} if stored is not None else {}
    after = {model: (each.node, declared.normal_link(each.link)) for model, each in wanted.links.items()}
    removed, added = [], []
    for model, link in before.items():
        if model not in after:
            removed.append(Step("-", f"link {name} → {model}", changes.unlink_model(name, model), wanted.node))
        elif link != after[model][1]:
            removed.append(Step("", "", changes.unlink_model(name, model), after[model][0]))
    for model, (node, link) in after.items():
        old = before.get(model)
        if old == link:
            continue
        change, what = changes.link_model(name, link), f"link {name} → {model}"
        if old is None:
            fields = {key: (None, value) for key, value in declared.written(link, but=("model",)).items() if value != 1}
            added.append(Step("+", what, change, node, fields))
        else:
            added.append(Step("~", what, change, node, declared.differences(old, link)))
    return removed, added


def _versions(found: Configuration, wanted: WantedModel) -> list[Step]:
    steps = []
    stored = {each.version: each for each in found.versions if each.model == wanted.name}
    for name, each in wanted.versions.items():
        what = f"model {wanted.name} version {name}"
        old = stored.get(name)
        if old is None:
            fields = declared.written(each.version, but=("model", "version"))
            added = {key: (None, value) for key, value in fields.items()}
            steps.append(Step("+", what, changes.create_version(each.version), each.node, added))
            continue
        differences = declared.differences(old, each.version)
        if not each.version.image:  # not said: as it is
            differences.pop("image", None)
        for fixed in _FIXED:
            if fixed in differences:
                place = (each.node.fields or {}).get(fixed, each.node)
                place.refuse(f"cannot change: it is {differences[fixed][0]}. Deploy under another version")
        if differences:
            steps.append(Step("~", what, changes.update_version(each.version), each.node, differences))
    return steps


def _live(found: Configuration, wanted: WantedModel) -> list[Step]:
    model = next((each for each in found.models if each.name == wanted.name), None)
    is_current, is_tried = (model.current_version, model.canary_version) if model is not None else ("", "")
    share = model.canary_share if model is not None else 0.0
    node, current = wanted.current or (wanted.node, "")
    if not current and not is_current and wanted.versions:
        current = list(wanted.versions)[-1]
    steps = []
    ends_trial = wanted.current is not None and is_tried and (wanted.canary is None or current != is_current)
    if current and (current != is_current or ends_trial):
        what = f"model {wanted.name}"
        fields: dict[str, tuple[Any, Any]] = {}
        if current != is_current:
            fields["current"] = (is_current or None, current)
        if ends_trial and wanted.canary is None:
            fields["canary"] = (f"{is_tried}, {share:g} of the queries", None)
        steps.append(Step("~", what, changes.activate_version(wanted.name, current), node, fields))
        is_tried = ""
    if wanted.canary is not None and (is_tried, share) != wanted.canary[1:]:
        node, version, wanted_share = wanted.canary
        fields = {"canary": (is_tried or None, f"{version}, {wanted_share:g} of the queries")}
        change = changes.activate_version(wanted.name, version, wanted_share)
        steps.append(Step("~", f"model {wanted.name}", change, node, fields))
    return steps


def _unwanted_versions(found: Configuration, wanted: Wanted) -> list[Step]:
    steps = []
    for each in found.versions:
        model = wanted.models.get(each.model)
        if model is None or each.version not in model.versions:
            what = f"model {each.model} version {each.version}"
            steps.append(Step("-", what, changes.delete_version(each.model, each.version)))
    return steps
