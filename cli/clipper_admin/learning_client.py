"""Calls about what applications learn: outcomes, policies, states, shadows. A part of `Client`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from clipper.v1 import admin_pb2, feedback_pb2
from clipper_admin.convert.values import to_input, to_output
from clipper_admin.learned import Acknowledged, Latencies, Policy, SelectionState, Shadow
from clipper_admin.resources import Description
from clipper_rpc.errors import InvalidField

_PAGE = 1000
_FEEDBACK = "/clipper.v1.FeedbackService/SendFeedback"

R = TypeVar("R", bound=Message)


class LearningClient(ABC):
    """The calls."""

    @abstractmethod
    def _admin(self, method: str, request: Message, response: type[R]) -> R:
        """Calls the manager's AdminService."""

    @abstractmethod
    def _ask_frontend(self, method: str, request: Message, response: type[R], timeout_s: float | None = None) -> R:
        """Calls a frontend's method of this full name."""

    def send_feedback(
        self,
        application: str,
        *,
        query_id: int | None = None,
        asked: Description | None = None,
        value: object = None,
        context: str = "",
        label: object = None,
        reward: float | None = None,
        token: str = "",
    ) -> Acknowledged:
        """Tells what turned out for an answered query, or for an input; once it returns, that is stored.

        Args:
            application: its name.
            query_id: the query's id. Either this, or `asked` with a `value`.
            asked: the application, as `describe_application` has told it.
            value: an input of its type, whose outcome is told.
            context: the user or session that the input belongs to.
            label: the true output.
            reward: how good the given answer was, from 0 to 1; only with `query_id`.
            token: makes it safe to send again: the same token counts once.

        Raises:
            InvalidField: not exactly one of query and input, or of label and reward.
        """
        if (query_id is None) == (asked is None):
            raise InvalidField(field="query_id", problem="give the id of a query, or an input; not both")
        if (label is None) == (reward is None):
            raise InvalidField(field="label", problem="give the true output as label, or a reward; not both")
        request = feedback_pb2.SendFeedbackRequest(application=application, context=context, token=token)
        if asked is not None:
            request.input.CopyFrom(to_input(value, asked.input_type))
        elif query_id is not None:
            request.query_id = query_id
        if reward is not None:
            request.reward = reward
        else:
            request.label.CopyFrom(to_output(label))
        found = self._ask_frontend(_FEEDBACK, request, feedback_pb2.SendFeedbackResponse)
        return Acknowledged(found.learned, found.duplicate)

    def get_policy(self, application: str) -> Policy:
        """How an application chooses among its models."""
        found = self._application(application)
        policy = found.selection_policy
        return Policy(policy.name or "static", MessageToDict(policy.parameters), found.confidence_threshold)

    def set_policy(self, application: str, policy: Policy) -> None:
        """Has an application choose by another policy, or with other parameters. Another name starts with no state."""
        found = self._application(application)
        found.selection_policy.Clear()
        found.selection_policy.name = policy.name
        found.selection_policy.parameters.update(dict(policy.parameters))
        found.confidence_threshold = policy.confidence_threshold
        del found.links[:]
        request = admin_pb2.UpdateApplicationRequest(application=found)
        self._admin("UpdateApplication", request, admin_pb2.UpdateApplicationResponse)

    def get_selection_state(self, application: str, context: str = "") -> SelectionState:
        """What an application has learned, or what was learned for one of its users or sessions."""
        request = admin_pb2.GetSelectionStateRequest(application=application, context=context)
        found = self._admin("GetSelectionState", request, admin_pb2.GetSelectionStateResponse)
        values = {name: float(value) for name, value in sorted(found.state.items()) if isinstance(value, float)}
        return SelectionState(context, values, found.observation_count)

    def list_selection_states(self, application: str) -> Iterator[SelectionState]:
        """What was learned for each user or session."""
        token, seen = "", set()
        while True:
            request = admin_pb2.ListSelectionStatesRequest(application=application, page_size=_PAGE, page_token=token)
            found = self._admin("ListSelectionStates", request, admin_pb2.ListSelectionStatesResponse)
            for each in found.selection_states:
                if each.context not in seen:  # pages may overlap
                    seen.add(each.context)
                    yield SelectionState(
                        each.context,
                        dict(sorted(each.state.items())),
                        each.observation_count,
                        datetime.fromtimestamp(each.update_time.ToMilliseconds() / 1000, UTC),
                    )
            token = found.next_page_token
            if not token:
                return

    def set_selection_state(
        self, application: str, values: Mapping[str, float], *, context: str = "", observations: int = 0
    ) -> None:
        """Replaces what was learned, for an application or for one of its users or sessions."""
        request = admin_pb2.SetSelectionStateRequest(
            application=application, context=context, state=values, observation_count=observations
        )
        self._admin("SetSelectionState", request, admin_pb2.SetSelectionStateResponse)

    def reset_selection_state(self, application: str, context: str = "") -> None:
        """Forgets what an application has learned: all of it, or that for one user or session."""
        request = admin_pb2.ResetSelectionStateRequest(application=application, context=context)
        self._admin("ResetSelectionState", request, admin_pb2.ResetSelectionStateResponse)

    def link_shadow(self, application: str, model: str, share: float = 1.0) -> None:
        """Has a model shadow those that answer an application: it gets copies of a share of the queries."""
        request = admin_pb2.LinkModelRequest(application=application, model=model, shadow=True, shadow_share=share)
        self._admin("LinkModel", request, admin_pb2.LinkModelResponse)

    def compare_shadows(self, application: str) -> list[Shadow]:
        """How the shadows of an application do."""
        request = admin_pb2.CompareShadowsRequest(application=application)
        found = self._admin("CompareShadows", request, admin_pb2.CompareShadowsResponse)
        return [_shadow(each) for each in found.shadows]

    def _application(self, name: str) -> Any:
        request = admin_pb2.GetApplicationRequest(application=name)
        return self._admin("GetApplication", request, admin_pb2.GetApplicationResponse).application


def _shadow(found: admin_pb2.ShadowComparison) -> Shadow:
    return Shadow(
        found.model,
        found.share,
        found.query_count,
        found.answer_count,
        found.compared_count,
        found.agreed_count,
        dict(found.errors),
        _latencies(found.latency),
        _latencies(found.application_latency),
    )


def _latencies(found: admin_pb2.LatencyDistribution) -> Latencies:
    return Latencies(found.mean_us, found.p50_us, found.p95_us, found.p99_us)
