"""The catalogue of trials: which there are, in what order, and what must come of each.

The guest's program `trials` makes the trouble; here is the least of it that makes a trial count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .microvm import MAIN, Topology

__all__ = [
    "COMPARED",
    "HEARTS",
    "MAIN_COURSE",
    "OTHER_COURSES",
    "TRIALS",
    "WATCHED",
    "WATCHING",
    "Course",
    "Trial",
    "hearts_of",
    "trials_of",
]

COMPARED = ("idle", "wakeups", "few", "spread", "brisk", "pod")
"""Trials that run under the kernel's own scheduler as well, before the candidate is attached."""
TRIALS = (
    *("idle", "wakeups", "few", "spread"),
    *("bursts", "many", "waiting-churn", "sleeping-churn", "pinned", "forks", "yields"),
    *("realtime", "hogged-one", "hogged-most", "cgroups", "throttle", "crowd", "saturated"),
)
"""The trials of the main guest, as the guest's program names them."""
ELSEWHERE = ("few", "spread", "bursts", "waiting-churn", "pinned", "saturated-briefly")
"""The trials on other machines: what depends on which CPUs there are."""
ON_TWO_NODES = (*ELSEWHERE, "spare")
"""With a trial of who wakes while there is a choice of CPUs."""
ON_A_SMALL_ONE = (*ELSEWHERE, "brisk", "calms-down", "pod", "pods-pass")
"""With trials that cost little there, and show as much as on a larger machine."""
ON_ONE_CPU = (*ELSEWHERE, "generations")
"""With a trial for which each CPU would have to be kept busy by who is new."""
WATCHING = frozenset({"saturated", "saturated-briefly", "generations", "hotplug"})
"""The trials whose own tasks are watched."""
WATCHED = ("hog", "hog nice+19", "brisk", "brisk nice+19")
"""The tasks whose gaps those report."""

_LIGHT = 12
"""How many light tasks run beside real-time hogs."""


@dataclass(frozen=True)
class Course:
    """Trials on one machine."""

    topology: Topology
    trials: tuple[str, ...]

    @property
    def compared(self) -> tuple[str, ...]:
        """Those of them that run without the candidate first."""
        return tuple(trial for trial in self.trials if trial in COMPARED)


MAIN_COURSE = Course(MAIN, TRIALS)
OTHER_COURSES = (
    Course(Topology(8, sockets=2), ON_TWO_NODES),
    Course(Topology(2), ON_A_SMALL_ONE),
    Course(Topology(1), ON_ONE_CPU),
)


@dataclass(frozen=True)
class Trial:
    """The least that must have happened in a trial."""

    made: Mapping[str, int] = field(default_factory=dict)
    """By the conductor; less is the machine's trouble."""
    served: Mapping[str, int] = field(default_factory=dict)
    """By tasks that the candidate schedules; less is the candidate's. Only what any order gives."""
    late: int | None = None
    """How many light tasks may have been stuck where a CPU was taken away."""
    late_told: int | None = None
    """From how many on it is told and not held against the candidate."""


def _hogged(hogs: int, cpus: int) -> Trial:
    """Return what must come of light tasks beside real-time hogs.

    Each CPU that is taken away may have been about to run some, more than one where they are taken
    in batches; and where the kernel serves sched_ext beside real-time tasks, it takes some again
    each second. A scheduler that sends tasks where they ran before has all of those CPUs' share
    stuck, and that is too many: where most CPUs are free nobody has a reason. Where one is left, a
    scheduler that lets urgent tasks take the CPU they ran on has as many stuck now and then.
    """
    made = {"tasks": _LIGHT + hogs, "realtimeMs": 1000}
    late = _LIGHT * hogs // cpus - 1
    if 2 * hogs > cpus:
        return Trial(made, {"sleeps": 1000}, late_told=late)
    return Trial(made, {"sleeps": 1000}, late=late)


def trials_of(topology: Topology) -> Mapping[str, Trial]:
    """Return what must come of each trial on a machine."""
    cpus = topology.cpus
    saturated = Trial({"tasks": 6 * cpus}, {"niced": 2 * cpus, "sleeps": 2 * cpus})
    return {
        "idle": Trial(),
        "wakeups": Trial({"tasks": cpus}),
        "few": Trial({"tasks": max(1, cpus // 2)}),
        "spread": Trial({"tasks": cpus + 2}),
        "brisk": Trial({"tasks": 3 * cpus}),
        "spare": Trial({"tasks": cpus // 2}),
        "calms-down": Trial({"tasks": 2 * cpus, "bound": cpus}),
        "pod": Trial({"tasks": 3 * cpus + 1, "moves": 3 * cpus + 1}, {"sleeps": 1}),
        # One pod stays and sixty pass, each entered by as many tasks as there are CPUs.
        "pods-pass": Trial({"tasks": 4 * cpus + 1, "cgroups": 61, "moves": 63 * cpus + 1}),
        "generations": Trial({"tasks": 3 * cpus + 4}, {"forks": 20, "niced": 2}),
        "bursts": Trial({"tasks": 64}, {"bursts": 160}),
        "waiting-churn": Trial({"tasks": 3 * cpus, "niced": 60, "bound": 60}),
        "sleeping-churn": Trial({"tasks": 32 + cpus, "niced": 60, "bound": 60}, {"sleeps": 200}),
        "pinned": Trial({"tasks": 3 * cpus, "bound": 2 * cpus}),
        # Beside nothing else: whoever was released and did not run by then was forgotten.
        "many": Trial({"tasks": 600}, {"bursts": 1200}),
        "forks": Trial({"tasks": 5}, {"forks": 1950}),
        "yields": Trial({"tasks": 2 * cpus}, {"yields": 2 * cpus}),
        "realtime": Trial({"tasks": 2 * cpus + 1, "realtimeMs": 200}),
        "hogged-one": _hogged(1, cpus),
        "hogged-most": _hogged(cpus - 1, cpus),
        "cgroups": Trial({"tasks": 192, "cgroups": 290, "moves": 192}, {"sleeps": 192}),
        "throttle": Trial({"tasks": 8 + cpus, "cgroups": 1, "moves": 8}, {"released": 8}),
        "crowd": Trial({"tasks": 128}),
        "saturated": saturated,
        "saturated-briefly": saturated,
    }


def hearts_of(topology: Topology) -> tuple[str, ...]:
    """Return the classes of `heartbeat` on a machine."""
    fixed = ("normal", "nice+19", "nice-20", "rcu", "kworker", "kworker-each")
    return (*fixed, *(f"pinned-{cpu}" for cpu in range(topology.cpus)))


HEARTS = hearts_of(MAIN)
"""The classes of `heartbeat` in the main guest."""
