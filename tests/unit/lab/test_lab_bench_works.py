"""The works of the bench can be replayed, and their figures agree with each other."""

from __future__ import annotations

import pytest

from schedcp_api.base import digest_of
from schedcp_api.verdicts import EvaluationContract, Phase
from schedcp_lab.bench_works import WORKS, Work
from schedcp_verifier.microvm import VCPUS
from schedcp_verifier.records import parse_report
from schedcp_verifier.replaying import arm_names, judge_replay
from schedcp_verifier.workloads import HOG_BURST_NS, SpecGroup, WorkloadSpec, workload_of
from support.verifier import (
    MS,
    OPS,
    group_record,
    record,
    state_record,
    text_record,
    workload_profile,
)

KERNEL = digest_of(b"a kernel")
EVERY = pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)


def spec_of(work: Work) -> WorkloadSpec:
    return workload_of(work.profile(KERNEL))


def sides(spec: WorkloadSpec) -> tuple[SpecGroup, SpecGroup]:
    target, neighbours = spec.groups
    assert (target.side, neighbours.side) == ("target", "neighbours")
    return target, neighbours


def replayed(work: Work, *, slowest_ms: int, neighbours_percent: int = 100) -> list[bytes]:
    """Return what a guest says in which the kernel's own scheduler is as the profile says.

    The slowest wakeups under the candidate take `slowest_ms`, 20 ms by default.
    """
    seconds = spec_of(work).window_ns / 1e9
    lines = [text_record("kmsg", "replay", "sched_ext: BPF scheduler enabled")]
    for arm in arm_names(EvaluationContract().seeds):
        of_candidate = arm.startswith("candidate-")
        slowest = (slowest_ms if of_candidate else 20) * MS
        share = neighbours_percent if of_candidate else 100
        wakeups = round(work.target.wakeups_per_second * seconds)
        figures = {"wakeups": wakeups, "wakeupP99Ns": slowest, "wakeupP999Ns": slowest}
        target_ms = round(work.target.cpu_milli * seconds)
        lines += [
            state_record(f"{arm}-begin"),
            record("status", arm, program="workload", code=0),
            group_record(arm, "t0", target_ms, **figures),
            group_record(arm, "n0", round(work.neighbours.cpu_milli * seconds * share / 100)),
            state_record(f"{arm}-end"),
        ]
    return lines


@EVERY
@pytest.mark.parametrize(
    ("slowest_ms", "neighbours_percent", "phase", "words"),
    [
        (10, 95, Phase.PASSED, "better by 50.00%"),
        (20, 100, Phase.FAILED, "better by 0.00%"),
        (400, 100, Phase.FAILED, "better by -1900.00%"),
        (1, 60, Phase.FAILED, "lose 40.0"),
    ],
)
def test_a_gain_that_nobody_pays_for_passes_and_what_else_comes_of_it_does_not(
    work: Work, slowest_ms: int, neighbours_percent: int, phase: Phase, words: str
) -> None:
    lines = replayed(work, slowest_ms=slowest_ms, neighbours_percent=neighbours_percent)
    found = judge_replay(
        parse_report(lines),
        OPS,
        EvaluationContract(metric=work.metric),
        profile=work.profile(KERNEL),
        spec=spec_of(work),
    )
    (check,) = found.checks
    assert check.phase is phase, check.message
    assert words in check.message
    assert float(check.evidence["fidelity"][:-1]) > 99


@EVERY
def test_threads_are_replayed_one_for_one_and_nobody_is_left_out(work: Work) -> None:
    spec = spec_of(work)
    threads = [group.threads for group in sides(spec)]
    assert threads == [work.target.threads, work.neighbours.threads]
    assert spec.left_out == ()


@EVERY
def test_the_machine_is_full_and_no_fuller(work: Work) -> None:
    profile = work.profile(KERNEL)
    assert profile.cpus == VCPUS
    used = profile.target.cpu_milli + profile.neighbours.cpu_milli
    assert 0.9 * 1000 * VCPUS < used <= 1000 * VCPUS


def test_the_first_is_the_service_that_the_planners_choice_is_tried_on() -> None:
    expected = workload_of(workload_profile())
    assert spec_of(WORKS["a service beside a batch"]).text(1) == expected.text(1)


def test_long_requests_are_seldom_and_beside_more_short_work_than_there_are_cpus() -> None:
    target, neighbours = sides(spec_of(WORKS["a service with long requests"]))
    assert target.burst_ns[:-1] == (target.burst_ns[0],) * 6
    assert target.burst_ns[-1] == 24 * target.burst_ns[0]
    assert neighbours.burst_ns == neighbours.sleep_ns
    assert neighbours.burst_ns[-1] < target.burst_ns[-1]
    assert neighbours.threads / 2 > VCPUS


def test_the_busy_service_could_use_all_cpus_beside_hogs_that_could() -> None:
    target, neighbours = sides(spec_of(WORKS["a service as busy as its neighbours"]))
    share = target.burst_ns[0] / (target.burst_ns[0] + target.sleep_ns[0])
    assert target.threads * share > VCPUS
    assert neighbours.threads > VCPUS
    assert neighbours.burst_ns[0] == HOG_BURST_NS
