"""AdminService and PredictService over gRPC, synchronous: what ClipperConnection and clipperctl are built on.

Results are the plain values of `resources`. Every call has a timeout; errors come back as the exceptions
of clipper_rpc.errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from clipper.v1 import admin_pb2, predict_pb2, trial_pb2
from clipper_admin.convert import resources as convert
from clipper_admin.convert.changes import Configuration
from clipper_admin.convert.values import to_input
from clipper_admin.engine_client import EngineClient
from clipper_admin.learning_client import LearningClient
from clipper_admin.resources import Application, Description, Instance, Model, ModelVersion, Prediction, Replica
from clipper_rpc.errors import ClipperError, Code
from clipper_rpc.status import RemoteError, from_status
from clipper_rpc.transport import MAX_MESSAGE_BYTES, Status
from clipper_runtime.names import InputType

_ADMIN = "/clipper.v1.AdminService/"
_PREDICT = "/clipper.v1.PredictService/"
_TRIAL = "/clipper.v1.TrialService/"
_DETAILS = "grpc-status-details-bin"
_PAGE = 1000
_MARGIN_S = 5.0
"""What a prediction may take beyond the application's objective, on the wire."""
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    # Replicas of this process's cluster are never behind the proxy that http_proxy names.
    ("grpc.enable_http_proxy", 0),
)

R = TypeVar("R", bound=Message)
T = TypeVar("T")


class Client(LearningClient, EngineClient):
    """A connection to a manager and a frontend. Making one connects to nothing yet; close it, or use it in `with`."""

    def __init__(self, manager: str, frontend: str = "", *, timeout_s: float = 10.0) -> None:
        """Takes addresses as host:port; `timeout_s` is for each call, connecting included."""
        self._manager_address = manager
        self._frontend_address = frontend
        self._timeout_s = timeout_s
        self._manager = grpc.insecure_channel(manager, options=_OPTIONS) if manager else None
        self._frontend = grpc.insecure_channel(frontend, options=_OPTIONS) if frontend else None

    def __repr__(self) -> str:
        return f"Client(manager={self._manager_address!r}, frontend={self._frontend_address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        if self._manager is not None:
            self._manager.close()
        if self._frontend is not None:
            self._frontend.close()

    # Applications

    def create_application(self, application: Application) -> None:
        """Creates an application; its links must be empty."""
        request = admin_pb2.CreateApplicationRequest(application=convert.application_message(application))
        self._admin("CreateApplication", request, admin_pb2.CreateApplicationResponse)

    def get_application(self, name: str) -> Application:
        """One application."""
        request = admin_pb2.GetApplicationRequest(application=name)
        found = self._admin("GetApplication", request, admin_pb2.GetApplicationResponse)
        return convert.application(found.application)

    def list_applications(self) -> list[Application]:
        """All applications, by name."""

        def page(token: str) -> tuple[Iterable[admin_pb2.Application], str]:
            request = admin_pb2.ListApplicationsRequest(page_size=_PAGE, page_token=token)
            found = self._admin("ListApplications", request, admin_pb2.ListApplicationsResponse)
            return found.applications, found.next_page_token

        return [convert.application(each) for each in _all(page)]

    def delete_application(self, name: str) -> None:
        """Deletes an application with its links; its traffic ends at once."""
        request = admin_pb2.DeleteApplicationRequest(application=name)
        self._admin("DeleteApplication", request, admin_pb2.DeleteApplicationResponse)

    def link_model(self, application: str, model: str, weight: float = 0) -> None:
        """Links a model to an application."""
        request = admin_pb2.LinkModelRequest(application=application, model=model, weight=weight)
        self._admin("LinkModel", request, admin_pb2.LinkModelResponse)

    def unlink_model(self, application: str, model: str) -> None:
        """Removes a link."""
        request = admin_pb2.UnlinkModelRequest(application=application, model=model)
        self._admin("UnlinkModel", request, admin_pb2.UnlinkModelResponse)

    # Models

    def create_model_version(self, version: ModelVersion, *, activate: bool = False) -> None:
        """Registers a version of a model."""
        message = convert.model_version_message(version)
        request = admin_pb2.CreateModelVersionRequest(model_version=message, activate=activate)
        self._admin("CreateModelVersion", request, admin_pb2.CreateModelVersionResponse)

    def get_model_version(self, model: str, version: str) -> ModelVersion:
        """One version of a model."""
        request = admin_pb2.GetModelVersionRequest(model=model, version=version)
        found = self._admin("GetModelVersion", request, admin_pb2.GetModelVersionResponse)
        return convert.model_version(found.model_version)

    def list_model_versions(self, model: str = "") -> list[ModelVersion]:
        """The versions of a model, or of all, by model and then by age."""

        def page(token: str) -> tuple[Iterable[admin_pb2.ModelVersion], str]:
            request = admin_pb2.ListModelVersionsRequest(model=model, page_size=_PAGE, page_token=token)
            found = self._admin("ListModelVersions", request, admin_pb2.ListModelVersionsResponse)
            return found.model_versions, found.next_page_token

        return [convert.model_version(each) for each in _all(page)]

    def activate_model_version(self, model: str, version: str, share: float = 1.0) -> None:
        """Makes a version the current one or, with a share below 1, puts it on trial beside that."""
        request = admin_pb2.ActivateModelVersionRequest(model=model, version=version, share=share)
        self._admin("ActivateModelVersion", request, admin_pb2.ActivateModelVersionResponse)

    def ask_model_version(
        self, model: str, version: str, input_type: InputType, values: Iterable[object], *, timeout_s: float = 10.0
    ) -> list[Any]:
        """What a version answers to these inputs, past all applications: an output or a Failure for each."""
        request = trial_pb2.AskModelVersionRequest(
            model=model, version=version, inputs=[to_input(value, input_type) for value in values]
        )
        request.timeout.FromMilliseconds(int(timeout_s * 1000))
        if self._manager is None:
            raise RemoteError(
                code=Code.FAILED_PRECONDITION, problem="The manager's address is not known: give it too (--manager)."
            )
        where = f"The manager at {self._manager_address}"
        method, patience_s = _TRIAL + "AskModelVersion", timeout_s + _MARGIN_S
        found = _call(self._manager, method, request, trial_pb2.AskModelVersionResponse, patience_s, where)
        return [convert.answer(each) for each in found.answers]

    def delete_model_version(self, model: str, version: str, *, force: bool = False) -> None:
        """Deletes a version; its replicas get no more queries."""
        request = admin_pb2.DeleteModelVersionRequest(model=model, version=version, force=force)
        self._admin("DeleteModelVersion", request, admin_pb2.DeleteModelVersionResponse)

    def get_model(self, model: str) -> Model:
        """One model."""
        request = admin_pb2.GetModelRequest(model=model)
        return convert.model(self._admin("GetModel", request, admin_pb2.GetModelResponse).model)

    def list_models(self) -> list[Model]:
        """All models, by name."""

        def page(token: str) -> tuple[Iterable[admin_pb2.Model], str]:
            request = admin_pb2.ListModelsRequest(page_size=_PAGE, page_token=token)
            found = self._admin("ListModels", request, admin_pb2.ListModelsResponse)
            return found.models, found.next_page_token

        return [convert.model(each) for each in _all(page)]

    # Configuration as a whole

    def configuration(self) -> Configuration:
        """All applications, models and versions, as messages."""

        def applications(token: str) -> tuple[Iterable[admin_pb2.Application], str]:
            request = admin_pb2.ListApplicationsRequest(page_size=_PAGE, page_token=token)
            found = self._admin("ListApplications", request, admin_pb2.ListApplicationsResponse)
            return found.applications, found.next_page_token

        def models(token: str) -> tuple[Iterable[admin_pb2.Model], str]:
            request = admin_pb2.ListModelsRequest(page_size=_PAGE, page_token=token)
            found = self._admin("ListModels", request, admin_pb2.ListModelsResponse)
            return found.models, found.next_page_token

        def versions(token: str) -> tuple[Iterable[admin_pb2.ModelVersion], str]:
            request = admin_pb2.ListModelVersionsRequest(page_size=_PAGE, page_token=token)
            found = self._admin("ListModelVersions", request, admin_pb2.ListModelVersionsResponse)
            return found.model_versions, found.next_page_token

        return Configuration(list(_all(applications)), list(_all(models)), list(_all(versions)))

    def apply_changes(self, changes: Iterable[admin_pb2.Change]) -> None:
        """Makes all of these changes or, if one is refused, none."""
        request = admin_pb2.ApplyChangesRequest(changes=changes)
        self._admin("ApplyChanges", request, admin_pb2.ApplyChangesResponse)

    def refused_changes(self, changes: Iterable[admin_pb2.Change]) -> list[tuple[int, ClipperError]]:
        """Which of these changes would be refused, by position, and why; nothing is changed."""
        request = admin_pb2.ApplyChangesRequest(changes=changes, validate_only=True)
        found = self._admin("ApplyChanges", request, admin_pb2.ApplyChangesResponse)
        return [(each.position, convert.error(each.error)) for each in found.problems]

    # What runs

    def get_replica(self, model: str, version: str, replica_id: int) -> Replica:
        """One replica."""
        request = admin_pb2.GetReplicaRequest(model=model, version=version, replica_id=replica_id)
        return convert.replica(self._admin("GetReplica", request, admin_pb2.GetReplicaResponse).replica)

    def list_replicas(self, model: str = "", version: str = "") -> list[Replica]:
        """The replicas that hold a lease, of a version or of all."""

        def page(token: str) -> tuple[Iterable[admin_pb2.Replica], str]:
            request = admin_pb2.ListReplicasRequest(model=model, version=version, page_size=_PAGE, page_token=token)
            found = self._admin("ListReplicas", request, admin_pb2.ListReplicasResponse)
            return found.replicas, found.next_page_token

        return [convert.replica(each) for each in _all(page)]

    def list_instances(self) -> list[Instance]:
        """The frontends and managers that hold a lease."""

        def page(token: str) -> tuple[Iterable[admin_pb2.Instance], str]:
            request = admin_pb2.ListInstancesRequest(page_size=_PAGE, page_token=token)
            found = self._admin("ListInstances", request, admin_pb2.ListInstancesResponse)
            return found.instances, found.next_page_token

        return [convert.instance(each) for each in _all(page)]

    # Predictions

    def describe_application(self, name: str, *, timeout_s: float | None = None) -> Description:
        """What one must know of an application to ask it."""
        request = predict_pb2.DescribeApplicationRequest(application=name)
        response = predict_pb2.DescribeApplicationResponse
        return convert.description(
            self._predict("DescribeApplication", request, response, timeout_s or self._timeout_s)
        )

    def predict(
        self,
        asked: Description,
        value: object,
        *,
        version: str = "",
        context: str = "",
        fresh: bool = False,
        explain: bool = False,
    ) -> Prediction:
        """Asks an application for one prediction.

        Args:
            asked: the application, as `describe_application` has told it.
            value: of its input type (bytes may be base64 text).
            version: that of the model; by default the current one.
            context: the user or session that asks.
            fresh: has it computed, whatever the prediction cache knows.
            explain: asks where the time went (`Prediction.timing`).

        Raises:
            ClipperError: the query's own, if the application has no default output.
        """
        request = predict_pb2.PredictRequest(
            application=asked.application,
            input=to_input(value, asked.input_type),
            version=version,
            context=context,
            bypass_cache=fresh,
            explain=explain,
        )
        return convert.prediction(self._predict("Predict", request, predict_pb2.PredictResponse, _patience_s(asked)))

    def predict_batch(
        self,
        asked: Description,
        values: Iterable[object],
        *,
        version: str = "",
        context: str = "",
        fresh: bool = False,
        explain: bool = False,
    ) -> list[Prediction | ClipperError]:
        """Asks an application for many predictions; as `predict`, with one result or error each, in order."""
        request = predict_pb2.PredictBatchRequest(
            application=asked.application,
            inputs=[to_input(value, asked.input_type) for value in values],
            version=version,
            context=context,
            bypass_cache=fresh,
            explain=explain,
        )
        found = self._predict("PredictBatch", request, predict_pb2.PredictBatchResponse, _patience_s(asked))
        return [convert.batch_result(each) for each in found.results]

    def _admin(self, method: str, request: Message, response: type[R]) -> R:
        if self._manager is None:
            raise RemoteError(
                code=Code.FAILED_PRECONDITION, problem="The manager's address is not known: give it too (--manager)."
            )
        where = f"The manager at {self._manager_address}"
        return _call(self._manager, _ADMIN + method, request, response, self._timeout_s, where)

    def _predict(self, method: str, request: Message, response: type[R], timeout_s: float) -> R:
        return self._ask_frontend(_PREDICT + method, request, response, timeout_s)

    def _ask_frontend(self, method: str, request: Message, response: type[R], timeout_s: float | None = None) -> R:
        if self._frontend is None:
            raise RemoteError(
                code=Code.FAILED_PRECONDITION, problem="The frontend's address is not known: give it too (--frontend)."
            )
        where = f"The frontend at {self._frontend_address}"
        return _call(self._frontend, method, request, response, timeout_s or self._timeout_s, where)


def _patience_s(asked: Description) -> float:
    return asked.objective_us / 1e6 + _MARGIN_S


def _call(channel: Any, method: str, request: Message, response: type[R], timeout_s: float, where: str) -> R:
    call = channel.unary_unary(
        method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
    )
    try:
        # Waits for a server that is just being started again; nothing is ever sent twice.
        result: R = call(request, timeout=timeout_s, wait_for_ready=True)
    except grpc.RpcError as error:
        raise _domain_error(error, where, timeout_s) from None
    return result


def _domain_error(error: Any, where: str, timeout_s: float) -> ClipperError:
    code = Code(error.code().value[0])
    details = next((value for key, value in error.trailing_metadata() or () if key == _DETAILS), b"")
    if not details and code in (Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE):
        return RemoteError(
            code=Code.UNAVAILABLE,
            problem=f"{where} did not answer within {timeout_s:g} s. Does the cluster run? See `clipperctl status`.",
        )
    return from_status(Status(code, error.details() or "", details))


def _all(page: Callable[[str], tuple[Iterable[T], str]]) -> Iterator[T]:
    token = ""
    while True:
        found, token = page(token)
        yield from found
        if not token:
            return
