"""What the frontend counts, by application, model version and replica; every name is in here.

Counted in plain Python: two or three additions per query, some more per batch. `metrics_export` tells it to whoever
looks. Labels are bounded: by the configuration, whose names they are, and by a most of each beyond which they share
the label "other".

Rules of this file
 1. Pure but for its clock: it looks on, and changes nothing on the way of a query.
 2. What is no longer configured is no longer told.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from clipper_frontend.deadlines import Clock
from clipper_frontend.joint import AnyQuery
from clipper_frontend.predictor import error_of
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Replica, RouteTable
from clipper_frontend.runtime import Answer, Failure, Lost, Predictions, TimedOut
from clipper_rpc.errors import ClipperError
from clipper_rpc.telemetry.meter import TICK_NS, Meter
from clipper_rpc.telemetry.tally import OTHER, ROWS, Histogram, Slots

_MOST_APPLICATIONS = 1000
_MOST_VERSIONS = 2000
_MOST_REPLICAS = 4000
_MOST_KINDS = 32

VersionKey = tuple[str, str]
ReplicaKey = tuple[str, str, str]


class ApplicationTally:
    """The answers of one application."""

    __slots__ = ("defaults", "errors", "failed", "meter", "objective_ns", "predictions", "reasons")

    def __init__(self, now_ns: int) -> None:
        self.predictions = Histogram()
        """How long predictions took, from arrival to reply."""
        self.defaults = Histogram()
        """How long default outputs took."""
        self.failed = Histogram()
        """How long queries took that had an error for an answer."""
        self.reasons: dict[str, int] = {}
        """Default outputs, by reason."""
        self.errors: Slots[str, list[int]] = Slots(lambda: [0], OTHER, most=_MOST_KINDS)
        """Errors that callers got, by kind: of queries, and of calls that asked for what cannot be."""
        self.objective_ns = 0
        self.meter = Meter(now_ns)

    @property
    def answers(self) -> int:
        """How many queries were answered, however."""
        return self.predictions.count + self.defaults.count + self.failed.count

    def follow(self, objective_ns: int) -> None:
        """Has a bucket that ends at the objective."""
        self.objective_ns = objective_ns
        for each in (self.predictions, self.defaults, self.failed):
            each.include(objective_ns)


class VersionTally:
    """The queries for one model version."""

    __slots__ = ("errors", "meter", "predictions", "waits")

    def __init__(self, now_ns: int) -> None:
        self.waits = Histogram()
        """From arrival until a query was put into a batch."""
        self.predictions = 0
        self.errors: Slots[str, list[int]] = Slots(lambda: [0], OTHER, most=_MOST_KINDS)
        """Inputs that the model failed on, by the kind of its error."""
        self.meter = Meter(now_ns)


class ReplicaTally:
    """The batches of one replica."""

    __slots__ = ("failures", "models", "round_trips", "rows")

    def __init__(self) -> None:
        self.rows = Histogram(ROWS)
        self.round_trips = Histogram()
        """From sending a batch to its answer."""
        self.models = Histogram()
        """The model's own time for a batch, where its runtime tells."""
        self.failures: dict[str, int] = {}
        """Batches that came back undone: timed_out, lost, refused, failed."""


class Metrics:
    """Everything that one frontend process counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        now_ns = clock.now_ns

        self.applications: Slots[str, ApplicationTally] = Slots(
            lambda: ApplicationTally(now_ns()), OTHER, most=_MOST_APPLICATIONS
        )
        self.versions: Slots[VersionKey, VersionTally] = Slots(
            lambda: VersionTally(now_ns()), (OTHER, OTHER), most=_MOST_VERSIONS
        )
        self.replicas: Slots[ReplicaKey, ReplicaTally] = Slots(ReplicaTally, (OTHER, OTHER, OTHER), most=_MOST_REPLICAS)
        self._find = self.applications.find
        self._known: frozenset[str] = frozenset()
        self._found: dict[tuple[str, str, int], tuple[ReplicaTally, VersionTally]] = {}
        """Where batches of a replica are counted; forgotten whenever slots are dropped."""
        self._is_ticking = False

    def follow(self, table: RouteTable) -> None:
        """Tells of what the table has, from now on."""
        self._known = frozenset(table.routes)
        self.applications.keep(table.routes)
        for route in table.routes.values():
            self.applications[route.name].follow(route.objective_ns)
        versions = [group.version for group in table.groups.values()]
        self.versions.keep((version.model, version.version) for version in versions)
        self.replicas.keep(
            (each.model, each.version, str(each.replica_id))
            for group in table.groups.values()
            for each in group.replicas
        )
        self._found.clear()
        for version in versions:
            _ = self.versions[version.model, version.version]  # told from the start, with zeros

    # On the way of a query

    def answered(self, query: AnyQuery, now_ns: int) -> None:
        """A query is about to be answered, as it stands."""
        name = query.route.name
        tally = self._find(name) or self.applications[name]
        if not query.reason:
            predictions, elapsed_ns = tally.predictions, now_ns - query.arrived_ns
            bounds, counts = predictions.table  # as Histogram.observe, without the call: this is for every query
            counts[bisect_left(bounds, elapsed_ns)] += 1
            predictions.total += elapsed_ns
        elif query.route.default_output is not None:
            _count(tally.reasons, Reason(query.reason).name)
            tally.defaults.observe(now_ns - query.arrived_ns)
        else:
            tally.errors[error_of(query).reason][0] += 1
            tally.failed.observe(now_ns - query.arrived_ns)
        if not self._is_ticking:
            self._start_ticking()

    def failed(self, application: str, error: ClipperError) -> None:
        """A caller got an error."""
        name = application if application in self._known else OTHER
        self.applications[name].errors[error.reason][0] += 1

    def sending(self, replica: Replica, queries: Sequence[Query], now_ns: int) -> None:
        """A batch is about to be sent."""
        of_replica, of_version = self._tallies(replica)
        of_replica.rows.observe(len(queries))
        of_version.waits.observe_all([now_ns - query.arrived_ns for query in queries])

    def returned(self, replica: Replica, batch: Batch, answer: Answer) -> None:
        """A batch has come back."""
        of_replica, of_version = self._tallies(replica)
        match answer:
            case Predictions():
                of_replica.round_trips.observe(batch.replied_ns - batch.sent_ns)
                if answer.model_us:
                    of_replica.models.observe(answer.model_us * 1000)
                failures = [each for each in answer.outcomes if type(each) is Failure]
                of_version.predictions += len(answer.outcomes) - len(failures)
                for failure in failures:
                    of_version.errors[failure.kind][0] += 1
            case Failure():
                _count(of_replica.failures, "failed")
                of_version.errors[answer.kind][0] += 1
            case TimedOut():
                _count(of_replica.failures, "timed_out")
            case Lost():
                _count(of_replica.failures, "refused" if answer.was_refused else "lost")

    def _tallies(self, replica: Replica) -> tuple[ReplicaTally, VersionTally]:
        key = (replica.model, replica.version, replica.replica_id)
        found = self._found.get(key)
        if found is None:
            model, version, replica_id = key
            of_replica = self.replicas[model, version, str(replica_id)]
            found = self._found[key] = of_replica, self.versions[model, version]
        return found

    # The rates

    def _start_ticking(self) -> None:
        self._is_ticking = True
        self._clock.call_at(self._clock.now_ns() + TICK_NS, self._tick)

    def _tick(self) -> None:
        """Ends with the traffic: an idle process does nothing."""
        now_ns = self._clock.now_ns()
        has_grown = [tally.meter.tick(tally.answers, now_ns) for _, tally in self.applications.items()]
        has_grown += [tally.meter.tick(tally.predictions, now_ns) for _, tally in self.versions.items()]
        self._is_ticking = any(has_grown)
        if self._is_ticking:
            self._clock.call_at(now_ns + TICK_NS, self._tick)


def _count(into: dict[str, int], kind: str) -> None:
    into[kind] = into.get(kind, 0) + 1
