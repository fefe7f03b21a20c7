"""Why there was no prediction, in the log: the first time for each cause, then once in a while with how often."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_AGAIN_AFTER_NS = 10_000_000_000
_MOST = 2000


@dataclass(slots=True)
class _Seen:
    told_ns: int
    since: int = 0


class Causes:
    """Tells causes to the log: one line per application and reason at first, later at most one in ten seconds."""

    def __init__(self, again_after_ns: int = _AGAIN_AFTER_NS) -> None:
        self._again_after_ns = again_after_ns
        self._seen: dict[tuple[str, str], _Seen] = {}

    def tell(
        self, event: str, application: str, reason: str, now_ns: int, details: Callable[[], dict[str, object]]
    ) -> None:
        """One query had no prediction; `details` is asked only when there is a line to write."""
        seen = self._seen.get((application, reason))
        if seen is not None and now_ns - seen.told_ns < self._again_after_ns:
            seen.since += 1
            return
        if seen is None:
            if len(self._seen) >= _MOST:
                self._seen.clear()
            seen = self._seen[application, reason] = _Seen(now_ns)
        more = {"more_since_last_line": seen.since} if seen.since else {}
        seen.told_ns, seen.since = now_ns, 0
        _log.warning(event, extra={"application": application, "reason": reason, **details(), **more})
