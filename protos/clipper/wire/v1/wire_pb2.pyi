from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictRequest(_message.Message):
    __slots__ = ("application", "input", "version", "context", "bypass_cache", "explain")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    BYPASS_CACHE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    application: str
    input: bytes
    version: str
    context: str
    bypass_cache: bool
    explain: bool
    def __init__(self, application: _Optional[str] = ..., input: _Optional[bytes] = ..., version: _Optional[str] = ..., context: _Optional[str] = ..., bypass_cache: _Optional[bool] = ..., explain: _Optional[bool] = ...) -> None: ...

class PredictBatchRequest(_message.Message):
    __slots__ = ("application", "inputs", "version", "context", "bypass_cache", "explain")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    BYPASS_CACHE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    application: str
    inputs: _containers.RepeatedScalarFieldContainer[bytes]
    version: str
    context: str
    bypass_cache: bool
    explain: bool
    def __init__(self, application: _Optional[str] = ..., inputs: _Optional[_Iterable[bytes]] = ..., version: _Optional[str] = ..., context: _Optional[str] = ..., bypass_cache: _Optional[bool] = ..., explain: _Optional[bool] = ...) -> None: ...

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
    output: bytes
    default: bool
    default_reason: int
    default_explanation: str
    confidence: float
    contributions: _containers.RepeatedScalarFieldContainer[bytes]
    timing: bytes
    def __init__(self, query_id: _Optional[int] = ..., output: _Optional[bytes] = ..., default: _Optional[bool] = ..., default_reason: _Optional[int] = ..., default_explanation: _Optional[str] = ..., confidence: _Optional[float] = ..., contributions: _Optional[_Iterable[bytes]] = ..., timing: _Optional[bytes] = ...) -> None: ...

class PredictBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PredictBatchResult]
    def __init__(self, results: _Optional[_Iterable[_Union[PredictBatchResult, _Mapping]]] = ...) -> None: ...

class PredictBatchResult(_message.Message):
    __slots__ = ("prediction", "error")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    prediction: bytes
    error: bytes
    def __init__(self, prediction: _Optional[bytes] = ..., error: _Optional[bytes] = ...) -> None: ...

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
    prediction: bytes
    error: bytes
    def __init__(self, tag: _Optional[int] = ..., prediction: _Optional[bytes] = ..., error: _Optional[bytes] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("bytes", "integers", "floats", "doubles", "string", "tensor")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    DOUBLES_FIELD_NUMBER: _ClassVar[int]
    STRING_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    bytes: bytes
    integers: bytes
    floats: bytes
    doubles: bytes
    string: bytes
    tensor: bytes
    def __init__(self, bytes: _Optional[bytes] = ..., integers: _Optional[bytes] = ..., floats: _Optional[bytes] = ..., doubles: _Optional[bytes] = ..., string: _Optional[bytes] = ..., tensor: _Optional[bytes] = ...) -> None: ...

class ModelPredictRequest(_message.Message):
    __slots__ = ("inputs",)
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, inputs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ModelPredictResponse(_message.Message):
    __slots__ = ("results", "model_us")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_US_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ModelPredictResult]
    model_us: int
    def __init__(self, results: _Optional[_Iterable[_Union[ModelPredictResult, _Mapping]]] = ..., model_us: _Optional[int] = ...) -> None: ...

class ModelPredictResult(_message.Message):
    __slots__ = ("output", "error")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    output: bytes
    error: bytes
    def __init__(self, output: _Optional[bytes] = ..., error: _Optional[bytes] = ...) -> None: ...
