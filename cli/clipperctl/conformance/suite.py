"""Looks at every rule of a runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clipperctl.client import Info, RuntimeClient, serialized
from clipperctl.conformance import samples
from clipperctl.conformance.rules import RULES, is_healthy
from clipperctl.conformance.verdicts import Result, Row, Subject, skipped

_BEFORE_PREDICTING = 5
"""How many of the first rules can be looked at without knowing what the model takes."""


def look(client: RuntimeClient, inputs: Sequence[object], failing: Sequence[object]) -> Iterator[Row]:
    """Looks at one rule after the other.

    Args:
        client: the connection to the runtime.
        inputs: values that the model takes; by default some of its input type.
        failing: values that make the model raise.

    Raises:
        InvalidField: a value is none of the model's input type.
    """
    info = client.info()
    subject = _subject(client, info, inputs, failing)
    rest = "" if info.input_type else "needs GetModelInfo"
    if not rest and is_healthy(subject).result is Result.BROKEN:
        rest = "needs a runtime that serves"
    for at, rule in enumerate(RULES):
        yield Row(rule, skipped(rest) if rest and at >= _BEFORE_PREDICTING else rule.look(subject))


def _subject(client: RuntimeClient, info: Info, inputs: Sequence[object], failing: Sequence[object]) -> Subject:
    if not info.input_type:
        return Subject(client, info, [])
    given = [serialized(each, info.input_type) for each in inputs]
    bad = [serialized(each, info.input_type) for each in failing]
    return Subject(client, info, given or samples.valid(info.input_type), bad)
