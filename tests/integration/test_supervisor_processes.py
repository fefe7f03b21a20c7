"""The supervisor with small processes in the place of ours: starting, starting again, stopping, leaving nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clipper_admin.supervisor.child import ChildFailed
from clipper_admin.supervisor.cluster import Cluster
from clipper_admin.supervisor.cluster_dir import ClusterDir
from clipper_admin.supervisor.commands import Command
from clipper_admin.supervisor.leftovers import Ledger, birth
from clipper_admin.supervisor.records import Addresses, Deployment, ProcessStatus

SERVES = """
import json, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
print("hello from", os.getpid(), flush=True)
os.write(fd, (json.dumps({"address": f"127.0.0.1:{os.getpid()}"}) + "\\n").encode())
os.close(fd)
signal.sigwait({signal.SIGTERM})
print("bye", flush=True)
"""
SAYS_IT_IS_READY = "import signal; print('Ready to accept connections', flush=True); signal.pause()"
RAISES = "raise SystemExit('no module named sklearn')"
RAISES_WHILE_A_FILE_IS_THERE = """
import os, sys
if os.path.exists(sys.argv[1]):
    sys.exit(3)
"""
HAS_A_CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"


@dataclass(frozen=True)
class FakeCommands:
    """Every process is a few lines of Python."""

    model: str = SERVES
    frontend_code: str = SERVES

    def addresses(self) -> Addresses:
        return Addresses(frontend="127.0.0.1:1")

    def _command(self, name: str, kind: str, code: str, *arguments: str) -> Command:
        return Command(name, kind, (sys.executable, "-c", code, *arguments))

    def redis(self) -> Command:
        return replace(self._command("redis", "redis", SAYS_IT_IS_READY), ready_text="eady to accept connections")

    def manager(self) -> Command:
        return self._command("manager", "manager", SERVES)

    def frontend(self) -> Command:
        return self._command("frontend", "frontend", self.frontend_code)

    def gateway(self) -> Command | None:
        return self._command("gateway", "gateway", SERVES)

    def replica(self, deployment: Deployment, number: int) -> Command:
        return self._command(f"{deployment.model}-{number}", "replica", self.model, deployment.model_dir)


@pytest.fixture
def directory(tmp_path: Path) -> ClusterDir:
    found = ClusterDir(tmp_path / "c")
    found.create()
    return found


@asynccontextmanager
async def started(directory: ClusterDir, commands: FakeCommands | None = None) -> AsyncIterator[Cluster]:
    async with Cluster(directory, commands or FakeCommands(), Ledger(directory.processes)) as cluster:
        await cluster.start()
        yield cluster


def processes(cluster: Cluster) -> dict[str, ProcessStatus]:
    return {each["name"]: ProcessStatus.from_json(each) for each in cluster.status().processes}


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def deployment(replicas: int, model_dir: str = "/nowhere") -> Deployment:
    return Deployment("sum", "1", model_dir, replicas)


async def test_a_start_returns_when_every_process_has_said_that_it_is_up(directory: ClusterDir) -> None:
    async with started(directory) as cluster:
        found = processes(cluster)
    assert list(found) == ["redis", "manager", "frontend", "gateway"]
    assert {each.state for each in found.values()} == {"running"}


async def test_a_stop_leaves_no_process_and_ends_them_gently(directory: ClusterDir) -> None:
    async with started(directory) as cluster:
        pids = [each.pid for each in processes(cluster).values()]
    assert all(not birth(pid) for pid in pids)
    assert (directory.logs / "frontend.log").read_text().endswith("bye\n")
    assert directory.processes.read_text() == "{}\n"


async def test_a_process_that_dies_is_started_again(directory: ClusterDir) -> None:
    async with started(directory) as cluster:
        before = processes(cluster)["manager"]
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: processes(cluster)["manager"].restarts == 1)
        await until(lambda: processes(cluster)["manager"].state == "running")
        after = processes(cluster)["manager"]
    assert after.pid != before.pid
    assert after.last_exit == "was ended by SIGKILL"


async def test_a_process_that_says_ready_in_its_log_is_started_again_too(directory: ClusterDir) -> None:
    async with started(directory) as cluster:
        os.kill(processes(cluster)["redis"].pid, signal.SIGKILL)
        await until(lambda: processes(cluster)["redis"].restarts == 1)
        await until(lambda: processes(cluster)["redis"].state == "running")


async def test_what_a_process_started_itself_ends_with_it(directory: ClusterDir) -> None:
    async with started(directory, FakeCommands(frontend_code=HAS_A_CHILD + SERVES)) as cluster:
        pid = processes(cluster)["frontend"].pid
        grandchildren = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: processes(cluster)["frontend"].restarts == 1)
        assert len(grandchildren) == 1
        await until(lambda: not birth(int(grandchildren[0])))


async def test_a_start_that_fails_says_which_process_and_why_and_leaves_none(directory: ClusterDir) -> None:
    with pytest.raises(ChildFailed, match=r"frontend ended with exit code 1 before it was up(.|\n)*named sklearn"):
        async with started(directory, FakeCommands(frontend_code=RAISES)):
            raise AssertionError("must not start")
    assert directory.processes.read_text() == "{}\n"


async def test_replicas_are_scaled_up_and_down(directory: ClusterDir) -> None:
    async with started(directory) as cluster:
        for wanted in (4, 2, 3, 0):
            await cluster.set_replicas(deployment(wanted))
            running = [each for each in processes(cluster).values() if each.kind == "replica"]
            assert [each.state for each in running] == ["running"] * wanted
            assert all(each.address == f"127.0.0.1:{each.pid}" for each in running)


async def test_a_replica_that_cannot_load_is_told_with_its_log_and_leaves_the_count_as_it_was(
    directory: ClusterDir, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    async with started(directory, FakeCommands(model=RAISES_WHILE_A_FILE_IS_THERE + SERVES)) as cluster:
        await cluster.set_replicas(deployment(1, str(broken)))
        broken.touch()
        with pytest.raises(ChildFailed, match="sum-1 ended with exit code 3"):
            await cluster.set_replicas(deployment(2, str(broken)))
        assert [each.replicas for each in directory.read_deployments()] == [1]
        assert [name for name in processes(cluster) if name.startswith("sum")] == ["sum-0"]
        with pytest.raises(ChildFailed):
            await cluster.set_replicas(replace(deployment(1, str(broken)), version="2"))
        assert [each.key for each in directory.read_deployments()] == [("sum", "1")]


async def test_replicas_that_were_wanted_are_there_after_the_next_start(directory: ClusterDir) -> None:
    async with started(directory) as cluster:
        await cluster.set_replicas(deployment(2))
    async with started(directory) as cluster:
        await cluster.settled()
        assert [name for name in processes(cluster) if name.startswith("sum")] == ["sum-0", "sum-1"]


async def test_stopped_models_are_forgotten_with_the_copies_of_their_files(directory: ClusterDir) -> None:
    copy = directory.models / "sum" / "1"
    copy.mkdir(parents=True)
    async with started(directory) as cluster:
        await cluster.set_replicas(deployment(2, str(copy)))
        await cluster.set_replicas(Deployment("other", "1", "/nowhere", 1))
        await cluster.stop_models([("sum", None)])
        assert [name for name in processes(cluster) if "-" in name] == ["other-0"]
    assert [each.model for each in directory.read_deployments()] == ["other"]
    assert not copy.parent.exists()


async def test_a_model_can_be_stopped_while_it_is_still_loading(directory: ClusterDir) -> None:
    loads_for_ever = "import signal; signal.pause()"
    async with started(directory, FakeCommands(model=loads_for_ever)) as cluster:
        deploying = asyncio.ensure_future(cluster.set_replicas(deployment(1)))
        await until(lambda: "sum-0" in processes(cluster))
        await cluster.stop_models([("sum", "1")])
        with pytest.raises(ChildFailed, match="was stopped"):
            await deploying
        assert "sum-0" not in processes(cluster)
    assert directory.read_deployments() == []


async def test_a_change_whose_caller_has_left_is_taken_back(directory: ClusterDir, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    waits = "import os, sys, signal\nif os.path.exists(sys.argv[1]): signal.pause()\n"
    async with started(directory, FakeCommands(model=waits + SERVES)) as cluster:
        await cluster.set_replicas(deployment(1, str(slow)))
        slow.touch()
        scaling = asyncio.ensure_future(cluster.set_replicas(deployment(3, str(slow))))
        await until(lambda: "sum-2" in processes(cluster))
        scaling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scaling
        assert [name for name in processes(cluster) if name.startswith("sum")] == ["sum-0"]
        assert [each.replicas for each in directory.read_deployments()] == [1]
        slow.unlink()
        await cluster.set_replicas(deployment(2, str(slow)))


async def test_what_is_being_stopped_is_stopped_although_its_caller_has_left(directory: ClusterDir) -> None:
    copy = directory.models / "sum" / "1"
    copy.mkdir(parents=True)
    ends_when_it_may = SERVES.replace(
        "signal.sigwait", f"open({str(directory.path / 'hold')!r}).read(); signal.sigwait"
    )
    os.mkfifo(directory.path / "hold")
    async with started(directory, FakeCommands(model=ends_when_it_may)) as cluster:
        await cluster.set_replicas(deployment(1, str(copy)))
        stopping = asyncio.ensure_future(cluster.stop_models([("sum", "1")]))
        await until(lambda: processes(cluster)["sum-0"].state == "stopping")
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        (directory.path / "hold").write_text("")
        await until(lambda: "sum-0" not in processes(cluster))
        await until(lambda: not copy.exists())


async def test_what_a_killed_supervisor_left_is_ended_by_the_next_one(directory: ClusterDir) -> None:
    left = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import os, time; os.setpgid(0, 0); print(flush=True); time.sleep(600)", stdout=-1
    )
    assert left.stdout is not None
    await left.stdout.readline()
    ledger = Ledger(directory.processes)
    ledger.add(left.pid)
    waiting = asyncio.ensure_future(left.wait())
    assert await asyncio.to_thread(Ledger(directory.processes).end_leftovers) == [left.pid]
    assert await waiting == -signal.SIGKILL


async def test_a_process_that_only_has_the_number_of_a_leftover_is_spared(directory: ClusterDir) -> None:
    directory.processes.write_text(f'{{"{os.getpid()}": "another birth"}}')
    assert Ledger(directory.processes).end_leftovers() == []


async def test_a_program_dies_with_the_parent_that_started_it(tmp_path: Path) -> None:
    from clipper_admin.supervisor import launch

    told = tmp_path / "pid"
    child = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, {launch.__file__!r}, 'with-parent', str(os.getpid()),"
        f" sys.executable, '-c', {child!r}])\n"
        "time.sleep(600)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent)
    await until(lambda: told.exists() and bool(told.read_text()))
    pid = int(told.read_text())
    assert birth(pid)
    process.kill()
    await process.wait()
    await until(lambda: not birth(pid))
