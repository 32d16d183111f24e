"""The replay's figures are medians over seeds, and its decision follows the contract."""

from __future__ import annotations

import pytest

from schedcp_api.profiles import WorkloadProfile
from schedcp_api.verdicts import EvaluationContract, Phase, ReplayMode
from schedcp_verifier.records import parse_report
from schedcp_verifier.replaying import Replayed, arm_names, judge_replay
from schedcp_verifier.workloads import workload_of
from support.verifier import (
    MS,
    group_record,
    record,
    state_record,
    text_record,
    workload_profile,
)


def arm_lines(
    arm: str, p99_ms: int, neighbours_ms: int, *, cpu_ms: int = 422, wakeups: int = 842
) -> list[bytes]:
    figures = {"wakeups": wakeups, "wakeupP50Ns": MS, "wakeupP99Ns": p99_ms * MS}
    lines = [
        record("status", arm, program="workload", code=0),
        group_record(arm, "t0", cpu_ms, **figures),
    ]
    if neighbours_ms:
        lines.append(group_record(arm, "n0", neighbours_ms))
    if arm.startswith("candidate"):
        lines = [state_record(f"{arm}-begin"), *lines, state_record(f"{arm}-end")]
    return lines


def replay_lines(
    default_ms: int = 4, candidate_ms: int = 1, candidate_cpu: int = 7400
) -> list[bytes]:
    lines = [*arm_lines("default-warm", 9, 7400), *arm_lines("default-floor", 1, 0)]
    for seed in (1, 2):
        lines += arm_lines(f"default-{seed}", default_ms, 7400)
        lines += arm_lines(f"candidate-{seed}", candidate_ms, candidate_cpu)
    return [*lines, text_record("kmsg", "replay", "sched_ext: BPF scheduler enabled")]


def judged(
    lines: list[bytes], *, profile: WorkloadProfile | None = None, **contract: object
) -> Replayed:
    profile = profile or workload_profile()
    return judge_replay(
        parse_report(lines),
        "tried",
        EvaluationContract.model_validate(contract),
        profile=profile,
        spec=workload_of(profile),
    )


def test_the_arms_are_interleaved_after_a_warm_up_and_the_floor() -> None:
    assert arm_names(2) == (
        "default-warm", "default-floor", "default-1", "candidate-1", "default-2", "candidate-2",
    )  # fmt: skip


def test_a_gain_passes_with_its_figures() -> None:
    found = judged(replay_lines())
    assert found.replay is not None
    assert found.checks[0].phase is Phase.PASSED
    assert (found.replay.improvement, found.replay.neighbour_loss) == ("75.00%", "0.00%")
    assert found.replay.floor.wakeup_p99_ns == MS
    assert found.replay.fidelity == "100.00%" or float(found.replay.fidelity[:-1]) > 98


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (replay_lines(candidate_ms=4), "better by 0.00%"),
        (replay_lines(candidate_ms=8), "better by -100.00%"),
        (replay_lines(candidate_cpu=3700), "lose 50.00%"),
    ],
)
@pytest.mark.parametrize(
    ("mode", "phase"), [(ReplayMode.REQUIRED, Phase.FAILED), (ReplayMode.ADVISORY, Phase.WARNING)]
)
def test_no_gain_or_a_dear_one_is_refused_or_told(
    lines: list[bytes], words: str, mode: ReplayMode, phase: Phase
) -> None:
    found = judged(lines, replay=mode)
    assert found.checks[0].phase is phase
    assert words in found.checks[0].message


@pytest.mark.parametrize(
    "state",
    [
        state_record("candidate-2-end", "disabled", ""),
        state_record("candidate-2-end", enableSeq=7),
        state_record("candidate-2-end", ops="other"),
    ],
)
def test_a_candidate_that_left_is_refused_and_has_no_figures(state: bytes) -> None:
    lines = [state if b'"candidate-2-end"' in line else line for line in replay_lines()]
    for code, phase in ((20, Phase.FAILED), (18, Phase.FAILED), (137, Phase.ERROR)):
        status = record("status", "candidate-2", program="schedcp-loader", code=code)
        found = judged([*lines, status])
        assert found.replay is None
        assert found.checks[0].phase is phase


@pytest.mark.parametrize(
    ("cpu_ms", "wakeups", "words"),
    [(422, 0, "0% of its wakeups"), (0, 842, "0% of its CPU time"), (300, 700, "83% of its wake")],
)
def test_a_target_that_is_not_served_is_no_gain_however_low_its_latency(
    cpu_ms: int, wakeups: int, words: str
) -> None:
    starved = [
        line
        for seed in (1, 2)
        for line in arm_lines(f"candidate-{seed}", 0, 7400, cpu_ms=cpu_ms, wakeups=wakeups)
    ]
    found = judged([*replay_lines(), *starved])
    assert found.checks[0].phase is Phase.FAILED
    assert words in found.checks[0].message


@pytest.mark.parametrize(
    "line",
    [
        group_record("default-1", "t0", 422, wakeups=0),
        group_record("default-1", "t0", 0, wakeups=842),
        group_record("candidate-2", "t0", 422, wakeups=842, samplesDropped=1),
    ],
)
def test_figures_that_say_nothing_are_no_pass(line: bytes) -> None:
    found = judged([*replay_lines(), line])
    assert (found.replay, found.checks[0].phase) == (None, Phase.ERROR)


def test_the_kernels_log_is_looked_at() -> None:
    silent = [line for line in replay_lines() if b"kmsg" not in line]
    assert judged(silent).checks[0].phase is Phase.ERROR
    loud = text_record("complaints", "replay", "WARNING: at kernel/sched")
    assert judged([*replay_lines(), loud]).checks[0].phase is Phase.FAILED


@pytest.mark.parametrize("metric", ["Makespan", "ThroughputOps", "prometheus"])
def test_of_a_metric_that_is_not_measured_only_the_harm_is_judged(metric: str) -> None:
    found = judged(replay_lines(candidate_ms=8), metric=metric)
    assert found.replay is not None
    assert found.checks[0].phase is Phase.SKIPPED
    for mode, phase in ((ReplayMode.REQUIRED, Phase.FAILED), (ReplayMode.ADVISORY, Phase.WARNING)):
        found = judged(replay_lines(candidate_cpu=3700), metric=metric, replay=mode)
        assert found.checks[0].phase is phase
        assert "lose 50.00%" in found.checks[0].message


@pytest.mark.parametrize(
    ("mode", "phase"), [(ReplayMode.REQUIRED, Phase.ERROR), (ReplayMode.ADVISORY, Phase.WARNING)]
)
def test_a_replay_that_is_not_the_profiles_proves_nothing(mode: ReplayMode, phase: Phase) -> None:
    seen = workload_profile()
    groups = tuple(
        group.replace(wakeups_per_second=100 * group.wakeups_per_second)
        for group in seen.target.thread_groups
    )
    busier = seen.target.replace(cpu_milli=9 * seen.target.cpu_milli, thread_groups=groups)
    found = judged(replay_lines(), profile=seen.replace(target=busier), replay=mode)
    assert found.checks[0].phase is phase
    assert "proves nothing" in found.checks[0].message
    assert found.replay is not None
    assert float(found.replay.fidelity[:-1]) < 50


@pytest.mark.parametrize("kept_ms", [1700, 1900])
def test_a_neighbour_that_starves_is_not_hidden_by_one_that_profits(kept_ms: int) -> None:
    lines = replay_lines()
    for seed in (1, 2):
        lines.append(group_record(f"default-{seed}", "n1", 3600))
        lines.append(group_record(f"candidate-{seed}", "n1", kept_ms))
        lines.append(group_record(f"candidate-{seed}", "n0", 7400 + 3600 - kept_ms))
    check = judged(lines, maximumNeighbourLoss="5%").checks[0]
    assert (check.phase is Phase.FAILED) == ("neighbour n1 got only 47%" in check.message)
    assert (check.phase is Phase.PASSED) == (kept_ms > 1800)


def test_the_figure_that_decides_is_named() -> None:
    for metric, figure in (
        ("WakeupLatencyP50", "wakeup_p50_ns"),
        ("WakeupLatencyP99", "wakeup_p99_ns"),
    ):
        assert judged(replay_lines(), metric=metric).checks[0].evidence["judgedBy"] == figure


def test_a_workload_that_did_not_run_could_not_tell() -> None:
    broken = record("status", "default-2", program="workload", code=1)
    lines = [
        broken if b'"default-2"' in line and b"status" in line else line for line in replay_lines()
    ]
    found = judged(lines)
    assert (found.replay, found.checks[0].phase) == (None, Phase.ERROR)
