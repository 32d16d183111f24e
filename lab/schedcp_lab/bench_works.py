"""The works that schedulers of the examination set are replayed as: profiles, and what counts.

Pure. The figures are what an agent would have seen under the kernel's own scheduler on a node as
large as the guest, so that threads are replayed one for one and a replay is like its profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from schedcp_api.profiles import Distribution, GroupProfile, ThreadGroup, WorkloadProfile

__all__ = ["WORKS", "Work"]

_CPUS = 4
_SAMPLES = 1000
_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Always the same: findings are kept under the digest of their request."""
_US, _MS = 1_000, 1_000_000


@dataclass(frozen=True)
class Work:
    """A target beside its neighbours, and the metric that it is to gain in."""

    metric: str
    target: ThreadGroup
    neighbours: ThreadGroup

    def profile(self, kernel_digest: str) -> WorkloadProfile:
        """Return the profile of the work on nodes with a kernel."""
        return WorkloadProfile(
            node="node-1",
            workload="Deployment/examined/target",
            kernel_digest=kernel_digest,
            cpus=_CPUS,
            started_at=_STARTED_AT,
            duration_ms=10_000,
            target=_side(self.target),
            neighbours=_side(self.neighbours),
        )


def _side(group: ThreadGroup) -> GroupProfile:
    return GroupProfile(
        pods=1,
        cpu_milli=group.cpu_milli,
        thread_groups=(group,),
        wakeup_latency=group.wakeup_latency,
        burst=group.burst,
        sleep=group.sleep,
    )


def _lasting(usual_ns: int, *, seldom_ns: int | None = None) -> Distribution:
    """Return how long something lasts that is always the same, but for one time in a hundred."""
    most_ns = usual_ns if seldom_ns is None else seldom_ns
    return Distribution(
        count=_SAMPLES,
        mean_ns=(99 * usual_ns + (usual_ns + most_ns) // 2) // 100,
        p10_ns=usual_ns,
        p25_ns=usual_ns,
        p50_ns=usual_ns,
        p75_ns=usual_ns,
        p90_ns=usual_ns,
        p99_ns=usual_ns,
        p999_ns=most_ns,
        max_ns=most_ns,
    )


_NEVER = _lasting(0).replace(count=0)


def _sleepers(
    *, threads: int, wakeups: int, burst: Distribution, sleep_ns: int, latency_ns: int
) -> ThreadGroup:
    """Return threads that sleep and work in turns; `wakeups` are those of all, in a second."""
    return ThreadGroup(
        label="service",
        threads=threads,
        cpu_milli=wakeups * burst.mean_ns // _MS,
        switches_per_second=2 * wakeups,
        wakeups_per_second=wakeups,
        burst=burst,
        sleep=_lasting(sleep_ns),
        wakeup_latency=_lasting(latency_ns),
    )


def _hogs(cpu_milli: int) -> ThreadGroup:
    """Return threads that never sleep."""
    return ThreadGroup(
        label="batch",
        threads=2 * _CPUS,
        cpu_milli=cpu_milli,
        switches_per_second=1000,
        wakeups_per_second=0,
        burst=_lasting(4 * _MS),
        sleep=_NEVER,
        wakeup_latency=_NEVER,
    )


_USUAL, _LONG = _lasting(500 * _US), _lasting(500 * _US, seldom_ns=12 * _MS)
_BUSY = _lasting(_MS)
WORKS = {
    "a service beside a batch": Work(
        "WakeupLatencyP99",
        _sleepers(threads=4, wakeups=421, burst=_USUAL, sleep_ns=8500 * _US, latency_ns=500 * _US),
        _hogs(3700),
    ),
    "a service with long requests": Work(
        "WakeupLatencyP999",
        _sleepers(threads=4, wakeups=360, burst=_LONG, sleep_ns=8500 * _US, latency_ns=2 * _MS),
        _sleepers(threads=16, wakeups=3600, burst=_BUSY, sleep_ns=_MS, latency_ns=2400 * _US),
    ),
    "a service as busy as its neighbours": Work(
        "WakeupLatencyP99",
        _sleepers(threads=16, wakeups=2000, burst=_BUSY, sleep_ns=_MS, latency_ns=6 * _MS),
        _hogs(2000),
    ),
}
"""By the words after `Replayed as` in a scheduler's top comment.

The first shows who makes a service wait. The second has one request in a hundred that is up to
twenty-four times as long, beside more short work than there are CPUs: whoever puts off who was
long once shows in the slowest wakeups. In the third target and neighbours could each use all CPUs,
so that what is taken from the neighbours shows as their loss.
"""
