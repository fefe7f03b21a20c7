"""What the runtime counts of its batches, and how it tells them; every name is in here.

Counted by the threads that compute, once per batch. Clipper's own names (clipper_mc_...) are told beside ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import numpy as np

from clipper_rpc.telemetry.families import Buckets, Family, counter, durations, gauge, histogram, sizes
from clipper_rpc.telemetry.tally import OTHER, ROWS, Histogram, Slots
from clipper_runtime.predict import Failure, Outcomes

_MOST_KINDS = 32
_NS_PER_MS = 10**6


class RuntimeTally:
    """The batches of one runtime."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self._lock = threading.Lock()
        self._rows = Histogram(ROWS)
        self._waits = Histogram()
        self._decodes = Histogram()
        self._models = Histogram()
        self._totals = Histogram()
        self._predictions = 0
        self._errors: Slots[str, list[int]] = Slots(lambda: [0], OTHER, most=_MOST_KINDS)
        self._refused: dict[str, int] = {}
        self.waiting: Callable[[], int] = lambda: 0
        """How many batches wait; set by whoever knows."""

    def computed(self, rows: int, outcomes: Outcomes, decode_ns: int, model_ns: int) -> None:
        """A batch was computed."""
        failures = [] if isinstance(outcomes, np.ndarray) else [each for each in outcomes if type(each) is Failure]
        with self._lock:
            self._rows.observe(rows)
            self._decodes.observe(decode_ns)
            self._models.observe(model_ns)
            self._predictions += rows - len(failures)
            for failure in failures:
                self._errors[failure.kind][0] += 1

    def answered(self, wait_ns: int, total_ns: int) -> None:
        """A batch was computed after a wait; `total_ns` is from its arrival on."""
        with self._lock:
            self._waits.observe(wait_ns)
            self._totals.observe(total_ns)

    def refused(self, reason: str) -> None:
        """A batch was not computed: not_ready, stopping, overloaded, expired, left."""
        with self._lock:
            self._refused[reason] = self._refused.get(reason, 0) + 1

    def families(self) -> Iterable[Family]:
        """Everything."""
        with self._lock:
            return (*self._ours(), *self._clippers())

    def _ours(self) -> Iterable[Family]:
        labels = self._labels
        yield histogram("clipper.runtime.batch.size", "Inputs in a batch.", [(labels, sizes(self._rows))], "{input}")
        yield histogram(
            "clipper.runtime.queue.wait",
            "From the arrival of a batch until the model was free for it.",
            [(labels, durations(self._waits))],
            "s",
        )
        yield histogram(
            "clipper.runtime.model.duration",
            "The model's own time for a batch.",
            [(labels, durations(self._models))],
            "s",
        )
        yield histogram(
            "clipper.runtime.batch.duration",
            "From the arrival of a batch until it was computed.",
            [(labels, durations(self._totals))],
            "s",
        )
        yield counter(
            "clipper.runtime.predictions", "Inputs that the model has answered.", [(labels, self._predictions)]
        )
        yield counter(
            "clipper.runtime.errors",
            "Inputs that the model has failed on, by the kind of its error.",
            [({**labels, "kind": kind}, number) for kind, (number,) in self._errors.items()],
        )
        yield counter(
            "clipper.runtime.refused",
            "Batches that were not computed, by why: not_ready, stopping, overloaded, expired, left.",
            [({**labels, "reason": reason}, number) for reason, number in self._refused.items()],
        )
        yield gauge("clipper.runtime.queue.length", "Batches that wait.", [(labels, self.waiting())], "{batch}")

    def _clippers(self) -> Iterable[Family]:
        yield counter(
            "clipper_mc_pred", "Clipper's name for clipper_runtime_predictions_total.", [({}, self._predictions)]
        )
        for name, found in (
            ("end_to_end_latency", self._totals),
            ("handle_time", self._models),
            ("recv_time", self._waits),
            ("parse_time", self._decodes),
        ):
            text = "Clipper's histograms of batches, in milliseconds as there."
            yield histogram(f"clipper_mc_{name}_ms", text, [({}, _milliseconds(found))])


def _milliseconds(found: Histogram) -> Buckets:
    return durations(found, per_unit=_NS_PER_MS)
