from clipper.v1 import values_pb2 as _values_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendFeedbackRequest(_message.Message):
    __slots__ = ("application", "query_id", "input", "context", "label", "reward", "token")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    application: str
    query_id: int
    input: _values_pb2.Input
    context: str
    label: _values_pb2.Output
    reward: float
    token: str
    def __init__(self, application: _Optional[str] = ..., query_id: _Optional[int] = ..., input: _Optional[_Union[_values_pb2.Input, _Mapping]] = ..., context: _Optional[str] = ..., label: _Optional[_Union[_values_pb2.Output, _Mapping]] = ..., reward: _Optional[float] = ..., token: _Optional[str] = ...) -> None: ...

class SendFeedbackResponse(_message.Message):
    __slots__ = ("learned", "duplicate")
    LEARNED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    learned: bool
    duplicate: bool
    def __init__(self, learned: _Optional[bool] = ..., duplicate: _Optional[bool] = ...) -> None: ...
