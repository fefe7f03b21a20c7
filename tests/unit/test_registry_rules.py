"""Every rule of a configuration, on plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clipper_manager import rules
from clipper_manager.resources import (
    MS,
    Application,
    InputType,
    Instance,
    InstanceKind,
    Link,
    Model,
    ModelVersion,
    Replica,
    SelectionPolicy,
    VersionState,
)
from clipper_manager.state import Change, Draft, State
from clipper_rpc.errors import (
    ApplicationExists,
    ApplicationNotFound,
    ClipperError,
    InvalidField,
    LinkExists,
    LinkNotFound,
    LinkTypeMismatch,
    ModelNotFound,
    ReplicaNotFound,
    ReplicaTypeMismatch,
    StaleRevision,
    TooManyLinks,
    VersionExists,
    VersionInUse,
    VersionNotFound,
)

T = TypeVar("T")
DOUBLES, STRINGS = InputType.DOUBLES, InputType.STRINGS


class World:
    """A configuration that changes rule by rule, each with its own revision."""

    def __init__(self) -> None:
        self.state = State()
        self.revision = 0
        self.last = Change()
        self.ids = 0

    def do(self, decide: Callable[[Draft], T]) -> T:
        draft = Draft(self.state, self.revision + 1)
        result = decide(draft)
        self.last = draft.change()
        if not self.last.is_empty:
            self.revision += 1
            self.state.apply(self.last.puts, self.last.deletes)
        return result

    def application(self, name: str, input_type: InputType = DOUBLES) -> Application:
        return self.do(lambda draft: rules.create_application(draft, Application(name, input_type)))

    def version(
        self, model: str, version: str, input_type: InputType = DOUBLES, *, activate: bool = False
    ) -> ModelVersion:
        self.ids += 1
        new = ModelVersion(model, version, input_type, create_time_ns=self.ids, uid=f"uid{self.ids}")
        return self.do(lambda draft: rules.create_version(draft, new, activate=activate))

    def activate(self, model: str, version: str, share: float = 1.0) -> Model:
        return self.do(lambda draft: rules.activate_version(draft, model, version, share))

    def link(self, application: str, model: str, weight: float = 0.0) -> Application:
        return self.do(lambda draft: rules.link_model(draft, application, model, weight))

    def unlink(self, application: str, model: str) -> Application:
        return self.do(lambda draft: rules.unlink_model(draft, application, model))

    def delete(self, model: str, version: str, *, force: bool = False) -> None:
        self.do(lambda draft: rules.delete_version(draft, model, version, force=force))

    def delete_application(self, name: str) -> None:
        self.do(lambda draft: rules.delete_application(draft, name))

    def replica(self, model: str, version: str, address: str = "h:1", input_type: InputType = DOUBLES) -> Replica:
        self.ids += 1
        new = Replica(model, version, 0, address, input_type, f"lease{self.ids}")
        return self.do(lambda draft: rules.register_replica(draft, new))

    def instance(self, name: str) -> Instance:
        self.ids += 1
        new = Instance(InstanceKind.FRONTEND, name, "h:1", f"lease{self.ids}")
        return self.do(lambda draft: rules.register_instance(draft, new))


@pytest.fixture
def world() -> World:
    return World()


class TestApplications:
    def test_a_new_one_has_no_links_and_the_revision_of_its_change(self, world: World) -> None:
        assert world.application("a") == Application("a", DOUBLES, revision=1, selection_generation=1)
        assert world.state.application("a").revision == 1

    def test_a_name_is_taken_once(self, world: World) -> None:
        world.application("a")
        with pytest.raises(ApplicationExists):
            world.application("a", STRINGS)

    def test_an_unknown_one_cannot_be_changed_or_deleted(self, world: World) -> None:
        with pytest.raises(ApplicationNotFound):
            world.delete_application("a")
        with pytest.raises(ApplicationNotFound):
            world.do(lambda draft: rules.update_application(draft, Application("a", DOUBLES), None, 0))

    def test_an_update_changes_all_but_name_type_links_and_age(self, world: World) -> None:
        world.version("m", "1")
        old = world.application("a")
        world.link("a", "m")
        wanted = Application("a", STRINGS, b"x", 5 * MS, confidence_threshold=0.5, create_time_ns=99)
        new = world.do(lambda draft: rules.update_application(draft, wanted, None, 0))
        assert new == replace(
            old,
            default_output=b"x",
            latency_objective_ns=5 * MS,
            confidence_threshold=0.5,
            links=(Link("m"),),
            revision=world.revision,
        )

    def test_an_update_of_another_input_type_is_refused(self, world: World) -> None:
        old = world.application("a")
        with pytest.raises(InvalidField, match="it is doubles"):
            world.do(lambda draft: rules.update_application(draft, old, STRINGS, 0))
        world.do(lambda draft: rules.update_application(draft, old, DOUBLES, 0))

    def test_an_update_of_an_older_revision_is_stale(self, world: World) -> None:
        old = world.application("a")
        changed = replace(old, confidence_threshold=0.5)
        world.do(lambda draft: rules.update_application(draft, changed, None, old.revision))
        with pytest.raises(StaleRevision, match="revision 2, not 1"):
            world.do(lambda draft: rules.update_application(draft, old, None, old.revision))

    def test_an_update_that_changes_nothing_has_no_revision(self, world: World) -> None:
        old = world.application("a")
        assert world.do(lambda draft: rules.update_application(draft, old, None, 0)) == old
        assert world.last.is_empty

    def test_deleting_one_frees_its_name_and_its_model(self, world: World) -> None:
        world.application("a")
        world.version("m", "1", activate=True)
        world.link("a", "m")
        world.delete_application("a")
        assert world.state.linked_to("m") == []
        assert world.application("a", STRINGS).links == ()
        assert world.state.model("m").current_version == "1"


class TestLinks:
    def test_refusals_come_in_clippers_order(self, world: World) -> None:
        with pytest.raises(ApplicationNotFound):
            world.link("a", "m")
        world.application("a")
        with pytest.raises(ModelNotFound):
            world.link("a", "m")
        world.version("m", "1", STRINGS)
        with pytest.raises(LinkTypeMismatch, match='Model "m" takes strings, application "a" takes doubles'):
            world.link("a", "m")

    def test_a_link_is_kept_with_its_weight(self, world: World) -> None:
        world.application("a")
        world.version("m", "1")
        assert world.link("a", "m", 0.5).links == (Link("m", 0.5),)

    def test_the_same_link_is_refused(self, world: World) -> None:
        world.application("a")
        world.version("m", "1")
        world.link("a", "m")
        with pytest.raises(LinkExists):
            world.link("a", "m")

    def test_the_static_policy_uses_one_model(self, world: World) -> None:
        world.application("a")
        world.version("m", "1")
        world.version("n", "1")
        world.link("a", "m")
        with pytest.raises(TooManyLinks, match='linked to model "m" already'):
            world.link("a", "n")
        world.unlink("a", "m")
        assert world.link("a", "n").links == (Link("n"),)

    def test_a_model_may_serve_many_applications(self, world: World) -> None:
        world.version("m", "1")
        for name in "ab":
            world.application(name)
            world.link(name, "m")
        assert [each.name for each in world.state.linked_to("m")] == ["a", "b"]

    def test_with_weights_the_static_policy_shares_out(self, world: World) -> None:
        world.application("a")
        for name in "mn":
            world.version(name, "1")
        world.link("a", "m")
        assert world.link("a", "n", 0.1).links == (Link("m", 1.0), Link("n", 0.1))

    def test_linking_again_with_a_weight_changes_the_weight(self, world: World) -> None:
        world.application("a")
        for name in "mn":
            world.version(name, "1")
            world.link("a", name, 1)
        assert world.link("a", "m", 9).links == (Link("m", 9), Link("n", 1))

    def test_a_policy_that_uses_several_models_needs_no_weights(self, world: World) -> None:
        old = world.application("a")
        several = replace(old, selection_policy=SelectionPolicy("exp3"))
        world.do(lambda draft: rules.update_application(draft, several, None, 0))
        for name in "mn":
            world.version(name, "1")
            world.link("a", name)
        assert [link.weight for link in world.state.application("a").links] == [1, 1]

    def test_links_are_in_the_order_of_their_models(self, world: World) -> None:
        world.application("a")
        for name in "nmo":
            world.version(name, "1")
            world.link("a", name, 1)
        assert [link.model for link in world.state.application("a").links] == ["m", "n", "o"]

    def test_only_what_is_linked_can_be_unlinked(self, world: World) -> None:
        with pytest.raises(ApplicationNotFound):
            world.unlink("a", "m")
        world.application("a")
        with pytest.raises(LinkNotFound):
            world.unlink("a", "m")

    def test_the_current_versions_type_decides(self, world: World) -> None:
        world.application("a", STRINGS)
        world.version("m", "1", STRINGS, activate=True)
        world.version("m", "2", DOUBLES)
        world.link("a", "m")
        with pytest.raises(LinkTypeMismatch):
            world.activate("m", "2")

    def test_without_a_current_version_the_newest_decides(self, world: World) -> None:
        world.application("a", STRINGS)
        world.version("m", "1", DOUBLES)
        world.version("m", "2", STRINGS)
        assert world.state.model("m").input_type == STRINGS
        world.link("a", "m")
        with pytest.raises(LinkTypeMismatch):
            world.activate("m", "1")
        assert world.activate("m", "2").current_version == "2"


class TestVersions:
    def test_the_first_creates_the_model_and_stays_staged(self, world: World) -> None:
        new = world.version("m", "1")
        assert new.state is VersionState.STAGED
        assert world.state.model("m") == Model("m", DOUBLES, "", revision=1)

    def test_it_can_go_live_in_the_same_change(self, world: World) -> None:
        assert world.version("m", "1", activate=True).state is VersionState.ACTIVE
        assert world.state.model("m").current_version == "1"
        assert world.revision == 1

    def test_a_version_is_registered_once(self, world: World) -> None:
        world.version("m", "1")
        with pytest.raises(VersionExists):
            world.version("m", "1")

    def test_one_of_another_type_is_refused_while_the_model_is_linked(self, world: World) -> None:
        world.application("a")
        world.version("m", "1", activate=True)
        world.version("m", "2", STRINGS)
        world.link("a", "m")
        with pytest.raises(LinkTypeMismatch):
            world.version("m", "3", STRINGS)
        world.unlink("a", "m")
        assert world.version("m", "3", STRINGS, activate=True).state is VersionState.ACTIVE
        assert world.state.model("m").input_type == STRINGS

    def test_activating_stages_the_one_before(self, world: World) -> None:
        world.version("m", "1", activate=True)
        world.version("m", "2")
        world.activate("m", "2")
        states = {each.version: each.state for each in world.state.versions_of("m")}
        assert states == {"1": VersionState.STAGED, "2": VersionState.ACTIVE}
        world.activate("m", "1")  # roll back
        assert world.state.model("m").current_version == "1"

    def test_activating_the_current_one_changes_nothing(self, world: World) -> None:
        world.version("m", "1", activate=True)
        world.activate("m", "1")
        assert world.last.is_empty

    def test_one_is_put_on_trial_beside_the_current_one(self, world: World) -> None:
        world.version("m", "1", activate=True)
        world.version("m", "2")
        tried = world.activate("m", "2", 0.1)
        assert (tried.current_version, tried.canary_version, tried.canary_share) == ("1", "2", 0.1)
        assert world.activate("m", "2", 0.5).canary_share == 0.5
        world.version("m", "3")
        assert world.activate("m", "3", 0.2).canary_version == "3"

    @pytest.mark.parametrize("version", ["1", "2"])
    def test_a_trial_ends_when_either_version_is_activated(self, world: World, version: str) -> None:
        world.version("m", "1", activate=True)
        world.version("m", "2")
        world.activate("m", "2", 0.1)
        ended = world.activate("m", version)
        assert (ended.current_version, ended.canary_version, ended.canary_share) == (version, "", 0.0)

    @pytest.mark.parametrize("version", ["1", "2"])
    def test_a_trial_ends_when_either_version_is_deleted(self, world: World, version: str) -> None:
        world.version("m", "1", activate=True)
        world.version("m", "2")
        world.activate("m", "2", 0.1)
        world.delete("m", version)
        ended = world.state.model("m")
        assert (ended.canary_version, ended.canary_share) == ("", 0.0)
        assert ended.current_version == ("" if version == "1" else "1")

    def test_a_trial_needs_another_current_version_of_the_same_type(self, world: World) -> None:
        world.version("m", "1")
        with pytest.raises(InvalidField, match="no version is current yet"):
            world.activate("m", "1", 0.5)
        world.activate("m", "1")
        with pytest.raises(InvalidField, match="the current version itself"):
            world.activate("m", "1", 0.5)
        world.version("m", "2", STRINGS)
        with pytest.raises(InvalidField, match="takes strings, but the current version takes doubles"):
            world.activate("m", "2", 0.5)

    def test_only_what_is_there_goes_live(self, world: World) -> None:
        with pytest.raises(ModelNotFound):
            world.activate("m", "1")
        world.version("m", "1")
        with pytest.raises(VersionNotFound, match="Requested version: 2 does not exist for model: m"):
            world.activate("m", "2")

    def test_deleting_an_old_one_leaves_the_rest(self, world: World) -> None:
        world.version("m", "1")
        world.version("m", "2", activate=True)
        world.delete("m", "1")
        assert [each.version for each in world.state.versions_of("m")] == ["2"]
        assert world.state.model("m").current_version == "2"

    def test_deleting_what_is_not_there_is_refused(self, world: World) -> None:
        with pytest.raises(ModelNotFound):
            world.delete("m", "1")
        world.version("m", "1")
        with pytest.raises(VersionNotFound):
            world.delete("m", "2", force=True)

    def test_deleting_the_current_one_of_a_linked_model_needs_force(self, world: World) -> None:
        world.application("a")
        world.version("m", "1")
        world.version("m", "2", activate=True)
        world.link("a", "m")
        with pytest.raises(VersionInUse, match='application "a"'):
            world.delete("m", "2")
        world.delete("m", "2", force=True)
        assert world.state.model("m").current_version == ""

    def test_deleting_the_current_one_of_an_unlinked_model_needs_none(self, world: World) -> None:
        world.version("m", "1")
        world.version("m", "2", STRINGS, activate=True)
        world.delete("m", "2")
        assert world.state.model("m") == Model("m", DOUBLES, "", revision=world.revision)

    def test_the_model_goes_with_its_last_version(self, world: World) -> None:
        world.version("m", "1")
        world.delete("m", "1")
        assert world.state.find(Model, "model/m") is None

    def test_a_linked_model_without_versions_keeps_its_links_until_they_go(self, world: World) -> None:
        world.application("a")
        world.version("m", "1", activate=True)
        world.link("a", "m")
        world.delete("m", "1", force=True)
        assert world.state.model("m") == Model("m", DOUBLES, "", revision=world.revision)
        with pytest.raises(LinkTypeMismatch):
            world.version("m", "2", STRINGS)
        world.version("m", "2", activate=True)
        assert world.state.application("a").links == (Link("m"),)
        world.delete("m", "2", force=True)
        world.unlink("a", "m")
        assert world.state.find(Model, "model/m") is None

    def test_a_model_without_versions_goes_with_the_application(self, world: World) -> None:
        world.application("a")
        world.version("m", "1")
        world.link("a", "m")
        world.delete("m", "1")
        world.delete_application("a")
        assert world.state.find(Model, "model/m") is None

    def test_a_redeployed_version_is_another_one(self, world: World) -> None:
        first = world.version("m", "1")
        world.delete("m", "1")
        assert world.version("m", "1").uid != first.uid


class TestReplicas:
    def test_they_are_numbered_from_zero_for_each_version(self, world: World) -> None:
        world.version("m", "1")
        world.version("m", "2")
        assert [world.replica("m", "1", f"h:{port}").replica_id for port in (1, 2)] == [0, 1]
        assert world.replica("m", "2", "h:3").replica_id == 0

    def test_a_lease_is_granted(self, world: World) -> None:
        world.version("m", "1")
        new = world.replica("m", "1")
        assert world.last.leases == ((new.lease_id, "replica/m/1/0"),)

    def test_a_version_must_be_there(self, world: World) -> None:
        with pytest.raises(ModelNotFound):
            world.replica("m", "1")
        world.version("m", "1")
        with pytest.raises(VersionNotFound):
            world.replica("m", "2")
        with pytest.raises(ReplicaNotFound):
            world.state.replica("m", "1", 0)

    def test_it_must_take_what_its_version_takes(self, world: World) -> None:
        world.version("m", "1")
        with pytest.raises(ReplicaTypeMismatch, match="strings"):
            world.replica("m", "1", input_type=STRINGS)

    def test_one_that_comes_back_at_its_address_replaces_the_former(self, world: World) -> None:
        world.version("m", "1")
        old = world.replica("m", "1", "h:1")
        other = world.replica("m", "1", "h:2")
        new = world.replica("m", "1", "h:1")
        assert set(world.state.all(Replica)) == {other, new}
        assert new.replica_id == 2
        assert world.last.ended_leases == (old.lease_id,)

    def test_whatever_else_was_at_its_address_goes_too(self, world: World) -> None:
        world.version("m", "1")
        world.version("n", "1")
        world.replica("m", "1", "h:1")
        new = world.replica("n", "1", "h:1")
        assert list(world.state.all(Replica)) == [new]

    def test_deleting_a_version_ends_its_replicas_and_their_leases(self, world: World) -> None:
        world.version("m", "1")
        world.version("m", "2")
        gone = [world.replica("m", "1", f"h:{port}") for port in (1, 2)]
        kept = world.replica("m", "2", "h:3")
        world.delete("m", "1")
        assert list(world.state.all(Replica)) == [kept]
        assert set(world.last.ended_leases) == {replica.lease_id for replica in gone}

    def test_numbers_are_not_used_again_even_by_a_redeployed_version(self, world: World) -> None:
        world.version("m", "1")
        world.replica("m", "1")
        world.delete("m", "1")
        world.version("m", "1")
        assert world.replica("m", "1").replica_id == 1


class TestInstances:
    def test_one_is_registered_under_a_lease(self, world: World) -> None:
        new = world.instance("f")
        assert world.last.leases == ((new.lease_id, "instance/f"),)

    def test_registering_again_ends_the_lease_before(self, world: World) -> None:
        old = world.instance("f")
        new = world.instance("f")
        assert list(world.state.all(Instance)) == [new]
        assert world.last.ended_leases == (old.lease_id,)


class TestDrafts:
    def test_a_draft_leaves_the_state_alone(self, world: World) -> None:
        app = world.application("a")
        draft = Draft(world.state, 9)
        draft.delete(app)
        draft.put(Application("b", DOUBLES))
        assert [each.name for each in world.state.all(Application)] == ["a"]
        assert [each.name for each in draft.all(Application)] == ["b"]
        assert draft.change() == Change((Application("b", DOUBLES, revision=9),), ("application/a",))

    def test_what_was_put_and_deleted_again_was_never_there(self, world: World) -> None:
        draft = Draft(world.state, 1)
        draft.delete(draft.put(Application("b", DOUBLES)))
        assert draft.change().is_empty


NAMES = st.sampled_from(["a", "b"])
MODELS = st.sampled_from(["m", "n"])
VERSIONS = st.sampled_from(["1", "2", "3"])
TYPES = st.sampled_from([DOUBLES, STRINGS])


class Anything(RuleBasedStateMachine):
    """Any sequence of changes keeps the invariants of `rules`; a refused one changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def attempt(self, act: Callable[[], object]) -> None:
        before = set(self.world.state.entities())
        try:
            act()
        except ClipperError:
            assert set(self.world.state.entities()) == before

    @rule(name=NAMES, input_type=TYPES)
    def create_application(self, name: str, input_type: InputType) -> None:
        self.attempt(lambda: self.world.application(name, input_type))

    @rule(name=NAMES)
    def delete_application(self, name: str) -> None:
        self.attempt(lambda: self.world.delete_application(name))

    @rule(model=MODELS, version=VERSIONS, input_type=TYPES, activate=st.booleans())
    def create_version(self, model: str, version: str, input_type: InputType, activate: bool) -> None:
        self.attempt(lambda: self.world.version(model, version, input_type, activate=activate))

    @rule(model=MODELS, version=VERSIONS)
    def activate_version(self, model: str, version: str) -> None:
        self.attempt(lambda: self.world.activate(model, version))

    @rule(model=MODELS, version=VERSIONS)
    def try_version(self, model: str, version: str) -> None:
        self.attempt(lambda: self.world.activate(model, version, 0.25))

    @rule(model=MODELS, version=VERSIONS, force=st.booleans())
    def delete_version(self, model: str, version: str, force: bool) -> None:
        self.attempt(lambda: self.world.delete(model, version, force=force))

    @rule(name=NAMES, model=MODELS)
    def link(self, name: str, model: str) -> None:
        self.attempt(lambda: self.world.link(name, model))

    @rule(name=NAMES, model=MODELS)
    def unlink(self, name: str, model: str) -> None:
        self.attempt(lambda: self.world.unlink(name, model))

    @rule(model=MODELS, version=VERSIONS, port=st.integers(1, 3), input_type=TYPES)
    def register_replica(self, model: str, version: str, port: int, input_type: InputType) -> None:
        self.attempt(lambda: self.world.replica(model, version, f"h:{port}", input_type))

    @invariant()
    def the_current_version_exists_and_is_the_only_active_one(self) -> None:
        for model in self.world.state.all(Model):
            active = [v.version for v in self.world.state.versions_of(model.name) if v.state is VersionState.ACTIVE]
            assert active == ([model.current_version] if model.current_version else [])

    @invariant()
    def a_model_is_there_while_it_has_versions_or_links(self) -> None:
        state = self.world.state
        wanted = {version.model for version in state.all(ModelVersion)}
        wanted |= {link.model for application in state.all(Application) for link in application.links}
        assert {model.name for model in state.all(Model)} == wanted

    @invariant()
    def types_agree_along_links(self) -> None:
        state = self.world.state
        for application in state.all(Application):
            assert len(application.links) <= 1
            for link in application.links:
                model = state.model(link.model)
                assert model.input_type == application.input_type
                if model.current_version:
                    assert state.version(link.model, model.current_version).input_type == application.input_type
                if model.canary_version:
                    assert state.version(link.model, model.canary_version).input_type == application.input_type

    @invariant()
    def a_version_on_trial_exists_beside_a_current_one(self) -> None:
        for model in self.world.state.all(Model):
            assert bool(model.canary_version) == (model.canary_share > 0)
            if model.canary_version:
                assert self.world.state.version(model.name, model.canary_version).state is VersionState.STAGED
                assert model.current_version not in ("", model.canary_version)

    @invariant()
    def replicas_have_a_version_and_an_address_of_their_own(self) -> None:
        replicas = list(self.world.state.all(Replica))
        assert len({replica.address for replica in replicas}) == len(replicas)
        for replica in replicas:
            assert self.world.state.version(replica.model, replica.version).input_type == replica.input_type

    @invariant()
    def changed_entities_carry_the_revision_of_their_change(self) -> None:
        for put in self.world.last.puts:
            if isinstance(put, Application | Model | ModelVersion):
                assert put.revision <= self.world.revision


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
