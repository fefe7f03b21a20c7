"""The changes that callers may make: each checks what it was given and returns what is to be decided on a draft.

Decisions can be made one by one or several together; either way nothing that is not valid gets past here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from clipper_manager import checks, rules
from clipper_manager.resources import Application, InputType, Model, ModelVersion
from clipper_manager.state import Draft
from clipper_rpc.errors import ClipperError

T = TypeVar("T")
Decision: TypeAlias = Callable[[Draft], T]


@dataclass(frozen=True, slots=True)
class Changes:
    """Makes decisions. Raises InvalidField at once for values that are not allowed; decisions raise what rules do."""

    now_ns: Callable[[], int]
    """The time, in nanoseconds since 1970."""
    new_id: Callable[[], str]

    def create_application(self, new: Application) -> Decision[Application]:
        """Creates an application without links."""
        new = replace(checks.application(new), links=(), create_time_ns=self.now_ns())
        return lambda draft: rules.create_application(draft, new)

    def update_application(self, new: Application, input_type: InputType | None) -> Decision[Application]:
        """Replaces what may change of an application, if `new.revision` is 0 or that of the stored one."""
        new = checks.application(new)
        return lambda draft: rules.update_application(draft, new, input_type, new.revision)

    def delete_application(self, name: str) -> Decision[None]:
        """Deletes an application with its links."""
        checks.name("application", name)
        return lambda draft: rules.delete_application(draft, name)

    def link_model(
        self, application: str, model: str, weight: float, *, shadow: bool = False, shadow_share: float = 0
    ) -> Decision[Application]:
        """Links a model to an application, perhaps as a shadow that gets a share of the queries."""
        checks.name("application", application)
        checks.name("model", model)
        weight = checks.weight("weight", weight)
        share = checks.shadow_share("shadow_share", shadow_share, shadow=shadow)
        return lambda draft: rules.link_model(draft, application, model, weight, share)

    def unlink_model(self, application: str, model: str) -> Decision[Application]:
        """Removes the link of a model to an application."""
        checks.name("application", application)
        checks.name("model", model)
        return lambda draft: rules.unlink_model(draft, application, model)

    def create_version(self, new: ModelVersion, *, activate: bool) -> Decision[ModelVersion]:
        """Registers a version, and its model with the first one."""
        new = replace(checks.model_version(new), create_time_ns=self.now_ns(), uid=self.new_id())
        return lambda draft: rules.create_version(draft, new, activate=activate)

    def update_version(self, new: ModelVersion, input_type: InputType | None) -> Decision[ModelVersion]:
        """Replaces what may change of a version, if `new.revision` is 0 or that of the stored one."""
        new = checks.model_version(new)
        return lambda draft: rules.update_version(draft, new, input_type, new.revision)

    def activate_version(self, model: str, version: str, share: float) -> Decision[Model]:
        """Makes a version the current one of its model or, with a share below 1, puts it on trial beside that."""
        checks.name("model", model)
        checks.version("version", version)
        share = checks.share("share", share)
        return lambda draft: rules.activate_version(draft, model, version, share)

    def delete_version(self, model: str, version: str, *, force: bool) -> Decision[None]:
        """Deletes a version with its replicas."""
        checks.name("model", model)
        checks.version("version", version)
        return lambda draft: rules.delete_version(draft, model, version, force=force)


Wanted: TypeAlias = Callable[[Changes], Decision[object]]
"""A change that somebody wants; called, it raises InvalidField or gives what is to be decided."""


def together(wanted: Sequence[Wanted], changes: Changes) -> Decision[None]:
    """All of these changes as one decision, each on what those before it leave."""
    decisions = [each(changes) for each in wanted]

    def decide(draft: Draft) -> None:
        for decision in decisions:
            decision(draft)

    return decide


def problems(wanted: Sequence[Wanted], changes: Changes, draft: Draft) -> list[tuple[int, ClipperError]]:
    """Which of these changes would be refused, by position; those that are not are written onto the draft."""
    found = []
    for position, each in enumerate(wanted):
        try:
            with draft.unless_refused():
                each(changes)(draft)
        except ClipperError as error:
            found.append((position, error))
    return found
