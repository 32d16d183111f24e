"""A parallel build as jobs that wait for each other: generators, compilers, archives, links. Pure.

The shape is that of a C project of middle size: a few generated headers, many independent compiler
runs of which one is much longer than the others, archives of their objects, and a few links at the
end, each after all archives.
"""

from __future__ import annotations

from random import Random

from schedcp_lab.bench_bounds import Job

__all__ = ["build_jobs"]

_MS = 1_000_000
_GENERATORS, _COMPILERS, _ARCHIVES, _LINKS = 4, 60, 6, 4
_LONGEST_FACTOR = 6


def build_jobs(seed: int) -> list[Job]:
    """Return the jobs of one build, each after those that it waits for."""
    random = Random(seed)  # noqa: S311 -- drawn again for each scheduler

    def work(typical_ms: float, spread: float = 0.4) -> int:
        return int(typical_ms * _MS * random.lognormvariate(0, spread))

    generators = [Job(f"gen-{i}", work(6)) for i in range(_GENERATORS)]
    longest = random.randrange(_COMPILERS)
    compilers = [
        Job(
            f"cc-{i}",
            work(15) * (_LONGEST_FACTOR if i == longest else 1),
            after=(random.choice(generators).name,) if random.random() < 0.5 else (),
        )
        for i in range(_COMPILERS)
    ]
    archives = [
        Job(f"ar-{i}", work(5), after=tuple(cc.name for cc in compilers[i::_ARCHIVES]))
        for i in range(_ARCHIVES)
    ]
    needed = tuple(archive.name for archive in archives)
    links = [Job(f"ld-{i}", work(25), after=needed) for i in range(_LINKS)]
    return [*generators, *compilers, *archives, *links]
