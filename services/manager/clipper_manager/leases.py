"""Ends what is not renewed in time, and keeps this manager's own registration: the two loops of a manager.

Both sleep until something is due; neither does anything while the store is away.
"""

from __future__ import annotations

import asyncio
import logging

from clipper_manager.feed import Feed
from clipper_manager.registry import Registry
from clipper_manager.resources import Instance
from clipper_manager.store import Store
from clipper_rpc.errors import ClipperError, LeaseEnded, StoreInterrupted, StoreUnavailable

_log = logging.getLogger(__name__)

SLACK_S = 0.02
"""How long after a lease is due its end is looked for: a timer that fires early would look twice."""


async def end_leases(store: Store, feed: Feed, *, ttl_s: float) -> None:
    """Ends leases when they are due, until cancelled. Any number of managers may do so.

    Nothing is ended for one whole term after the store was reached (again): whoever could not renew has that long.
    """
    while True:
        connected_at_s = await feed.connected()
        grace_s = connected_at_s + ttl_s - asyncio.get_running_loop().time()
        if grace_s > 0:
            await asyncio.sleep(grace_s)
            continue
        try:
            due_s = await store.expire_leases()
        except StoreUnavailable as error:
            feed.suspect(error.fields["problem"])
        else:
            # A lease that is granted meanwhile is due after a whole term, not before.
            await asyncio.sleep(min(due_s, ttl_s) + SLACK_S)


class Presence:
    """A process's own registration: renewed while `run` runs, ended by `end`."""

    def __init__(self, registry: Registry, feed: Feed, instance: Instance, *, ttl_s: float) -> None:
        self._registry = registry
        self._feed = feed
        self._instance = instance
        self._ttl_s = ttl_s
        self._lease_id = ""

    async def run(self) -> None:
        """Registers and renews until cancelled."""
        while True:
            await self._feed.connected()
            try:
                if self._lease_id:
                    await self._registry.renew_lease(self._lease_id)
                else:
                    self._lease_id = (await self._registry.register_instance(self._instance)).lease_id
            except LeaseEnded:
                self._lease_id = ""
                continue
            except (StoreUnavailable, StoreInterrupted):
                pass  # the feed tells when it is back
            await asyncio.sleep(self._ttl_s / 3)

    async def end(self) -> None:
        """Ends the registration, if the store can be reached within a second; else it ends by itself."""
        if not self._lease_id:
            return
        try:
            async with asyncio.timeout(1.0):
                await self._registry.end_lease(self._lease_id)
        except (ClipperError, TimeoutError) as error:
            _log.info("lease_not_ended", extra={"problem": str(error)})
