"""`clipperctl doctor`: looks at everything that may be wrong with a cluster, and says what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from clipperctl import output
from clipperctl.session import Session, with_session

if TYPE_CHECKING:
    from clipper_admin.doctor import Finding

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


@click.command(
    epilog="""\b
Examples:
  clipperctl doctor
  clipperctl doctor -o json | jq '.[] | select(.verdict != "ok")'
  clipperctl doctor --manager 10.0.0.7:7001 --frontend 10.0.0.7:7000      # a cluster elsewhere
"""
)
@click.option("-q", "--quiet", is_flag=True, help="Tell only what is not well.")
@with_session
def doctor(session: Session, quiet: bool) -> None:
    """Examines the installation and the cluster: ports, Redis, versions, clocks, replicas, applications.

    Changes nothing. Exits with 1 if something has failed; warnings do not count.
    """
    with session.working("Examining"):
        findings = [each for each in _examine(session) if not (quiet and each.verdict == "ok")]
    if session.output == "table":
        for each in findings:
            _tell(each)
    output.show(session.output, [each.to_json() for each in findings], _sum(findings))
    if any(each.verdict == "failed" for each in findings):
        click.get_current_context().exit(1)


def _examine(session: Session) -> Iterable[Finding]:
    from clipper_admin import Client, doctor

    yield from doctor.installation()
    if session.manager:
        yield doctor.answers("manager", session.manager, "start it, or correct --manager")
        if session.frontend:
            yield doctor.answers("frontend", session.frontend, "start it, or correct --frontend")
        with Client(session.manager, session.frontend or "") as client:
            yield from doctor.configuration(client)
        return
    yield from doctor.local_installation()
    local = session.local()
    if not local.is_running():
        advice = f"start it: clipperctl start --cluster {session.cluster}"
        found = f"does not run (its place would be {local.directory})"
        yield doctor.Finding(f"cluster {session.cluster}", doctor.Verdict.FAILED, found, advice)
        return
    yield from doctor.disk(local.directory)
    status = local.status()
    yield from doctor.processes(status)
    addresses = status.addresses
    yield from doctor.redis(addresses["redis_url"])
    for port in ("query", "admin"):
        if addresses.get(port):
            yield doctor.rest(f"REST {port} port", addresses[port])
    with Client(addresses["manager"], addresses["frontend"]) as client:
        yield from doctor.configuration(client)


def _tell(finding: Finding) -> None:
    mark, colour = _MARKS[finding.verdict]
    click.echo(f"{click.style(mark, fg=colour, bold=True)} {finding.subject}: {finding.found}")
    if finding.advice:
        click.echo(f"    → {finding.advice}")


def _sum(findings: list[Finding]) -> str:
    failed = sum(each.verdict == "failed" for each in findings)
    warnings = sum(each.verdict == "warning" for each in findings)
    if not failed and not warnings:
        return "All is well."
    return f"{failed} failed, {warnings} to be looked at."
