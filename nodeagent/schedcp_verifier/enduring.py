"""Judge the trials: was the trouble made, was it lived through, did anybody starve.

Pure. A trial counts only when its trouble really happened. What a candidate refuses (forks, control
groups) or hardly serves is held against it; trouble that the machine failed to make is no pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schedcp_api.verdicts import Check, Stage

from .attaching import ended, same_enablement
from .checks import error, failed, passed
from .microvm import VCPUS
from .records import GuestReport, TrialData

__all__ = ["HEARTS", "STARVED_NS", "TRIALS", "endurance"]


@dataclass(frozen=True)
class _Trial:
    """The least that must have happened in a trial."""

    made: Mapping[str, int] = field(default_factory=dict)
    """By the conductor; less is the machine's trouble."""
    served: Mapping[str, int] = field(default_factory=dict)
    """By tasks that the candidate schedules; less is the candidate's. Only what any order gives."""


_TRIALS: Mapping[str, _Trial] = {
    "bursts": _Trial({"tasks": 64}, {"bursts": 160}),
    "waiting-churn": _Trial({"tasks": 3 * VCPUS, "niced": 60, "bound": 60}),
    "sleeping-churn": _Trial({"tasks": 32 + VCPUS, "niced": 60, "bound": 60}, {"sleeps": 200}),
    "pinned": _Trial({"tasks": 3 * VCPUS, "bound": 2 * VCPUS}),
    "forks": _Trial({"tasks": 5}, {"forks": 1200}),
    "yields": _Trial({"tasks": 2 * VCPUS}, {"yields": 2 * VCPUS}),
    "realtime": _Trial({"tasks": 2 * VCPUS + 1, "realtimeMs": 200}),
    "cgroups": _Trial({"tasks": 32, "cgroups": 33, "moves": 32}, {"sleeps": 32}),
    "crowd": _Trial({"tasks": 128}),
    "saturated": _Trial({"tasks": 6 * VCPUS}, {"niced": 2 * VCPUS, "sleeps": 2 * VCPUS}),
}
TRIALS = tuple(_TRIALS)
"""The trials that a candidate must live through, as the guest's program names them."""
_WATCHED = ("hog", "hog nice+19", "brisk", "brisk nice+19")
"""The tasks whose gaps the trial `saturated` reports."""
_REFUSALS = {
    "forksRefused": "forks failed: init_task must not fail",
    "cgroupsRefused": "control groups could not be made: pods would not start",
    "movesRefused": "tasks could not be moved to a control group: containers would not start",
}
HEARTS = (
    *("normal", "nice+19", "nice-20", "rcu", "kworker", "kworker-each"),
    *(f"pinned-{cpu}" for cpu in range(VCPUS)),
)
"""The classes of `heartbeat`."""
STARVED_NS = 3_500_000_000
"""Nobody may go without running for longer.

The heaviest load has 32 runnable tasks for each CPU for 2 s, the longest has 6 for 7 s. At a slice
of 20 ms one round of the former takes 0.64 s, and a kernel thread whose work takes some rounds is
late by 1.6 s under a plain FIFO; the kernel's own scheduler lets a task of nice 19 wait for 1 s;
the library's ageing lets at most 2 s and an eighth pass. Whoever is passed over for good waits for
7 s.
"""
_GRACE_NS = 2 * STARVED_NS
"""A grace period ends when the last reader that was preempted has run, and who asks for one waits
for the present and for the next."""


def endurance(report: GuestReport) -> tuple[Check, ...]:
    """Return the checks of the Dynamic stage but the kernel's log."""
    broken = _broken(report)
    if broken is not None:
        return (broken,)
    trials = _troubles(report)
    return (trials, _starvation(report))


def _broken(report: GuestReport) -> Check | None:
    """Return the check that ends the stage: the scheduler was ended, or a trial not made."""
    begin = report.states["settled"]
    done = [trial.trial for trial in report.trials]
    end = report.states.get("contract") or report.states.get("trials")
    if not same_enablement(begin, report.states.get("trials")) or not same_enablement(begin, end):
        during = TRIALS[len(done)] if len(done) < len(TRIALS) else "the contract's measurement"
        words = f"the kernel ended the scheduler during or before {during}"
        return ended(report, "trials", Stage.DYNAMIC, words, trials=_took(report))
    refused = [words for trial in report.trials for words in _refused(trial)]
    if refused:
        words = "; ".join(refused)
        return failed(
            "trials", Stage.DYNAMIC, words, trials=_took(report), effects=_effects(report)
        )
    if tuple(done) != TRIALS:
        missing = next((name for name in TRIALS if name not in done), "none")
        said = report.texts.get(("trials", "trials"), "no message").strip()
        return error(
            "trials",
            Stage.DYNAMIC,
            f"the trials came out as {', '.join(done) or 'none'}; {missing} could not be carried "
            f"out: {said}",
            trials=_took(report),
        )
    return None


def _took(report: GuestReport) -> list[str]:
    return [f"{trial.trial} {trial.took_ns // 1_000_000} ms" for trial in report.trials]


def _effects(report: GuestReport) -> list[str]:
    return [
        f"{trial.trial}: " + ", ".join(f"{name} {count}" for name, count in trial.effects.items())
        for trial in report.trials
    ]


def _troubles(report: GuestReport) -> Check:
    found = {trial.trial: trial for trial in report.trials}
    served = [
        words for name, trial in _TRIALS.items() for words in _less(found[name], trial.served)
    ]
    made = [words for name, trial in _TRIALS.items() for words in _less(found[name], trial.made)]
    counters = report.loader_event("proof", "stats")
    evidence = {
        "trials": _took(report),
        "effects": _effects(report),
        "events": _events(report),
        "counters": [f"{n} {c}" for n, c in counters.counters.items()] if counters else [],
    }
    if made:
        words = f"the trouble was not made, so that nothing is known of it: {'; '.join(made)}"
        return error("trials", Stage.DYNAMIC, words, **evidence)
    if served:
        words = f"work was hardly done under this scheduler: {'; '.join(served)}"
        return failed("trials", Stage.DYNAMIC, words, **evidence)
    words = f"{len(report.trials)} trials were lived through"
    return passed("trials", Stage.DYNAMIC, words, **evidence)


def _refused(trial: TrialData) -> list[str]:
    return [
        f"in trial {trial.trial} {trial.effects[name]} {words}"
        for name, words in _REFUSALS.items()
        if trial.effects.get(name)
    ]


def _less(trial: TrialData, least: Mapping[str, int]) -> list[str]:
    return [
        f"{trial.trial}: {trial.effects.get(name, 0)} {name}, at least {count} are needed"
        for name, count in least.items()
        if trial.effects.get(name, 0) < count
    ]


def _events(report: GuestReport) -> list[str]:
    lines = report.texts.get(("events", "proof"), "").splitlines()[:64]
    return [line for line in lines if not line.endswith(" 0")]


def _starvation(report: GuestReport) -> Check:
    beats = {beat.class_: beat for beat in report.heartbeats}
    watched = {kind: gap for trial in report.trials for kind, gap in trial.longest_gaps_ns.items()}
    longest = {name: beat.longest_gap_ns for name, beat in beats.items()} | watched
    gaps = [f"{name} {gap // 1_000_000} ms" for name, gap in longest.items()]
    starved = [
        f"{name} {gap // 1_000_000} ms"
        for name, gap in longest.items()
        if gap > (_GRACE_NS if name == "rcu" else STARVED_NS)
    ]
    evidence = {"longestGaps": gaps}
    if starved:
        return failed(
            "starvation",
            Stage.DYNAMIC,
            f"threads went without running for longer than {STARVED_NS // 1_000_000} ms: "
            f"{', '.join(starved)}; give every class a bounded wait",
            **evidence,
        )
    status = report.statuses.get(("heartbeat", "trials"))
    silent = [name for name in HEARTS if name not in beats or not beats[name].beats]
    if (
        status != 0
        or silent
        or len(report.heartbeats) != len(HEARTS)
        or set(watched) != set(_WATCHED)
    ):
        return error(
            "starvation",
            Stage.DYNAMIC,
            f"the heartbeat ended with {status} and is not that of every class (missing: "
            f"{', '.join(silent) or 'none'}), so nobody knows whether anybody starved: "
            + report.texts.get(("heartbeat", "trials"), "").strip(),
            **evidence,
        )
    worst = max(longest, key=lambda name: longest[name])
    words = f"nobody starved; the longest gap was {longest[worst] // 1_000_000} ms ({worst})"
    return passed("starvation", Stage.DYNAMIC, words, **evidence)
