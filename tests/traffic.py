"""Continuous queries, over REST and gRPC, of which none may fail or be answered by default. The cache answers none."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from clipper_admin import Client, ClipperConnection

_VALUES = itertools.count()


def another_value() -> list[float]:
    """An input that was never asked before, so that no cache knows its answer."""
    return [1.5, float(next(_VALUES))]


class Traffic:
    """Queries of an application, one after the other from each of several threads, until it is stopped."""

    def __init__(self, connection: ClipperConnection, application: str, *, askers: int = 2) -> None:
        self._connection = connection
        self._application = application
        self._stopping = threading.Event()
        self._answers: Counter[str] = Counter()
        self._answered = threading.Condition()
        self.failures: list[str] = []
        ask = [self._over_rest, *[self._over_grpc] * (askers - 1)]
        self._threads = [threading.Thread(target=each) for each in ask]

    @property
    def answers(self) -> Counter[str]:
        """How often each output was answered."""
        with self._answered:
            return Counter(self._answers)

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        self._stopping.set()
        for each in self._threads:
            each.join()

    def goes_on(self, queries: int = 20, timeout_s: float = 30) -> None:
        """Returns once so many more queries were answered."""
        with self._answered:
            wanted = self._answers.total() + queries
            assert self._answered.wait_for(lambda: self._answers.total() >= wanted, timeout_s), self.failures

    def answers_with(self, output: Any, timeout_s: float = 30) -> None:
        """Returns once a query was answered with this output from now on."""
        with self._answered:
            before = self._answers[str(output)]
            came = self._answered.wait_for(lambda: self._answers[str(output)] > before, timeout_s)
            assert came, (self._answers, self.failures)

    def _note(self, output: Any, failure: str) -> None:
        with self._answered:
            if failure:
                self.failures.append(failure)
            else:
                self._answers[str(output)] += 1
            self._answered.notify_all()

    def _over_rest(self) -> None:
        url = f"http://{self._connection.get_query_addr()}/{self._application}/predict"
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._stopping.is_set():
                try:
                    reply = client.post(url, json={"input": another_value(), "bypass_cache": True}).json()
                except (httpx.HTTPError, ValueError) as error:
                    self._note(None, f"REST: {error!r}")
                    continue
                self._note(reply.get("output"), "" if reply.get("default") is False else f"REST: {reply}")

    def _over_grpc(self) -> None:
        cm = self._connection.cm
        with Client(cm.get_manager_addr(), cm.get_frontend_addr()) as client:
            asked = client.describe_application(self._application)
            while not self._stopping.is_set():
                try:
                    found = client.predict(asked, another_value(), fresh=True)
                except Exception as error:  # noted, whatever it is
                    self._note(None, f"gRPC: {error!r}")
                    continue
                self._note(found.output, found.default_explanation if found.default else "")


@contextmanager
def flawless(connection: ClipperConnection, application: str, *, askers: int = 2) -> Iterator[Traffic]:
    """Traffic while the block runs; at its end no query has failed or got a default output."""
    traffic = Traffic(connection, application, askers=askers)
    traffic.start()
    try:
        traffic.goes_on()
        yield traffic
        traffic.goes_on()
    finally:
        traffic.stop()
    assert traffic.failures == [], traffic.failures[:5]
