"""What a call brings along besides its payload: a request's own name, and the trace that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable

REQUEST_ID = "x-request-id"
"""The metadata (and REST header) with a client's own name for a request."""
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
"""W3C trace context. Source: www.w3.org/TR/trace-context."""

_MAX_ID_CHARACTERS = 128
_MAX_IDS = 32

Metadata = tuple[tuple[str, str | bytes], ...]


def text_of(metadata: Metadata, key: str) -> str:
    """The first value of a key; empty when there is none."""
    for name, value in metadata:
        if name == key and isinstance(value, str):
            return value
    return ""


def request_id(metadata: Metadata) -> str:
    """The request's name, as far as it may stand in a log; empty when it has none."""
    return "".join(each for each in text_of(metadata, REQUEST_ID)[:_MAX_ID_CHARACTERS] if " " < each <= "~")


def joined_ids(ids: Iterable[str]) -> str:
    """The names of a batch's requests as one value, each once, the first ones if there are many."""
    return ",".join(list(dict.fromkeys(each for each in ids if each))[:_MAX_IDS])
