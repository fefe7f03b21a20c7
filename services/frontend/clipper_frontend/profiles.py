"""InspectService.GetModelProfile: what the engine has learned of a version's replicas, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean, median

from clipper.v1 import inspect_pb2 as pb
from clipper_frontend.batch_policies import DEFAULT_POLICY
from clipper_frontend.choice import Why
from clipper_frontend.latency import LatencyCurve
from clipper_frontend.member import Member
from clipper_frontend.metrics_export import Pools
from clipper_frontend.pool import Pool
from clipper_frontend.routes import RouteTable
from clipper_rpc.errors import ModelNotFound, VersionNotFound

_MOST_SIZES = 8

_LIMITS = {
    Why.CEILING: pb.ReplicaProfile.LIMIT_CEILING,
    Why.BUDGET: pb.ReplicaProfile.LIMIT_BUDGET,
    Why.REACH: pb.ReplicaProfile.LIMIT_REACH,
    Why.PROBE: pb.ReplicaProfile.LIMIT_PROBE,
    Why.LEAST: pb.ReplicaProfile.LIMIT_LEAST,
    Why.LEARNING: pb.ReplicaProfile.LIMIT_LEARNING,
}

ProfileOf = Callable[[pb.GetModelProfileRequest], pb.GetModelProfileResponse]


def profiles_of(pools: Pools, table: Callable[[], RouteTable]) -> ProfileOf:
    """Tells the profile of a version.

    What is returned raises ModelNotFound and VersionNotFound.
    """

    def tell(request: pb.GetModelProfileRequest) -> pb.GetModelProfileResponse:
        versions = {pool.version.version: pool for pool in pools.pools if pool.version.model == request.model}
        if not versions:
            raise ModelNotFound(model=request.model)
        version = request.version or table().current_version(request.model)
        if version not in versions:
            raise VersionNotFound(model=request.model, version=version or "(none is active)")
        return _profile(versions[version])

    return tell


def _profile(pool: Pool) -> pb.GetModelProfileResponse:
    version, counts = pool.version, pool.counts
    return pb.GetModelProfileResponse(
        model=version.model,
        version=version.version,
        policy=version.batching.policy or DEFAULT_POLICY,
        objective_us=pool.objective_ns // 1000,
        linger_us=version.batching.linger_ns // 1000,
        max_batches_in_flight=pool.max_batches_in_flight,
        hedge_percent=version.batching.hedge_percent,
        waiting_rows=pool.waiting_rows,
        replicas=[_replica(each, pool) for each in sorted(pool.members, key=_replica_id)],
        batches=counts.batches,
        rows=counts.rows,
        refused_full=counts.full,
        refused_hopeless=counts.hopeless,
        given_up=counts.given_up,
        moved=counts.moved,
        abandoned_batches=counts.abandoned,
        hedges=counts.hedges,
        hedged_rows=counts.hedged_rows,
        hedges_won=counts.hedges_won,
        hedges_denied=counts.hedges_denied,
    )


def _replica(member: Member, pool: Pool) -> pb.ReplicaProfile:
    plan = member.plan(pool.objective_ns)
    choice = member.explain()
    why = choice.why if plan.rows >= choice.rows else Why.CEILING  # the model's own
    return pb.ReplicaProfile(
        replica_id=member.replica.replica_id,
        address=member.replica.address,
        state=member.state.value,
        on_trial=member.is_on_trial,
        batches_in_flight=len(member.attempts),
        batches=member.batches,
        rows=member.rows,
        timeouts=member.timeouts,
        losses=member.losses,
        batch_rows=plan.rows,
        limit=_LIMITS[why] if choice.samples or why is Why.CEILING else pb.ReplicaProfile.LIMIT_LEARNING,
        budget_us=choice.budget_ns // 1000,
        fixed_us=choice.fixed_ns / 1000,
        per_row_us=choice.per_row_ns / 1000,
        samples=choice.samples,
        latencies=_latencies(member.curve),
        margin_us=plan.margin_ns // 1000,
    )


def _latencies(curve: LatencyCurve) -> list[pb.LatencySample]:
    """The remembered batches in a few groups of about one size, as many in each as may be."""
    samples, found = curve.remembered, []
    groups = min(_MOST_SIZES, len({rows for rows, _ in samples}))
    for group in range(groups):
        part = samples[group * len(samples) // groups : (group + 1) * len(samples) // groups]
        rows = fmean(rows for rows, _ in part)
        took = [elapsed_ns / 1000 for _, elapsed_ns in part]
        predicted_us = (curve.predict_ns(round(rows)) or 0) / 1000
        found.append(
            pb.LatencySample(
                rows=rows, count=len(part), median_us=median(took), longest_us=max(took), predicted_us=predicted_us
            )
        )
    return found


def _replica_id(member: Member) -> int:
    return member.replica.replica_id
