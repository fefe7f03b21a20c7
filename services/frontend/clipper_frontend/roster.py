"""The replicas of one model version: who they are, which of them are up, and whether there is hope for those who wait.

A replica is checked before it is asked, and again whenever it is lost: at once, then with growing waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from clipper_frontend.batch_policies import BatchPolicy
from clipper_frontend.deadlines import Clock
from clipper_frontend.member import FIRST_WAIT_NS, Member, State
from clipper_frontend.routes import Replica, Version
from clipper_frontend.runtime import Connect, Description, Lost

_CHECK_TIMEOUT_NS = 1_000_000_000

_log = logging.getLogger(__name__)


class Roster:
    """Keeps the members of a pool.

    Args:
        changed: called when a replica has come up, or there is no hope any more.
    """

    def __init__(self, clock: Clock, connect: Connect, changed: Callable[[], None]) -> None:
        self.members: dict[Replica, Member] = {}
        self.is_hopeful = False
        """Whether any member is up or being checked."""
        self._clock = clock
        self._connect = connect
        self._changed = changed

    def follow(self, version: Version, replicas: Iterable[Replica], new_policy: Callable[[], BatchPolicy]) -> None:
        """Takes over who is there. Those that stay are not touched; removed ones end what they have."""
        wanted = frozenset(replicas)
        for replica in self.members.keys() - wanted:
            self._remove(self.members.pop(replica))
        for replica in wanted - self.members.keys():
            member = self.members[replica] = Member(replica, self._connect(version, replica), new_policy())
            self._check(member)
        self._look_for_hope()

    def up(self) -> list[Member]:
        """Those that may be asked."""
        return [member for member in self.members.values() if member.state is State.UP]

    def lost(self, member: Member, problem: str, *, was_refused: bool) -> None:
        """A member has lost a batch."""
        wait_ns = member.lost(was_refused=was_refused)
        if wait_ns is not None:
            self._check_after(member, wait_ns, problem)

    def ended(self, member: Member) -> None:
        """A batch of a member came back: one that was removed is closed after its last one."""
        if member.is_removed and not member.attempts:
            member.runtime.close()

    def _check(self, member: Member) -> None:
        member.timer = None
        member.state = State.CHECKING
        self.is_hopeful = True
        member.runtime.describe(self._clock.now_ns() + _CHECK_TIMEOUT_NS, partial(self._checked, member))

    def _checked(self, member: Member, found: Description | Lost) -> None:
        if member.is_removed:
            return
        if isinstance(found, Lost):
            self._check_after(member, member.down(), found.problem)
            return
        _log.info("replica_up", extra=_named(member.replica))
        member.up(found, min((each.served_ns for each in self.up()), default=0))
        self._changed()

    def _check_after(self, member: Member, wait_ns: int, problem: str) -> None:
        if not wait_ns:
            self._check(member)
            return
        if wait_ns == FIRST_WAIT_NS:  # told once, not after every check
            _log.warning("replica_down", extra={**_named(member.replica), "problem": problem})
        member.timer = self._clock.call_at(self._clock.now_ns() + wait_ns, partial(self._check, member))
        self._look_for_hope()

    def _remove(self, member: Member) -> None:
        member.is_removed = True
        if member.timer is not None:
            member.timer.cancel()
        self.ended(member)

    def _look_for_hope(self) -> None:
        self.is_hopeful = any(member.state is not State.DOWN for member in self.members.values())
        if not self.is_hopeful:
            self._changed()


def _named(replica: Replica) -> dict[str, object]:
    return {
        "model": replica.model,
        "version": replica.version,
        "replica_id": replica.replica_id,
        "address": replica.address,
    }
