"""Which entry should leave a full prediction cache? Hit ratio and cost of five rules on made-up workloads.

    python bench/cache_eviction.py [--requests 400000] [--capacity 5000]

Prints one table: per workload the hit ratio of each rule, beside the best ratio that any rule could have (Belady's:
the entry that is needed last leaves), and in the last row the time per request, all entries being of one size. The
seeds are fixed, so the ratios are the same on every machine. The outcome is in docs/decisions/0011-cache-eviction.md.
"""

from __future__ import annotations

import argparse
import random
import time
from bisect import bisect
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import accumulate, count

from rich.console import Console
from rich.table import Table

Trace = list[int]


class Lru:
    """The one that was not used for the longest time."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: OrderedDict[int, None] = OrderedDict()

    def ask(self, key: int) -> bool:
        if key in self.entries:
            self.entries.move_to_end(key)
            return True
        if len(self.entries) == self.capacity:
            self.entries.popitem(last=False)
        self.entries[key] = None
        return False


class Clock:
    """The oldest that was not used since the hand came by (second chance). Clipper's rule."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used: dict[int, bool] = {}
        self.ring: deque[int] = deque()

    def ask(self, key: int) -> bool:
        if key in self.used:
            self.used[key] = True
            return True
        if len(self.used) == self.capacity:
            while self.used[victim := self.ring.popleft()]:
                self.used[victim] = False
                self.ring.append(victim)
            del self.used[victim]
        self.used[key] = False
        self.ring.append(key)
        return False


class Sieve:
    """As CLOCK, but the survivors keep their places and new entries come behind them. Zhang et al., NSDI 2024."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used: dict[int, bool] = {}
        self.newer: dict[int | None, int | None] = {None: None}  # a linked list from the oldest to the newest
        self.older: dict[int | None, int | None] = {None: None}  # None is both ends
        self.hand: int | None = None

    def ask(self, key: int) -> bool:
        if key in self.used:
            self.used[key] = True
            return True
        if len(self.used) == self.capacity:
            self.evict()
        newest = self.older[None]
        self.newer[newest], self.older[key], self.newer[key], self.older[None] = key, newest, None, key
        self.used[key] = False
        return False

    def evict(self) -> None:
        hand = self.hand if self.hand is not None else self.newer[None]
        while hand is None or self.used[hand]:
            if hand is not None:
                self.used[hand] = False
            hand = self.newer[hand]
        before, after = self.older.pop(hand), self.newer.pop(hand)
        self.newer[before], self.older[after] = after, before
        self.hand = after
        del self.used[hand]


class S3Fifo:
    """Newcomers pass a small queue; only those asked for again there, or shortly after it, enter the main one.

    Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
    """

    def __init__(
        self, capacity: int, small_share: float = 0.1, promoted_from: int = 1, ghosts_share: float = 1
    ) -> None:
        self.small_capacity = max(1, int(capacity * small_share))
        self.capacity = capacity
        self.promoted_from = promoted_from
        self.ghosts_capacity = int(capacity * ghosts_share)
        self.uses: dict[int, int] = {}
        self.small: deque[int] = deque()
        self.main: deque[int] = deque()
        self.ghosts: OrderedDict[int, None] = OrderedDict()

    def ask(self, key: int) -> bool:
        uses = self.uses.get(key)
        if uses is not None:
            if uses < 3:
                self.uses[key] = uses + 1
            return True
        while len(self.uses) >= self.capacity:
            if len(self.small) >= self.small_capacity or not self.main:
                self.evict_small()
            else:
                self.evict_main()
        self.uses[key] = 0
        if key in self.ghosts:
            del self.ghosts[key]
            self.main.append(key)
        else:
            self.small.append(key)
        return False

    def evict_small(self) -> None:
        key = self.small.popleft()
        if self.uses[key] >= self.promoted_from:
            self.uses[key] = 0
            self.main.append(key)
            return
        del self.uses[key]
        self.ghosts[key] = None
        if len(self.ghosts) > self.ghosts_capacity:
            self.ghosts.popitem(last=False)

    def evict_main(self) -> None:
        while uses := self.uses[key := self.main.popleft()]:
            self.uses[key] = uses - 1
            self.main.append(key)
        del self.uses[key]


class Fifo(Clock):
    """The oldest."""

    def ask(self, key: int) -> bool:
        hit = super().ask(key)
        self.used[key] = False
        return hit


def best_possible(trace: Trace, capacity: int) -> float:
    """Belady's rule, which knows the future; it may also refuse a newcomer."""
    later: dict[int, deque[int]] = defaultdict(deque)
    for at, key in enumerate(trace):
        later[key].append(at)
    cached: dict[int, int] = {}
    farthest: list[tuple[int, int]] = []
    hits = 0
    for key in trace:
        later[key].popleft()
        following = later[key][0] if later[key] else len(trace)
        hits += key in cached
        cached[key] = following
        heappush(farthest, (-following, key))
        while len(cached) > capacity:
            at, victim = heappop(farthest)
            if cached.get(victim) == -at:
                del cached[victim]
    return hits / len(trace)


def zipf(rng: random.Random, skew: float, keys: int) -> Callable[[], int]:
    """Draws key k with a probability proportional to 1/k^skew."""
    sums = list(accumulate(1 / k**skew for k in range(1, keys + 1)))
    return lambda: bisect(sums, rng.random() * sums[-1])


def workloads(requests: int, capacity: int) -> Iterator[tuple[str, Trace]]:
    """Names and traces."""
    keys = 20 * capacity
    for skew in (0.7, 1.0, 1.2):
        draw = zipf(random.Random(1), skew, keys)
        yield f"zipf {skew:g}", [draw() for _ in range(requests)]
    rng = random.Random(2)
    draw, fresh = zipf(rng, 1.0, keys), count(keys)
    yield "zipf 1, half of all asked once", [draw() if rng.random() < 0.5 else next(fresh) for _ in range(requests)]
    scanned: Trace = []
    while len(scanned) < requests:  # a nightly job runs through its data between the users' queries
        scanned += [draw() for _ in range(4 * capacity)]
        scanned += [next(fresh) for _ in range(2 * capacity)]
    yield "zipf 1, scans of 2x the cache", scanned[:requests]
    yield "a loop over 1.2x the cache", [at % (6 * capacity // 5) for at in range(requests)]
    period = max(1, requests // 20)
    yield "zipf 1, other keys every 5 %", [(draw() + at // period * 7919) % keys for at in range(requests)]
    yield (
        "each asked twice in a row, late",
        [
            key
            for start in range(0, requests // 2, capacity // 2)
            for key in 2 * list(range(start, start + capacity // 2))
        ],
    )


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400_000, help="per workload")
    parser.add_argument("--capacity", type=int, default=5_000, help="of the cache, in entries")
    options = parser.parse_args()
    rules: dict[str, Callable[[int], Lru | Clock | Sieve | S3Fifo]] = {
        "FIFO": Fifo,
        "LRU": Lru,
        "CLOCK": Clock,
        "SIEVE": Sieve,
        "S3-FIFO": S3Fifo,
        "S3-FIFO, 1/4, 2 uses": partial(S3Fifo, small_share=0.25, promoted_from=2, ghosts_share=0.5),
    }
    table = Table(title=f"hit ratio in %, {options.capacity:,} entries, {options.requests:,} requests")
    table.add_column("workload")
    for name in (*rules, "possible"):
        table.add_column(name, justify="right")
    spent = dict.fromkeys(rules, 0.0)
    asked = 0
    for workload, trace in workloads(options.requests, options.capacity):
        asked += len(trace)
        ratios = []
        for name, rule in rules.items():
            ask = rule(options.capacity).ask
            started = time.process_time()
            hits = sum(map(ask, trace))
            spent[name] += time.process_time() - started
            ratios.append(hits / len(trace))
        ratios.append(best_possible(trace, options.capacity))
        table.add_row(workload, *(f"{100 * ratio:.1f}" for ratio in ratios))
    table.add_section()
    table.add_row("CPU ns per request", *(f"{1e9 * used / asked:.0f}" for used in spent.values()), "")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
