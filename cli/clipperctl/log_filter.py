"""Which lines of a log are meant: by application, model, request and time."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OF_REPLICA = "model-{model}_"
"""How the processes of a model's replicas are named: model-NAME_VERSION-NUMBER."""
_KEYS = {"application": ("application",), "model": ("model", "version", "replica")}
"""What the manager keeps of each, in the lines of its log that tell of changes: KIND/NAME, or KIND/NAME/MORE."""


class Since(click.ParamType):  # type: ignore[type-arg]  # generic in its type stubs only
    """A time as 10m (ago: s, m, h, d) or as a date such as 2026-11-23T08:30; its value is a moment in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment that is meant."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if found := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{value!r} is no time; write 10m, 2h or 2026-11-23T08:30.", param, ctx)
        return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What lines must be about; what is empty does not matter."""

    application: str = ""
    model: str = ""
    request: str = ""
    since: datetime | None = None

    @property
    def is_anything(self) -> bool:
        """Whether every line will do."""
        return not (self.application or self.model or self.request or self.since)

    def has(self, process: str, line: str) -> bool:
        """Whether a line of a process is meant. Lines that are none of ours are, where only the process matters."""
        if self.is_anything:
            return True
        found = fields(line)
        if self.since is not None and (at := moment(found)) is not None and at < self.since:
            return False
        if self.application and not _is_about(found, "application", self.application):
            return False
        if self.model and not (_is_about(found, "model", self.model) or _is_replica(process, found, self.model)):
            return False
        return not self.request or self.request in str(found.get("request_id", "")).split(",")


def _is_about(found: dict[str, Any], what: str, name: str) -> bool:
    """Whether a line names it, or tells that what is kept of it has changed."""
    if found.get(what) == name:
        return True
    changed = [*_listed(found, "puts"), *_listed(found, "deletes")]
    kinds = _KEYS[what]
    return any(key.split("/")[:2] == [kind, name] for key in changed for kind in kinds)


def _is_replica(process: str, found: dict[str, Any], model: str) -> bool:
    """Whether a line is of a replica of a model, or of the supervisor about one."""
    start = _OF_REPLICA.format(model=model)
    return process.startswith(start) or str(found.get("child", "")).startswith(start)


def _listed(found: dict[str, Any], name: str) -> list[str]:
    value = found.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []


def fields(line: str) -> dict[str, Any]:
    """The fields of a line of ours; none for others."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def moment(found: dict[str, Any]) -> datetime | None:
    """When a line was written, if it says so."""
    try:
        return datetime.fromisoformat(str(found["time"]))
    except (KeyError, ValueError):
        return None
