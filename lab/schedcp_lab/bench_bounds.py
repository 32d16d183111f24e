"""What theory says of a batch, whatever schedules it: bounds of its makespan. Pure.

Times are in ns; a job is CPU time that one thread uses, from when it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

__all__ = ["Job", "critical_path_ns", "fair_sharing_ns", "least_makespan_ns", "tree_bound_ns"]


@dataclass(frozen=True)
class Job:
    """One thread's work."""

    name: str
    work_ns: int
    at_ns: int = 0
    """When it is there to be done."""
    after: tuple[str, ...] = field(default=())
    """The jobs that must be done before it starts."""


def least_makespan_ns(jobs: Sequence[Job], cpus: int) -> float:
    """Return what no schedule can be shorter than; longest first comes close to it.

    From each moment of arrival on, all later work needs its share of the CPUs, and each job itself.
    """
    arrivals = sorted({job.at_ns for job in jobs})
    shared = (at + sum(j.work_ns for j in jobs if j.at_ns >= at) / cpus for at in arrivals)
    alone = (job.at_ns + job.work_ns for job in jobs)
    return max(*shared, *alone)


def fair_sharing_ns(jobs: Sequence[Job], cpus: int) -> float:
    """Return the makespan when whoever is there gets an equal share, at most one CPU each."""
    waiting = sorted(jobs, key=lambda job: job.at_ns)
    left: dict[str, float] = {}
    now = 0.0
    while waiting or left:
        if not left:
            now = max(now, waiting[0].at_ns)
        while waiting and waiting[0].at_ns <= now:
            job = waiting.pop(0)
            left[job.name] = job.work_ns
        rate = min(1.0, cpus / len(left))
        step = min(left.values()) / rate
        if waiting:
            step = min(step, waiting[0].at_ns - now)
        now += step
        left = {name: work - rate * step for name, work in left.items()}
        left = {name: work for name, work in left.items() if work > 0.5}
    return now


def critical_path_ns(jobs: Sequence[Job]) -> int:
    """Return the work along the longest chain of jobs that wait for each other."""
    known: Mapping[str, Job] = {job.name: job for job in jobs}

    @cache
    def until_done(name: str) -> int:
        job = known[name]
        return job.work_ns + max((until_done(other) for other in job.after), default=0)

    return max(until_done(job.name) for job in jobs)


def tree_bound_ns(jobs: Sequence[Job], cpus: int) -> float:
    """Return what no schedule of jobs that wait for each other can be shorter than."""
    return max(critical_path_ns(jobs), sum(job.work_ns for job in jobs) / cpus)
