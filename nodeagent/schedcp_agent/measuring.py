"""Measure the node's pods: keep the probes pointed at them, and keep their accounts.

Holds the probes, which are compiled in the background: until they are there (or when they cannot
be), accounts and pressure are kept all the same, and latency is unknown.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path

from schedcp_api.nodestates import TrackedWorkload
from schedcp_api.verdicts import ContractLoss

from . import cgroups, profiler, sides
from .demands import ALWAYS, demands_of
from .departures import Departures
from .errors import ProbesUnavailable
from .histograms import Histogram, total
from .probes.port import NOBODY, OTHER_PODS, GroupReading, Probes, SideReading, Tracked
from .sides import Ledger, Role

OPENING = "the probes are being compiled"
_DEMANDS_NS = 10_000_000_000


class Measuring:
    """One node's measurements. Not for use by several threads at once."""

    def __init__(
        self,
        opening: "Future[Probes]",
        *,
        cgroup_root: Path,
        own_pod: str,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._opening = opening
        self._probes: Probes | None = None
        self._cgroup_root = cgroups.find_cgroup2(cgroup_root)
        self._own_pod = own_pod
        self._clock_ns = clock_ns
        self._read_ns = clock_ns()
        self._readings: dict[int, SideReading] = {}
        self.pods: tuple[cgroups.PodCgroup, ...] = ()
        """The pods that `refresh` found."""
        self.demands: frozenset[ContractLoss] = ALWAYS
        """What they ask for of the CPU contract, the agent's own pod left out."""
        self._demands_at: tuple[tuple[int, ...], int] | None = None
        self.departures = Departures()
        self.ledger = Ledger()
        self.problem = OPENING

    @property
    def ready(self) -> bool:
        """Return whether there are probes."""
        return self._probes is not None

    @property
    def opening(self) -> bool:
        """Return whether probes are being compiled; not so when they could not be."""
        return self._probes is None and self.problem == OPENING

    def refresh(self, workloads: tuple[TrackedWorkload, ...], *, now: datetime) -> None:
        """Look at the pods again, point the probes at them, and read everything once."""
        self._settle()
        self.pods = pods = cgroups.find_pods(self._cgroup_root)
        allotted = sides.allot(self.ledger, workloads)
        pod_sides = sides.sides_of_pods(pods, workloads, allotted, own_pod=self._own_pod)
        usages = {pod.uid: cgroups.read_usage(pod.path) for pod in pods}
        self.departures = self.departures.after(usages, now=now)
        read_ns = self._clock_ns()
        self._look_at_demands(read_ns)
        elapsed_usec = (read_ns - self._read_ns) // 1000
        self.ledger = sides.account(
            self.ledger, allotted, pod_sides, usages, elapsed_usec=elapsed_usec
        )
        self._read_ns = read_ns
        if self._probes is not None:
            self._probes.track(Tracked(sides.sides_of_cgroups(pods, pod_sides)))
            wanted = frozenset({OTHER_PODS, *allotted.values()})
            self._readings = dict(self._probes.read(wanted))

    def _look_at_demands(self, now_ns: int) -> None:
        """Look at what pods ask for when one came or went, and now and then: limits may change."""
        others = tuple(pod for pod in self.pods if pod.uid != self._own_pod)
        ids = tuple(sorted(id_ for pod in others for id_ in pod.ids))
        if self._demands_at is not None:
            seen, at_ns = self._demands_at
            if seen == ids and now_ns - at_ns < _DEMANDS_NS:
                return
        self.demands = demands_of(others)
        self._demands_at = ids, now_ns

    def latency(self) -> dict[tuple[str, Role], Histogram]:
        """Return each policy's wakeup latencies, targets and neighbours; empty without probes."""
        if not self._readings:
            return {}
        return {
            (policy, role): total(
                reading.latency
                for number, reading in self._readings.items()
                if (number == side) == (role is Role.TARGET)
            )
            for policy, side in self.ledger.sides.items()
            for role in Role
        }

    def longest_target_ms(self, policy: str) -> int:
        """Return the longest wakeup latency of a target thread since the last call."""
        side = self.ledger.sides.get(policy, NOBODY)
        if self._probes is None or side == NOBODY:
            return 0
        return self._probes.longest_ns(frozenset({side})).get(side, 0) // 1_000_000

    def pod_pressure_permille(self) -> int:
        """Return the CPU pressure of the pods' hierarchy as a whole."""
        for name in ("kubepods", "kubepods.slice"):
            folder = self._cgroup_root / name
            if folder.is_dir():
                return cgroups.read_usage(folder).some_permille
        return 0

    def mark(self, policy: str, *, now: datetime) -> profiler.Mark:
        """Return all counters as they are now, for a profile of `policy`."""
        usage = {role: self.ledger.accounts.get((policy, role), sides.SideUsage()) for role in Role}
        return profiler.Mark(
            at=now,
            monotonic_ns=self._clock_ns(),
            sides=dict(self._readings),
            usage=usage,
            lost=self._probes.lost() if self._probes else 0,
        )

    def begin_groups(self) -> None:
        """Start to count by process; raise ProbesUnavailable without probes."""
        self._required().begin_groups()

    def end_groups(self) -> tuple[GroupReading, ...]:
        """Stop to count by process."""
        return self._required().end_groups()

    def close(self) -> None:
        """Detach the probes."""
        self._settle()
        if self._probes is not None:
            self._probes.close()
            self._probes = None

    def _required(self) -> Probes:
        if self._probes is None:
            raise ProbesUnavailable(self.problem)
        return self._probes

    def _settle(self) -> None:
        """Take the probes over once they are compiled."""
        if self._probes is not None or not self._opening.done():
            return
        error = self._opening.exception()
        if error is None:
            self._probes, self.problem = self._opening.result(), ""
        elif isinstance(error, ProbesUnavailable):
            self.problem = str(error)
        else:
            raise error
