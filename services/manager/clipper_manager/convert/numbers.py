"""Enums and their numbers on the wire."""

from __future__ import annotations

from clipper.v1 import admin_pb2, values_pb2
from clipper_manager.resources import BatchPolicy, InputType, InstanceKind, VersionState

INPUT_TYPES = {
    values_pb2.INPUT_TYPE_BYTES: InputType.BYTES,
    values_pb2.INPUT_TYPE_INTEGERS: InputType.INTEGERS,
    values_pb2.INPUT_TYPE_FLOATS: InputType.FLOATS,
    values_pb2.INPUT_TYPE_DOUBLES: InputType.DOUBLES,
    values_pb2.INPUT_TYPE_STRINGS: InputType.STRINGS,
    values_pb2.INPUT_TYPE_TENSORS: InputType.TENSORS,
}
INPUT_TYPE_NUMBERS = {value: number for number, value in INPUT_TYPES.items()}
BATCH_POLICIES = {
    admin_pb2.Batching.POLICY_UNSPECIFIED: BatchPolicy.DEFAULT,
    admin_pb2.Batching.POLICY_FIXED: BatchPolicy.FIXED,
    admin_pb2.Batching.POLICY_AIMD: BatchPolicy.AIMD,
    admin_pb2.Batching.POLICY_QUANTILE: BatchPolicy.QUANTILE,
}
BATCH_POLICY_NUMBERS = {value: number for number, value in BATCH_POLICIES.items()}
KINDS = {
    admin_pb2.Instance.KIND_FRONTEND: InstanceKind.FRONTEND,
    admin_pb2.Instance.KIND_MANAGER: InstanceKind.MANAGER,
}
KIND_NUMBERS = {value: number for number, value in KINDS.items()}
STATE_NUMBERS = {
    VersionState.STAGED: admin_pb2.ModelVersion.STATE_STAGED,
    VersionState.ACTIVE: admin_pb2.ModelVersion.STATE_ACTIVE,
}
