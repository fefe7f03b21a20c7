"""What was answered before? Outputs by version and input, bounded in bytes.

Rules of this file
 1. Pure: time is an argument, in monotonic nanoseconds.
 2. A version is known by its uid, never by its name: what is deployed anew starts with nothing.
 3. Everything is counted that an entry costs: key, output, and its places in the tables.
 4. No collisions: a short input is its own key, compared in full; a long one is known by 128 bits of a SHA-256 that
    starts with a secret of this process, so that nobody outside can even try for two that are alike.

Eviction is S3-FIFO: newcomers wait in a small queue, a quarter of all bytes; only those that were used twice there,
or once more shortly after they left it, enter the main queue, where each use buys one more round. So scans pass through
without driving out what is asked for often. A hit costs two look-ups and moves nothing.

Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. The sizes are by measurement
(bench/cache_eviction.py).
"""

from __future__ import annotations

import hashlib
from collections import deque
from itertools import count

ENTRY_BYTES = 352
"""What an entry costs beside the bytes of its key and its output (CPython: object headers, slots of two tables)."""
EXPIRY_BYTES = 152
"""What remembering when it expires adds."""
GHOST_BYTES = 192
"""What the memory of an evicted key costs beside its bytes."""
MAX_PLAIN_BYTES = 128
"""Inputs up to this length are keys themselves."""
_DIGEST_BYTES = 16
_MOST_USES = 3
_USES_TO_STAY = 2
_IN_MAIN = 4  # a flag beside the number of uses


class Keys:
    """Makes the keys of one version's inputs."""

    __slots__ = ("_hasher", "_plain", "_prefix")

    def __init__(self, number: int, secret: bytes) -> None:
        self._plain = number.to_bytes(6) + b"="
        self._prefix = number.to_bytes(6) + b"#"
        self._hasher = hashlib.sha256(secret + self._prefix)

    def key(self, value: bytes) -> bytes:
        """The key of a serialized input."""
        if len(value) <= MAX_PLAIN_BYTES:
            return self._plain + value
        hasher = self._hasher.copy()
        hasher.update(value)
        return self._prefix + hasher.digest()[:_DIGEST_BYTES]


class PredictionCache:
    """Outputs of models, by keys.

    Args:
        max_bytes: all that the cache may take; 0 keeps nothing.
        ttl_ns: how long an output is good; 0: for ever.
        secret: random bytes that are known to this process alone.
    """

    def __init__(self, *, max_bytes: int, ttl_ns: int, secret: bytes) -> None:
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._max_bytes = max_bytes
        self._max_small_bytes = max_bytes // 4
        self._ttl_ns = ttl_ns
        self._secret = secret
        self._numbers = count()
        self._entry_bytes = ENTRY_BYTES + (EXPIRY_BYTES if ttl_ns else 0)
        # Tables of plain values, not of entry objects: the garbage collector then has nothing to walk through.
        self._outputs: dict[bytes, bytes] = {}
        self._uses: dict[bytes, int] = {}  # of those that were used, or are in the main queue
        self._expiries: dict[bytes, int] = {}
        self._small: deque[bytes] = deque()
        self._main: deque[bytes] = deque()
        self._ghosts: set[bytes] = set()
        self._ghost_order: deque[bytes] = deque()
        self._small_bytes = 0
        self.size_bytes = 0
        """What the cache takes now."""

    def __len__(self) -> int:
        """How many outputs are kept."""
        return len(self._outputs)

    def keys_of_version(self) -> Keys:
        """Keys for a version that has none yet; no other version's are ever equal to them."""
        return Keys(next(self._numbers), self._secret)

    def get(self, key: bytes, now_ns: int) -> bytes | None:
        """The output of a key; None when there is none, or it is too old."""
        output = self._outputs.get(key)
        if output is None or (self._ttl_ns and self._expiries[key] <= now_ns):
            self.misses += 1
            return None
        self.hits += 1
        uses = self._uses.get(key, 0)
        if ~uses & _MOST_USES:
            self._uses[key] = uses + 1
        return output

    def put(self, key: bytes, output: bytes, now_ns: int) -> None:
        """Keeps an output, unless an eighth of the cache would be its alone."""
        size = self._entry_bytes + len(key) + len(output)
        if size > self._max_bytes // 8:
            return
        before = self._outputs.get(key)
        self._outputs[key] = output
        if before is not None:  # it had expired, or was computed although it was known
            size = len(output) - len(before)
            if not self._uses.get(key, 0) & _IN_MAIN:
                self._small_bytes += size
        elif key in self._ghosts:
            self._ghosts.remove(key)
            self._main.append(key)
            self._uses[key] = _IN_MAIN
        else:
            self._small.append(key)
            self._small_bytes += size
        self.size_bytes += size
        if self._ttl_ns:
            self._expiries[key] = now_ns + self._ttl_ns
        while self.size_bytes > self._max_bytes:
            if self._small_bytes > self._max_small_bytes or not self._main:
                self._shrink_small()
            else:
                self._shrink_main()

    def clear(self) -> None:
        """Forgets everything."""
        tables = (self._outputs, self._uses, self._expiries, self._small, self._main, self._ghosts, self._ghost_order)
        for table in tables:
            table.clear()
        self._small_bytes = self.size_bytes = 0

    def _shrink_small(self) -> None:
        """Takes the oldest of the small queue: to the main one if it was used there, else away, with a ghost left."""
        key = self._small.popleft()
        size = self._entry_bytes + len(key) + len(self._outputs[key])
        self._small_bytes -= size
        if self._uses.get(key, 0) >= _USES_TO_STAY:
            self._uses[key] = _IN_MAIN
            self._main.append(key)
            return
        self._forget(key)
        self._ghosts.add(key)
        self._ghost_order.append(key)
        size -= GHOST_BYTES + len(key)
        while len(self._ghost_order) > len(self._outputs) // 2:
            oldest = self._ghost_order.popleft()
            self._ghosts.discard(oldest)
            size += GHOST_BYTES + len(oldest)
        self.size_bytes -= size

    def _shrink_main(self) -> None:
        """Takes the oldest of the main queue away; those that were used go round once more per use instead."""
        while (uses := self._uses[key := self._main.popleft()]) > _IN_MAIN:
            self._uses[key] = uses - 1
            self._main.append(key)
        self.size_bytes -= self._entry_bytes + len(key) + len(self._outputs[key])
        self._forget(key)

    def _forget(self, key: bytes) -> None:
        del self._outputs[key]
        self._uses.pop(key, None)
        if self._ttl_ns:
            del self._expiries[key]
        self.evictions += 1
