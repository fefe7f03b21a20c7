"""The command line of every process of a local cluster. Pure: nothing is started and nothing is looked up in here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipper_admin.supervisor.cluster_dir import ClusterDir
from clipper_admin.supervisor.records import Addresses, Deployment, Settings

_LOCAL = "127.0.0.1"
_REDIS_IS_UP = "eady to accept connections"
"""In every version's log: "Ready to…", "The server is now ready to…"."""
LOGGING = ("manager", "frontend", "gateway", "runtime")
"""Processes that take a level for their logs."""


@dataclass(frozen=True, slots=True)
class Command:
    """How one process is started, and how it tells that it is up."""

    name: str
    kind: str
    program: tuple[str, ...]
    address: str = ""
    """Where it will listen; empty where it chooses by itself and tells when it is up."""
    ready_text: str = ""
    """What its log says once it is up. Empty: it takes `--ready-fd N` and writes a line there."""
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class Commands:
    """The processes of one cluster; `settings` has the ports that were chosen."""

    directory: ClusterDir
    settings: Settings
    redis_binary: str
    gateway_binary: str
    """Empty: the gateway was not built, and REST is off."""
    levels: Mapping[str, str] = field(default_factory=dict)
    """Of processes that have a level of their own (CLIPPER_{PROCESS}_LOG_LEVEL); others log at `settings.log_level`."""

    def addresses(self) -> Addresses:
        """Where the cluster is reached once these processes run."""
        s = self.settings
        reached = _LOCAL if s.host in ("0.0.0.0", "::") else s.host  # noqa: S104  # compared, not listened on
        has_gateway = bool(self.gateway_binary)
        return Addresses(
            query=_joined(reached, s.query_port) if has_gateway else "",
            admin=_joined(reached, s.admin_port) if has_gateway else "",
            frontend=_joined(reached, s.frontend_port),
            manager=f"{_LOCAL}:{s.manager_port}",
            redis_url=s.redis_url or f"unix://{self._redis_socket}",
        )

    def redis(self) -> Command | None:
        """The private Redis; None where somebody else's is used. Every change is on disk within a second."""
        if self.settings.redis_url:
            return None
        options = {
            "--port": "0",
            "--unixsocket": str(self._redis_socket),
            "--unixsocketperm": "700",
            "--dir": str(self.directory.redis),
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            "--daemonize": "no",
            "--logfile": "",
        }
        program = (self.redis_binary, *(word for option in options.items() for word in option))
        return Command("redis", "redis", program, address=self.addresses().redis_url, ready_text=_REDIS_IS_UP)

    def manager(self) -> Command:
        """Configuration and registry."""
        program = (
            *_module(sys.executable, "clipper_manager"),
            *("--host", _LOCAL, "--port", str(self.settings.manager_port)),
            *("--redis-url", self.addresses().redis_url, "--cluster", self.settings.cluster),
            *("--transport", self.settings.transport, "--log-level", self._level("manager")),
        )
        return Command("manager", "manager", program, address=self.addresses().manager)

    def frontend(self) -> Command:
        """Predictions."""
        program = (
            *_module(sys.executable, "clipper_frontend"),
            *("--host", self.settings.host, "--port", str(self.settings.frontend_port)),
            *("--manager", self.addresses().manager, "--workers", str(self.settings.frontend_workers)),
            *("--cache-bytes", str(self.settings.cache_bytes), "--cache-ttl-s", str(self.settings.cache_ttl_s)),
            *("--redis-url", self.addresses().redis_url, "--cluster", self.settings.cluster),
            *("--transport", self.settings.transport, "--log-level", self._level("frontend")),
        )
        return Command("frontend", "frontend", program, address=self.addresses().frontend)

    def gateway(self) -> Command | None:
        """REST; None where it was not built."""
        if not self.gateway_binary:
            return None
        s, at = self.settings, self.addresses()
        program = (
            self.gateway_binary,
            *("--frontend", at.frontend, "--manager", at.manager),
            *("--query-listen", _joined(s.host, s.query_port), "--admin-listen", _joined(s.host, s.admin_port)),
            *("--header-timeout-s", str(s.header_timeout_s), "--body-timeout-s", str(s.body_timeout_s)),
            *("--log-level", self._level("gateway")),
        )
        return Command("gateway", "gateway", program, address=at.query)

    def replica(self, deployment: Deployment, number: int) -> Command:
        """A model runtime, on the interpreter of the session that deployed the model if that is still there."""
        python = deployment.python if Path(deployment.python).is_file() else sys.executable
        program = (
            *_module(python, "clipper_runtime"),
            *("--model-dir", deployment.model_dir, "--manager", self.addresses().manager),
            *("--host", _LOCAL, "--port", "0"),
            *("--transport", self.settings.transport, "--log-level", self._level("runtime")),
        )
        name = f"model-{deployment.model}_{deployment.version}-{number}"
        return Command(name, "replica", program, cwd=Path(deployment.model_dir))

    def _level(self, process: str) -> str:
        return self.levels.get(process) or self.settings.log_level

    @property
    def _redis_socket(self) -> Path:
        return self.directory.run / "redis.sock"


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _module(python: str, name: str) -> tuple[str, ...]:
    # -P: the working directory is not a place for modules (a model's file called json.py would hide the real one)
    return python, "-P", "-m", name
