"""Local clusters: start, stop, status."""

from __future__ import annotations

from typing import Any

import click

from clipperctl import output, texts
from clipperctl.session import Session, with_session

_PORT = click.IntRange(0, 65535)


@click.command(
    epilog="""\b
Examples:
  clipperctl start
  clipperctl start --cluster test --query-port 0 --frontend-port 0     # beside another one, on free ports
  clipperctl start --workers 2 --host 0.0.0.0                          # reached from other machines
"""
)
@click.option(
    "--query-port", type=_PORT, default=1337, show_default=True, help="REST predictions. Taken ports are exchanged."
)
@click.option("--admin-port", type=_PORT, default=1338, show_default=True, help="REST administration.")
@click.option("--frontend-port", type=_PORT, default=7000, show_default=True, help="gRPC predictions.")
@click.option("--manager-port", type=_PORT, default=7001, show_default=True, help="gRPC administration.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where REST and gRPC predictions listen.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Frontend processes.")
@click.option(
    "--cache-size", type=click.IntRange(0), default=33554432, show_default=True, help="Bytes of cached predictions."
)
@click.option("--cache-ttl", type=texts.Objective(), default="0s", help="How long those are good.  [default: no limit]")
@click.option("--redis-url", default="", metavar="URL", help="Redis of somebody else.  [default: its own]")
@click.option("--transport", type=click.Choice(["auto", "native", "grpcio"]), default="auto", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@with_session
def start(
    session: Session,
    query_port: int,
    admin_port: int,
    frontend_port: int,
    manager_port: int,
    host: str,
    workers: int,
    cache_size: int,
    cache_ttl: int,
    redis_url: str,
    transport: str,
    log_level: str,
) -> None:
    """Starts a local cluster; what was configured before is there again."""
    from clipper_admin import ClipperConnection, LocalContainerManager

    session.local()  # refuses --manager
    local = LocalContainerManager(
        session.cluster,
        home=session.home,
        host=host,
        clipper_query_port=query_port,
        clipper_management_port=admin_port,
        clipper_rpc_port=frontend_port,
        manager_port=manager_port,
        redis_url=redis_url,
        cache_ttl_s=cache_ttl / 1e6,
        transport=transport,
        log_level=log_level,
    )
    with session.working(f"Starting cluster {session.cluster}"):
        ClipperConnection(local).start_clipper(cache_size=cache_size, num_frontend_replicas=workers)
        found = local.status()
    output.show(session.output, found.to_json(), f"Cluster {session.cluster} is running.\n{_places(found.addresses)}")


@click.command(
    epilog="""\b
Examples:
  clipperctl stop
  clipperctl stop --purge --yes      # forgets everything, too
"""
)
@click.option("--purge", is_flag=True, help="Deletes its configuration, models and logs, too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@with_session
def stop(session: Session, purge: bool, yes: bool) -> None:
    """Stops the local cluster with all its models. What was configured stays for the next start."""
    local = session.local()
    if purge and not yes:
        click.confirm(f"Delete all that cluster {session.cluster} keeps in {local.directory}?", abort=True, err=True)
    ran = local.is_running()
    with session.working(f"Stopping cluster {session.cluster}"):
        local.stop_all()
        if purge:
            local.purge()
    text = f"Cluster {session.cluster} {'is stopped' if ran else 'does not run'}{' and deleted' if purge else ''}."
    output.show(session.output, {"cluster": session.cluster, "state": "stopped", "purged": purge}, text)


@click.command(
    epilog="""\b
Examples:
  clipperctl status
  clipperctl status -o json | jq .addresses
  clipperctl status --manager 10.0.0.7:7001      # what has registered with a cluster elsewhere
"""
)
@with_session
def status(session: Session) -> None:
    """Shows what runs. Exits with 5 if the cluster does not."""
    if session.manager:
        _show_registered(session)
        return
    local = session.local()
    if not local.is_running():
        output.show(
            session.output,
            {"cluster": session.cluster, "state": "stopped"},
            f"Cluster {session.cluster} does not run. Start it with `clipperctl start`.",
        )
        click.get_current_context().exit(5)
    with session.working("Asking"):
        found = local.status()
    if session.output != "table":
        output.show(session.output, found.to_json(), "")
        return
    click.echo(f"Cluster {found.cluster}: {found.state} for {output.ago(found.since)}\n{_places(found.addresses)}\n")
    rows = [{**each, "age": output.ago(each["since"]), "pid": each["pid"] or None} for each in found.processes]
    columns = {
        "name": "PROCESS",
        "state": "STATE",
        "pid": "PID",
        "address": "ADDRESS",
        "metrics": "METRICS",
        "age": "UP",
        "restarts": "RESTARTS",
        "last_exit": "LAST EXIT",
    }
    output.print_table(rows, columns)


def _places(addresses: dict[str, Any]) -> str:
    names = {
        "query": "REST predictions",
        "admin": "REST administration",
        "frontend": "gRPC predictions",
        "manager": "gRPC administration",
    }
    found = [(what, addresses.get(name)) for name, what in names.items()]
    return "\n".join(f"  {what:<20} {address or 'off: this installation has no gateway'}" for what, address in found)


def _show_registered(session: Session) -> None:
    with session.connected() as connection:
        client = connection.client
        rows = [
            {"kind": each.kind, "name": each.instance_id, "address": each.address, "runs": each.build}
            for each in client.list_instances()
        ]
        rows += [
            {
                "kind": "replica",
                "name": f"{each.model}:{each.version}:{each.replica_id}",
                "address": each.address,
                "runs": each.runtime,
            }
            for each in client.list_replicas()
        ]
    columns = {"kind": "KIND", "name": "NAME", "address": "ADDRESS", "runs": "RUNS"}
    output.show_rows(session.output, rows, columns, "Nothing has registered with this manager.")
