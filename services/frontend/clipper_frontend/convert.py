"""The entities of the configuration, from the messages of the Watch to the values of `routes`."""

from __future__ import annotations

import logging

from google.protobuf.json_format import MessageToDict

import clipper_selection
from clipper.registry.v1.registry_pb2 import Entity, EntityKey
from clipper.v1.admin_pb2 import Application, Batching, ModelVersion
from clipper_frontend import batch_policies, routes
from clipper_selection import Policy

_log = logging.getLogger(__name__)

_BATCH_POLICIES = {
    Batching.POLICY_FIXED: batch_policies.Policy.FIXED,
    Batching.POLICY_AIMD: batch_policies.Policy.AIMD,
    Batching.POLICY_QUANTILE: batch_policies.Policy.QUANTILE,
}


def entity_from(message: Entity) -> routes.Entity | None:
    """The entity in a message; None for a kind that this build does not know."""
    match message.WhichOneof("entity"):
        case "application":
            return _application(message.application)
        case "model":
            model = message.model
            return routes.Model(model.name, model.current_version, model.canary_version, model.canary_share)
        case "model_version":
            return _version(message.model_version)
        case "replica":
            replica = message.replica
            return routes.Replica(replica.model, replica.version, replica.replica_id, replica.address)
        case _:
            return None


def key_from(message: EntityKey) -> routes.Key | None:
    """The key in a message; None for a kind that this build does not know."""
    match message.WhichOneof("key"):
        case "application":
            return routes.application_key(message.application)
        case "model":
            return routes.model_key(message.model)
        case "model_version":
            return routes.version_key(message.model_version.model, message.model_version.version)
        case "replica":
            return routes.replica_key(message.replica.model, message.replica.version, message.replica.replica_id)
        case _:
            return None


def _application(message: Application) -> routes.Application:
    return routes.Application(
        name=message.name,
        input_type=message.input_type,
        objective_ns=message.latency_objective.ToNanoseconds(),
        default_output=message.default_output.SerializeToString() if message.HasField("default_output") else None,
        links=tuple(
            routes.Link(link.model, link.weight or 1.0, (link.shadow_share or 1.0) if link.shadow else 0.0)
            for link in message.links
        ),
        policy=_policy(message),
        confidence_threshold=message.confidence_threshold,
        generation=message.selection_generation,
    )


def _policy(message: Application) -> Policy:
    """The policy of an application; the static one where this process does not have it (a plug-in is not installed)."""
    given = message.selection_policy
    try:
        return clipper_selection.policy(given.name or "static", MessageToDict(given.parameters))
    except Exception as error:  # noqa: BLE001  # whatever a plug-in raises: queries are answered all the same
        problem = f"{type(error).__name__}: {error}"
        _log.warning("policy_missing", extra={"application": message.name, "policy": given.name, "problem": problem})
        return routes.STATIC


def _version(message: ModelVersion) -> routes.Version:
    batching = message.batching
    return routes.Version(
        model=message.model,
        version=message.version,
        uid=message.uid or f"{message.model}:{message.version}",
        input_type=message.input_type,
        batching=routes.Batching(
            policy=_BATCH_POLICIES.get(batching.policy),
            max_batch_rows=batching.max_batch_rows,
            linger_ns=batching.linger.ToNanoseconds(),
            max_queue_rows=batching.max_queue_rows,
            max_batches_in_flight=batching.max_batches_in_flight,
            no_retry=batching.no_retry,
            hedge_percent=batching.hedge_percent,
        ),
        no_cache=message.no_cache,
    )
