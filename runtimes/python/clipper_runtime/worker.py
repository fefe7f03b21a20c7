"""Runs what a model computes in threads of its own, in order, and hands what is finished back in bursts.

The event loop never waits for a model: health and other calls are answered while one computes.

Rules of this file
 1. Jobs start in the order in which they were submitted. With one thread, no two run at a time.
 2. `run` is called in a worker thread, `finish` on the loop, once each; `run` must not raise.
 3. Several jobs that finish before the loop comes round cost it one wake-up.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from queue import SimpleQueue
from typing import Protocol


class Job(Protocol):
    """Something to compute, and what to do with it on the loop."""

    def run(self) -> None:
        """Computes. Must not raise."""

    def finish(self) -> None:
        """Hands on what was computed."""


class Worker:
    """Threads that run jobs. Daemons: a model that never returns does not keep the process from ending."""

    def __init__(self, threads: int = 1) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: deque[Job] = deque()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{number}", daemon=True) for number in range(threads)
        ]

    @property
    def waiting(self) -> int:
        """How many jobs have not been started."""
        return self._jobs.qsize()

    def start(self) -> None:
        """Starts the threads; must be called on the loop that jobs finish on."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Runs a job when all before it have started and a thread is free."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Lets the threads end once they have run what was submitted. Does not wait for that."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            self._finished.append(job)
            del job  # a waiting thread must not keep the last batch alive
            if not self._is_woken:
                self._is_woken = True
                self._wake()

    def _wake(self) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._finish)
        except RuntimeError:  # the loop has ended meanwhile: nobody waits any more
            self._finished.clear()

    def _finish(self) -> None:
        self._is_woken = False  # before the look at the queue: what comes later wakes us again
        while self._finished:
            self._finished.popleft().finish()
