"""Golden examples: what a version must answer before it goes live."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from clipper_admin.client import Client
from clipper_admin.convert.values import to_input
from clipper_admin.exceptions import ClipperException, translated
from clipper_admin.resources import Failure, ModelVersion

Golden: TypeAlias = "Sequence[tuple[Any, Any]]"
"""Inputs, each with what is expected of it: a value, or a function that tells whether an output will do."""

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
_AT_ONCE = 1000
_SHOWN = 200


def checked(examples: Golden, staged: ModelVersion) -> list[tuple[Any, Any]]:
    """The examples, if they are pairs whose inputs the version can be asked.

    Raises:
        ClipperException: they are not; names the first that is not.
    """
    pairs = []
    for number, example in enumerate(examples, start=1):
        if not isinstance(example, list | tuple) or len(example) != 2:
            raise ClipperException(f"Golden example {number} is no pair (input, expected): {_shown(example)}")
        with translated():
            to_input(example[0], staged.input_type)
        pairs.append((example[0], example[1]))
    return pairs


def check(client: Client, staged: ModelVersion, examples: Sequence[tuple[Any, Any]], timeout_s: float) -> None:
    """Asks a version for all examples.

    Args:
        client: of the cluster.
        staged: a version with a replica.
        examples: from `checked`.
        timeout_s: how long the model may take for up to a thousand of them.

    Raises:
        ClipperException: an answer is not the expected one; tells the first such.
    """
    for first in range(0, len(examples), _AT_ONCE):
        asked = examples[first : first + _AT_ONCE]
        with translated():
            outputs = client.ask_model_version(
                staged.model, staged.version, staged.input_type, [each for each, _ in asked], timeout_s=timeout_s
            )
        for number, ((value, expected), output) in enumerate(zip(asked, outputs, strict=True), start=first + 1):
            if isinstance(output, Failure):
                got = f"it failed with {output.kind}: {output.message}"
            elif not agrees(expected, output):
                got = f"it answered {_shown(output)}"
            else:
                continue
            wanted = "an output that its check accepts" if callable(expected) else _shown(expected)
            raise ClipperException(
                f"Version {staged.version} of model {staged.model} does not go live: for golden example {number} of "
                f"{len(examples)}, input {_shown(value)}, {wanted} is expected, but {got}."
            )


def agrees(expected: Any, output: Any) -> bool:
    """Whether an output is the expected one.

    Numbers may differ by rounding (1e-6 of their size). Text that is JSON also agrees with the value that it stands
    for, as REST shows it.
    """
    if callable(expected):
        return bool(expected(output))
    expected, output = _plain(expected), _plain(output)
    if isinstance(output, str) and not isinstance(expected, str):
        try:
            output = json.loads(output)
        except ValueError:
            return False
    match expected, output:
        case (bool(), _) | (_, bool()):
            return expected is output
        case (int() | float(), int() | float()):
            both_nan = math.isnan(expected) and math.isnan(output)
            return both_nan or math.isclose(expected, output, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
        case list() | tuple(), list() | tuple():
            return len(expected) == len(output) and all(map(agrees, expected, output))
        case Mapping(), Mapping():
            return expected.keys() == output.keys() and all(agrees(expected[key], output[key]) for key in expected)
        case _:
            return bool(expected == output)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
