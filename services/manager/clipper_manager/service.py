"""The gRPC faces of the registry: each method takes its request apart, calls one use case, and encodes the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from clipper.registry.v1 import registry_pb2 as reg
from clipper.v1 import admin_pb2 as adm
from clipper_manager.convert import incoming, learned, outgoing
from clipper_manager.learned import States
from clipper_manager.pages import PageRequest
from clipper_manager.registry import Registry
from clipper_manager.store import Position


class AdminService:
    """clipper.v1.AdminService."""

    def __init__(self, registry: Registry, states: States) -> None:
        self._registry = registry
        self._states = states

    async def create_application(self, request: adm.CreateApplicationRequest) -> adm.CreateApplicationResponse:
        """See admin.proto; so for all below."""
        created = await self._registry.create_application(incoming.to_application(request.application))
        return adm.CreateApplicationResponse(application=outgoing.from_application(created))

    async def get_application(self, request: adm.GetApplicationRequest) -> adm.GetApplicationResponse:
        """Returns one application."""
        found = await self._registry.application(request.application)
        return adm.GetApplicationResponse(application=outgoing.from_application(found))

    async def list_applications(self, request: adm.ListApplicationsRequest) -> adm.ListApplicationsResponse:
        """Lists applications."""
        page = await self._registry.applications(PageRequest(request.page_size, request.page_token))
        found = map(outgoing.from_application, page.items)
        return adm.ListApplicationsResponse(applications=found, next_page_token=page.next_token)

    async def update_application(self, request: adm.UpdateApplicationRequest) -> adm.UpdateApplicationResponse:
        """Changes an application."""
        updated = await self._registry.update_application(*incoming.to_update(request.application))
        return adm.UpdateApplicationResponse(application=outgoing.from_application(updated))

    async def delete_application(self, request: adm.DeleteApplicationRequest) -> adm.DeleteApplicationResponse:
        """Deletes an application."""
        await self._registry.delete_application(request.application)
        return adm.DeleteApplicationResponse()

    async def link_model(self, request: adm.LinkModelRequest) -> adm.LinkModelResponse:
        """Links a model to an application."""
        linked = await self._registry.link_model(
            request.application,
            request.model,
            request.weight,
            shadow=request.shadow,
            shadow_share=request.shadow_share,
        )
        return adm.LinkModelResponse(application=outgoing.from_application(linked))

    async def unlink_model(self, request: adm.UnlinkModelRequest) -> adm.UnlinkModelResponse:
        """Removes a link."""
        unlinked = await self._registry.unlink_model(request.application, request.model)
        return adm.UnlinkModelResponse(application=outgoing.from_application(unlinked))

    async def create_model_version(self, request: adm.CreateModelVersionRequest) -> adm.CreateModelVersionResponse:
        """Registers a version."""
        wanted = incoming.to_model_version(request.model_version)
        created = await self._registry.create_version(wanted, activate=request.activate)
        return adm.CreateModelVersionResponse(model_version=outgoing.from_model_version(created))

    async def get_model_version(self, request: adm.GetModelVersionRequest) -> adm.GetModelVersionResponse:
        """Returns one version."""
        found = await self._registry.version(request.model, request.version)
        return adm.GetModelVersionResponse(model_version=outgoing.from_model_version(found))

    async def list_model_versions(self, request: adm.ListModelVersionsRequest) -> adm.ListModelVersionsResponse:
        """Lists versions."""
        page = await self._registry.versions(request.model, PageRequest(request.page_size, request.page_token))
        found = map(outgoing.from_model_version, page.items)
        return adm.ListModelVersionsResponse(model_versions=found, next_page_token=page.next_token)

    async def update_model_version(self, request: adm.UpdateModelVersionRequest) -> adm.UpdateModelVersionResponse:
        """Changes a version."""
        updated = await self._registry.update_version(*incoming.to_version_update(request.model_version))
        return adm.UpdateModelVersionResponse(model_version=outgoing.from_model_version(updated))

    async def activate_model_version(
        self, request: adm.ActivateModelVersionRequest
    ) -> adm.ActivateModelVersionResponse:
        """Makes a version the current one, or puts it on trial."""
        model = await self._registry.activate_version(request.model, request.version, request.share)
        return adm.ActivateModelVersionResponse(model=outgoing.from_model_view(model))

    async def delete_model_version(self, request: adm.DeleteModelVersionRequest) -> adm.DeleteModelVersionResponse:
        """Deletes a version."""
        await self._registry.delete_version(request.model, request.version, force=request.force)
        return adm.DeleteModelVersionResponse()

    async def get_model(self, request: adm.GetModelRequest) -> adm.GetModelResponse:
        """Returns one model."""
        return adm.GetModelResponse(model=outgoing.from_model_view(await self._registry.model(request.model)))

    async def list_models(self, request: adm.ListModelsRequest) -> adm.ListModelsResponse:
        """Lists models."""
        page = await self._registry.models(PageRequest(request.page_size, request.page_token))
        found = map(outgoing.from_model_view, page.items)
        return adm.ListModelsResponse(models=found, next_page_token=page.next_token)

    async def apply_changes(self, request: adm.ApplyChangesRequest) -> adm.ApplyChangesResponse:
        """Makes several changes in one step, or looks whether they can be made."""
        wanted = [incoming.to_change(each) for each in request.changes]
        if request.validate_only:
            problems = await self._registry.problems(wanted)
            return adm.ApplyChangesResponse(problems=[outgoing.from_problem(*each) for each in problems])
        await self._registry.apply(wanted)
        return adm.ApplyChangesResponse()

    async def get_replica(self, request: adm.GetReplicaRequest) -> adm.GetReplicaResponse:
        """Returns one replica."""
        found = await self._registry.replica(request.model, request.version, request.replica_id)
        return adm.GetReplicaResponse(replica=outgoing.from_replica(found))

    async def list_replicas(self, request: adm.ListReplicasRequest) -> adm.ListReplicasResponse:
        """Lists replicas."""
        wanted = PageRequest(request.page_size, request.page_token)
        page = await self._registry.replicas(request.model, request.version, wanted)
        found = map(outgoing.from_replica, page.items)
        return adm.ListReplicasResponse(replicas=found, next_page_token=page.next_token)

    async def list_instances(self, request: adm.ListInstancesRequest) -> adm.ListInstancesResponse:
        """Lists processes."""
        page = await self._registry.instances(PageRequest(request.page_size, request.page_token))
        found = map(outgoing.from_instance, page.items)
        return adm.ListInstancesResponse(instances=found, next_page_token=page.next_token)

    async def get_selection_state(self, request: adm.GetSelectionStateRequest) -> adm.GetSelectionStateResponse:
        """Returns what was learned."""
        return learned.from_view(await self._states.state(request.application, request.context))

    async def set_selection_state(self, request: adm.SetSelectionStateRequest) -> adm.SetSelectionStateResponse:
        """Replaces what was learned."""
        await self._states.put(request.application, request.context, dict(request.state), request.observation_count)
        return adm.SetSelectionStateResponse()

    async def reset_selection_state(self, request: adm.ResetSelectionStateRequest) -> adm.ResetSelectionStateResponse:
        """Forgets what was learned."""
        await self._states.reset(request.application, request.context)
        return adm.ResetSelectionStateResponse()

    async def list_selection_states(self, request: adm.ListSelectionStatesRequest) -> adm.ListSelectionStatesResponse:
        """Lists contexts with their states."""
        page = await self._states.states(request.application, PageRequest(request.page_size, request.page_token))
        found = map(learned.from_learned, page.items)
        return adm.ListSelectionStatesResponse(selection_states=found, next_page_token=page.next_token)

    async def compare_shadows(self, request: adm.CompareShadowsRequest) -> adm.CompareShadowsResponse:
        """Compares shadows with the answers that were given."""
        found = await self._states.shadows(request.application)
        return adm.CompareShadowsResponse(shadows=map(learned.from_shadow, found))


class RegistryService:
    """clipper.registry.v1.RegistryService."""

    def __init__(self, registry: Registry, *, lease_ttl_s: float) -> None:
        self._registry = registry
        self._ttl = outgoing.from_ns(round(lease_ttl_s * 1e9))

    def _lease(self, lease_id: str) -> reg.Lease:
        return reg.Lease(lease_id=lease_id, ttl=self._ttl)

    async def register_replica(self, request: reg.RegisterReplicaRequest) -> reg.RegisterReplicaResponse:
        """See registry.proto; so for all below."""
        registered = await self._registry.register_replica(incoming.to_replica(request))
        return reg.RegisterReplicaResponse(replica_id=registered.replica_id, lease=self._lease(registered.lease_id))

    async def register_instance(self, request: reg.RegisterInstanceRequest) -> reg.RegisterInstanceResponse:
        """Registers a process."""
        registered = await self._registry.register_instance(incoming.to_instance(request.instance))
        return reg.RegisterInstanceResponse(lease=self._lease(registered.lease_id))

    async def renew_lease(self, request: reg.RenewLeaseRequest) -> reg.RenewLeaseResponse:
        """Renews a lease."""
        await self._registry.renew_lease(request.lease_id)
        return reg.RenewLeaseResponse(lease=self._lease(request.lease_id))

    async def end_lease(self, request: reg.EndLeaseRequest) -> reg.EndLeaseResponse:
        """Ends a lease."""
        await self._registry.end_lease(request.lease_id)
        return reg.EndLeaseResponse()

    async def watch(self, request: reg.WatchRequest) -> AsyncIterator[reg.WatchResponse]:
        """Streams the configuration."""
        seen = Position(request.epoch, request.revision) if request.epoch else None
        async for step in self._registry.watch(seen):
            yield outgoing.from_step(step)

    async def reserve_query_ids(self, request: reg.ReserveQueryIdsRequest) -> reg.ReserveQueryIdsResponse:
        """Reserves query ids."""
        del request  # it has no fields
        first, count = await self._registry.reserve_query_ids()
        return reg.ReserveQueryIdsResponse(first=first, count=count)
