"""What a cluster has, and the changes that ApplyChanges makes to it: one function for each."""

from __future__ import annotations

from dataclasses import dataclass, field

from clipper.v1 import admin_pb2


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that is configured, as the manager told it."""

    applications: list[admin_pb2.Application] = field(default_factory=list)
    models: list[admin_pb2.Model] = field(default_factory=list)
    versions: list[admin_pb2.ModelVersion] = field(default_factory=list)


def create_application(wanted: admin_pb2.Application) -> admin_pb2.Change:
    """Creates an application."""
    return admin_pb2.Change(create_application=admin_pb2.CreateApplicationRequest(application=wanted))


def update_application(wanted: admin_pb2.Application, revision: int) -> admin_pb2.Change:
    """Changes an application, if it is still at that revision."""
    change = admin_pb2.Change(update_application=admin_pb2.UpdateApplicationRequest(application=wanted))
    change.update_application.application.revision = revision
    return change


def delete_application(name: str) -> admin_pb2.Change:
    """Deletes an application."""
    return admin_pb2.Change(delete_application=admin_pb2.DeleteApplicationRequest(application=name))


def link_model(application: str, link: admin_pb2.Link) -> admin_pb2.Change:
    """Links a model."""
    request = admin_pb2.LinkModelRequest(application=application, model=link.model, weight=link.weight)
    request.shadow, request.shadow_share = link.shadow, link.shadow_share
    return admin_pb2.Change(link_model=request)


def unlink_model(application: str, model: str) -> admin_pb2.Change:
    """Removes a link."""
    return admin_pb2.Change(unlink_model=admin_pb2.UnlinkModelRequest(application=application, model=model))


def create_version(wanted: admin_pb2.ModelVersion) -> admin_pb2.Change:
    """Registers a version."""
    return admin_pb2.Change(create_model_version=admin_pb2.CreateModelVersionRequest(model_version=wanted))


def update_version(wanted: admin_pb2.ModelVersion) -> admin_pb2.Change:
    """Changes the labels and the batching of a version."""
    return admin_pb2.Change(update_model_version=admin_pb2.UpdateModelVersionRequest(model_version=wanted))


def activate_version(model: str, version: str, share: float = 0) -> admin_pb2.Change:
    """Makes a version current, or puts it on trial."""
    request = admin_pb2.ActivateModelVersionRequest(model=model, version=version, share=share)
    return admin_pb2.Change(activate_model_version=request)


def delete_version(model: str, version: str) -> admin_pb2.Change:
    """Deletes a version, though it may be the current one of a linked model."""
    request = admin_pb2.DeleteModelVersionRequest(model=model, version=version, force=True)
    return admin_pb2.Change(delete_model_version=request)
