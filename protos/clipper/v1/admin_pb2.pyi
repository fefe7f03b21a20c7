import datetime

from clipper.v1 import values_pb2 as _values_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Application(_message.Message):
    __slots__ = ("name", "input_type", "default_output", "latency_objective", "selection_policy", "confidence_threshold", "links", "create_time", "revision", "selection_generation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    SELECTION_POLICY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SELECTION_GENERATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    input_type: _values_pb2.InputType
    default_output: _values_pb2.Output
    latency_objective: _duration_pb2.Duration
    selection_policy: SelectionPolicy
    confidence_threshold: float
    links: _containers.RepeatedCompositeFieldContainer[Link]
    create_time: _timestamp_pb2.Timestamp
    revision: int
    selection_generation: int
    def __init__(self, name: _Optional[str] = ..., input_type: _Optional[_Union[_values_pb2.InputType, str]] = ..., default_output: _Optional[_Union[_values_pb2.Output, _Mapping]] = ..., latency_objective: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., selection_policy: _Optional[_Union[SelectionPolicy, _Mapping]] = ..., confidence_threshold: _Optional[float] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., selection_generation: _Optional[int] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("model", "weight", "shadow", "shadow_share")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SHARE_FIELD_NUMBER: _ClassVar[int]
    model: str
    weight: float
    shadow: bool
    shadow_share: float
    def __init__(self, model: _Optional[str] = ..., weight: _Optional[float] = ..., shadow: _Optional[bool] = ..., shadow_share: _Optional[float] = ...) -> None: ...

class SelectionPolicy(_message.Message):
    __slots__ = ("name", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "input_type", "current_version", "linked_applications", "revision", "canary_version", "canary_share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LINKED_APPLICATIONS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CANARY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    input_type: _values_pb2.InputType
    current_version: str
    linked_applications: _containers.RepeatedScalarFieldContainer[str]
    revision: int
    canary_version: str
    canary_share: float
    def __init__(self, name: _Optional[str] = ..., input_type: _Optional[_Union[_values_pb2.InputType, str]] = ..., current_version: _Optional[str] = ..., linked_applications: _Optional[_Iterable[str]] = ..., revision: _Optional[int] = ..., canary_version: _Optional[str] = ..., canary_share: _Optional[float] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("model", "version", "input_type", "labels", "image", "data_path", "batching", "state", "create_time", "uid", "revision", "no_cache")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ModelVersion.State]
        STATE_STAGED: _ClassVar[ModelVersion.State]
        STATE_ACTIVE: _ClassVar[ModelVersion.State]
    STATE_UNSPECIFIED: ModelVersion.State
    STATE_STAGED: ModelVersion.State
    STATE_ACTIVE: ModelVersion.State
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_FIELD_NUMBER: _ClassVar[int]
    BATCHING_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    NO_CACHE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    input_type: _values_pb2.InputType
    labels: _containers.RepeatedScalarFieldContainer[str]
    image: str
    data_path: str
    batching: Batching
    state: ModelVersion.State
    create_time: _timestamp_pb2.Timestamp
    uid: str
    revision: int
    no_cache: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., input_type: _Optional[_Union[_values_pb2.InputType, str]] = ..., labels: _Optional[_Iterable[str]] = ..., image: _Optional[str] = ..., data_path: _Optional[str] = ..., batching: _Optional[_Union[Batching, _Mapping]] = ..., state: _Optional[_Union[ModelVersion.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., uid: _Optional[str] = ..., revision: _Optional[int] = ..., no_cache: _Optional[bool] = ...) -> None: ...

class Batching(_message.Message):
    __slots__ = ("policy", "max_batch_rows", "linger", "max_queue_rows", "max_batches_in_flight", "no_retry", "hedge_percent")
    class Policy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POLICY_UNSPECIFIED: _ClassVar[Batching.Policy]
        POLICY_FIXED: _ClassVar[Batching.Policy]
        POLICY_AIMD: _ClassVar[Batching.Policy]
        POLICY_QUANTILE: _ClassVar[Batching.Policy]
    POLICY_UNSPECIFIED: Batching.Policy
    POLICY_FIXED: Batching.Policy
    POLICY_AIMD: Batching.Policy
    POLICY_QUANTILE: Batching.Policy
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    LINGER_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUE_ROWS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCHES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    NO_RETRY_FIELD_NUMBER: _ClassVar[int]
    HEDGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    policy: Batching.Policy
    max_batch_rows: int
    linger: _duration_pb2.Duration
    max_queue_rows: int
    max_batches_in_flight: int
    no_retry: bool
    hedge_percent: int
    def __init__(self, policy: _Optional[_Union[Batching.Policy, str]] = ..., max_batch_rows: _Optional[int] = ..., linger: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_queue_rows: _Optional[int] = ..., max_batches_in_flight: _Optional[int] = ..., no_retry: _Optional[bool] = ..., hedge_percent: _Optional[int] = ...) -> None: ...

class Replica(_message.Message):
    __slots__ = ("model", "version", "replica_id", "address", "input_type", "create_time", "host", "runtime")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    replica_id: int
    address: str
    input_type: _values_pb2.InputType
    create_time: _timestamp_pb2.Timestamp
    host: str
    runtime: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., replica_id: _Optional[int] = ..., address: _Optional[str] = ..., input_type: _Optional[_Union[_values_pb2.InputType, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., host: _Optional[str] = ..., runtime: _Optional[str] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("kind", "instance_id", "address", "build", "create_time")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Instance.Kind]
        KIND_FRONTEND: _ClassVar[Instance.Kind]
        KIND_MANAGER: _ClassVar[Instance.Kind]
    KIND_UNSPECIFIED: Instance.Kind
    KIND_FRONTEND: Instance.Kind
    KIND_MANAGER: Instance.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: Instance.Kind
    instance_id: str
    address: str
    build: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[Instance.Kind, str]] = ..., instance_id: _Optional[str] = ..., address: _Optional[str] = ..., build: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateApplicationRequest(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class CreateApplicationResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class GetApplicationRequest(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: str
    def __init__(self, application: _Optional[str] = ...) -> None: ...

class GetApplicationResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class ListApplicationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListApplicationsResponse(_message.Message):
    __slots__ = ("applications", "next_page_token")
    APPLICATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    applications: _containers.RepeatedCompositeFieldContainer[Application]
    next_page_token: str
    def __init__(self, applications: _Optional[_Iterable[_Union[Application, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateApplicationRequest(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class UpdateApplicationResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class DeleteApplicationRequest(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: str
    def __init__(self, application: _Optional[str] = ...) -> None: ...

class DeleteApplicationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinkModelRequest(_message.Message):
    __slots__ = ("application", "model", "weight", "shadow", "shadow_share")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SHARE_FIELD_NUMBER: _ClassVar[int]
    application: str
    model: str
    weight: float
    shadow: bool
    shadow_share: float
    def __init__(self, application: _Optional[str] = ..., model: _Optional[str] = ..., weight: _Optional[float] = ..., shadow: _Optional[bool] = ..., shadow_share: _Optional[float] = ...) -> None: ...

class LinkModelResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class UnlinkModelRequest(_message.Message):
    __slots__ = ("application", "model")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    application: str
    model: str
    def __init__(self, application: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class UnlinkModelResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class CreateModelVersionRequest(_message.Message):
    __slots__ = ("model_version", "activate")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTIVATE_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    activate: bool
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., activate: _Optional[bool] = ...) -> None: ...

class CreateModelVersionResponse(_message.Message):
    __slots__ = ("model_version",)
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class GetModelVersionRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class GetModelVersionResponse(_message.Message):
    __slots__ = ("model_version",)
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class ListModelVersionsRequest(_message.Message):
    __slots__ = ("model", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelVersionsResponse(_message.Message):
    __slots__ = ("model_versions", "next_page_token")
    MODEL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model_versions: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    next_page_token: str
    def __init__(self, model_versions: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ActivateModelVersionRequest(_message.Message):
    __slots__ = ("model", "version", "share")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    share: float
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class ActivateModelVersionResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class UpdateModelVersionRequest(_message.Message):
    __slots__ = ("model_version",)
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class UpdateModelVersionResponse(_message.Message):
    __slots__ = ("model_version",)
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class DeleteModelVersionRequest(_message.Message):
    __slots__ = ("model", "version", "force")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    force: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class DeleteModelVersionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("create_application", "update_application", "delete_application", "link_model", "unlink_model", "create_model_version", "activate_model_version", "delete_model_version", "update_model_version")
    CREATE_APPLICATION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_APPLICATION_FIELD_NUMBER: _ClassVar[int]
    DELETE_APPLICATION_FIELD_NUMBER: _ClassVar[int]
    LINK_MODEL_FIELD_NUMBER: _ClassVar[int]
    UNLINK_MODEL_FIELD_NUMBER: _ClassVar[int]
    CREATE_MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTIVATE_MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DELETE_MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    create_application: CreateApplicationRequest
    update_application: UpdateApplicationRequest
    delete_application: DeleteApplicationRequest
    link_model: LinkModelRequest
    unlink_model: UnlinkModelRequest
    create_model_version: CreateModelVersionRequest
    activate_model_version: ActivateModelVersionRequest
    delete_model_version: DeleteModelVersionRequest
    update_model_version: UpdateModelVersionRequest
    def __init__(self, create_application: _Optional[_Union[CreateApplicationRequest, _Mapping]] = ..., update_application: _Optional[_Union[UpdateApplicationRequest, _Mapping]] = ..., delete_application: _Optional[_Union[DeleteApplicationRequest, _Mapping]] = ..., link_model: _Optional[_Union[LinkModelRequest, _Mapping]] = ..., unlink_model: _Optional[_Union[UnlinkModelRequest, _Mapping]] = ..., create_model_version: _Optional[_Union[CreateModelVersionRequest, _Mapping]] = ..., activate_model_version: _Optional[_Union[ActivateModelVersionRequest, _Mapping]] = ..., delete_model_version: _Optional[_Union[DeleteModelVersionRequest, _Mapping]] = ..., update_model_version: _Optional[_Union[UpdateModelVersionRequest, _Mapping]] = ...) -> None: ...

class ApplyChangesRequest(_message.Message):
    __slots__ = ("changes", "validate_only")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    validate_only: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ApplyChangesResponse(_message.Message):
    __slots__ = ("problems",)
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedCompositeFieldContainer[ChangeProblem]
    def __init__(self, problems: _Optional[_Iterable[_Union[ChangeProblem, _Mapping]]] = ...) -> None: ...

class ChangeProblem(_message.Message):
    __slots__ = ("position", "error")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    position: int
    error: _status_pb2.Status
    def __init__(self, position: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetReplicaRequest(_message.Message):
    __slots__ = ("model", "version", "replica_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    replica_id: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., replica_id: _Optional[int] = ...) -> None: ...

class GetReplicaResponse(_message.Message):
    __slots__ = ("replica",)
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    replica: Replica
    def __init__(self, replica: _Optional[_Union[Replica, _Mapping]] = ...) -> None: ...

class ListReplicasRequest(_message.Message):
    __slots__ = ("model", "version", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReplicasResponse(_message.Message):
    __slots__ = ("replicas", "next_page_token")
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    replicas: _containers.RepeatedCompositeFieldContainer[Replica]
    next_page_token: str
    def __init__(self, replicas: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListInstancesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances", "next_page_token")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    next_page_token: str
    def __init__(self, instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSelectionStateRequest(_message.Message):
    __slots__ = ("application", "context")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    application: str
    context: str
    def __init__(self, application: _Optional[str] = ..., context: _Optional[str] = ...) -> None: ...

class GetSelectionStateResponse(_message.Message):
    __slots__ = ("policy", "state", "observation_count")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    policy: str
    state: _struct_pb2.Struct
    observation_count: int
    def __init__(self, policy: _Optional[str] = ..., state: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., observation_count: _Optional[int] = ...) -> None: ...

class SetSelectionStateRequest(_message.Message):
    __slots__ = ("application", "context", "state", "observation_count")
    class StateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    application: str
    context: str
    state: _containers.ScalarMap[str, float]
    observation_count: int
    def __init__(self, application: _Optional[str] = ..., context: _Optional[str] = ..., state: _Optional[_Mapping[str, float]] = ..., observation_count: _Optional[int] = ...) -> None: ...

class SetSelectionStateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResetSelectionStateRequest(_message.Message):
    __slots__ = ("application", "context")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    application: str
    context: str
    def __init__(self, application: _Optional[str] = ..., context: _Optional[str] = ...) -> None: ...

class ResetSelectionStateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSelectionStatesRequest(_message.Message):
    __slots__ = ("application", "page_size", "page_token")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    application: str
    page_size: int
    page_token: str
    def __init__(self, application: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSelectionStatesResponse(_message.Message):
    __slots__ = ("selection_states", "next_page_token")
    SELECTION_STATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    selection_states: _containers.RepeatedCompositeFieldContainer[SelectionState]
    next_page_token: str
    def __init__(self, selection_states: _Optional[_Iterable[_Union[SelectionState, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SelectionState(_message.Message):
    __slots__ = ("context", "state", "observation_count", "update_time")
    class StateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    context: str
    state: _containers.ScalarMap[str, float]
    observation_count: int
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, context: _Optional[str] = ..., state: _Optional[_Mapping[str, float]] = ..., observation_count: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CompareShadowsRequest(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: str
    def __init__(self, application: _Optional[str] = ...) -> None: ...

class CompareShadowsResponse(_message.Message):
    __slots__ = ("shadows",)
    SHADOWS_FIELD_NUMBER: _ClassVar[int]
    shadows: _containers.RepeatedCompositeFieldContainer[ShadowComparison]
    def __init__(self, shadows: _Optional[_Iterable[_Union[ShadowComparison, _Mapping]]] = ...) -> None: ...

class ShadowComparison(_message.Message):
    __slots__ = ("model", "share", "query_count", "answer_count", "compared_count", "agreed_count", "errors", "latency", "application_latency")
    class ErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    QUERY_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPARED_COUNT_FIELD_NUMBER: _ClassVar[int]
    AGREED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_LATENCY_FIELD_NUMBER: _ClassVar[int]
    model: str
    share: float
    query_count: int
    answer_count: int
    compared_count: int
    agreed_count: int
    errors: _containers.ScalarMap[str, int]
    latency: LatencyDistribution
    application_latency: LatencyDistribution
    def __init__(self, model: _Optional[str] = ..., share: _Optional[float] = ..., query_count: _Optional[int] = ..., answer_count: _Optional[int] = ..., compared_count: _Optional[int] = ..., agreed_count: _Optional[int] = ..., errors: _Optional[_Mapping[str, int]] = ..., latency: _Optional[_Union[LatencyDistribution, _Mapping]] = ..., application_latency: _Optional[_Union[LatencyDistribution, _Mapping]] = ...) -> None: ...

class LatencyDistribution(_message.Message):
    __slots__ = ("mean_us", "p50_us", "p95_us", "p99_us")
    MEAN_US_FIELD_NUMBER: _ClassVar[int]
    P50_US_FIELD_NUMBER: _ClassVar[int]
    P95_US_FIELD_NUMBER: _ClassVar[int]
    P99_US_FIELD_NUMBER: _ClassVar[int]
    mean_us: int
    p50_us: int
    p95_us: int
    p99_us: int
    def __init__(self, mean_us: _Optional[int] = ..., p50_us: _Optional[int] = ..., p95_us: _Optional[int] = ..., p99_us: _Optional[int] = ...) -> None: ...
