"""From two readings of the probes to a WorkloadProfile: facts, no opinions. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from schedcp_api.profiles import GroupProfile, ThreadGroup, WorkloadProfile

from .histograms import Histogram, total
from .probes.port import NOBODY, GroupReading, SideReading
from .sides import Role, SideUsage

GROUPS_MAX = 64


@dataclass(frozen=True)
class Mark:
    """All counters at one end of the window."""

    at: datetime
    monotonic_ns: int
    sides: Mapping[int, SideReading] = field(default_factory=dict)
    usage: Mapping[Role, SideUsage] = field(default_factory=dict)
    lost: int = 0


@dataclass(frozen=True)
class Subject:
    """Whose profile it is."""

    node: str
    workload: str
    kernel_digest: str
    cpus: int
    target_side: int


def build_profile(
    subject: Subject, begin: Mark, end: Mark, groups: Iterable[GroupReading]
) -> WorkloadProfile:
    """Return the profile of the window between two marks."""
    window_ns = max(1, end.monotonic_ns - begin.monotonic_ns)
    mine: list[GroupReading] = []
    others: list[GroupReading] = []
    for group in groups:
        if group.side != NOBODY:
            (mine if group.side == subject.target_side else others).append(group)

    def side(role: Role, members: list[GroupReading]) -> GroupProfile:
        numbers = [n for n in end.sides if (n == subject.target_side) == (role is Role.TARGET)]
        usage = (begin.usage.get(role, SideUsage()), end.usage.get(role, SideUsage()))
        return _group_profile(begin, end, numbers, members, usage, window_ns)

    return WorkloadProfile(
        node=subject.node,
        workload=subject.workload[:256],
        kernel_digest=subject.kernel_digest,
        cpus=subject.cpus,
        started_at=begin.at,
        duration_ms=max(1, window_ns // 1_000_000),
        target=side(Role.TARGET, mine),
        neighbours=side(Role.NEIGHBOUR, others),
        lost_samples=max(0, end.lost - begin.lost),
    )


def _group_profile(
    begin: Mark,
    end: Mark,
    numbers: list[int],
    members: list[GroupReading],
    usage: tuple[SideUsage, SideUsage],
    window_ns: int,
) -> GroupProfile:
    busiest = sorted(members, key=lambda g: (g.cpu_ns, g.wakeups), reverse=True)
    before, after = usage
    waited_usec = max(0, after.pressure_usec - before.pressure_usec)
    # Processes that were asked for by id have no cgroup account of their own.
    by_cgroup = 1000 * max(0, after.cpu_usec - before.cpu_usec)
    cpu_ns = by_cgroup if after.pods else sum(group.cpu_ns for group in members)

    def kind(name: str) -> Histogram:
        return _counted(begin, end, numbers, name, members)

    return GroupProfile(
        pods=after.pods,
        cpu_milli=cpu_ns * 1000 // window_ns,
        thread_groups=tuple(_thread_group(g, window_ns) for g in busiest[:GROUPS_MAX]),
        dropped_groups=max(0, len(busiest) - GROUPS_MAX),
        wakeup_latency=kind("latency").distribution(),
        burst=kind("burst").distribution(),
        sleep=kind("sleep").distribution(),
        cpu_pressure_permille=min(1000, waited_usec * 1_000_000 // window_ns),
    )


def _counted(
    begin: Mark, end: Mark, numbers: list[int], name: str, members: list[GroupReading]
) -> Histogram:
    """Return what the sides counted in the window; the longest comes from the processes."""
    histogram = total(
        getattr(end.sides[n], name).since(getattr(begin.sides.get(n, SideReading()), name))
        for n in numbers
    )
    longest = max((getattr(group, name).max_ns for group in members), default=0)
    return Histogram(histogram.slots, histogram.total_ns, longest)


def _thread_group(group: GroupReading, window_ns: int) -> ThreadGroup:
    return ThreadGroup(
        label=group.comm or "unknown",
        threads=group.threads,
        cpu_milli=group.cpu_ns * 1000 // window_ns,
        switches_per_second=group.switches * 1_000_000_000 // window_ns,
        wakeups_per_second=group.wakeups * 1_000_000_000 // window_ns,
        burst=group.burst.distribution(),
        sleep=group.sleep.distribution(),
        wakeup_latency=group.latency.distribution(),
    )
