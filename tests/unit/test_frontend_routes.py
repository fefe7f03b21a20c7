"""Who answers whom: the route table."""

from __future__ import annotations

import pytest

from clipper_frontend import routes
from clipper_frontend.routes import EMPTY, Application, Link, Model, Replica, RouteTable, Version
from clipper_rpc.errors import ApplicationNotFound, InvalidField, VersionNotFound

MS = 1_000_000


def version(model: str, label: str = "1") -> Version:
    return Version(model, label, f"uid-{model}-{label}", 4)


def application(name: str = "app", *links: str | Link) -> Application:
    return Application(name, 4, 100 * MS, b"d", tuple(Link(link) if isinstance(link, str) else link for link in links))


TABLE = RouteTable.of(
    [
        application("app", "sum"),
        application("bare"),
        application("both", Link("sum", 1.0), Link("other", 3.0)),
        application("early", "staged"),
        Model("sum", "2"),
        Model("other", "1"),
        Model("staged"),
        version("sum", "1"),
        version("sum", "2"),
        version("other"),
        version("staged"),
        Replica("sum", "2", 0, "a:1"),
        Replica("sum", "2", 1, "b:1"),
    ]
)


def test_a_route_has_all_that_answering_needs() -> None:
    route = TABLE.route("app")
    assert (route.name, route.input_type, route.objective_ns, route.default_output) == ("app", 4, 100 * MS, b"d")
    assert route.models == ("sum",)
    assert route.version_at(0.0) == version("sum", "2")


def test_an_unknown_application_has_no_route() -> None:
    with pytest.raises(ApplicationNotFound, match='"nobody"'):
        TABLE.route("nobody")


@pytest.mark.parametrize("name", ["bare", "early"])
def test_without_a_linked_model_or_an_active_version_there_is_nobody_to_ask(name: str) -> None:
    assert TABLE.route(name).version_at(0.0) is None


@pytest.mark.parametrize(
    ("point", "model"), [(0.0, "other"), (0.74, "other"), (0.75, "sum"), (0.99, "sum"), (1.0, "sum")]
)
def test_several_linked_models_share_by_their_weights(point: float, model: str) -> None:
    found = TABLE.route("both").version_at(point)
    assert found is not None
    assert found.model == model


def on_trial(share: float, *entities: routes.Entity) -> routes.Route:
    """An application whose model "sum" has version 1 on trial beside 2."""
    return TABLE.changed([Model("sum", "2", "1", share), *entities], []).route("both")


@pytest.mark.parametrize(("point", "label"), [(0.0, "1"), (0.09, "1"), (0.1, "2"), (0.99, "2")])
def test_a_version_on_trial_gets_its_share_of_the_queries(point: float, label: str) -> None:
    route = TABLE.changed([Model("sum", "2", "1", 0.1)], []).route("app")
    assert route.version_at(point) == version("sum", label)


@pytest.mark.parametrize(
    ("point", "found"),
    [(0.74, version("other")), (0.76, version("sum", "1")), (0.874, version("sum", "1")), (0.876, version("sum", "2"))],
)
def test_a_version_on_trial_gets_its_share_of_what_its_model_gets(point: float, found: Version) -> None:
    assert on_trial(0.5).version_at(point) == found


def test_a_version_on_trial_that_is_gone_gets_nothing() -> None:
    table = TABLE.changed([Model("sum", "2", "3", 0.5)], [])
    assert table.route("app").version_at(0.0) == version("sum", "2")
    assert table.route("app").canaries == ()


def test_any_version_of_the_linked_model_can_be_asked_for_by_name() -> None:
    assert TABLE.route("app").pinned("1") == version("sum", "1")
    assert TABLE.route("app").pinned("2") == version("sum", "2")


def test_a_version_that_does_not_exist_is_named_in_clippers_words() -> None:
    with pytest.raises(VersionNotFound, match="Requested version: 9 does not exist for model: sum"):
        TABLE.route("app").pinned("9")


def test_asking_for_a_version_while_no_model_is_linked_asks_nobody() -> None:
    assert TABLE.route("bare").pinned("1") is None


def test_asking_for_a_version_is_refused_where_it_is_not_clear_whose() -> None:
    with pytest.raises(InvalidField, match="2 linked models"):
        TABLE.route("both").pinned("1")


def test_groups_join_versions_with_their_replicas() -> None:
    groups = TABLE.groups
    assert groups["uid-sum-2"].replicas == {Replica("sum", "2", 0, "a:1"), Replica("sum", "2", 1, "b:1")}
    assert groups["uid-sum-1"].replicas == frozenset()
    assert set(groups) == {"uid-sum-1", "uid-sum-2", "uid-other-1", "uid-staged-1"}


def test_a_change_makes_another_table_and_leaves_the_old_one_as_it_was() -> None:
    changed = TABLE.changed([Model("sum", "1")], [routes.replica_key("sum", "2", 0)])
    assert changed.route("app").version_at(0.0) == version("sum", "1")
    assert changed.groups["uid-sum-2"].replicas == {Replica("sum", "2", 1, "b:1")}
    assert TABLE.route("app").version_at(0.0) == version("sum", "2")
    assert len(TABLE.groups["uid-sum-2"].replicas) == 2


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        (routes.application_key("app"), "app"),
        (routes.model_key("sum"), None),
        (routes.version_key("sum", "2"), None),
    ],
)
def test_what_is_deleted_is_gone_and_what_it_leaves_behind_still_makes_a_table(
    key: routes.Key, gone: str | None
) -> None:
    changed = TABLE.changed([], [key])
    assert set(TABLE.routes) - set(changed.routes) == ({gone} if gone else set())
    if gone is None:
        assert changed.route("app").version_at(0.0) is None


def test_deleting_what_is_not_there_is_no_error() -> None:
    assert set(TABLE.changed([], [routes.application_key("nobody")]).routes) == set(TABLE.routes)


def test_what_is_deleted_and_put_in_one_step_is_there() -> None:
    changed = TABLE.changed([application("app", "other")], [routes.application_key("app")])
    assert changed.route("app").models == ("other",)


def test_a_table_grows_from_nothing_in_any_order_of_changes() -> None:
    table = EMPTY
    for entity in [Replica("sum", "1", 0, "a:1"), version("sum"), application("app", "sum"), Model("sum", "1")]:
        table = table.changed([entity], [])
    assert table.route("app").version_at(0.0) == version("sum")
    assert len(table.groups["uid-sum-1"].replicas) == 1
