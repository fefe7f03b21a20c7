"""Calls to a control plane, counted by method and outcome. Names as OpenTelemetry's conventions for RPC have them."""

from __future__ import annotations

from collections.abc import Iterable

from clipper_rpc.telemetry.families import Family, durations, histogram
from clipper_rpc.telemetry.tally import OTHER, Histogram, Slots

_MOST = 1000


class CallTally:
    """The calls that a process has answered."""

    def __init__(self) -> None:
        self._slots: Slots[tuple[str, str], Histogram] = Slots(Histogram, (OTHER, OTHER), most=_MOST)

    def ended(self, method: str, code: str, elapsed_ns: int) -> None:
        """A call has ended with a status, such as OK or NOT_FOUND."""
        self._slots[method, code].observe(elapsed_ns)

    def families(self) -> Iterable[Family]:
        """Everything."""
        samples = [
            (
                {"rpc.system.name": "grpc", "rpc.method": method.removeprefix("/"), "rpc.status_code": code},
                durations(found),
            )
            for (method, code), found in self._slots.items()
        ]
        return (histogram("rpc.server.call.duration", "How long calls took, by method and status.", samples, "s"),)
