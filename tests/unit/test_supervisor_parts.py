"""The parts of the supervisor that need no process: backoff, commands, records, requests, the directory, log files."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from dataclasses import replace
from pathlib import Path

import pytest

from clipper_admin import LocalContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.supervisor.backoff import Backoff
from clipper_admin.supervisor.cluster_dir import ClusterDir, read_json, write_atomically
from clipper_admin.supervisor.commands import Commands
from clipper_admin.supervisor.control import NotRunning, Request, Verb, ask
from clipper_admin.supervisor.log_files import LogFile, LogPump, last_lines, readable
from clipper_admin.supervisor.records import Deployment, Settings

S = 10**9


def test_one_crash_after_a_steady_run_costs_no_pause() -> None:
    backoff = Backoff()
    assert [backoff.pause_ns(60 * S) for _ in range(3)] == [0, 0, 0]


def test_pauses_double_up_to_ten_seconds_and_a_steady_run_starts_anew() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_ns(S) / S for _ in range(10)]
    assert pauses == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert [backoff.pause_ns(S) for _ in range(100)][-1] == 10 * S
    assert backoff.pause_ns(10 * S) == 0
    assert backoff.pause_ns(0) == S // 10


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    settings = Settings("demo", "0.0.0.0", 1, 2, 3, 4, frontend_workers=2)
    return Commands(ClusterDir(tmp_path), settings, "/bin/redis-server", "/bin/gateway")


def test_addresses_can_be_connected_to_although_all_interfaces_are_listened_on(commands: Commands) -> None:
    at = commands.addresses()
    assert (at.query, at.admin, at.frontend, at.manager) == ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")


def test_only_predictions_and_rest_are_opened_to_the_network(commands: Commands) -> None:
    gateway, redis = commands.gateway(), commands.redis()
    assert gateway is not None
    assert redis is not None
    assert "0.0.0.0:1" in gateway.program
    assert "0.0.0.0" in commands.frontend().program
    for private in (commands.manager(), redis, commands.replica(Deployment("m", "1", "/m", 1), 0)):
        assert not any("0.0.0.0" in word for word in private.program)
    assert redis.program[redis.program.index("--port") + 1] == "0"


def test_a_process_logs_at_its_own_level_else_at_that_of_the_cluster(commands: Commands) -> None:
    own = dataclasses.replace(commands, levels={"runtime": "debug", "gateway": ""})
    gateway = own.gateway()
    assert gateway is not None
    replica = own.replica(Deployment("m", "1", "/m", 1), 0)
    levels = [each.program[each.program.index("--log-level") + 1] for each in (own.manager(), own.frontend(), gateway)]
    assert levels == ["info", "info", "info"]
    assert replica.program[replica.program.index("--log-level") + 1] == "debug"


def test_the_cache_is_of_the_size_and_lifetime_that_the_cluster_was_started_with(commands: Commands) -> None:
    program = replace(commands, settings=Settings(cache_bytes=1000, cache_ttl_s=2.5)).frontend().program
    assert program[program.index("--cache-bytes") + 1] == "1000"
    assert program[program.index("--cache-ttl-s") + 1] == "2.5"


@pytest.mark.parametrize("cache_size", [-1, 2**40 + 1])
def test_a_cache_of_a_size_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, cache_size: int) -> None:
    with pytest.raises(ClipperException, match=r"from 0 \(no cache\)"):
        LocalContainerManager(home=tmp_path).start_clipper(cache_size=cache_size)
    assert not any(tmp_path.iterdir())
    with pytest.raises(ClipperException, match="cache_ttl_s is -1"):
        LocalContainerManager(home=tmp_path, cache_ttl_s=-1)


def test_redis_keeps_an_append_only_file_in_the_cluster_directory(commands: Commands) -> None:
    redis = commands.redis()
    assert redis is not None
    options = dict(zip(redis.program[1::2], redis.program[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--dir"] == str(commands.directory.redis)


def test_what_is_not_ours_or_was_not_built_has_no_command(commands: Commands) -> None:
    other = replace(
        commands, gateway_binary="", settings=replace(commands.settings, redis_url="redis://elsewhere:6379")
    )
    assert other.gateway() is None
    assert other.redis() is None
    assert other.addresses().query == ""
    assert "redis://elsewhere:6379" in other.manager().program


def test_a_replica_runs_on_the_interpreter_that_deployed_it_if_that_is_still_there(commands: Commands) -> None:
    import sys

    there = commands.replica(Deployment("m", "1", "/m", 1, os.path.realpath("/bin/sh")), 0)
    gone = commands.replica(Deployment("m", "1", "/m", 1, "/no/such/python"), 0)
    assert there.program[0] == os.path.realpath("/bin/sh")
    assert gone.program[0] == sys.executable


def test_records_of_another_build_are_read_as_far_as_they_are_known() -> None:
    found = Settings.from_json({"cluster": "x", "query_port": 5, "of_the_future": True})
    assert (found.cluster, found.query_port, found.admin_port) == ("x", 5, 1338)


@pytest.mark.parametrize(
    "request_",
    [
        Request(Verb.STATUS),
        Request(Verb.SET_REPLICAS, Deployment("m", "1", "/m", 2, "/python")),
        Request(Verb.STOP_MODELS, models=[("m", "1"), ("n", None)]),
    ],
)
def test_requests_survive_the_wire(request_: Request) -> None:
    line = request_.to_line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert Request.from_line(line) == request_


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b'{"verb": "dance"}', b'{"verb": "status", "models": [1]}', b"\xff"]
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a request"):
        Request.from_line(line)


def test_a_socket_that_nobody_listens_on_means_that_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="No supervisor answers"):
        ask(tmp_path / "none.sock", Request(Verb.STATUS), timeout_s=1)


def test_a_file_is_written_as_a_whole_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    write_atomically(path, {"a": 1})
    write_atomically(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
    path.write_text("{")
    with pytest.raises(ValueError, match=r"x\.json is damaged"):
        read_json(path)


def test_sockets_move_where_their_path_is_short_enough(tmp_path: Path) -> None:
    short, long = ClusterDir(Path("/h/c")), ClusterDir(tmp_path / ("x" * 90))
    assert short.control == Path("/h/c/run/control.sock")
    assert len(os.fsencode(long.control)) < 104
    assert ClusterDir(tmp_path / ("x" * 90)).control == long.control
    assert ClusterDir(tmp_path / ("y" * 90)).control != long.control


def test_a_directory_says_whether_somebody_holds_its_lock(tmp_path: Path) -> None:
    directory = ClusterDir(tmp_path / "c")
    assert not directory.is_running()
    directory.create()
    assert not directory.is_running()
    assert directory.wait_until_gone(0)


def test_deployments_are_kept(tmp_path: Path) -> None:
    directory = ClusterDir(tmp_path / "c")
    directory.create()
    assert directory.read_deployments() == []
    wanted = [Deployment("m", "1", "/m", 2, "/python")]
    directory.write_deployments(wanted)
    assert directory.read_deployments() == wanted


def test_a_log_file_is_rotated_and_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", rotate_at_bytes=100)
    for number in range(100):
        log.write(b"%07d\n" % number)
    log.close()
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    assert set(sizes) == {"x.log", "x.log.1", "x.log.2"}
    assert max(sizes.values()) <= 108
    assert last_lines(tmp_path / "x.log", 1) == ["0000099"]


async def test_output_goes_into_the_file_and_awaited_words_are_noticed(tmp_path: Path) -> None:
    pump = LogPump(LogFile(tmp_path / "x.log"))
    said = pump.expect("is ready")
    os.write(pump.write_fd, b"starting\nall is re")
    await asyncio.sleep(0)
    assert not said.done()
    os.write(pump.write_fd, b"ady now\n")
    await asyncio.wait_for(said, 5)
    assert pump.tail() == "starting\nall is ready now"
    os.write(pump.write_fd, b"last words")
    pump.close()
    assert (tmp_path / "x.log").read_text() == "starting\nall is ready now\nlast words"


async def test_a_writer_that_got_away_does_not_hold_up_the_end_of_a_log(tmp_path: Path) -> None:
    class Answered(LogFile):
        """Whenever a part is written, there is more to come."""

        def write(self, data: bytes) -> None:
            super().write(data)
            os.write(pump.write_fd, b"more\n")

    pump = LogPump(Answered(tmp_path / "x.log"))
    os.write(pump.write_fd, b"first\n")
    pump.close()
    assert (tmp_path / "x.log").read_text().startswith("first\nmore\n")


def test_our_log_lines_are_made_readable_and_others_stay() -> None:
    line = '{"time": "T", "level": "info", "process": "p", "pid": 1, "logger": "l", "event": "listening", "port": 7}'
    assert readable(line) == "T info    listening port=7"
    assert readable('{"time": "T", "level": "error", "event": "x", "trace": "A\\nB"}') == "T error   x\nA\nB"
    assert readable("plain words") == "plain words"
    assert readable("[1, 2]") == "[1, 2]"
