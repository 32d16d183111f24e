"""Who acts: one replica holds a Lease, and every write of ours asks here first.

The epoch is the Lease's `leaseTransitions`, raised at each change of hands and never below an epoch
that an agent has been shown; agents refuse a lower one, so a leader that lost its place without
noticing can do no harm. A holder that cannot renew stops before its Lease can be taken.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import Conflict, KubeUnavailable, NotFound, NotLeader, Refused
from .kube import LEASES, Json, KubeApi

__all__ = ["Leader", "LeaseSettings"]

_log = logging.getLogger(__name__)
_SAFETY = 0.7
"""Share of the Lease's length after which a holder that did not renew stops acting."""


@dataclass(frozen=True)
class LeaseSettings:
    """Which Lease, for whom, and for how long."""

    name: str
    namespace: str
    identity: str
    seconds: float


def highest_epoch(states: Iterable[Json]) -> int:
    """Return the highest epoch that any agent has been shown: it may have been another cluster's.

    What an agent has observed outlives the object that showed it.
    """
    shown = ((s.get("spec") or {}, s.get("status") or {}) for s in states)
    return max(
        (
            max(int(spec.get("leaseEpoch") or 0), int(status.get("observedEpoch") or 0))
            for spec, status in shown
        ),
        default=0,
    )


class Leader:
    """Takes the Lease, keeps it, and knows whether it is held right now."""

    def __init__(
        self,
        kube: KubeApi,
        settings: LeaseSettings,
        *,
        epoch_floor: Callable[[], Awaitable[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`epoch_floor` returns the highest epoch that any agent has been shown."""
        self._kube = kube
        self._settings = settings
        self._epoch_floor = epoch_floor
        self._clock = clock
        self._valid_until = float("-inf")
        self._epoch = 0
        self._seen: tuple[str, float] = ("", 0.0)
        self._changed = asyncio.Condition()

    @property
    def is_leader(self) -> bool:
        """Return whether the Lease is held, with a safe distance from its end."""
        return self._clock() < self._valid_until

    @property
    def epoch(self) -> int:
        """Return the fencing epoch; raise NotLeader when the Lease is not held."""
        self.require()
        return self._epoch

    def require(self) -> None:
        """Raise NotLeader unless the Lease is held right now."""
        if not self.is_leader:
            raise NotLeader(f"{self._settings.identity} does not hold the Lease")

    async def run(self) -> None:
        """Take and keep the Lease for ever; give it back when cancelled."""
        try:
            while True:
                await self.contend()
                async with self._changed:
                    self._changed.notify_all()
                await asyncio.sleep(self._settings.seconds / 5)
        finally:
            if self.is_leader:
                await asyncio.shield(self.release())

    async def wait_until(self, *, leading: bool) -> None:
        """Return once this replica is (or is not) the leader."""
        async with self._changed:
            while self.is_leader is not leading:
                await self._changed.wait()

    async def contend(self) -> None:
        """Take or renew the Lease once; trouble with the API server is not an error, just no."""
        try:
            await self._take_or_renew()
        except (KubeUnavailable, Conflict, NotFound, Refused) as err:
            _log.warning("lease %s: %s", self._settings.name, err)

    async def _take_or_renew(self) -> None:
        started = self._clock()
        try:
            lease = await self._kube.get(
                LEASES, self._settings.name, namespace=self._settings.namespace
            )
        except NotFound:
            epoch = await self._epoch_floor() + 1
            body = self._body({}, epoch, acquired=True)
            await self._kube.create(LEASES, body, namespace=self._settings.namespace)
            self._held(started, epoch)
            return
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") != self._settings.identity:
            self._valid_until = float("-inf")
        if spec.get("holderIdentity") == self._settings.identity and self._epoch:
            await self._kube.replace(LEASES, self._body(lease, self._epoch, acquired=False))
            self._held(started, self._epoch)
        elif self._may_take(lease, spec):
            epoch = max(int(spec.get("leaseTransitions") or 0), await self._epoch_floor()) + 1
            await self._kube.replace(LEASES, self._body(lease, epoch, acquired=True))
            self._held(started, epoch)

    def stand_down(self) -> None:
        """Stop leading: somebody has led with a higher epoch. A new one must be taken first."""
        self._valid_until = float("-inf")
        self._epoch = 0

    def _may_take(self, lease: Json, spec: Json) -> bool:
        """Return whether the Lease is free, or has not moved for its length on our own clock."""
        if not spec.get("holderIdentity"):
            return True
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen[0] != version:
            self._seen = (version, self._clock())
            return False
        length = float(spec.get("leaseDurationSeconds") or self._settings.seconds)
        return self._clock() - self._seen[1] > length

    def _held(self, started: float, epoch: int) -> None:
        if epoch != self._epoch:
            _log.info("leading with epoch %d", epoch)
        self._epoch = epoch
        self._valid_until = started + _SAFETY * self._settings.seconds

    def _body(self, lease: Json, epoch: int, *, acquired: bool) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata = lease.get("metadata") or {
            "name": self._settings.name,
            "namespace": self._settings.namespace,
        }
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": max(1, round(self._settings.seconds)),
            "renewTime": now,
            "leaseTransitions": epoch,
        }
        if acquired:
            spec["acquireTime"] = now
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }

    async def release(self) -> None:
        """Stop leading, and let the next one have the Lease at once."""
        self._valid_until = float("-inf")
        try:
            lease = await self._kube.get(
                LEASES, self._settings.name, namespace=self._settings.namespace
            )
            if (lease.get("spec") or {}).get("holderIdentity") != self._settings.identity:
                return
            body = self._body(lease, self._epoch, acquired=False)
            body["spec"]["holderIdentity"] = ""
            await self._kube.replace(LEASES, body)
        except (KubeUnavailable, Conflict, NotFound, Refused) as err:
            _log.warning("the Lease could not be given back and will run out: %s", err)
