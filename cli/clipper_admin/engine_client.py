"""Calls about the engine: how it batches, and what it has learned, counted and done. A part of `Client`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from google.protobuf.message import Message

from clipper.v1 import admin_pb2, inspect_pb2
from clipper_admin.convert import resources as convert
from clipper_admin.resources import Explanation
from clipper_rpc.errors import InvalidField

_PROFILE = "/clipper.v1.InspectService/GetModelProfile"
_EXPLAIN = "/clipper.v1.InspectService/ExplainQuery"
_STATS = "/clipper.v1.InspectService/GetStats"
_POLICIES = {
    "default": admin_pb2.Batching.POLICY_UNSPECIFIED,
    "fixed": admin_pb2.Batching.POLICY_FIXED,
    "aimd": admin_pb2.Batching.POLICY_AIMD,
    "quantile": admin_pb2.Batching.POLICY_QUANTILE,
}
_NAMES = {number: name for name, number in _POLICIES.items()}
_NUMBERS = ("max_batch_rows", "max_queue_rows", "max_batches_in_flight", "hedge_percent")

R = TypeVar("R", bound=Message)


class EngineClient(ABC):
    """The calls."""

    @abstractmethod
    def _admin(self, method: str, request: Message, response: type[R]) -> R:
        """Calls the manager's AdminService."""

    @abstractmethod
    def _ask_frontend(self, method: str, request: Message, response: type[R], timeout_s: float | None = None) -> R:
        """Calls a frontend's method of this full name."""

    def get_batching(self, model: str, version: str) -> dict[str, Any]:
        """How the queries for a version are batched; 0 leaves a number to the frontend. See `set_batching`."""
        return _told(self._model_version(model, version).batching)

    def set_batching(
        self,
        model: str,
        version: str,
        *,
        policy: str | None = None,
        linger_ms: float | None = None,
        no_retry: bool | None = None,
        **numbers: int | None,
    ) -> dict[str, Any]:
        """Changes how the queries for a version are batched; frontends follow at once. None leaves a setting as it is.

        Args:
            model: its name.
            version: which one.
            policy: "fixed", "aimd", "quantile", or "default", the frontend's choice.
            linger_ms: how long the first query of a batch may wait for more to come.
            no_retry: whether the queries of a lost replica are given up.
            numbers: max_batch_rows, max_queue_rows, max_batches_in_flight, hedge_percent.

        Raises:
            ClipperError: InvalidField for what is not allowed; VersionNotFound.
        """
        found = self._model_version(model, version)
        if policy is not None:
            if policy not in _POLICIES:
                raise InvalidField(field="policy", problem=f'"{policy}" is not known; allowed: {", ".join(_POLICIES)}')
            found.batching.policy = _POLICIES[policy]
        if linger_ms is not None:
            found.batching.linger.FromNanoseconds(round(linger_ms * 1e6))
        if no_retry is not None:
            found.batching.no_retry = no_retry
        for name, value in numbers.items():
            if name not in _NUMBERS:
                raise InvalidField(field=name, problem=f"not a setting of batching; allowed: {', '.join(_NUMBERS)}")
            if value is not None:
                setattr(found.batching, name, value)
        request = admin_pb2.UpdateModelVersionRequest(model_version=found)
        response = self._admin("UpdateModelVersion", request, admin_pb2.UpdateModelVersionResponse)
        return _told(response.model_version.batching)

    def get_model_profile(self, model: str, version: str = "") -> dict[str, Any]:
        """What a frontend has learned of a version's replicas, and how large it makes their batches.

        The fields are those of clipper.v1.GetModelProfileResponse; it is one process that answers, and each learns for
        itself. Without a version: the current one.
        """
        request = inspect_pb2.GetModelProfileRequest(model=model, version=version)
        return _plain(self._ask_frontend(_PROFILE, request, inspect_pb2.GetModelProfileResponse))

    def get_stats(self) -> inspect_pb2.GetStatsResponse:
        """What a frontend has counted since its start; `live` makes rates of two such answers."""
        return self._ask_frontend(_STATS, inspect_pb2.GetStatsRequest(), inspect_pb2.GetStatsResponse)

    def explain_query(self, query_id: int) -> Explanation:
        """What happened to one of the queries that a frontend has answered lately. Of several, each knows its own.

        Raises:
            ClipperError: AnswerNotRemembered, with how far back it remembers; InvalidField for what is no id.
        """
        request = inspect_pb2.ExplainQueryRequest(query_id=query_id)
        return convert.explanation(self._ask_frontend(_EXPLAIN, request, inspect_pb2.ExplainQueryResponse))

    def _model_version(self, model: str, version: str) -> admin_pb2.ModelVersion:
        request = admin_pb2.GetModelVersionRequest(model=model, version=version)
        return self._admin("GetModelVersion", request, admin_pb2.GetModelVersionResponse).model_version


def _told(batching: admin_pb2.Batching) -> dict[str, Any]:
    return {
        "policy": _NAMES.get(batching.policy, str(batching.policy)),
        "linger_ms": batching.linger.ToNanoseconds() / 1e6,
        "no_retry": batching.no_retry,
        **{name: getattr(batching, name) for name in _NUMBERS},
    }


def _plain(message: Message) -> dict[str, Any]:
    """All fields of a message; enum values by their names without the prefix, in lower case."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            found[field.name] = [_plain(each) for each in value]
        elif field.enum_type is not None:
            name = field.enum_type.values_by_number[value].name
            found[field.name] = name.partition("_")[2].lower()
        else:
            found[field.name] = value
    return found
