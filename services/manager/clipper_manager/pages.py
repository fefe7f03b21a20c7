"""Lists in pages: each page goes on after the last item of the one before, whatever came or went between."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from clipper_rpc.errors import InvalidField

T = TypeVar("T")
SortKey = tuple[str | int, ...]

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for, as the caller wrote it."""

    size: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page; the token asks for the next one and is empty at the end."""

    items: tuple[T, ...]
    next_token: str = ""


def page(items: Iterable[T], by: Callable[[T], SortKey], request: PageRequest, *, of: str) -> Page[T]:
    """The page of `items`, sorted `by` a unique key. `of` names the list: a token is good for the same one only.

    Raises:
        InvalidField: the size is negative, or the token is not of this list. Source: AIP-158.
    """
    if request.size < 0:
        raise InvalidField(
            field="page_size", problem=f"is {request.size}; give 1 to {MAX_PAGE_SIZE}, or 0 for the default"
        )
    size = min(request.size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    ordered = sorted(items, key=by)
    start = bisect_right(ordered, _after(request.token, of), key=by) if request.token else 0
    found = tuple(ordered[start : start + size])
    is_last = start + size >= len(ordered)
    return Page(found, "" if is_last else _token(of, by(found[-1])))


def _token(of: str, key: SortKey) -> str:
    return urlsafe_b64encode(json.dumps([of, *key], separators=(",", ":")).encode()).decode().rstrip("=")


def _after(token: str, of: str) -> SortKey:
    try:
        padded = token + "=" * (-len(token) % 4)
        made_for, *key = json.loads(urlsafe_b64decode(padded.encode("ascii")))
    except (binascii.Error, ValueError, TypeError):
        made_for, key = None, []
    if made_for != of or not key:
        raise InvalidField(
            field="page_token", problem="is not of this list; give the next_page_token of the page before, or none"
        )
    return tuple(key)
