"""Which image each part of a cluster runs."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one cluster."""

    redis: str
    manager: str
    frontend: str
    gateway: str
    fluentd: str


def image(part: str) -> str:
    """The name of an image of ours: of the registry and version that the environment names, else of this version."""
    registry = os.environ.get("CLIPPER_REGISTRY") or "clipper"
    version = os.environ.get("CLIPPER_VERSION") or importlib.metadata.version("clipper-serve")
    return f"{registry.rstrip('/')}/{part}:{version}"
