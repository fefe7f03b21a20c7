"""What each change does to a configuration, or why it is refused: pure, on a draft.

Invariants
 1. The current version of a model exists and is its only ACTIVE one.
 2. A model is there exactly while it has a version or a link.
 3. All applications that a model is linked to take the same type as its current version.
 4. An application has at most as many links as its policy uses, shadows not counted.
 5. A replica has a version. One address serves one replica.
 6. A version on trial exists, beside a current one that it is not.

Decisions that the contract leaves open
 - Deleting the last version of a linked model keeps the name and its links, as Clipper does: a version that is deployed
   under it later is linked at once. The model goes with its last link.
 - A change that changes nothing succeeds and has no revision of its own.
"""

from __future__ import annotations

from dataclasses import replace

from clipper_manager.resources import (
    Application,
    InputType,
    Instance,
    Link,
    Model,
    ModelVersion,
    Replica,
    ReplicaCounter,
    VersionState,
    counter_key,
    model_key,
)
from clipper_manager.state import Draft
from clipper_rpc.errors import (
    ApplicationExists,
    InvalidField,
    LinkExists,
    LinkNotFound,
    LinkTypeMismatch,
    ReplicaTypeMismatch,
    StaleRevision,
    TooManyLinks,
    VersionExists,
    VersionInUse,
)


def create_application(draft: Draft, new: Application) -> Application:
    """Adds an application without links."""
    if draft.find(Application, new.key) is not None:
        raise ApplicationExists(application=new.name)
    created = draft.put(new)
    return draft.put(replace(created, selection_generation=created.revision))


def update_application(draft: Draft, new: Application, input_type: InputType | None, revision: int) -> Application:
    """Replaces what may change of an application. `revision` 0 takes any, `input_type` None keeps it."""
    old = draft.application(new.name)
    if revision not in (0, old.revision):
        raise StaleRevision(what=f'Application "{new.name}"', stored=str(old.revision), given=str(revision))
    if input_type not in (None, old.input_type):
        raise InvalidField(field="application.input_type", problem=f"cannot be changed; it is {old.input_type}")
    updated = draft.put(
        replace(
            old,
            default_output=new.default_output,
            latency_objective_ns=new.latency_objective_ns,
            selection_policy=new.selection_policy,
            confidence_threshold=new.confidence_threshold,
        )
    )
    if updated.selection_policy.name == old.selection_policy.name:
        return updated
    return draft.put(replace(updated, selection_generation=updated.revision))


def delete_application(draft: Draft, name: str) -> None:
    """Removes an application with its links."""
    old = draft.application(name)
    draft.delete(old)
    for link in old.links:
        _settle(draft, link.model)


def link_model(draft: Draft, application: str, model: str, weight: float, shadow_share: float = 0) -> Application:
    """Links a model to an application, as a shadow if that has a share. Checked in Clipper's order (contract M3).

    A static policy uses one model, as Clipper does, until a link comes with a weight: then it shares out. To link again
    with a weight changes the weight.
    """
    old = draft.application(application)
    draft.model(model)
    model_type = draft.model_type(model)
    if model_type != old.input_type:
        raise _other_type(old, model, model_type)
    linked = next((link for link in old.links if link.model == model), None)
    if linked is not None and (not weight or linked.shadow or shadow_share):
        raise LinkExists(model=model, application=application)
    if not (weight or shadow_share) and old.answering and old.selection_policy.name == "static":
        raise TooManyLinks(application=application, linked=old.answering[0].model)
    link = Link(model, weight or 1.0, shadow=shadow_share > 0, shadow_share=shadow_share)
    links = sorted((*(each for each in old.links if each is not linked), link), key=lambda link: link.model)
    new = draft.put(replace(old, links=tuple(links)))
    _settle(draft, model)
    return new


def unlink_model(draft: Draft, application: str, model: str) -> Application:
    """Removes a link."""
    old = draft.application(application)
    links = tuple(link for link in old.links if link.model != model)
    if links == old.links:
        raise LinkNotFound(model=model, application=application)
    new = draft.put(replace(old, links=links))
    _settle(draft, model)
    return new


def create_version(draft: Draft, new: ModelVersion, *, activate: bool) -> ModelVersion:
    """Adds a version, with its model if that is new. It must take what the model's applications do (contract V5)."""
    if draft.find(ModelVersion, new.key) is not None:
        raise VersionExists(model=new.model, version=new.version)
    _agree_with_links(draft, new)
    draft.put(new)
    if draft.find(Model, model_key(new.model)) is None:
        draft.put(Model(new.model, new.input_type))
    if activate:
        activate_version(draft, new.model, new.version)
    _settle(draft, new.model)
    return draft.version(new.model, new.version)


def update_version(draft: Draft, new: ModelVersion, input_type: InputType | None, revision: int) -> ModelVersion:
    """Replaces what may change of a version. `revision` 0 takes any; `input_type` None and no image keep theirs."""
    old = draft.version(new.model, new.version)
    if revision not in (0, old.revision):
        what = f'Version {new.version} of model "{new.model}"'
        raise StaleRevision(what=what, stored=str(old.revision), given=str(revision))
    if input_type not in (None, old.input_type):
        raise InvalidField(field="model_version.input_type", problem=f"cannot be changed; it is {old.input_type}")
    if new.image not in ("", old.image):
        problem = f'cannot be changed; it is "{old.image}". Deploy under another version'
        raise InvalidField(field="model_version.image", problem=problem)
    return draft.put(
        replace(old, labels=new.labels, data_path=new.data_path, batching=new.batching, no_cache=new.no_cache)
    )


def activate_version(draft: Draft, model: str, version: str, share: float = 1.0) -> Model:
    """Makes a version the current one or, with a share below 1, puts it on trial beside it."""
    new = draft.version(model, version)
    _agree_with_links(draft, new)
    old_model = draft.model(model)
    if share < 1:
        return _try_version(draft, old_model, new, share)
    if old_model.current_version not in ("", version):
        draft.put(replace(draft.version(model, old_model.current_version), state=VersionState.STAGED))
    draft.put(replace(new, state=VersionState.ACTIVE))
    draft.put(replace(old_model, current_version=version, canary_version="", canary_share=0.0))
    _settle(draft, model)
    return draft.model(model)


def _try_version(draft: Draft, model: Model, new: ModelVersion, share: float) -> Model:
    if model.current_version in ("", new.version):
        which = "it is the current version itself" if model.current_version else "no version is current yet"
        raise InvalidField(field="share", problem=f"is {share:g}, but {which}; leave it out to activate the version")
    current = draft.version(model.name, model.current_version)
    if new.input_type != current.input_type:
        problem = f"takes {new.input_type}, but the current version takes {current.input_type}"
        raise InvalidField(field="version", problem=problem)
    return draft.put(replace(model, canary_version=new.version, canary_share=share))


def delete_version(draft: Draft, model: str, version: str, *, force: bool) -> None:
    """Removes a version and its replicas. The current one of a linked model goes by force only."""
    old = draft.version(model, version)
    if old.state is VersionState.ACTIVE:
        linked = draft.linked_to(model)
        if linked and not force:
            raise VersionInUse(version=version, model=model, application=linked[0].name)
        draft.put(replace(draft.model(model), current_version="", canary_version="", canary_share=0.0))
    elif draft.model(model).canary_version == version:
        draft.put(replace(draft.model(model), canary_version="", canary_share=0.0))
    for replica in list(draft.all(Replica)):
        if (replica.model, replica.version) == (model, version):
            draft.delete(replica)
    draft.delete(old)
    _settle(draft, model)


def register_replica(draft: Draft, new: Replica) -> Replica:
    """Adds a replica under the next number of its version. Whatever was registered at its address goes."""
    version = draft.version(new.model, new.version)
    if new.input_type != version.input_type:
        raise ReplicaTypeMismatch(model=new.model, version=new.version, got=new.input_type, expected=version.input_type)
    for former in list(draft.all(Replica)):
        if former.address == new.address:
            draft.delete(former)
    counter = draft.find(ReplicaCounter, counter_key(new.model, new.version)) or ReplicaCounter(new.model, new.version)
    draft.put(replace(counter, next_id=counter.next_id + 1))
    return draft.put(replace(new, replica_id=counter.next_id))


def register_instance(draft: Draft, new: Instance) -> Instance:
    """Adds a process, or replaces its former registration."""
    return draft.put(new)


def _settle(draft: Draft, name: str) -> None:
    """Brings a model in line with its versions and links: it goes with the last of both, and takes what they take."""
    model = draft.find(Model, model_key(name))
    if model is None:
        return
    input_type = draft.model_type(name)
    if input_type is None:
        draft.delete(model)
    else:
        draft.put(replace(model, input_type=input_type))


def _agree_with_links(draft: Draft, version: ModelVersion) -> None:
    for application in draft.linked_to(version.model):
        if application.input_type != version.input_type:
            raise _other_type(application, version.model, version.input_type)


def _other_type(application: Application, model: str, model_type: InputType | None) -> LinkTypeMismatch:
    return LinkTypeMismatch(
        model=model,
        model_type=str(model_type),
        application=application.name,
        application_type=application.input_type,
    )
