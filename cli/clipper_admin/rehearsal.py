"""A model's function tried in this process, as a replica would call it: pickled, unpickled, on the same arrays."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

from clipper_admin.convert.values import model_request
from clipper_admin.exceptions import ClipperException
from clipper_rpc.errors import InvalidField
from clipper_runtime.codec import decoder
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.names import InputType
from clipper_runtime.packing import pack


def rehearse(query: Mapping[str, Any], func: Callable[[Any], Any], input_type: str) -> Any:
    """The function's outputs for a query as REST takes it: {"input": X} or {"input_batch": [X, …]}.

    Raises:
        ClipperException: the query is not one, an input is not of the type, the function cannot be pickled, or it
            returns another number of outputs than it got inputs. (What the function itself raises, comes through.)
    """
    try:
        kind = InputType.parse(input_type)
        if "input" in query:
            inputs = [query["input"]]
        elif isinstance(query.get("input_batch"), list | tuple):
            inputs = list(query["input_batch"])
        else:
            raise ClipperException('A query is {"input": X} or {"input_batch": [X, …]}.')
        request = model_request(inputs, kind)
        served = pickle.loads(pack(func).data)  # noqa: S301  # was pickled in this very line
    except (ValueError, InvalidField, RuntimeFault) as error:
        raise ClipperException(str(error)) from error
    if not inputs:
        return []
    batch = decoder(kind)(request)
    outputs = served(batch.build(0, batch.rows))
    try:
        count = len(outputs)
    except TypeError:
        raise ClipperException(
            f"The function returned a {type(outputs).__name__}; it must return a list with one output per input."
        ) from None
    if count != len(inputs):
        raise ClipperException(f"The function returned {count} outputs for {len(inputs)} inputs; it must be one each.")
    return outputs
