"""Logs of all containers gathered in one: a Fluentd that prints what it is sent (contract D16)."""

from __future__ import annotations

from typing import Any

import docker.types

from clipper_admin.containers.labels import CLUSTER, Door, Part
from clipper_admin.containers.recipes import Recipe

FLUENTD_IMAGE = "fluent/fluentd:v1.18-debian-1"
FLUENTD_PORT = 24224
_CONFIGURATION_AT = "/fluentd/etc/fluent.conf"
_CONFIGURATION = f"""\
<source>
  @type forward
  bind 0.0.0.0
  port {FLUENTD_PORT}
</source>
<match **>
  @type stdout
</match>
"""


def fluentd(cluster: str, image: str, port: int) -> Recipe:
    """The container that gathers."""
    return Recipe(
        name=Part.LOGS.container(cluster),
        image=image,
        labels={CLUSTER: cluster, Part.LOGS.label: ""},
        doors={Door.LOGS: (FLUENTD_PORT, port)},
        files={_CONFIGURATION_AT: _CONFIGURATION},
        options={"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]},
    )


def driver(port: int) -> dict[str, Any]:
    """Options of a container whose logs are sent there: by the engine, which waits for nobody."""
    config = {"fluentd-address": f"127.0.0.1:{port}", "fluentd-async": "true", "tag": "{{.Name}}"}
    return {"log_config": docker.types.LogConfig(type="fluentd", config=config)}
