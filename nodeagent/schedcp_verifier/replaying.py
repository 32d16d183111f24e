"""Judge the replay: the candidate against the default scheduler, the same work on virtual time.

Pure: a report in, figures and a check out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from schedcp_api.base import percent_text, percent_value
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.verdicts import (
    Check,
    EvaluationContract,
    Phase,
    Replay,
    ReplayFigures,
    ReplayMode,
    Stage,
)

from .checks import error, failed, passed, skipped, warning
from .kernellog import BY_USER_SPACE, endings, judge_kernel_log
from .microvm import VCPUS
from .records import GroupData, GuestReport
from .workloads import WorkloadSpec

__all__ = ["FLOOR", "Replayed", "arm_names", "judge_replay"]

WARM = "default-warm"
FLOOR = "default-floor"
_SERVED = 0.9
"""How much of its wakeups and of its CPU time the target must at least keep."""
_KEPT = 0.5
"""How much of its CPU time a neighbour must at least keep, whatever all of them together lose."""
_NOTABLE = 0.05
"""From which share of all neighbours' CPU time on one of them is looked at by itself."""
_LEAST_FIDELITY = 50.0
"""Below this many percent a replay is not the profile's, and proves nothing."""
_ON_THE_CANDIDATE = (11, 12, 13, 14, 15, 17, 18, 20, 21)
"""Exit codes of the loader that are the candidate's doing (`schedcp-loader --help`)."""
_FIGURES = {
    "WakeupLatencyP50": "wakeup_p50_ns",
    "WakeupLatencyP99": "wakeup_p99_ns",
    "WakeupLatencyP999": "wakeup_p999_ns",
    "Makespan": "makespan_ns",
}
"""The figure that a metric is judged by. What is not here cannot be replayed."""


@dataclass(frozen=True)
class Replayed:
    """What a replay came to."""

    checks: tuple[Check, ...]
    replay: Replay | None = None


def arm_names(seeds: int) -> tuple[str, ...]:
    """Return the arms in their order: warm-up, floor, then both schedulers for each seed."""
    pairs = [f"{arm}-{seed}" for seed in range(1, seeds + 1) for arm in ("default", "candidate")]
    return (WARM, FLOOR, *pairs)


def judge_replay(
    report: GuestReport,
    ops_name: str,
    contract: EvaluationContract,
    *,
    profile: WorkloadProfile,
    spec: WorkloadSpec,
) -> Replayed:
    """Return the figures of a replay and whether they satisfy the contract."""
    broken = _broken_arm(report, ops_name, contract) or _unsound(report, contract)
    if broken is not None:
        return Replayed((broken,))
    seeds = range(1, contract.seeds + 1)
    baselines = [_figures(report, f"default-{seed}") for seed in seeds]
    candidates = [_figures(report, f"candidate-{seed}") for seed in seeds]
    baseline, candidate = _medians(baselines), _medians(candidates)
    figure = _FIGURES.get(contract.metric, "wakeup_p99_ns")
    before, after = (getattr(figures, figure) for figures in (baseline, candidate))
    measured = contract.metric in _FIGURES and before > 0
    loss = _relative(baseline.neighbour_cpu_ns, candidate.neighbour_cpu_ns)
    replay = Replay(
        baseline=baseline,
        candidate=candidate,
        floor=_figures(report, FLOOR),
        improvement=percent_text(_relative(before, after)),
        neighbour_loss=percent_text(loss),
        seeds=contract.seeds,
        fidelity=percent_text(_fidelity(baseline, profile, report, spec)),
        spread=percent_text(_spread([getattr(figures, figure) for figures in candidates])),
    )
    decision = _decision(
        replay,
        contract,
        figure if measured else None,
        harm=_harm(report, contract),
        left_out=spec.left_out,
    )
    return Replayed((decision,), replay)


def _target(report: GuestReport, arm: str) -> list[GroupData]:
    return [group for group in report.groups[arm].values() if group.group.startswith("t")]


def _neighbours(report: GuestReport, arm: str) -> list[GroupData]:
    return [group for group in report.groups[arm].values() if group.group.startswith("n")]


def _unsound(report: GuestReport, contract: EvaluationContract) -> Check | None:
    """Return why nothing can be concluded from the figures, if so."""
    log = judge_kernel_log(report, "replay", Stage.REPLAY)
    if log.phase in (Phase.FAILED, Phase.ERROR):
        return log
    for arm in arm_names(contract.seeds):
        if arm not in report.groups or not _target(report, arm):
            return error("replay", Stage.REPLAY, f"{arm}: the target's figures are missing")
        dropped = sum(group.samples_dropped for group in report.groups[arm].values())
        if dropped:
            return error("replay", Stage.REPLAY, f"{arm}: {dropped} samples were dropped")
        cpu_ns = sum(group.cpu_time_ns for group in _target(report, arm))
        if arm.startswith("default-") and not cpu_ns:
            return error("replay", Stage.REPLAY, f"{arm}: the target did nothing, also by default")
        wakeups = sum(group.wakeups for group in _target(report, arm))
        if arm.startswith("default-") and contract.metric.startswith("Wakeup") and not wakeups:
            return error("replay", Stage.REPLAY, f"{arm}: no wakeup was measured, also by default")
    return None


def _harm(report: GuestReport, contract: EvaluationContract) -> str:
    """Return who got much less than under the kernel's own scheduler; empty when nobody did."""

    def arms(kind: str) -> list[str]:
        return [f"{kind}-{seed}" for seed in range(1, contract.seeds + 1)]

    def total(kind: str, what: Callable[[GroupData], int]) -> int:
        return sum(what(group) for arm in arms(kind) for group in _target(report, arm))

    def by_neighbour(kind: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for arm in arms(kind):
            found.update({g.group: g.cpu_time_ns for g in _neighbours(report, arm)})
        return found

    measures: tuple[tuple[str, Callable[[GroupData], int]], ...] = (
        ("wakeups", lambda group: group.wakeups),
        ("CPU time", lambda group: group.cpu_time_ns),
    )
    short = []
    for name, what in measures:
        before, after = total("default", what), total("candidate", what)
        if after < _SERVED * before:
            short.append(f"{100 * after // before}% of its {name}")
    harm = [f"the target got only {' and '.join(short)}"] if short else []
    usual, tried = by_neighbour("default"), by_neighbour("candidate")
    for name, before in sorted(usual.items()):
        if before >= _NOTABLE * usual.total() and tried[name] < _KEPT * before:
            harm.append(f"neighbour {name} got only {100 * tried[name] // before}% of its CPU time")
    return "; ".join(harm)


def _broken_arm(report: GuestReport, ops_name: str, contract: EvaluationContract) -> Check | None:
    for arm in arm_names(contract.seeds):
        said = report.texts.get(("workload", arm), "").strip()
        status = report.statuses.get(("workload", arm))
        if arm.startswith("candidate-"):
            begin, end = report.states.get(f"{arm}-begin"), report.states.get(f"{arm}-end")
            held = (
                begin is not None
                and end is not None
                and begin.enabled
                and end.enabled
                and begin.ops == end.ops == ops_name
                and begin.enable_seq == end.enable_seq
            )
            if not held and report.of_program:
                return _program_gone(report, arm)
            if not held:
                exit_ = report.loader_event(arm, "exit") or report.loader_event(arm, "error")
                why = f"{exit_.reason} {exit_.message}".strip() if exit_ else "no reason was given"
                code = report.statuses.get(("schedcp-loader", arm))
                judge = failed if code in _ON_THE_CANDIDATE else error
                return judge(
                    "replay",
                    Stage.REPLAY,
                    f"the scheduler did not stay attached through {arm}: {why}",
                    loaderExitCode=code,
                    exitKind=exit_.kind if exit_ else None,
                    log=exit_.log if exit_ else "",
                )
        if status != 0:
            return error("replay", Stage.REPLAY, f"{arm}: the workload did not run: {said}")
    return None


def _program_gone(report: GuestReport, arm: str) -> Check:
    reasons = [r for r in endings(report, "replay") if r != BY_USER_SPACE]
    code = report.statuses.get(("departed", arm))
    judge = failed if reasons or code is not None else error
    why = reasons[-1] if reasons else f"its program ended with {code}"
    words = f"the scheduler did not stay attached through {arm}: {why}"
    return judge("replay", Stage.REPLAY, words, log=report.texts.get(("program", arm), ""))


def _figures(report: GuestReport, arm: str) -> ReplayFigures:
    target = _target(report, arm)
    return ReplayFigures(
        wakeup_p50_ns=_weighted(target, lambda group: group.wakeup_p50_ns),
        wakeup_p99_ns=_weighted(target, lambda group: group.wakeup_p99_ns),
        wakeup_p999_ns=_weighted(target, lambda group: group.wakeup_p999_ns),
        target_cpu_ns=sum(group.cpu_time_ns for group in target),
        neighbour_cpu_ns=sum(group.cpu_time_ns for group in _neighbours(report, arm)),
        makespan_ns=max((group.makespan_ns for group in target), default=0),
    )


def _weighted(groups: list[GroupData], figure: Callable[[GroupData], int]) -> int:
    """Return the mean of a figure over groups, weighted by their wakeups; exact for one group."""
    wakeups = sum(group.wakeups for group in groups)
    return sum(figure(group) * group.wakeups for group in groups) // wakeups if wakeups else 0


def _medians(runs: list[ReplayFigures]) -> ReplayFigures:
    def of(name: str) -> int:
        return int(median(getattr(run, name) for run in runs))

    return ReplayFigures(**{name: of(name) for name in ReplayFigures.model_fields})


def _relative(before: int, after: int) -> float:
    """Return by how many percent of `before` the figure went down."""
    return 100.0 * (before - after) / before if before else 0.0


def _spread(values: list[int]) -> float:
    return 100.0 * (max(values) - min(values)) / max(values) if max(values, default=0) else 0.0


def _likeness(a: float, b: float) -> float:
    return min(a, b) / max(a, b) if max(a, b) > 0 else 1.0


def _fidelity(
    baseline: ReplayFigures, profile: WorkloadProfile, report: GuestReport, spec: WorkloadSpec
) -> float:
    """Return how like the profile the baseline is: CPU of both sides and the wakeup rate."""
    scale = VCPUS / profile.cpus
    seconds = spec.window_ns / 1e9
    groups = report.groups["default-1"].values()
    wakeups = sum(group.wakeups for group in groups if group.group.startswith("t")) / seconds
    expected = sum(g.wakeups_per_second for g in profile.target.thread_groups) * scale
    likenesses = [
        _likeness(baseline.target_cpu_ns / seconds / 1e6, profile.target.cpu_milli * scale),
        _likeness(baseline.neighbour_cpu_ns / seconds / 1e6, profile.neighbours.cpu_milli * scale),
        _likeness(wakeups, expected),
    ]
    return 100.0 * sum(likenesses) / len(likenesses)


def _decision(
    replay: Replay,
    contract: EvaluationContract,
    figure: str | None,
    *,
    harm: str,
    left_out: Sequence[str],
) -> Check:
    """Judge a replay; without a `figure` of the contract's metric, whom it harms all the same."""
    required = contract.replay is ReplayMode.REQUIRED
    gain, loss = percent_value(replay.improvement), percent_value(replay.neighbour_loss)
    better = f"better by {replay.improvement}" if figure else "not measured in a replay"
    words = (
        f"{contract.metric} {better}, neighbours lose {replay.neighbour_loss} of their CPU time, "
        f"over {replay.seeds} seeds"
    )
    evidence = {
        "judgedBy": figure or "harm alone",
        "fidelity": replay.fidelity,
        "leftOut": list(left_out[:16]),
    }
    if percent_value(replay.fidelity) < _LEAST_FIDELITY:
        judge = error if required else warning
        unlike = (
            f"the replay is only {replay.fidelity} like the profile, below {_LEAST_FIDELITY:g}%, "
            f"and proves nothing ({words}); profile for longer, or let the canary alone decide"
        )
        return judge("replay", Stage.REPLAY, unlike, **evidence)
    judge = failed if required else warning
    if harm:
        return judge("replay", Stage.REPLAY, f"{harm}; {words}", **evidence)
    gained = figure is None or gain >= percent_value(contract.minimum_improvement)
    if not gained or loss > percent_value(contract.maximum_neighbour_loss):
        asked = f"at least {contract.minimum_improvement} and " if figure else ""
        wanted = f"{words}; asked for {asked}at most {contract.maximum_neighbour_loss}"
        return judge("replay", Stage.REPLAY, wanted, **evidence)
    if figure is None:
        return skipped("replay", Stage.REPLAY, f"{words}: the canary measures it", **evidence)
    return passed("replay", Stage.REPLAY, words, **evidence)
