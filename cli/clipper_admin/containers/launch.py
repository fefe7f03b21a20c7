"""A cluster's parts are started, in their order, and waited for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from clipper_admin.containers import logging_driver, recipes, waiting
from clipper_admin.containers.engine import Container, Engine
from clipper_admin.containers.found import Found
from clipper_admin.containers.images import Images
from clipper_admin.containers.labels import Door, Part, volume_name
from clipper_admin.containers.recipes import Recipe
from clipper_admin.exceptions import NotRunningException
from clipper_rpc.probe import is_serving

_log = logging.getLogger(__name__)

_TOLD = {
    Door.QUERY: "REST predictions are",
    Door.ADMIN: "REST administration is",
    Door.FRONTEND: "gRPC predictions are",
    Door.MANAGER: "gRPC administration is",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """How the containers of one cluster are started."""

    engine: Engine
    found: Found
    cluster: str
    host_ip: str
    """Where the engine's host is reached."""
    wanted: Mapping[Door, int]
    """Ports; 0 asks for a free one."""
    redis_url: str | None
    """None: the cluster has a Redis of its own,"""
    redis_volume: str | None
    """with its data here, or in a volume that ends with the cluster."""
    cache_ttl_s: float

    def parts(
        self,
        images: Images,
        *,
        central_logs: bool,
        frontends: int,
        cache_bytes: int,
        header_timeout_s: int,
        body_timeout_s: int,
    ) -> dict[Door, int]:
        """Starts everything but replicas, waits until it serves, and returns the ports.

        Raises:
            ClipperException: a part cannot be started, or does not serve; what was started is still there.
        """
        self.engine.ensure_network()
        if central_logs:
            _log.info("Starting Fluentd in Docker")
            self.engine.start(logging_driver.fluentd(self.cluster, images.fluentd, self.wanted[Door.LOGS]))
        redis_url = self.redis_url or self._redis(images.redis, central_logs=central_logs)
        _log.info("Starting manager, frontend and gateway of cluster %s in Docker", self.cluster)
        wanted = (
            recipes.manager(self.cluster, images.manager, redis_url, self.wanted[Door.MANAGER]),
            recipes.frontend(
                self.cluster,
                images.frontend,
                redis_url,
                self.wanted[Door.FRONTEND],
                workers=frontends,
                cache_bytes=cache_bytes,
                cache_ttl_s=self.cache_ttl_s,
            ),
            recipes.gateway(
                self.cluster,
                images.gateway,
                self.wanted[Door.QUERY],
                self.wanted[Door.ADMIN],
                header_timeout_s=header_timeout_s,
                body_timeout_s=body_timeout_s,
            ),
        )
        manager, frontend, gateway = [self.one(each, central_logs=central_logs) for each in wanted]
        ports = self.found.ports()
        at = {door: f"{self.host_ip}:{port}" for door, port in ports.items()}
        _log.info("Clipper still initializing.")
        waiting.until_serving(
            {
                "The manager": (manager, lambda: is_serving(at[Door.MANAGER])),
                "The frontend": (frontend, lambda: is_serving(at[Door.FRONTEND])),
                "The gateway": (gateway, lambda: _answers(at[Door.QUERY]) and _answers(at[Door.ADMIN])),
            }
        )
        for door, what in _TOLD.items():
            if self.wanted[door] not in (0, ports[door]):
                _log.warning("Port %d is taken: %s at %s", self.wanted[door], what, at[door])
        return ports

    def one(self, recipe: Recipe, *, central_logs: bool) -> Container:
        """Starts one container, with its logs where they belong."""
        if central_logs:
            fluentd = self.found.part(Part.LOGS)
            if fluentd is None:
                raise NotRunningException(f"The Fluentd of cluster {self.cluster} is gone.")
            recipe = recipes.with_options(recipe, logging_driver.driver(int(fluentd.labels[Door.LOGS])))
        return self.engine.start(recipe)

    def _redis(self, image: str, *, central_logs: bool) -> str:
        _log.info("Starting managed Redis instance in Docker")
        volume = self.redis_volume or volume_name(self.cluster)
        if self.redis_volume is None:
            self.engine.ensure_volume(volume, self.cluster)
        self.one(recipes.redis(self.cluster, image, volume), central_logs=central_logs)
        return f"redis://{Part.REDIS.container(self.cluster)}:6379/0"


def _answers(address: str) -> bool:
    import httpx  # only here, since it takes long to import

    try:
        return httpx.get(f"http://{address}/healthz", timeout=3, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
