"""Lists in pages."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_manager.pages import Page, PageRequest, page
from clipper_rpc.errors import InvalidField


def numbers(items: range | list[int], size: int = 0, token: str = "", of: str = "numbers") -> Page[int]:
    return page(items, lambda number: (number,), PageRequest(size, token), of=of)


@given(st.lists(st.integers(0, 1000), unique=True), st.integers(1, 50))
def test_pages_together_are_the_whole_in_order(items: list[int], size: int) -> None:
    seen: list[int] = []
    token = ""
    while True:
        found = numbers(items, size, token)
        assert len(found.items) <= size
        seen.extend(found.items)
        token = found.next_token
        if not token:
            break
    assert seen == sorted(items)


def test_the_last_page_says_that_it_is() -> None:
    assert numbers(range(10), 10).next_token == ""
    assert numbers(range(11), 10).next_token != ""
    assert numbers([]).items == ()


def test_what_comes_and_goes_between_pages_moves_nothing_else() -> None:
    token = numbers([10, 20, 30, 40], 2).next_token
    assert numbers([5, 10, 25, 30, 40], 2, token).items == (25, 30)


def test_sizes_are_coerced() -> None:
    assert len(numbers(range(5000)).items) == 100
    assert len(numbers(range(5000), 2000).items) == 1000


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidField, match="page_size"):
        numbers(range(3), -1)


@pytest.mark.parametrize("token", ["x", "!!!!", "bnVsbA", "W10", "WzFd", "eyJhIjoxfQ", "ü"])
def test_a_token_that_was_never_given_is_refused(token: str) -> None:
    with pytest.raises(InvalidField, match="page_token"):
        numbers(range(3), 1, token)


def test_a_token_of_another_list_is_refused() -> None:
    token = numbers(range(3), 1, of="others").next_token
    with pytest.raises(InvalidField, match="page_token"):
        numbers(range(3), 1, token)


@given(st.text(max_size=40))
def test_no_token_breaks_anything(token: str) -> None:
    with suppress(InvalidField):
        numbers(range(3), 1, token)
