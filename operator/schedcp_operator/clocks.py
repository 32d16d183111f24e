"""Nodes' clocks, compared with the operator's.

A block's times are its node's, while its figures are asked for by Prometheus' clock, for which the
operator's stands here. On a clock that is off by a block, each block has its neighbour's figures,
and inside a pair that is the other arm: the verdict would be turned round.
"""

import math
from collections import deque
from datetime import datetime, timedelta

from schedcp_api.policies import Canary

from .views import NodeView

__all__ = ["Clocks", "allowed_skew", "clock_problem"]

_LATEST = 12
"""So many heartbeats are compared: two minutes of an agent that has nothing else to say. On a node
whose scheduler stalls some are late by as long as that lasts."""
_FEWEST = 2
"""One alone may have been long on its way."""
_USUAL_SKEW = timedelta(seconds=3)
"""Machines whose clocks are kept, virtual ones on a busy host too, are off by less than this."""


class Clocks:
    """How far each node's clock is from the operator's, by the heartbeats that arrived."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[timedelta]] = {}
        self._arrivals: dict[str, datetime] = {}

    def heard(
        self, node: str, heartbeat: datetime, *, before: datetime | None, now: datetime
    ) -> None:
        """Take in a heartbeat that has just arrived, and the one `before` it.

        One that goes back in time says that the clock was set, so that the former ones say nothing
        now; or that it was overtaken on its way, which the next one will tell.
        """
        samples = self._samples.setdefault(node, deque(maxlen=_LATEST))
        if before is not None and heartbeat < before:
            samples.clear()
        samples.append(heartbeat - now)
        self._arrivals[node] = now

    def forget(self, node: str) -> None:
        """Know nothing of a node any more."""
        self._samples.pop(node, None)
        self._arrivals.pop(node, None)

    def heard_at(self, node: str) -> datetime | None:
        """Return when the node's latest heartbeat arrived; None: none has been seen to arrive."""
        return self._arrivals.get(node)

    def skew(self, node: str) -> timedelta | None:
        """Return how far the node's clock is ahead, negative when behind; None: not known.

        A heartbeat that was long on its way only makes the clock look behind, so the greatest of
        the latest is the nearest to the truth.
        """
        samples = self._samples.get(node, ())
        return max(samples) if len(samples) >= _FEWEST else None


def allowed_skew(canary: Canary) -> timedelta:
    """Return by how much a canary node's clock may be off, in either direction.

    On a clock that is behind, a block's figures begin in the wash-out before it, which is its own
    arm's: up to a wash-out does little. The usual few seconds must not refuse a node either; they
    make an effect look smaller. But at least half of every block's figures must be from its own
    time, whatever the wash-out, or the arms change places.
    """
    tolerable = max(_USUAL_SKEW, timedelta(seconds=canary.washout_seconds))
    return min(tolerable, timedelta(seconds=canary.block_seconds) / 2)


def clock_problem(node: NodeView, canary: Canary, *, now: datetime) -> str:
    """Return why blocks on the node would be mixed up; empty while nothing is known against it."""
    skew = _known(node, now=now)
    allowed = allowed_skew(canary)
    if skew is None or abs(skew) <= allowed:
        return ""
    way = "ahead of" if skew > timedelta(0) else "behind"
    return (
        f"the node's clock is {math.ceil(abs(skew).total_seconds())} s {way} the operator's, and"
        f" more than {allowed.total_seconds():g} s would mix up the figures of blocks of"
        f" {canary.block_seconds} s: set the node's clock (NTP)"
    )


def _known(node: NodeView, *, now: datetime) -> timedelta | None:
    """Return the node's skew; of a clock that was never compared, a heartbeat to come tells."""
    if node.clock_skew is not None or node.status.heartbeat_at is None:
        return node.clock_skew
    least = node.status.heartbeat_at - now
    return least if least > timedelta(0) else None
