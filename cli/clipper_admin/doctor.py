"""Examines a cluster, from outside as its clients see it: what is wrong, and what to do about it.

Rules of this file
 1. An examination never raises: what cannot be found out is a finding of its own.
 2. It changes nothing.
 3. Every finding that is not well says what to do, in words that can be followed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from clipper_admin.client import Client
from clipper_admin.resources import Application, Instance, Model, Replica
from clipper_admin.supervisor.records import ClusterStatus, ProcessStatus
from clipper_rpc.errors import ClipperError
from clipper_rpc.probe import NotServing, check

_FEW_DESCRIPTORS = 4096
_LITTLE_DISK_BYTES = 1 << 30
_CLOCK_DIFFERENCE_S = 1.0
_REDIS_TIMEOUT_S = 2.0
_AT_ONCE = 16
"""How many addresses are asked at the same time."""


class Verdict(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as it should."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty if all is well."""

    def to_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return asdict(self)


def installation() -> Iterator[Finding]:
    """This installation: versions, and the parts that are compiled or come from elsewhere."""
    version = importlib.metadata.version("clipper-serve")
    yield Finding("installation", Verdict.OK, f"clipper-serve {version}, Python {sys.version.split()[0]}")
    if importlib.util.find_spec("clipper_rpc._native") is None:
        yield Finding(
            "native transport",
            Verdict.WARNING,
            "missing: gRPC is carried by grpcio, which is several times slower",
            "install cargo (https://rustup.rs) and install clipper-serve again",
        )
    else:
        yield Finding("native transport", Verdict.OK, "is there")
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors < _FEW_DESCRIPTORS:
        advice = f"raise the limit where the cluster is started: ulimit -n {_FEW_DESCRIPTORS}"
        yield Finding("open files", Verdict.WARNING, f"a process may have {descriptors} only", advice)


def local_installation() -> Iterator[Finding]:
    """What a cluster of local processes needs besides."""
    from clipper_admin.supervisor.__main__ import gateway_binary, redis_binary

    try:
        yield Finding("redis-server", Verdict.OK, redis_binary())
    except FileNotFoundError as error:
        yield Finding("redis-server", Verdict.FAILED, str(error), "install redis-server, or give --redis-url")
    if not gateway_binary():
        advice = "install Go and install clipper-serve again; gRPC and clipperctl work without"
        yield Finding("gateway", Verdict.WARNING, "was not built: there is no REST", advice)


def disk(directory: Path) -> Iterator[Finding]:
    """The room that is left where a cluster keeps its state."""
    free = shutil.disk_usage(directory).free
    found = f"{free / 1e9:.1f} GB free in {directory}"
    if free < _LITTLE_DISK_BYTES:
        yield Finding("disk", Verdict.WARNING, found, "make room: Redis refuses changes when its file cannot grow")
    else:
        yield Finding("disk", Verdict.OK, found)


def processes(status: ClusterStatus) -> Iterator[Finding]:
    """The processes of a local cluster, as its supervisor sees them."""
    for each in map(ProcessStatus.from_json, status.processes):
        subject = f"process {each.name}"
        if each.state != "running":
            found = f"is {each.state}" + (f"; it {each.last_exit}" if each.last_exit else "")
            yield Finding(subject, Verdict.FAILED, found, f"see why: clipperctl logs {each.name}")
        elif each.restarts:
            found = f"runs, after {each.restarts} restarts; the last time it {each.last_exit}"
            yield Finding(subject, Verdict.WARNING, found, f"see why: clipperctl logs {each.name} -n 200")
        else:
            yield Finding(subject, Verdict.OK, f"runs, pid {each.pid}")


def redis(url: str) -> Iterator[Finding]:
    """The store: whether it answers, keeps what it is told, and whether its clock agrees with ours."""
    import redis as driver

    try:
        with driver.Redis.from_url(url, socket_timeout=_REDIS_TIMEOUT_S) as store:
            asked = time.time()
            seconds, micros = store.time()
            answered = time.time()
            persistence, memory, server = store.info("persistence"), store.info("memory"), store.info("server")
    except driver.RedisError as error:
        advice = "start it, or correct --redis-url; predictions go on meanwhile, changes are refused"
        yield Finding("Redis", Verdict.FAILED, f"{url}: {error}", advice)
        return
    yield Finding("Redis", Verdict.OK, f"{server['redis_version']} answers in {(answered - asked) * 1e3:.1f} ms")
    behind_s = (asked + answered) / 2 - (seconds + micros / 1e6)
    if abs(behind_s) > _CLOCK_DIFFERENCE_S:
        found = f"Redis is {abs(behind_s):.1f} s {'behind' if behind_s > 0 else 'ahead of'} this machine"
        yield Finding("clocks", Verdict.WARNING, found, "let NTP set the clocks of both machines")
    else:
        yield Finding("clocks", Verdict.OK, f"differ by {abs(behind_s) * 1e3:.0f} ms")
    yield from _durability(persistence)
    if memory.get("maxmemory") and memory.get("maxmemory_policy") != "noeviction":
        found = f"throws keys away when it is full (maxmemory-policy {memory['maxmemory_policy']})"
        yield Finding("Redis memory", Verdict.FAILED, found, "set maxmemory-policy noeviction: its keys are the state")


def _durability(persistence: dict[str, Any]) -> Iterator[Finding]:
    subject = "Redis durability"
    if not persistence.get("aof_enabled"):
        found = "the append-only file is off: a restart of Redis loses the last changes"
        yield Finding(subject, Verdict.WARNING, found, "start Redis with --appendonly yes")
    elif persistence.get("aof_last_write_status") != "ok":
        advice = "look for a full disk or wrong permissions on Redis's machine"
        yield Finding(subject, Verdict.FAILED, "the last write of the append-only file failed", advice)
    else:
        yield Finding(subject, Verdict.OK, "the append-only file is on")


def answers(subject: str, address: str, advice: str) -> Finding:
    """Whether a gRPC server says that it serves."""
    try:
        check(address)
    except NotServing as error:
        return Finding(subject, Verdict.FAILED, str(error), advice)
    return Finding(subject, Verdict.OK, f"serves at {address}")


def rest(subject: str, address: str) -> Finding:
    """Whether a REST port answers."""
    import httpx

    try:
        httpx.get(f"http://{address}/", timeout=2.0, trust_env=False)  # any status will do
    except httpx.HTTPError as error:
        return Finding(subject, Verdict.FAILED, f"{address}: {error}", "see why: clipperctl logs gateway")
    return Finding(subject, Verdict.OK, f"answers at {address}")


def configuration(client: Client) -> Iterator[Finding]:
    """What the manager knows: builds, applications, models, and whether their replicas answer."""
    try:
        instances, replicas = client.list_instances(), client.list_replicas()
        applications, models = client.list_applications(), {each.name: each for each in client.list_models()}
    except ClipperError as error:
        yield Finding("manager", Verdict.FAILED, str(error), "start the cluster, or correct --manager")
        return
    yield from _builds(instances)
    yield from _instances(instances)
    yield from _all_answer(replicas)
    for each in applications:
        yield _application(each, models, replicas)


def _builds(instances: Sequence[Instance]) -> Iterator[Finding]:
    ours = importlib.metadata.version("clipper-serve")
    others = sorted({each.build for each in instances if each.build and ours not in each.build})
    if others:
        advice = "bring all parts to one version; neighbouring versions work together"
        yield Finding("versions", Verdict.WARNING, f"this is {ours}, the cluster runs {', '.join(others)}", advice)


def _instances(instances: Sequence[Instance]) -> Iterator[Finding]:
    if not any(each.kind == "frontend" for each in instances):
        advice = "start one: clipper-frontend --manager HOST:PORT"
        yield Finding("frontends", Verdict.FAILED, "none has registered: nobody answers queries", advice)
    yield from _at_once(
        [
            lambda each=each: answers(  # type: ignore[misc]
                f"{each.kind} {each.instance_id}",
                each.address,
                f"see the {each.kind}'s log; can it be reached from here?",
            )
            for each in instances
        ]
    )


def _all_answer(replicas: Sequence[Replica]) -> Iterator[Finding]:
    advice = "can its address be reached from here and from the frontends? (--advertise) Else see its log"
    yield from _at_once(
        [
            lambda each=each: answers(  # type: ignore[misc]
                f"replica {each.model}:{each.version}:{each.replica_id}", each.address, advice
            )
            for each in replicas
        ]
    )


def _at_once(questions: Sequence[Callable[[], Finding]]) -> Iterator[Finding]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(lambda question: question(), questions)


def _application(application: Application, models: dict[str, Model], replicas: Sequence[Replica]) -> Finding:
    subject = f"application {application.name}"
    otherwise = "its default output" if application.has_default_output else "an error"
    answering = [link.model for link in application.links if not link.is_shadow]
    if not answering:
        advice = f"clipperctl link {application.name} MODEL"
        return Finding(subject, Verdict.WARNING, f"no model is linked: it answers {otherwise}", advice)
    up = {(each.model, each.version) for each in replicas}
    missing = {link.model: gone for link in application.links if (gone := _missing(link.model, models, up)) is not None}
    able = [model for model in answering if model not in missing]
    if not able:
        verdict, what, advice = missing[answering[0]]
        return Finding(subject, verdict, f"{what}: it answers {otherwise}", advice)
    found = f"is answered by {', '.join(able)}"
    if missing:
        _, what, advice = next(iter(missing.values()))
        return Finding(subject, Verdict.WARNING, f"{found}, but {what}", advice)
    shadows = [link.model for link in application.links if link.is_shadow]
    return Finding(subject, Verdict.OK, f"{found}; shadowed by {', '.join(shadows)}" if shadows else found)


def _missing(model: str, models: dict[str, Model], up: set[tuple[str, str]]) -> tuple[Verdict, str, str] | None:
    """Why a linked model answers nobody, how bad that is where nobody else does, and what to do; None if it does."""
    version = models[model].current_version if model in models else ""
    if not version:
        advice = f"clipperctl model deploy {model} --version … (or model activate)"
        return Verdict.WARNING, f"no version of {model} is current", advice
    if (model, version) not in up:
        advice = f"clipperctl model scale {model} --version {version} --replicas 1, and see its log"
        return Verdict.FAILED, f"no replica of {model}:{version} is up", advice
    return None
