"""What was learned, as messages."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from clipper.v1 import admin_pb2
from clipper_manager.learned import ShadowView, View
from clipper_manager.selection_store import Learned
from clipper_selection.shadows import Latencies


def from_view(value: View) -> admin_pb2.GetSelectionStateResponse:
    """A state, and the policy whose it is."""
    message = admin_pb2.GetSelectionStateResponse(policy=value.policy, observation_count=value.learned.observations)
    message.state.update(dict(sorted(value.learned.values.items())))
    return message


def from_learned(value: Learned) -> admin_pb2.SelectionState:
    """The state of a context."""
    message = admin_pb2.SelectionState(
        context=value.context, state=value.values, observation_count=value.observations, update_time=Timestamp()
    )
    message.update_time.FromMilliseconds(value.taught_ms)
    return message


def from_shadow(value: ShadowView) -> admin_pb2.ShadowComparison:
    """How a shadow does."""
    compared = value.comparison
    return admin_pb2.ShadowComparison(
        model=value.model,
        share=value.share,
        query_count=compared.queries,
        answer_count=compared.answers,
        compared_count=compared.compared,
        agreed_count=compared.agreed,
        errors=compared.errors,
        latency=_latency(compared.shadow),
        application_latency=_latency(compared.given),
    )


def _latency(value: Latencies) -> admin_pb2.LatencyDistribution:
    return admin_pb2.LatencyDistribution(
        mean_us=value.mean_us, p50_us=value.p50_us, p95_us=value.p95_us, p99_us=value.p99_us
    )
