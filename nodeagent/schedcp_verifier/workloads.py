"""From a profile to a workload that the guest can run: same rhythm, smaller machine.

Pure. A profile's thread group becomes workers that burn the group's bursts and sleep its sleeps,
drawn from the profile's own quantiles. How many of them there are follows from Little's law:
wakeups per second times the length of one cycle is the number of threads that take part; threads
that hardly ever sleep are hogs and count as they are. Counts are scaled from the node's CPUs to the
guest's; what is too small to matter and what does not fit is left out and named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from schedcp_api.profiles import Distribution, ThreadGroup, WorkloadProfile

from .microvm import VCPUS

__all__ = ["SpecGroup", "WorkloadSpec", "workload_of"]

WARM_UP_NS = 400_000_000
WINDOW_NS = 2_000_000_000
HOG_BURST_NS = 1_000_000_000
SIDE_GROUPS_MAX = 8
SIDE_THREADS_MAX = 40
TARGET, NEIGHBOURS = "target", "neighbours"
LONGEST_SLEEP_NS = 500_000_000
"""A thread that sleeps longer than a quarter of the window would hardly be seen in it."""
LEAST_CPU_MILLI = 5
HOG_CYCLES_PER_SECOND = 2.0
"""Below this rate for each thread, a busy group is a hog: it runs until it is preempted."""
HOG_CPU_SHARE = 0.2


@dataclass(frozen=True)
class SpecGroup:
    """Workers with one rhythm; quantiles are 0, 25, 50, 75, 90, 99 and 100 %."""

    name: str
    side: str
    threads: int
    burst_ns: tuple[int, ...]
    sleep_ns: tuple[int, ...] = ()

    def line(self) -> str:
        """Return the group as a line of the guest's specification."""
        sleep = f" sleep_ns={_distribution(self.sleep_ns)}" if self.sleep_ns else ""
        return (
            f"group {self.name} threads={self.threads} burst_ns={_distribution(self.burst_ns)}"
            f"{sleep} cgroup={self.side}"
        )


@dataclass(frozen=True)
class WorkloadSpec:
    """The target beside its neighbours, with what was left out."""

    groups: tuple[SpecGroup, ...]
    left_out: tuple[str, ...] = ()
    warm_up_ns: int = WARM_UP_NS
    window_ns: int = WINDOW_NS

    def text(self, seed: int, *, neighbours: bool = True) -> str:
        """Return the guest's specification for one arm."""
        groups = [g for g in self.groups if neighbours or g.side == TARGET]
        head = f"seed {seed}\nwarmup_ns {self.warm_up_ns}\nduration_ns {self.window_ns}\n"
        return head + "".join(f"{group.line()}\n" for group in groups)


def workload_of(profile: WorkloadProfile) -> WorkloadSpec:
    """Return the workload of a profile; raise ValueError when its target did nothing."""
    scale = VCPUS / profile.cpus
    target, target_out = _side(profile.target.thread_groups, TARGET, scale)
    neighbours, neighbours_out = _side(profile.neighbours.thread_groups, NEIGHBOURS, scale)
    if not target:
        raise ValueError(
            f"the profile of {profile.workload} shows no thread of the target that ran: "
            "nothing to replay; profile it under load"
        )
    return WorkloadSpec((*target, *neighbours), (*target_out, *neighbours_out))


def _side(
    groups: tuple[ThreadGroup, ...], side: str, scale: float
) -> tuple[list[SpecGroup], list[str]]:
    kept: list[SpecGroup] = []
    left_out: list[str] = []
    threads = 0
    weighty = sorted(groups, key=lambda g: (g.cpu_milli, g.wakeups_per_second), reverse=True)
    for group in weighty:
        count = max(1, round(_active_threads(group) * scale))
        small = group.cpu_milli < LEAST_CPU_MILLI and len(kept) > 0
        if _was_idle(group) or small or len(kept) == SIDE_GROUPS_MAX:
            left_out.append(f"{side}: {group.label} ({group.cpu_milli} milli-CPU)")
            continue
        room = SIDE_THREADS_MAX - threads
        if room <= 0:
            left_out.append(f"{side}: {group.label} ({count} threads beyond the bound)")
            continue
        if count > room:
            left_out.append(f"{side}: {count - room} of {count} threads of {group.label}")
        count = min(count, room)
        threads += count
        kept.append(_group(group, f"{side[0]}{len(kept)}", side, count))
    return kept, left_out


def _cycle_ns(group: ThreadGroup) -> int:
    return group.burst.mean_ns + group.sleep.mean_ns + group.wakeup_latency.mean_ns


def _is_hog(group: ThreadGroup) -> bool:
    threads = max(1, group.threads)
    busy = group.cpu_milli / threads >= 1000 * HOG_CPU_SHARE
    return 0 in (group.sleep.count, group.burst.count) or (
        busy and group.wakeups_per_second / threads < HOG_CYCLES_PER_SECOND
    )


def _was_idle(group: ThreadGroup) -> bool:
    """Say whether the group did nothing; one that never slept finished no burst, but is busy."""
    return group.burst.count == 0 and group.cpu_milli < LEAST_CPU_MILLI


def _active_threads(group: ThreadGroup) -> float:
    """Return how many threads take part at once, by Little's law."""
    if _is_hog(group):
        return max(1, min(group.threads, math.ceil(group.cpu_milli / 1000) * 4))
    active = group.wakeups_per_second * _cycle_ns(group) / 1e9
    return min(max(1.0, active), float(max(1, group.threads)))


def _group(group: ThreadGroup, name: str, side: str, threads: int) -> SpecGroup:
    if _is_hog(group):
        return SpecGroup(name, side, threads, (HOG_BURST_NS,) * 7)
    return SpecGroup(
        name, side, threads, _quantiles(group.burst, 1, HOG_BURST_NS), _sleep(group.sleep)
    )


def _sleep(sleep: Distribution) -> tuple[int, ...]:
    return _quantiles(sleep, 1000, LONGEST_SLEEP_NS)


def _quantiles(distribution: Distribution, least: int, most: int) -> tuple[int, ...]:
    """Return rising quantiles within bounds; p10 stands for the least, p99.9 for the most."""
    d = distribution
    values = (d.p10_ns, d.p25_ns, d.p50_ns, d.p75_ns, d.p90_ns, d.p99_ns, d.p999_ns)
    rising: list[int] = []
    for value in values:
        rising.append(max(least, min(most, value), *rising[-1:]))
    return tuple(rising)


def _distribution(quantiles: tuple[int, ...]) -> str:
    if len(set(quantiles)) == 1:
        return f"fixed:{quantiles[0]}"
    return "quantiles:" + ",".join(map(str, quantiles))
