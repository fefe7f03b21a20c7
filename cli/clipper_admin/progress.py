"""What is going on, for people: the lines that Clipper's README shows.

A library adds no log handlers of its own, and the README promises lines. Both hold: the handler here speaks only
where nobody has configured logging, as Python's own last resort does for warnings.
"""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)-8s [%(filename)s:%(lineno)d] %(message)s"
_DATES = "%y-%m-%d:%H:%M:%S"


class _WhereNobodyListens(logging.StreamHandler):  # type: ignore[type-arg]  # of sys.stderr
    def filter(self, record: logging.LogRecord) -> bool:
        """Lets a record through if the root logger has no handler that will write it too."""
        return not logging.getLogger().handlers and bool(super().filter(record))


def show() -> None:
    """Makes progress visible on stderr unless the program has configured logging."""
    logger = logging.getLogger("clipper_admin")
    if logger.handlers:
        return
    handler = _WhereNobodyListens()
    handler.setFormatter(logging.Formatter(_FORMAT, _DATES))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
