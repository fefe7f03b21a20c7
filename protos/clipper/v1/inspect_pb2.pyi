import datetime

from clipper.v1 import predict_pb2 as _predict_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("applications", "models", "processes", "cache_bytes", "cache_evictions", "queue_wait")
    APPLICATIONS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHE_EVICTIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_WAIT_FIELD_NUMBER: _ClassVar[int]
    applications: _containers.RepeatedCompositeFieldContainer[ApplicationStats]
    models: _containers.RepeatedCompositeFieldContainer[ModelStats]
    processes: int
    cache_bytes: int
    cache_evictions: int
    queue_wait: Distribution
    def __init__(self, applications: _Optional[_Iterable[_Union[ApplicationStats, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[ModelStats, _Mapping]]] = ..., processes: _Optional[int] = ..., cache_bytes: _Optional[int] = ..., cache_evictions: _Optional[int] = ..., queue_wait: _Optional[_Union[Distribution, _Mapping]] = ...) -> None: ...

class ApplicationStats(_message.Message):
    __slots__ = ("application", "predictions", "defaults", "errors", "rates", "latency", "objective_us", "failures")
    class DefaultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_US_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    application: str
    predictions: int
    defaults: _containers.ScalarMap[str, int]
    errors: _containers.ScalarMap[str, int]
    rates: Rates
    latency: Distribution
    objective_us: int
    failures: int
    def __init__(self, application: _Optional[str] = ..., predictions: _Optional[int] = ..., defaults: _Optional[_Mapping[str, int]] = ..., errors: _Optional[_Mapping[str, int]] = ..., rates: _Optional[_Union[Rates, _Mapping]] = ..., latency: _Optional[_Union[Distribution, _Mapping]] = ..., objective_us: _Optional[int] = ..., failures: _Optional[int] = ...) -> None: ...

class ModelStats(_message.Message):
    __slots__ = ("model", "version", "predictions", "errors", "rates", "batch_latency", "batch_rows", "queue_wait", "queue_rows", "replicas_up", "replicas_down", "cache_hits", "cache_joins", "cache_misses")
    class ErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    BATCH_LATENCY_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_WAIT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ROWS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_UP_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_DOWN_FIELD_NUMBER: _ClassVar[int]
    CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    CACHE_JOINS_FIELD_NUMBER: _ClassVar[int]
    CACHE_MISSES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    predictions: int
    errors: _containers.ScalarMap[str, int]
    rates: Rates
    batch_latency: Distribution
    batch_rows: Distribution
    queue_wait: Distribution
    queue_rows: int
    replicas_up: int
    replicas_down: int
    cache_hits: int
    cache_joins: int
    cache_misses: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., predictions: _Optional[int] = ..., errors: _Optional[_Mapping[str, int]] = ..., rates: _Optional[_Union[Rates, _Mapping]] = ..., batch_latency: _Optional[_Union[Distribution, _Mapping]] = ..., batch_rows: _Optional[_Union[Distribution, _Mapping]] = ..., queue_wait: _Optional[_Union[Distribution, _Mapping]] = ..., queue_rows: _Optional[int] = ..., replicas_up: _Optional[int] = ..., replicas_down: _Optional[int] = ..., cache_hits: _Optional[int] = ..., cache_joins: _Optional[int] = ..., cache_misses: _Optional[int] = ...) -> None: ...

class Rates(_message.Message):
    __slots__ = ("mean", "one_minute", "five_minutes", "fifteen_minutes")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    ONE_MINUTE_FIELD_NUMBER: _ClassVar[int]
    FIVE_MINUTES_FIELD_NUMBER: _ClassVar[int]
    FIFTEEN_MINUTES_FIELD_NUMBER: _ClassVar[int]
    mean: float
    one_minute: float
    five_minutes: float
    fifteen_minutes: float
    def __init__(self, mean: _Optional[float] = ..., one_minute: _Optional[float] = ..., five_minutes: _Optional[float] = ..., fifteen_minutes: _Optional[float] = ...) -> None: ...

class Distribution(_message.Message):
    __slots__ = ("buckets", "sum")
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    buckets: _containers.RepeatedCompositeFieldContainer[Bucket]
    sum: float
    def __init__(self, buckets: _Optional[_Iterable[_Union[Bucket, _Mapping]]] = ..., sum: _Optional[float] = ...) -> None: ...

class Bucket(_message.Message):
    __slots__ = ("above", "at_most", "count")
    ABOVE_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    above: float
    at_most: float
    count: int
    def __init__(self, above: _Optional[float] = ..., at_most: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class GetModelProfileRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class GetModelProfileResponse(_message.Message):
    __slots__ = ("model", "version", "policy", "objective_us", "linger_us", "max_batches_in_flight", "hedge_percent", "waiting_rows", "replicas", "batches", "rows", "refused_full", "refused_hopeless", "given_up", "moved", "abandoned_batches", "hedges", "hedged_rows", "hedges_won", "hedges_denied")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_US_FIELD_NUMBER: _ClassVar[int]
    LINGER_US_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCHES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    HEDGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    WAITING_ROWS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FULL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_HOPELESS_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    HEDGES_FIELD_NUMBER: _ClassVar[int]
    HEDGED_ROWS_FIELD_NUMBER: _ClassVar[int]
    HEDGES_WON_FIELD_NUMBER: _ClassVar[int]
    HEDGES_DENIED_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    policy: str
    objective_us: int
    linger_us: int
    max_batches_in_flight: int
    hedge_percent: int
    waiting_rows: int
    replicas: _containers.RepeatedCompositeFieldContainer[ReplicaProfile]
    batches: int
    rows: int
    refused_full: int
    refused_hopeless: int
    given_up: int
    moved: int
    abandoned_batches: int
    hedges: int
    hedged_rows: int
    hedges_won: int
    hedges_denied: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., policy: _Optional[str] = ..., objective_us: _Optional[int] = ..., linger_us: _Optional[int] = ..., max_batches_in_flight: _Optional[int] = ..., hedge_percent: _Optional[int] = ..., waiting_rows: _Optional[int] = ..., replicas: _Optional[_Iterable[_Union[ReplicaProfile, _Mapping]]] = ..., batches: _Optional[int] = ..., rows: _Optional[int] = ..., refused_full: _Optional[int] = ..., refused_hopeless: _Optional[int] = ..., given_up: _Optional[int] = ..., moved: _Optional[int] = ..., abandoned_batches: _Optional[int] = ..., hedges: _Optional[int] = ..., hedged_rows: _Optional[int] = ..., hedges_won: _Optional[int] = ..., hedges_denied: _Optional[int] = ...) -> None: ...

class ReplicaProfile(_message.Message):
    __slots__ = ("replica_id", "address", "state", "on_trial", "batches_in_flight", "batches", "rows", "timeouts", "losses", "batch_rows", "limit", "budget_us", "fixed_us", "per_row_us", "samples", "latencies", "margin_us")
    class Limit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LIMIT_UNSPECIFIED: _ClassVar[ReplicaProfile.Limit]
        LIMIT_CEILING: _ClassVar[ReplicaProfile.Limit]
        LIMIT_BUDGET: _ClassVar[ReplicaProfile.Limit]
        LIMIT_REACH: _ClassVar[ReplicaProfile.Limit]
        LIMIT_PROBE: _ClassVar[ReplicaProfile.Limit]
        LIMIT_LEAST: _ClassVar[ReplicaProfile.Limit]
        LIMIT_LEARNING: _ClassVar[ReplicaProfile.Limit]
    LIMIT_UNSPECIFIED: ReplicaProfile.Limit
    LIMIT_CEILING: ReplicaProfile.Limit
    LIMIT_BUDGET: ReplicaProfile.Limit
    LIMIT_REACH: ReplicaProfile.Limit
    LIMIT_PROBE: ReplicaProfile.Limit
    LIMIT_LEAST: ReplicaProfile.Limit
    LIMIT_LEARNING: ReplicaProfile.Limit
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ON_TRIAL_FIELD_NUMBER: _ClassVar[int]
    BATCHES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    FIXED_US_FIELD_NUMBER: _ClassVar[int]
    PER_ROW_US_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    LATENCIES_FIELD_NUMBER: _ClassVar[int]
    MARGIN_US_FIELD_NUMBER: _ClassVar[int]
    replica_id: int
    address: str
    state: str
    on_trial: bool
    batches_in_flight: int
    batches: int
    rows: int
    timeouts: int
    losses: int
    batch_rows: int
    limit: ReplicaProfile.Limit
    budget_us: int
    fixed_us: float
    per_row_us: float
    samples: int
    latencies: _containers.RepeatedCompositeFieldContainer[LatencySample]
    margin_us: int
    def __init__(self, replica_id: _Optional[int] = ..., address: _Optional[str] = ..., state: _Optional[str] = ..., on_trial: _Optional[bool] = ..., batches_in_flight: _Optional[int] = ..., batches: _Optional[int] = ..., rows: _Optional[int] = ..., timeouts: _Optional[int] = ..., losses: _Optional[int] = ..., batch_rows: _Optional[int] = ..., limit: _Optional[_Union[ReplicaProfile.Limit, str]] = ..., budget_us: _Optional[int] = ..., fixed_us: _Optional[float] = ..., per_row_us: _Optional[float] = ..., samples: _Optional[int] = ..., latencies: _Optional[_Iterable[_Union[LatencySample, _Mapping]]] = ..., margin_us: _Optional[int] = ...) -> None: ...

class LatencySample(_message.Message):
    __slots__ = ("rows", "count", "median_us", "longest_us", "predicted_us")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_US_FIELD_NUMBER: _ClassVar[int]
    LONGEST_US_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_US_FIELD_NUMBER: _ClassVar[int]
    rows: float
    count: int
    median_us: float
    longest_us: float
    predicted_us: float
    def __init__(self, rows: _Optional[float] = ..., count: _Optional[int] = ..., median_us: _Optional[float] = ..., longest_us: _Optional[float] = ..., predicted_us: _Optional[float] = ...) -> None: ...

class ExplainQueryRequest(_message.Message):
    __slots__ = ("query_id",)
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    query_id: int
    def __init__(self, query_id: _Optional[int] = ...) -> None: ...

class ExplainQueryResponse(_message.Message):
    __slots__ = ("query_id", "application", "answer_time", "outcome", "reason", "explanation", "error_reason", "objective_us", "deadline_us", "timing", "confidence", "contributions", "lost_replicas")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ExplainQueryResponse.Outcome]
        OUTCOME_PREDICTION: _ClassVar[ExplainQueryResponse.Outcome]
        OUTCOME_DEFAULT: _ClassVar[ExplainQueryResponse.Outcome]
        OUTCOME_ERROR: _ClassVar[ExplainQueryResponse.Outcome]
    OUTCOME_UNSPECIFIED: ExplainQueryResponse.Outcome
    OUTCOME_PREDICTION: ExplainQueryResponse.Outcome
    OUTCOME_DEFAULT: ExplainQueryResponse.Outcome
    OUTCOME_ERROR: ExplainQueryResponse.Outcome
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_US_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    LOST_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    query_id: int
    application: str
    answer_time: _timestamp_pb2.Timestamp
    outcome: ExplainQueryResponse.Outcome
    reason: _predict_pb2.DefaultReason
    explanation: str
    error_reason: str
    objective_us: int
    deadline_us: int
    timing: _predict_pb2.Timing
    confidence: float
    contributions: _containers.RepeatedCompositeFieldContainer[ExplainedContribution]
    lost_replicas: int
    def __init__(self, query_id: _Optional[int] = ..., application: _Optional[str] = ..., answer_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[ExplainQueryResponse.Outcome, str]] = ..., reason: _Optional[_Union[_predict_pb2.DefaultReason, str]] = ..., explanation: _Optional[str] = ..., error_reason: _Optional[str] = ..., objective_us: _Optional[int] = ..., deadline_us: _Optional[int] = ..., timing: _Optional[_Union[_predict_pb2.Timing, _Mapping]] = ..., confidence: _Optional[float] = ..., contributions: _Optional[_Iterable[_Union[ExplainedContribution, _Mapping]]] = ..., lost_replicas: _Optional[int] = ...) -> None: ...

class ExplainedContribution(_message.Message):
    __slots__ = ("contribution", "reason", "explanation", "timing", "hedged", "lost_replicas")
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    HEDGED_FIELD_NUMBER: _ClassVar[int]
    LOST_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    contribution: _predict_pb2.Contribution
    reason: _predict_pb2.DefaultReason
    explanation: str
    timing: _predict_pb2.Timing
    hedged: bool
    lost_replicas: int
    def __init__(self, contribution: _Optional[_Union[_predict_pb2.Contribution, _Mapping]] = ..., reason: _Optional[_Union[_predict_pb2.DefaultReason, str]] = ..., explanation: _Optional[str] = ..., timing: _Optional[_Union[_predict_pb2.Timing, _Mapping]] = ..., hedged: _Optional[bool] = ..., lost_replicas: _Optional[int] = ...) -> None: ...
