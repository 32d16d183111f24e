"""What theory says of batches, and the scenarios that are judged by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_lab.bench_bounds import (
    Job,
    critical_path_ns,
    fair_sharing_ns,
    least_makespan_ns,
    tree_bound_ns,
)
from schedcp_lab.bench_builds import build_jobs
from schedcp_lab.bench_scenarios import KNOWN, SCENARIOS, SHORT_NS, Kind, Scenario

S = 30_000_000


def batch(shorts: int, factor: int) -> list[Job]:
    return [Job("long", factor * S), *(Job(f"s{i}", S) for i in range(shorts))]


@pytest.mark.parametrize("cpus", [2, 4, 8])
@pytest.mark.parametrize("factor", [3, 6, 10, 20])
def test_one_long_job_among_equals_follows_the_closed_forms(cpus: int, factor: int) -> None:
    jobs = batch(39, factor)
    assert least_makespan_ns(jobs, cpus) == max(factor, (39 + factor) / cpus) * S
    assert fair_sharing_ns(jobs, cpus) == pytest.approx((40 / cpus + factor - 1) * S)


def test_a_job_that_comes_late_cannot_be_done_before() -> None:
    jobs = [Job("early", S), Job("late", S, at_ns=5 * S)]
    assert least_makespan_ns(jobs, 4) == 6 * S
    assert fair_sharing_ns(jobs, 4) == 6 * S


def test_what_comes_late_counts_by_its_share_of_the_cpus() -> None:
    jobs = [Job(f"late-{i}", S, at_ns=S) for i in range(8)]
    assert least_makespan_ns(jobs, 2) == 5 * S


def test_shares_grow_when_somebody_is_done() -> None:
    assert fair_sharing_ns([Job("a", S), Job("b", 2 * S)], 1) == pytest.approx(3 * S)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=12),
    st.integers(1, 8),
)
def test_equal_shares_are_never_better_than_what_is_possible(
    drawn: list[tuple[int, int]], cpus: int
) -> None:
    jobs = [Job(f"j{i}", work * S, at_ns=at * S) for i, (work, at) in enumerate(drawn)]
    assert fair_sharing_ns(jobs, cpus) >= least_makespan_ns(jobs, cpus) * (1 - 1e-9)


def test_a_chain_takes_as_long_as_its_longest_way() -> None:
    jobs = [
        Job("a", 1 * S),
        Job("b", 5 * S),
        Job("c", 2 * S, after=("a", "b")),
        Job("d", 1 * S, after=("c",)),
    ]
    assert critical_path_ns(jobs) == 8 * S
    assert tree_bound_ns(jobs, 4) == 8 * S
    assert tree_bound_ns(jobs, 1) == 9 * S


def test_a_build_names_what_it_waits_for_before_it_is_needed() -> None:
    seen: set[str] = set()
    for job in build_jobs(7):
        assert seen >= set(job.after)
        seen.add(job.name)
    assert build_jobs(7) == build_jobs(7) != build_jobs(8)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("cpus", [2, 4, 8])
def test_a_scenario_fits_the_guest_and_is_the_same_whenever_it_is_drawn(
    scenario: Scenario, cpus: int
) -> None:
    text = scenario.text(cpus, 3)
    assert text == scenario.text(cpus, 3)
    lines = text.splitlines()
    assert max(map(len, lines)) < 1024
    assert sum(line.startswith("group ") for line in lines) <= 256
    assert all(int(line.rpartition("threads=")[2].split()[0]) <= 256
               for line in lines if "threads=" in line)  # fmt: skip


def _cgroups(scenario: Scenario) -> set[str]:
    words = scenario.text(4, 1).split()
    return {word.removeprefix("cgroup=") for word in words if word.startswith("cgroup=")}


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.kind is Kind.BATCH], ids=lambda s: s.name
)
def test_run_times_are_handed_over_of_all_jobs_or_of_none(scenario: Scenario) -> None:
    named = _cgroups(scenario)
    assert named <= set(KNOWN) if scenario.known else not named & set(KNOWN)


def test_the_eight_kinds_have_forty_jobs_and_their_long_ones() -> None:
    tails = [s for s in SCENARIOS if s.known]
    longs = {s.name: [j.work_ns for j in (s.jobs or _nothing)(4, 1)] for s in tails}
    assert len(tails) == 8
    assert all(len(works) == 40 for works in longs.values())
    counts = {name: sum(w > 2 * SHORT_NS for w in works) for name, works in longs.items()}
    assert counts.pop("tail-none-known") == 0
    assert counts.pop("tail-three-known") == 3
    assert set(counts.values()) == {1}


def _nothing(_cpus: int, _seed: int) -> tuple[Job, ...]:
    return ()
