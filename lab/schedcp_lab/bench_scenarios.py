"""The scenarios that schedulers are measured in, as data: text for the guest, and bounds.

Pure. Each text is drawn from a seed, for a number of CPUs, and is the same whenever it is. Work is
CPU time of threads. Nothing tells a scheduler what a task is, but for the cgroups whose expected
run time is handed over: `KNOWN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from schedcp_lab.bench_bounds import Job, fair_sharing_ns, least_makespan_ns, tree_bound_ns
from schedcp_lab.bench_builds import build_jobs

__all__ = ["FAMILIES", "FLOOR", "KNOWN", "SCENARIOS", "WEIGHTS", "Family", "Kind", "Scenario"]

MS = 1_000_000
WARM_UP_NS, WINDOW_NS = 300 * MS, 1500 * MS
SHORT_NS = 30 * MS
SHORTS = 39
HOG_BURST_NS = 1000 * MS
SIZE_SPREAD = 0.1
"""Jobs of one kind differ by this share, up or down, from seed to seed."""
WEIGHTS = {"n-5": 3121, "n0": 1024, "n5": 335}
"""Of the nice values -5, 0 and 5, as the kernel has them."""
FLOOR = "floor"


class Kind(StrEnum):
    """What a scenario measures, and so which figures are read from it."""

    LATENCY = "latency"
    """Wakeups of `target`, and the CPU time of `hogs` where there are any."""
    REQUESTS = "requests"
    """Wakeups of `target`, and how many requests it has answered."""
    SERVICE = "service"
    """Responses of `target`, and the CPU time of `hogs`."""
    BATCH = "batch"
    """The makespan of jobs, against what is possible."""
    SHARES = "shares"
    """How far shares of the CPUs are from the weights."""


class Family(StrEnum):
    """What shares a guest."""

    LATENCY = "latency"
    TAIL = "tail"
    WORK = "work"


@dataclass(frozen=True)
class Scenario:
    """One thing that schedulers are measured at."""

    name: str
    title: str
    family: Family
    kind: Kind
    text: Callable[[int, int], str]
    """The guest's specification for a number of CPUs and a seed."""
    floor: Callable[[int, int], str] | None = None
    """The same without neighbours: how much of a latency is the machine's."""
    jobs: Callable[[int, int], tuple[Job, ...]] | None = None
    known: bool = False
    """Whether the expected run times are handed over."""
    nothing_to_gain: bool = False

    @property
    def at_once(self) -> bool:
        """Whether it is a batch whose jobs are all there at the start."""
        return self.jobs is not None and not any(job.at_ns for job in self.jobs(1, 1))

    def least_ns(self, cpus: int, seed: int) -> float | None:
        """Return the least makespan that is possible, of a batch."""
        if self.jobs is None:
            return None
        jobs = self.jobs(cpus, seed)
        bound = tree_bound_ns if any(job.after for job in jobs) else least_makespan_ns
        return bound(jobs, cpus)

    def fair_ns(self, cpus: int, seed: int) -> float | None:
        """Return the makespan that equal shares come to, of a batch whose jobs stand alone."""
        jobs = self.jobs(cpus, seed) if self.jobs else ()
        return fair_sharing_ns(jobs, cpus) if jobs and not any(j.after for j in jobs) else None


def _windowed(seed: int, lines: Sequence[str]) -> str:
    head = (f"seed {seed}", f"warmup_ns {WARM_UP_NS}", f"duration_ns {WINDOW_NS}")
    return "".join(f"{line}\n" for line in (*head, *lines))


def _hogs(cpus: int) -> str:
    return f"group hogs threads={2 * cpus} burst_ns=fixed:{HOG_BURST_NS}"


# Latency


def _even(least_ns: float, most_ns: float) -> str:
    """Return a distribution in which every value between two is as likely."""
    at = (0, 0.25, 0.5, 0.75, 0.9, 0.99, 1)
    values = (int(least_ns + share * (most_ns - least_ns)) for share in at)
    return "quantiles:" + ",".join(map(str, values))


def _every(least_ns: float, most_ns: float) -> str:
    """Return when work comes: as often whatever the scheduler does, so that all do as much."""
    return f" sleep_ns={_even(least_ns, most_ns)} paced=1"


def _periodic(cpus: int) -> str:
    every = _every(7 * MS, 10 * MS)
    return f"group target threads={cpus} burst_ns=fixed:{MS // 2}{every}"


def _pairs(cpus: int, *, askers: int, every: str) -> list[str]:
    bursts = _even(0.1 * MS, 0.5 * MS)
    asks = f"group target threads={askers * cpus} burst_ns={bursts}{every}"
    answers = f"group servers threads={max(1, cpus // 2)} burst_ns=fixed:{MS // 50} serves=target"
    return [asks, answers]


def _service(cpus: int) -> str:
    bursts = "quantiles:100000,250000,400000,700000,1200000,2500000,4000000"
    return f"group target threads={3 * cpus} burst_ns={bursts}{_every(6 * MS, 16 * MS)}"


def _beside_hogs(lines: Callable[[int], Sequence[str]]) -> Callable[[int, int], str]:
    return lambda cpus, seed: _windowed(seed, (*lines(cpus), _hogs(cpus)))


def _alone(lines: Callable[[int], Sequence[str]]) -> Callable[[int, int], str]:
    return lambda cpus, seed: _windowed(seed, lines(cpus))


def _shares(cpus: int, seed: int) -> str:
    lines = [
        f"group {name} threads={2 * cpus} nice={name[1:]} burst_ns=fixed:{HOG_BURST_NS}"
        for name in WEIGHTS
    ]
    return _windowed(seed, lines)


# Batches


def _sized(random: Random, work_ns: float) -> int:
    return int(work_ns * random.uniform(1 - SIZE_SPREAD, 1 + SIZE_SPREAD))


def _tail(factor: int, *, longs: int = 1, place: float = 0.5) -> Callable[[int, int], list[Job]]:
    """Return short jobs with `longs` among them, at a place from the first (0) to the last (1)."""

    def jobs(_: int, seed: int) -> list[Job]:
        random = Random(seed)  # noqa: S311 -- drawn again for each scheduler
        short = [Job(f"short-{i}", _sized(random, SHORT_NS)) for i in range(SHORTS + 1 - longs)]
        long = [Job(f"long{factor}-{i}", _sized(random, factor * SHORT_NS)) for i in range(longs)]
        at = round(place * len(short))
        return [*short[:at], *long, *short[at:]]

    return jobs


def _arriving(_: int, seed: int) -> list[Job]:
    """Return jobs that come one by one, each as likely to be the long one."""
    random = Random(seed)  # noqa: S311 -- drawn again for each scheduler
    long = set(random.sample(range(SHORTS + 1), 2))
    ats = sorted(random.randrange(0, 200 * MS) for _ in range(SHORTS + 1))
    return [
        Job(f"{'long10' if i in long else 'short'}-{i}",
            _sized(random, SHORT_NS * (10 if i in long else 1)), at_ns=at)
        for i, at in enumerate(ats)
    ]  # fmt: skip


def _of_equals(count_per_cpu: int, work_ns: int) -> Callable[[int, int], list[Job]]:
    def jobs(cpus: int, _: int) -> list[Job]:
        return [Job(f"equal-{i}", work_ns) for i in range(count_per_cpu * cpus)]

    return jobs


def _batch_text(jobs: Sequence[Job], *, room: str, width: int = 0) -> str:
    lines = ["sum 1", *([f"width {width}"] if width else [])]
    for job in jobs:
        line = f"group {job.name} burst_ns=fixed:{HOG_BURST_NS} total_cpu_ns={job.work_ns}"
        if job.at_ns:
            line += f" start_delay_ns={job.at_ns}"
        if job.after:
            line += f" after={','.join(job.after)}"
        lines.append(f"{line} cgroup={room}/{job.name.partition('-')[0]}" if room else line)
    return "".join(f"{line}\n" for line in lines)


KNOWN_ROOM, BLIND_ROOM = "known", "blind"
KNOWN = {
    f"{KNOWN_ROOM}/short": SHORT_NS,
    **{f"{KNOWN_ROOM}/long{factor}": factor * SHORT_NS for factor in (3, 6, 10, 20)},
}
"""Expected run times by cgroup, as earlier runs would have taught them."""
_TAILS: dict[str, tuple[str, Callable[[int, int], list[Job]]]] = {
    "r3": ("one long, 3 times", _tail(3)),
    "r6": ("one long, 6 times", _tail(6)),
    "r10": ("one long, 10 times", _tail(10)),
    "r20": ("one long, 20 times", _tail(20)),
    "none": ("no long one", _tail(1, longs=0)),
    "three": ("three long, 10 times", _tail(10, longs=3)),
    "first": ("the long one first, 10 times", _tail(10, place=0.0)),
    "last": ("the long one last, 10 times", _tail(10, place=1.0)),
}


def _tail_scenario(
    name: str, title: str, jobs: Callable[[int, int], list[Job]], *, known: bool
) -> Scenario:
    room = KNOWN_ROOM if known else BLIND_ROOM
    return Scenario(
        f"tail-{name}-{room}",
        f"long tail, {title}, {'run times known' if known else 'blind'}",
        Family.TAIL,
        Kind.BATCH,
        lambda cpus, seed: _batch_text(jobs(cpus, seed), room=room),
        jobs=lambda cpus, seed: tuple(jobs(cpus, seed)),
        known=known,
        nothing_to_gain=name == "none",
    )


def _build_text(cpus: int, seed: int) -> str:
    return _batch_text(build_jobs(seed), room="", width=2 * cpus)


SCENARIOS = (
    Scenario(
        "periodic",
        "periodic threads beside hogs",
        Family.LATENCY,
        Kind.LATENCY,
        _beside_hogs(lambda cpus: [_periodic(cpus)]),
        floor=_alone(lambda cpus: [_periodic(cpus)]),
    ),
    Scenario(
        "pairs",
        "requests and workers beside hogs",
        Family.LATENCY,
        Kind.LATENCY,
        _beside_hogs(lambda cpus: _pairs(cpus, askers=1, every=_every(7 * MS, 10 * MS))),
        floor=_alone(lambda cpus: _pairs(cpus, askers=1, every=_every(7 * MS, 10 * MS))),
    ),
    Scenario(
        "schbench",
        "requests and workers without a pause",
        Family.LATENCY,
        Kind.REQUESTS,
        _alone(lambda cpus: _pairs(cpus, askers=2, every="")),
    ),
    Scenario(
        "mixed",
        "a service and a batch",
        Family.LATENCY,
        Kind.SERVICE,
        _beside_hogs(lambda cpus: [_service(cpus)]),
        floor=_alone(lambda cpus: [_service(cpus)]),
    ),
    *(_tail_scenario(name, title, jobs, known=True) for name, (title, jobs) in _TAILS.items()),
    *(_tail_scenario(name, title, jobs, known=False) for name, (title, jobs) in _TAILS.items()),
    _tail_scenario("arriving", "two long, 10 times, arriving over time", _arriving, known=False),
    Scenario(
        "build",
        "a parallel build",
        Family.WORK,
        Kind.BATCH,
        _build_text,
        jobs=lambda _, seed: tuple(build_jobs(seed)),
    ),
    Scenario("shares", "three weights", Family.WORK, Kind.SHARES, _shares),
    Scenario(
        "equals",
        "two equal jobs to a CPU",
        Family.WORK,
        Kind.BATCH,
        lambda cpus, seed: _batch_text(_of_equals(2, 200 * MS)(cpus, seed), room=""),
        jobs=lambda cpus, seed: tuple(_of_equals(2, 200 * MS)(cpus, seed)),
        nothing_to_gain=True,
    ),
)
FAMILIES = tuple(Family)
