"""Models: what answers queries, in versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clipperctl import output, texts
from clipperctl.apps import INPUT_TYPES
from clipperctl.completion import model_names
from clipperctl.session import Session, with_session

BATCH_POLICIES = ("fixed", "aimd", "quantile")


@click.group()
def model() -> None:
    """Models: what answers, in versions of which one is current."""


@model.command(
    epilog="""\b
Examples:
  clipperctl model deploy shout --version 1 --input-type strings --file examples/shout.py:shout
  clipperctl model deploy ranker --version 7 --input-type doubles --function my_package.ranking:rank --replicas 2
  clipperctl model deploy digits --model-dir build/digits        # written by clipper_runtime.save_class
  clipperctl model deploy ranker --version 8 --input-type doubles --function my_package.ranking:rank --stage \\
      --golden examples.json                                     # [[[1.5, 2.0], "a"], [[0.5, 0.1], "b"]]
"""
)
@click.argument("name")
@click.option("--version", help="Text, unique per model.  [required without --model-dir]")
@click.option("--input-type", type=click.Choice(INPUT_TYPES), help="What it takes.  [required without --model-dir]")
@click.option("--file", metavar="PATH.py:NAME", help="Deploys a function of a file.")
@click.option("--function", metavar="MODULE:NAME", help="Deploys a function of a module.")
@click.option("--model-dir", type=click.Path(path_type=Path), help="Deploys a model directory (with a manifest.json).")
@click.option("--replicas", type=click.IntRange(0), default=1, show_default=True, help="How many copies run.")
@click.option("--batch-size", type=click.IntRange(1), help="The largest batch.  [default: the frontend's choice]")
@click.option("--batch-policy", type=click.Choice(BATCH_POLICIES), help="How batch sizes are chosen.")
@click.option("--no-cache", is_flag=True, help="Computes every query: it answers the same input differently.")
@click.option("--label", "labels", multiple=True, metavar="TEXT", help="Text for people; may be repeated.")
@click.option("--package", "packages", multiple=True, help="A package that it needs; may be repeated.")
@click.option("--stage", is_flag=True, help="Does not let it go live yet: see `clipperctl model activate`.")
@click.option(
    "--golden", metavar="PATH", help="JSON [[input, expected], ...]: what it must answer to go live; - is stdin."
)
@with_session
def deploy(
    session: Session,
    name: str,
    version: str | None,
    input_type: str | None,
    file: str | None,
    function: str | None,
    model_dir: Path | None,
    replicas: int,
    batch_size: int | None,
    batch_policy: str | None,
    no_cache: bool,
    labels: tuple[str, ...],
    packages: tuple[str, ...],
    stage: bool,
    golden: str | None,
) -> None:
    """Deploys a version of a model; once its replicas answer health, it goes live.

    The model is a function from a batch of inputs to a list with one output for each, or a model directory.
    """
    place = file or function
    if sum(each is not None for each in (file, function, model_dir)) != 1:
        raise click.UsageError("Give exactly one of --file, --function and --model-dir.")
    if place is not None and (version is None or input_type is None):
        raise click.UsageError("A function needs --version and --input-type.")
    how: dict[str, Any] = {
        "labels": list(labels),
        "num_replicas": replicas,
        "batch_size": batch_size or -1,
        "pkgs_to_install": list(packages),
        "cache": not no_cache,
        "activate": not stage,
        "golden": texts.given_batch(golden if golden == "-" else f"@{golden}") if golden is not None else None,
    }
    if place is None:
        assert model_dir is not None
        version, input_type = _as_saved(model_dir, version, input_type)
    assert version is not None
    assert input_type is not None
    texts.check_names(name, version)
    func = texts.function_at(place) if place is not None else None
    with session.connected(f"Deploying {name}:{version}") as connection:
        if func is not None:
            from clipper_admin.deployers.python import deploy_python_closure

            deploy_python_closure(connection, name, version, input_type, func, **how)
        else:
            connection.build_and_deploy_model(name, version, input_type, str(model_dir), **how)
        if batch_policy is not None:
            connection.client.set_batching(name, version, policy=batch_policy)
        found = connection.get_model_info(name, version)
    state = "staged" if stage else "live"
    output.show(
        session.output, found, f"Model {name}:{version} is {state} with {replicas} replica{'s'[: replicas != 1]}."
    )


@model.command(
    epilog="""\b
Example:
  clipperctl model register ranker --version 8 --input-type doubles     # its replicas register by themselves
"""
)
@click.argument("name")
@click.option("--version", required=True, help="Text, unique per model.")
@click.option("--input-type", type=click.Choice(INPUT_TYPES), required=True, help="What it takes.")
@click.option("--batch-size", type=click.IntRange(1), help="The largest batch.  [default: the frontend's choice]")
@click.option("--batch-policy", type=click.Choice(BATCH_POLICIES), help="How batch sizes are chosen.")
@click.option("--no-cache", is_flag=True, help="Computes every query: it answers the same input differently.")
@click.option("--label", "labels", multiple=True, metavar="TEXT", help="Text for people; may be repeated.")
@with_session
def register(
    session: Session,
    name: str,
    version: str,
    input_type: str,
    batch_size: int | None,
    batch_policy: str | None,
    no_cache: bool,
    labels: tuple[str, ...],
) -> None:
    """Registers a version whose replicas somebody else starts, and makes it the current one."""
    with session.connected("Registering") as connection:
        connection.register_model(
            name, version, input_type, labels=list(labels), batch_size=batch_size or -1, cache=not no_cache
        )
        if batch_policy is not None:
            connection.client.set_batching(name, version, policy=batch_policy)
        found = connection.get_model_info(name, version)
    output.show(session.output, found, f"Model {name}:{version} is registered.")


@model.command(
    "list",
    epilog="""\b
Examples:
  clipperctl model list
  clipperctl model list -o json
""",
)
@with_session
def list_(session: Session) -> None:
    """Lists all versions of all models, with their live replicas."""
    from clipper_admin import views

    with session.connected() as connection:
        live = [(each.model, each.version) for each in connection.client.list_replicas()]
        rows = [
            {**views.model_version(each), "replicas": live.count((each.model, each.version))}
            for each in connection.client.list_model_versions()
        ]
    columns = {
        "model_name": "NAME",
        "model_version": "VERSION",
        "is_current_version": "CURRENT",
        "input_type": "INPUT TYPE",
        "replicas": "REPLICAS",
        "labels": "LABELS",
    }
    output.show_rows(session.output, rows, columns, "No models. Deploy one with `clipperctl model deploy`.")


@model.command(
    epilog="""\b
Examples:
  clipperctl model show sum-model
  clipperctl model show sum-model --version 1 -o yaml
"""
)
@click.argument("name", shell_complete=model_names)
@click.option("--version", help="Which one.  [default: the current one]")
@with_session
def show(session: Session, name: str, version: str | None) -> None:
    """Shows one version of a model, and what it is linked to."""
    from clipper_admin import views

    with session.connected() as connection:
        client = connection.client
        chosen = version or connection.get_current_model_version(name)
        found = views.model_version(client.get_model_version(name, chosen))
        whole = client.get_model(name)
        found["applications"] = list(whole.linked_applications)
        if whole.canary_version:
            found["on_trial"] = f"version {whole.canary_version} with {whole.canary_share:.3g} of the queries"
        found["replicas"] = [f"{each.replica_id} at {each.address}" for each in client.list_replicas(name, chosen)]
    output.show_one(session.output, found)


@model.command(
    epilog="""\b
Examples:
  clipperctl model activate sum-model 1                # back to version 1
  clipperctl model activate sum-model 2 --share 0.1    # on trial: a tenth of the queries, until 1 or 2 is activated
"""
)
@click.argument("name", shell_complete=model_names)
@click.argument("version")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Of the queries.  [default: all]"
)
@with_session
def activate(session: Session, name: str, version: str, share: float) -> None:
    """Makes a version the current one: to roll back, or forward; or puts it on trial beside that."""
    with session.connected("Activating") as connection:
        connection.set_model_version(name, version, share=share)
        found = connection.get_model_info(name, version)
    told = "the current one" if share == 1 else f"on trial with {share:.3g} of the queries"
    output.show(session.output, found, f"Version {version} of model {name} is {told}.")


@model.command(
    epilog="""\b
Example:
  clipperctl model ask sum-model 2 '[1.5, 2.0]'       # a version that is not live yet
"""
)
@click.argument("name", shell_complete=model_names)
@click.argument("version")
@click.argument("value", metavar="INPUT")
@click.option("--timeout-s", type=click.FloatRange(0, 600, min_open=True), default=10.0, show_default=True)
@with_session
def ask(session: Session, name: str, version: str, value: str, timeout_s: float) -> None:
    """Asks one version of a model directly, past all applications; INPUT is as for `clipperctl predict`."""
    from clipper_admin import views
    from clipper_admin.resources import Failure

    with session.connected("Asking") as connection:
        input_type = connection.client.get_model_version(name, version).input_type
        (found,) = connection.ask_model_version(name, version, [texts.given(value, input_type)], timeout_s=timeout_s)
    if isinstance(found, Failure):
        raise click.ClickException(f"The model raised {found.kind}: {found.message}")
    output.show(session.output, views.plain(found), str(views.plain(found)))


@model.command(
    epilog="""\b
Examples:
  clipperctl model scale sum-model 4
  clipperctl model scale sum-model 0 --version 1
"""
)
@click.argument("name", shell_complete=model_names)
@click.argument("replicas", type=click.IntRange(0))
@click.option("--version", help="Which one.  [default: the current one]")
@with_session
def scale(session: Session, name: str, replicas: int, version: str | None) -> None:
    """Starts or stops replicas of a version, and waits until that is done."""
    with session.connected(f"Scaling {name}") as connection:
        chosen = version or connection.get_current_model_version(name)
        connection.set_num_replicas(name, replicas, chosen)
    data = {"model_name": name, "model_version": chosen, "replicas": replicas}
    output.show(session.output, data, f"Model {name}:{chosen} has {replicas} replica{'s'[: replicas != 1]}.")


@model.command(
    epilog="""\b
Examples:
  clipperctl model stop sum-model --yes
  clipperctl model stop sum-model --version 1 --version 2
  clipperctl model stop sum-model --inactive      # all but the current version
"""
)
@click.argument("name", shell_complete=model_names)
@click.option("--version", "versions", multiple=True, help="Only this version; may be repeated.")
@click.option("--inactive", is_flag=True, help="All versions but the current one.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@with_session
def stop(session: Session, name: str, versions: tuple[str, ...], inactive: bool, yes: bool) -> None:
    """Unregisters a model, or versions of it, and stops their replicas."""
    if versions and inactive:
        raise click.UsageError("Give --version or --inactive, not both.")
    what = f"versions {', '.join(versions)}" if versions else "all inactive versions" if inactive else "all versions"
    if not yes:
        click.confirm(f"Stop {what} of model {name}?", abort=True, err=True)
    with session.connected(f"Stopping {name}") as connection:
        connection.client.get_model(name)
        if versions:
            connection.stop_versioned_models({name: list(versions)})
        elif inactive:
            connection.stop_inactive_model_versions([name])
        else:
            connection.stop_models([name])
    output.show(session.output, {"model_name": name, "stopped": what}, f"Stopped {what} of model {name}.")


def _as_saved(model_dir: Path, version: str | None, input_type: str | None) -> tuple[str, str]:
    from clipper_admin.models import saved_as

    saved = saved_as(model_dir)
    return version or saved[0], input_type or saved[1]
