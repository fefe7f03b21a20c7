"""The supervisor of one cluster from outside: started, found, asked, and waited for until it is gone."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from clipper_admin.exceptions import AlreadyRunningException, ClipperException, NotRunningException
from clipper_admin.supervisor import launch
from clipper_admin.supervisor.cluster_dir import ClusterDir, write_atomically
from clipper_admin.supervisor.control import ControlError, NotRunning, Request, Verb, ask, ask_status
from clipper_admin.supervisor.log_files import last_lines
from clipper_admin.supervisor.records import Addresses, ClusterStatus, JsonObject, Settings

_log = logging.getLogger(__name__)

STOP_WITHIN_S = 90.0
_GONE_AFTER_FAILURE_S = 5.0


class TookTooLong(ClipperException, TimeoutError):
    """The supervisor lives, but has not answered in time."""


class SupervisorHandle:
    """Finds the supervisor by its files. All methods raise ClipperException, also where those cannot be read."""

    def __init__(self, directory: ClusterDir) -> None:
        self.directory = directory
        self.cluster = directory.path.name

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Files that cannot be read, written or understood are an error of the cluster's."""
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, ClipperException):
                raise
            problem = f"Cluster {self.cluster} cannot be used in {self.directory.path}: {error}"
            raise ClipperException(problem) from None  # no fault of an argument's, as a ValueError would be

    def is_running(self) -> bool:
        """Whether it lives."""
        with self.told():
            return self.directory.is_running()

    def refuse_running(self, advice: str) -> None:
        """Raises AlreadyRunningException, with what runs and an advice, if it lives."""
        if not self.is_running():
            return
        with self.told():
            running = self.directory.read_running()
        if running is None:
            raise AlreadyRunningException(f"Cluster {self.cluster} is being started or stopped. {advice}")
        at = Addresses.from_json(running.addresses)
        raise AlreadyRunningException(
            f"Cluster {self.cluster} runs already (since {running.started}; REST at {at.query or 'none'}, "
            f"gRPC at {at.frontend}, supervisor {running.pid}). {advice}"
        )

    def start(self, settings: Settings) -> None:
        """Starts it, and returns when the cluster is up.

        Raises:
            ClipperException: it did not come up; the text says why, and nothing is left of it.
        """
        with self.told():
            self.directory.create()
            write_atomically(self.directory.settings, settings.to_json())
            read, write = os.pipe()
            with os.fdopen(read) as ready:
                try:
                    self._spawn(write)
                finally:
                    os.close(write)
                try:
                    line = ready.readline()
                except KeyboardInterrupt:
                    self.stop(graceful=False)
                    raise
        if not line:
            said = "\n".join(last_lines(self._stderr, 10))
            raise ClipperException(f"The supervisor of cluster {self.cluster} has ended at once:\n{said}")
        if problem := json.loads(line).get("error"):
            self.directory.wait_until_gone(_GONE_AFTER_FAILURE_S)
            raise ClipperException(f"Cluster {self.cluster} did not start. {problem}")

    def status(self) -> ClusterStatus:
        """What runs: every process, and the replicas that are wanted.

        Raises:
            NotRunningException: it does not live.
        """
        with self.told():
            running = self.directory.read_running()
            if running is None or not self.directory.is_running():
                crashed = " It has not been stopped but has crashed, or the machine was restarted." if running else ""
                raise NotRunningException(
                    f"No cluster {self.cluster} runs here ({self.directory.path}).{crashed} "
                    "Start it with start_clipper(), or `clipperctl start`."
                )
            try:
                return ask_status(Path(running.control))
            except (NotRunning, ControlError, TimeoutError) as error:
                problem = f"The supervisor of cluster {self.cluster} does not answer: {error}"
                raise ClipperException(problem) from error

    def ask(self, request: Request, timeout_s: float) -> JsonObject:
        """Its answer to a request.

        Raises:
            TookTooLong: none within the time.
        """
        with self.told():
            running = self.directory.read_running()
            if running is None:
                raise NotRunningException(f"No cluster {self.cluster} runs. Start it with start_clipper().")
            try:
                return ask(Path(running.control), request, timeout_s=timeout_s)
            except TimeoutError as error:
                raise TookTooLong(
                    f"The supervisor of cluster {self.cluster} has not answered {request.verb} within {timeout_s:g} s. "
                    f"If it hangs, `kill -9 {running.pid}` ends it with all that it runs; start the cluster again then."
                ) from error
            except NotRunning as error:
                raise NotRunningException(str(error)) from error
            except ControlError as error:
                raise ClipperException(str(error)) from error

    def stop(self, *, graceful: bool) -> None:
        """Stops it with all that it runs, and waits until it is gone. It must live."""
        with self.told():
            if graceful:
                try:
                    self.ask(Request(Verb.STOP), STOP_WITHIN_S)
                except NotRunningException:
                    _log.debug("Cluster %s has ended meanwhile", self.cluster)
            elif running := self.directory.read_running():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGTERM)
            if not self.directory.wait_until_gone(STOP_WITHIN_S):
                raise ClipperException(f"Cluster {self.cluster} is not gone after {STOP_WITHIN_S:.0f} s; see its logs.")

    @property
    def _stderr(self) -> Path:
        return self.directory.logs / "supervisor.stderr.log"

    def _spawn(self, ready_fd: int) -> None:
        with self._stderr.open("ab") as stderr:
            detached = [sys.executable, "-I", "-S", str(launch.__file__), "detached"]
            supervisor = [sys.executable, "-P", "-m", "clipper_admin.supervisor"]
            subprocess.run(
                [*detached, *supervisor, "--cluster-dir", str(self.directory.path), "--ready-fd", str(ready_fd)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                pass_fds=(ready_fd,),
                cwd=self.directory.path,
            )
