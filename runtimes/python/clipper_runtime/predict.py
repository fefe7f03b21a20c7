"""Asks a model for one batch so that an input at fault fails alone, and nothing that a model does ends the process.

Rules of this file
 1. A model that raises (anything: also SystemExit) is asked again for halves of the batch, and so on, until the
    inputs at fault stand alone. A single input is never tried twice.
 2. Each attempt gets arrays of its own, so that a model that writes into its inputs cannot spoil the next attempt.
 3. A wrong number or kind of outputs is a fault of the model's code: no retry, the whole batch is told both numbers.
 4. Callers may see an error's kind and one line of its message; where it was raised goes to the log, once per batch.
 5. A model may return an iterator, e.g. be a generator function: it is drawn from input by input, and no further once
    nobody waits any more.

Bounds, for a batch of n inputs: at most 2(n-1) further calls, on at most n*ceil(log2 n) inputs in all (both reached
only if every input is at fault; one input at fault costs 2*ceil(log2 n) calls). None is begun once nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from clipper_runtime.faults import Faults
from clipper_runtime.model import ModelInputs

_MOST_KIND_BYTES = 128
_MOST_MESSAGE_BYTES = 512


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no output for an input: what a PredictError tells."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What callers may know of an exception."""
        try:
            message = str(error)
        except Exception:  # noqa: BLE001  # the model's own class
            message = "(its message cannot be printed)"
        return cls(_clipped(type(error).__name__, _MOST_KIND_BYTES), _clipped(message, _MOST_MESSAGE_BYTES))


class NotWanted(Exception):
    """Nobody waits for the batch any more; it was not computed to its end."""


Outcomes: TypeAlias = "Sequence[Any] | npt.NDArray[Any]"
"""One output or Failure per row. A whole array stays one, to be encoded at once."""


class Batch(Protocol):
    """Decoded inputs, of which arrays can be made."""

    @property
    def rows(self) -> int:
        """How many inputs there are."""

    def build(self, start: int, stop: int) -> ModelInputs:
        """The inputs from `start` to `stop` as the model gets them, each time anew."""


def predict_each(
    predict: Callable[[ModelInputs], Any],
    batch: Batch,
    *,
    is_wanted: Callable[[], bool],
    isolate: bool = True,
    faults: Faults | None = None,
) -> Outcomes:
    """Answers each row of a batch with an output or a Failure.

    Args:
        predict: the model.
        batch: at least one row.
        is_wanted: whether anybody still waits; asked before each further attempt, and between inputs where the model
            gives one output after the other.
        isolate: whether a failing batch is asked again in parts (see above), or fails as a whole.
        faults: tells the log what goes wrong, not too often.

    Raises:
        NotWanted: the model was left in the midst of the batch.
    """
    faults = faults or Faults()
    outcome = _attempt(predict, batch, 0, batch.rows, is_wanted, faults, is_first=True)
    if not isinstance(outcome, _Raised):
        return outcome
    if batch.rows == 1 or not isolate:
        return [outcome.failure] * batch.rows
    return _isolated(predict, batch, outcome.failure, is_wanted, faults)


def _isolated(
    predict: Callable[[ModelInputs], Any],
    batch: Batch,
    failure: Failure,
    is_wanted: Callable[[], bool],
    faults: Faults,
) -> list[object]:
    outcomes: list[object] = []
    todo = _halves(0, batch.rows, failure)
    while todo:
        start, stop, failure = todo.pop()  # from the left to the right
        outcome = _attempt(predict, batch, start, stop, is_wanted, faults) if is_wanted() else _Raised(failure)
        if not isinstance(outcome, _Raised):
            outcomes.extend(outcome)
        elif stop - start == 1 or not is_wanted():
            outcomes.extend([outcome.failure] * (stop - start))
        else:
            todo.extend(_halves(start, stop, outcome.failure))
    return outcomes


def _halves(start: int, stop: int, failure: Failure) -> list[tuple[int, int, Failure]]:
    middle = (start + stop) // 2
    return [(middle, stop, failure), (start, middle, failure)]


@dataclass(frozen=True, slots=True)
class _Raised:
    failure: Failure


def _attempt(
    predict: Callable[[ModelInputs], Any],
    batch: Batch,
    start: int,
    stop: int,
    is_wanted: Callable[[], bool],
    faults: Faults,
    *,
    is_first: bool = False,
) -> Outcomes | _Raised:
    try:
        outputs = predict(batch.build(start, stop))
        if isinstance(outputs, Iterator):
            outputs = _drawn(outputs, is_wanted)
        return _checked(outputs, stop - start, faults)
    except NotWanted:
        raise
    except BaseException as error:  # noqa: BLE001  # the boundary to the model: answers and goes on
        if is_first:
            faults.raised(error, stop - start)
        return _Raised(Failure.of(error))


def _drawn(outputs: Iterator[Any], is_wanted: Callable[[], bool]) -> list[Any]:
    found = []
    for output in outputs:
        found.append(output)
        if not is_wanted():
            raise NotWanted
    return found


def _checked(outputs: Any, rows: int, faults: Faults) -> Outcomes:
    if isinstance(outputs, np.ndarray):
        found = len(outputs) if outputs.ndim else None
    else:
        found = len(outputs) if isinstance(outputs, list | tuple) else None
    if found == rows:
        checked: Outcomes = outputs
        return checked
    if found is None:
        failure = Failure(
            "WrongOutputType",
            f"The model returned a {type(outputs).__name__}; it must return a list with one output per input.",
        )
    else:
        failure = Failure(
            "WrongOutputCount",
            f"The model returned {found} outputs for {rows} inputs; it must return one output per input.",
        )
    faults.returned(failure.message)
    return [failure] * rows


def _clipped(text: str, most_bytes: int) -> str:
    line = " ".join(text.split())
    data = line.encode("utf-8", "replace")
    if len(data) <= most_bytes:
        return data.decode()
    return data[: most_bytes - 3].decode("utf-8", "ignore") + "..."
