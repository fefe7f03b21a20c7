"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double from `first_ns` up to `last_ns`, each shortened at random by up to a half.

    Source: AWS Architecture Blog, "Exponential backoff and jitter" (equal jitter).
    """

    def __init__(self, first_ns: int = 100_000_000, last_ns: int = 2_000_000_000) -> None:
        self._first_ns = first_ns
        self._last_ns = last_ns
        self._next_ns = first_ns

    def reset(self) -> None:
        """Things went well: the next wait is a short one."""
        self._next_ns = self._first_ns

    def wait_ns(self) -> int:
        """How long to wait now."""
        full_ns, self._next_ns = self._next_ns, min(2 * self._next_ns, self._last_ns)
        return full_ns - int(random.random() * full_ns / 2)
