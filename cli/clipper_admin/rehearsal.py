"""A model's function tried in this process, as a replica would call it: pickled, unpickled, on the same arrays."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clipper_admin.convert.values import model_request
from clipper_admin.exceptions import ClipperException, InvalidArgumentException
from clipper_rpc.errors import InvalidField
from clipper_runtime import convert
from clipper_runtime.codec import decoder
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.names import InputType
from clipper_runtime.packing import pack

_A_QUERY = 'A query is {"input": X} or {"input_batch": [X, …]}.'


def rehearse(query: Mapping[str, Any], func: Callable[[Any], Any], input_type: str) -> Any:
    """The function's outputs for a query as REST takes it: {"input": X} or {"input_batch": [X, …]}.

    Raises:
        ClipperException: the query is not one, an input is not of the type, the function cannot be pickled, or what it
            returns could not be served. (What the function itself raises, comes through.)
    """
    if not isinstance(query, Mapping):
        raise InvalidArgumentException(_A_QUERY)
    if not callable(func):
        raise InvalidArgumentException(f"func must be a function, not {func!r}.")
    try:
        kind = InputType.parse(input_type)
        if "input" in query:
            inputs = [query["input"]]
        elif isinstance(query.get("input_batch"), list | tuple):
            inputs = list(query["input_batch"])
        else:
            raise InvalidArgumentException(_A_QUERY)
        request = model_request(inputs, kind)
        served = pickle.loads(pack(func).data)  # noqa: S301  # was pickled in this very line
    except (InvalidField, RuntimeFault, ValueError) as error:
        if isinstance(error, ClipperException):
            raise
        raise ClipperException(str(error)) from error
    if not inputs:
        return []
    batch = decoder(kind)(request)
    return _checked(served(batch.build(0, batch.rows)), len(inputs))


def _checked(outputs: Any, count: int) -> Any:
    """The outputs, if a replica could serve them."""
    if isinstance(outputs, Iterator):
        outputs = list(outputs)
    if not isinstance(outputs, list | tuple) and not getattr(outputs, "ndim", 0):
        raise ClipperException(
            f"The function returned a {type(outputs).__name__}; it must return a list with one output per input."
        )
    if len(outputs) != count:
        raise ClipperException(f"The function returned {len(outputs)} outputs for {count} inputs; it must be one each.")
    for number, each in enumerate(outputs):
        try:
            convert.output(each)
        except convert.UnsupportedOutput as error:
            raise ClipperException(f"Output {number} could not be served: {error}") from error
    return outputs
