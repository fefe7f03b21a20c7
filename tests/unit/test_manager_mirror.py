"""The mirror goes forward with its store, and knows when that does not continue what was seen."""

from __future__ import annotations

import pytest

from clipper_manager.mirror import Mirror
from clipper_manager.resources import Application, InputType
from clipper_manager.store import Entry, HistoryBroken, Image, Position


def entry(revision: int, commit_id: str = "") -> Entry:
    return Entry(revision, commit_id or f"id{revision}", (Application(f"a{revision}", InputType.BYTES),), ())


def image(revision: int, *, epoch: str = "e", first: int = 0, kept: int = 100, fork: int = 10**9) -> Image:
    """A store at `revision` of an epoch that began at `first`; from `fork` on its commits are other ones."""
    entries = [entry(each, f"other{each}" if each >= fork else "") for each in range(first + 1, revision + 1)]
    entities = tuple(put for each in range(1, revision + 1) for put in entry(each).puts)
    return Image(Position(epoch, revision), first, entities, tuple(entries[-kept:]), "mark")


def mirror(history: int = 100) -> Mirror:
    made = Mirror(history)
    assert made.load(image(3))
    return made


def names(made: Mirror) -> list[str]:
    return sorted(each.name for each in made.state.all(Application))


def revisions(entries: tuple[Entry, ...] | None) -> list[int] | None:
    return None if entries is None else [each.revision for each in entries]


def test_a_mirror_knows_nothing_before_it_is_loaded() -> None:
    assert not Mirror(10).is_loaded
    assert Mirror(10).since(None) is None


def test_an_image_is_taken_over_with_its_history() -> None:
    made = mirror()
    assert made.is_loaded
    assert made.position == Position("e", 3)
    assert names(made) == ["a1", "a2", "a3"]
    assert revisions(made.since(Position("e", 1))) == [2, 3]


def test_entries_lead_forward_one_by_one() -> None:
    made = mirror()
    assert made.apply(entry(4))
    assert made.position.revision == 4
    assert "a4" in names(made)


def test_an_entry_that_is_known_is_not_applied_again() -> None:
    assert not mirror().apply(entry(3))


def test_a_gap_is_noticed() -> None:
    with pytest.raises(HistoryBroken):
        mirror().apply(entry(5))


@pytest.mark.parametrize(
    ("seen", "missed"),
    [
        (None, None),
        (Position("other", 3), None),
        (Position("e", 3), []),
        (Position("e", 99), []),  # it has seen more at another manager: it waits
        (Position("e", 2), [3]),
        (Position("e", 0), [1, 2, 3]),
        (Position("e", -1), None),
    ],
)
def test_who_resumes_gets_what_it_missed(seen: Position | None, missed: list[int] | None) -> None:
    assert revisions(mirror().since(seen)) == missed


def test_what_is_beyond_the_history_is_not_known() -> None:
    made = mirror(history=2)
    assert revisions(made.since(Position("e", 1))) == [2, 3]
    assert made.since(Position("e", 0)) is None


def test_a_store_that_went_on_is_followed_without_a_break() -> None:
    made = mirror()
    assert made.load(image(6))
    assert revisions(made.since(Position("e", 2))) == [3, 4, 5, 6]


def test_a_store_that_went_on_from_its_very_beginning_is_followed() -> None:
    made = Mirror(10)
    made.load(image(0))
    assert made.load(image(2))
    assert revisions(made.since(Position("e", 0))) == [1, 2]


@pytest.mark.parametrize("revision", [2, 3, 4, 9])
def test_a_store_that_lost_changes_contradicts(revision: int) -> None:
    made = mirror()
    assert not made.load(image(revision, fork=3 if revision > 2 else 10**9))
    assert made.position == Position("e", 3)


def test_a_store_whose_history_is_gone_begins_anew() -> None:
    made = mirror()
    assert made.load(image(9, kept=2))
    assert names(made) == sorted(f"a{number}" for number in range(1, 10))
    assert made.since(Position("e", 3)) is None
    assert revisions(made.since(Position("e", 7))) == [8, 9]


def test_another_epoch_begins_anew() -> None:
    made = mirror()
    assert made.load(image(1, epoch="f"))
    assert names(made) == ["a1"]
    assert made.since(Position("e", 3)) is None
    assert revisions(made.since(Position("f", 0))) == [1]


def test_an_epoch_that_goes_on_from_another_has_no_history_before_it() -> None:
    made = mirror()
    assert made.load(image(5, epoch="f", first=4))
    assert made.since(Position("f", 3)) is None
    assert revisions(made.since(Position("f", 4))) == [5]
