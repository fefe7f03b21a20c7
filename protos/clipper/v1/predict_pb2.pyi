import datetime

from clipper.v1 import values_pb2 as _values_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefaultReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEFAULT_REASON_UNSPECIFIED: _ClassVar[DefaultReason]
    DEFAULT_REASON_NO_MODEL: _ClassVar[DefaultReason]
    DEFAULT_REASON_NO_REPLICA: _ClassVar[DefaultReason]
    DEFAULT_REASON_LATE: _ClassVar[DefaultReason]
    DEFAULT_REASON_OVERLOADED: _ClassVar[DefaultReason]
    DEFAULT_REASON_MODEL_ERROR: _ClassVar[DefaultReason]
    DEFAULT_REASON_REPLICA_LOST: _ClassVar[DefaultReason]
    DEFAULT_REASON_LOW_CONFIDENCE: _ClassVar[DefaultReason]
DEFAULT_REASON_UNSPECIFIED: DefaultReason
DEFAULT_REASON_NO_MODEL: DefaultReason
DEFAULT_REASON_NO_REPLICA: DefaultReason
DEFAULT_REASON_LATE: DefaultReason
DEFAULT_REASON_OVERLOADED: DefaultReason
DEFAULT_REASON_MODEL_ERROR: DefaultReason
DEFAULT_REASON_REPLICA_LOST: DefaultReason
DEFAULT_REASON_LOW_CONFIDENCE: DefaultReason

class PredictRequest(_message.Message):
    __slots__ = ("application", "input", "version", "context", "bypass_cache", "explain")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    BYPASS_CACHE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    application: str
    input: _values_pb2.Input
    version: str
    context: str
    bypass_cache: bool
    explain: bool
    def __init__(self, application: _Optional[str] = ..., input: _Optional[_Union[_values_pb2.Input, _Mapping]] = ..., version: _Optional[str] = ..., context: _Optional[str] = ..., bypass_cache: _Optional[bool] = ..., explain: _Optional[bool] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("query_id", "output", "default", "default_reason", "default_explanation", "confidence", "contributions", "timing")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_REASON_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    query_id: int
    output: _values_pb2.Output
    default: bool
    default_reason: DefaultReason
    default_explanation: str
    confidence: float
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    timing: Timing
    def __init__(self, query_id: _Optional[int] = ..., output: _Optional[_Union[_values_pb2.Output, _Mapping]] = ..., default: _Optional[bool] = ..., default_reason: _Optional[_Union[DefaultReason, str]] = ..., default_explanation: _Optional[str] = ..., confidence: _Optional[float] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("model", "version", "replica_id", "weight", "latency_us", "cached", "joined")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    replica_id: int
    weight: float
    latency_us: int
    cached: bool
    joined: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., replica_id: _Optional[int] = ..., weight: _Optional[float] = ..., latency_us: _Optional[int] = ..., cached: _Optional[bool] = ..., joined: _Optional[bool] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queue_us", "linger_us", "batch_rows", "model_us", "network_us", "total_us")
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    LINGER_US_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    MODEL_US_FIELD_NUMBER: _ClassVar[int]
    NETWORK_US_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    queue_us: int
    linger_us: int
    batch_rows: int
    model_us: int
    network_us: int
    total_us: int
    def __init__(self, queue_us: _Optional[int] = ..., linger_us: _Optional[int] = ..., batch_rows: _Optional[int] = ..., model_us: _Optional[int] = ..., network_us: _Optional[int] = ..., total_us: _Optional[int] = ...) -> None: ...

class PredictBatchRequest(_message.Message):
    __slots__ = ("application", "inputs", "version", "context", "bypass_cache", "explain")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    BYPASS_CACHE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    application: str
    inputs: _containers.RepeatedCompositeFieldContainer[_values_pb2.Input]
    version: str
    context: str
    bypass_cache: bool
    explain: bool
    def __init__(self, application: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_values_pb2.Input, _Mapping]]] = ..., version: _Optional[str] = ..., context: _Optional[str] = ..., bypass_cache: _Optional[bool] = ..., explain: _Optional[bool] = ...) -> None: ...

class PredictBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PredictBatchResult]
    def __init__(self, results: _Optional[_Iterable[_Union[PredictBatchResult, _Mapping]]] = ...) -> None: ...

class PredictBatchResult(_message.Message):
    __slots__ = ("prediction", "error")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    prediction: PredictResponse
    error: _status_pb2.Status
    def __init__(self, prediction: _Optional[_Union[PredictResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class PredictStreamRequest(_message.Message):
    __slots__ = ("tag", "request")
    TAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    tag: int
    request: PredictRequest
    def __init__(self, tag: _Optional[int] = ..., request: _Optional[_Union[PredictRequest, _Mapping]] = ...) -> None: ...

class PredictStreamResponse(_message.Message):
    __slots__ = ("tag", "prediction", "error")
    TAG_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    tag: int
    prediction: PredictResponse
    error: _status_pb2.Status
    def __init__(self, tag: _Optional[int] = ..., prediction: _Optional[_Union[PredictResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class DescribeApplicationRequest(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: str
    def __init__(self, application: _Optional[str] = ...) -> None: ...

class DescribeApplicationResponse(_message.Message):
    __slots__ = ("application", "input_type", "latency_objective", "has_default_output", "models")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    HAS_DEFAULT_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    application: str
    input_type: _values_pb2.InputType
    latency_objective: _duration_pb2.Duration
    has_default_output: bool
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, application: _Optional[str] = ..., input_type: _Optional[_Union[_values_pb2.InputType, str]] = ..., latency_objective: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., has_default_output: _Optional[bool] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...
