"""What one can ask a supervisor, and how: one JSON object per line on its unix socket, one line back per request.

    {"verb": "status"}                                   -> {"ok": ClusterStatus}
    {"verb": "set_replicas", "deployment": Deployment}   -> {"ok": {}}   once all replicas are up
    {"verb": "stop_models", "models": [[model, version]]}-> {"ok": {}}   once they are gone; version null: all
    {"verb": "settled"}                                  -> {"ok": {}}   once no wanted replica is still starting
    {"verb": "stop"}                                     -> {"ok": {}}   once everything but the supervisor is gone

A request that fails is answered with {"error": text}. Who leaves before set_replicas is answered takes it back: all is
then as it was. Whoever may open the socket (the cluster's user) may ask all.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from clipper_admin.supervisor.records import ClusterStatus, Deployment, JsonObject

LIMIT_BYTES = 4 * 1024 * 1024
"""The longest line."""


class Verb(StrEnum):
    """The questions."""

    STATUS = "status"
    SET_REPLICAS = "set_replicas"
    STOP_MODELS = "stop_models"
    SETTLED = "settled"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Request:
    """One question."""

    verb: Verb
    deployment: Deployment | None = None
    models: list[tuple[str, str | None]] = field(default_factory=list)

    def to_line(self) -> bytes:
        """The request as it travels."""
        found: JsonObject = {"verb": self.verb.value}
        if self.deployment is not None:
            found["deployment"] = self.deployment.to_json()
        if self.models:
            found["models"] = self.models
        return json.dumps(found).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        """The request that a line stands for.

        Raises:
            ValueError: it is none.
        """
        try:
            found = json.loads(line)
            deployment = Deployment.from_json(found["deployment"]) if "deployment" in found else None
            models = [(str(model), version) for model, version in found.get("models", [])]
            return cls(Verb(found["verb"]), deployment, models)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a request: {error}") from error


class ControlError(Exception):
    """The supervisor has refused or failed to do what it was asked; the text says why."""


class NotRunning(Exception):
    """No supervisor answers."""


def reply_line(result: JsonObject) -> bytes:
    """The answer to a request that has succeeded."""
    return json.dumps({"ok": result}).encode() + b"\n"


def error_line(problem: str) -> bytes:
    """The answer to a request that has failed."""
    return json.dumps({"error": problem}).encode() + b"\n"


def ask(path: Path, request: Request, *, timeout_s: float) -> JsonObject:
    """Asks the supervisor behind a socket and waits for its answer.

    Raises:
        NotRunning: nobody answers there.
        ControlError: it could not do it.
        TimeoutError: no answer within the time. What was asked may still happen.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(request.to_line())
            with connection.makefile("rb") as lines:
                line = lines.readline(LIMIT_BYTES)
    except TimeoutError:
        raise
    except OSError as error:
        raise NotRunning(f"No supervisor answers at {path} ({error.strerror or error}).") from error
    if not line:
        raise NotRunning(f"The supervisor at {path} has ended.")
    reply = json.loads(line)
    if "error" in reply:
        raise ControlError(reply["error"])
    result: JsonObject = reply["ok"]
    return result


def ask_status(path: Path, *, timeout_s: float = 5.0) -> ClusterStatus:
    """What runs. Raises as `ask` does."""
    return ClusterStatus.from_json(ask(path, Request(Verb.STATUS), timeout_s=timeout_s))
