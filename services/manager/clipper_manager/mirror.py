"""The configuration in memory, with its latest changes: what reads are served from and watchers resume from."""

from __future__ import annotations

from collections import deque
from itertools import islice

from clipper_manager.state import State
from clipper_manager.store import Entry, HistoryBroken, Image, Position


class Mirror:
    """A copy of the store's configuration that goes forward entry by entry."""

    def __init__(self, history: int) -> None:
        """Keeps the latest `history` changes for those who resume."""
        self.state = State()
        self.position = Position("", 0)
        """The epoch is empty until the first load."""
        self._entries: deque[Entry] = deque(maxlen=history)

    @property
    def is_loaded(self) -> bool:
        """Whether it has ever seen the store."""
        return bool(self.position.epoch)

    def load(self, image: Image) -> bool:
        """Takes an image over: goes forward to it if it continues this history, else begins anew with it.

        False, and nothing is done, if the store contradicts what was seen in the same epoch: it has lost changes.
        """
        if image.position.epoch == self.position.epoch:
            if image.position.revision < self.position.revision:
                return False
            seen = self._entries[-1] if self._entries else None
            theirs = next((each for each in image.entries if each.revision == self.position.revision), None)
            if theirs is not None and seen is not None and theirs.commit_id != seen.commit_id:
                return False
            missed = [each for each in image.entries if each.revision > self.position.revision]
            is_known = theirs is not None or self.position.revision == image.first_revision
            if is_known and len(missed) == image.position.revision - self.position.revision:
                for entry in missed:
                    self.apply(entry)
                return True
        self.state = State(image.entities)
        self.position = image.position
        self._entries.clear()
        self._entries.extend(image.entries)
        return True

    def apply(self, entry: Entry) -> bool:
        """Goes forward by one change; False if it was known already.

        Raises:
            HistoryBroken: changes before it are missing.
        """
        if entry.revision <= self.position.revision:
            return False
        if entry.revision != self.position.revision + 1:
            raise HistoryBroken
        self.state.apply(entry.puts, entry.deletes)
        self.position = Position(self.position.epoch, entry.revision)
        self._entries.append(entry)
        return True

    def since(self, position: Position | None) -> tuple[Entry, ...] | None:
        """The changes after a position; None if they are not known: then only the whole state brings one up to date."""
        if position is None or position.epoch != self.position.epoch:
            return None
        missed = self.position.revision - position.revision
        if missed <= 0:
            return ()
        if missed > len(self._entries):
            return None
        return tuple(islice(self._entries, len(self._entries) - missed, None))
