"""What a model is to the runtime: an object with `predict`, and with `load` where it has files to read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

ModelInputs: TypeAlias = Any
"""The inputs of one batch, by the model's input type (a model may declare what it takes as just that):

doubles, floats, integers   one array [rows, features] of float64, float32, int32 when all rows are equally long,
                            else an object array [rows] of arrays [features]
strings                     list of str
bytes                       list of bytes
tensors                     one array [rows, *shape] when all have one shape and type, else a list of arrays
"""

ModelOutputs: TypeAlias = "Sequence[Any] | npt.NDArray[Any] | Iterator[Any]"
"""One output per input, in order: a list, a tuple or an array whose first axis is the rows. See `convert`.

Or an iterator, as generator functions return: it is left where it stands once nobody waits any more.
"""


class Model(ABC):
    """Base of a user's model class. It is made without arguments, loaded once, and then asked for batches.

    `load` and `predict` are called from one and the same thread, never two at a time, unless the runtime is started
    with more than one thread. (Any class with a `predict` will do; deriving from this one is for the type checker.)
    """

    max_batch_rows: int = 0
    """The largest batch that the model can take; 0: any. Frontends keep to it."""

    def load(self, directory: Path) -> None:  # noqa: B027  # optional: most models have nothing to read
        """Reads what the model needs from its directory. What it raises ends the process, with the reason."""

    @abstractmethod
    def predict(self, inputs: ModelInputs) -> ModelOutputs:
        """Answers one batch: one output per input, in order.

        What it raises is told to the callers of the inputs at fault; the process goes on.
        """


class FunctionModel(Model):
    """A function as a model."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self._func = func

    def predict(self, inputs: ModelInputs) -> ModelOutputs:
        """Answers one batch."""
        outputs: ModelOutputs = self._func(inputs)
        return outputs
