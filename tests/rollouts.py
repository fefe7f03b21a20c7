"""What operators do to a model while it is asked: scenarios for any container manager."""

from __future__ import annotations

from clusters import until
from traffic import another_value, flawless

from clipper_admin import ClipperConnection
from clipper_admin.deployers.python import deploy_python_closure

OBJECTIVE_MICROS = 10_000_000
"""Far above what an answer takes on a busy machine: what is looked for is queries that fall down, not slow ones."""


def first(xs):
    return ["first" for _ in xs]


def second(xs):
    return ["second" for _ in xs]


def deploy_roll_back_and_scale(connection: ClipperConnection, application: str, model: str) -> None:
    """Deploys, activates, rolls back, scales 1→4→1, stops the old version: no query fails or gets a default."""
    connection.register_application(application, "doubles", "default", OBJECTIVE_MICROS)
    deploy_python_closure(connection, model, 1, "doubles", first)
    connection.link_model_to_app(application, model)
    client = connection.client
    asked = client.describe_application(application, timeout_s=30)
    until(lambda: not client.predict(asked, another_value()).default, "frontends know of the link")
    with flawless(connection, application) as traffic:
        deploy_python_closure(connection, model, 2, "doubles", second)
        traffic.answers_with("second")
        connection.set_model_version(model, "1")
        traffic.answers_with("first")
        for replicas in (4, 1):
            connection.set_num_replicas(model, replicas)
            traffic.goes_on(50)
        connection.set_model_version(model, "2")
        traffic.answers_with("second")
        connection.stop_inactive_model_versions([model])
        traffic.goes_on(50)
    connection.unregister_application(application)
    connection.stop_models([model])
