"""The Python API of Clipper: start or find a cluster, register applications, deploy models, link and ask them.

    from clipper_admin import ClipperConnection, LocalContainerManager
    clipper_conn = ClipperConnection(LocalContainerManager())
    clipper_conn.start_clipper()

In reading order:

exceptions               what goes wrong, under Clipper's names
given                    what callers hand over, checked
decorators               trying again
connection               ClipperConnection: everything one can do with a cluster
deployment, versions     the parts of it that are about models
learning                 the part of it that is about feedback, policies and shadows
container_manager        what runs the processes of a cluster: the interface
local_container_manager  as local processes, without Docker
docker_container_manager as Docker containers on one host
containers               what that is made of
remote_container_manager a cluster that somebody else runs
golden                   what a version must answer before it goes live
models                   model directories: what the local manager has for images
rehearsal                a model's function tried without a cluster
client, learning_client  AdminService, PredictService and FeedbackService over gRPC
convert                  values, resources and files to messages, and back
views                    messages as the dicts that Clipper returns
progress                 what is going on, for people
deployers                from a function of a session to a served model
supervisor               the process that keeps a local cluster running

Names are imported when they are first used, so that the supervisor and shell completion stay quick and small.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

    from clipper_admin.client import Client
    from clipper_admin.connection import ClipperConnection
    from clipper_admin.container_manager import ContainerManager
    from clipper_admin.docker_container_manager import DockerContainerManager
    from clipper_admin.exceptions import ClipperException, InvalidArgumentException, UnconnectedException
    from clipper_admin.local_container_manager import LocalContainerManager
    from clipper_admin.remote_container_manager import RemoteContainerManager

__all__ = [
    "Client",
    "ClipperConnection",
    "ClipperException",
    "ContainerManager",
    "DockerContainerManager",
    "InvalidArgumentException",
    "LocalContainerManager",
    "RemoteContainerManager",
    "UnconnectedException",
    "__version__",
]

_MODULES = {
    "Client": "client",
    "ClipperConnection": "connection",
    "ClipperException": "exceptions",
    "ContainerManager": "container_manager",
    "DockerContainerManager": "docker_container_manager",
    "InvalidArgumentException": "exceptions",
    "LocalContainerManager": "local_container_manager",
    "RemoteContainerManager": "remote_container_manager",
    "UnconnectedException": "exceptions",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("clipper-serve")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
