"""Judge the trials: was the trouble made, was it lived through, did anybody starve.

Pure. A trial counts only when its trouble really happened. What a candidate refuses (forks, control
groups) or hardly serves is held against it; trouble that the machine failed to make is no pass.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedcp_api.verdicts import Check, Stage

from .attaching import ended, same_enablement
from .calming import calming
from .checks import error, failed, passed, warning
from .churning import churn
from .conserving import conservation
from .records import GuestReport, TrialData
from .storming import storms
from .troubles import WATCHED, WATCHING, Course, hearts_of, trials_of
from .waking import tails, waking

__all__ = ["STARVED_NS", "endurance"]


_REFUSALS = {
    "forksRefused": "forks failed: init_task must not fail",
    "cgroupsRefused": "control groups could not be made: pods would not start",
    "movesRefused": "tasks could not be moved to a control group: containers would not start",
}
STARVED_NS = 3_500_000_000
"""Nobody may go without running for longer.

The heaviest load has 32 runnable tasks for each CPU for 1.2 s, the longest has 6 for 7 s. At a
slice of 20 ms one round of the former takes 0.64 s, and a kernel thread whose work takes some
rounds is late by 1.6 s under a plain FIFO; the kernel's own scheduler lets a task of nice 19 wait
for 1 s; the library's ageing lets at most 2 s and an eighth pass. Whoever is passed over for good
waits for 7 s.
"""
_STRANDED = "tasks were put on CPUs that a real-time task kept, beside CPUs with time to spare"
_STRANDED_REMEDY = (
    "leave them where every CPU finds them, and take those back that wait on a CPU that is taken "
    "away (cpu_release)"
)
_GRACE_NS = 2 * STARVED_NS
"""A grace period ends when the last reader that was preempted has run, and who asks for one waits
for the present and for the next."""


def endurance(report: GuestReport, course: Course) -> tuple[Check, ...]:
    """Return the checks of the Dynamic stage but the kernel's log."""
    broken = _broken(report, course)
    if broken is not None:
        return (broken,)
    return (
        _troubles(report, course),
        _stranded(report, course),
        _starvation(report, course),
        conservation(report, course),
        *calming(report, course),
        *churn(report, course),
        storms(report, course),
        *waking(report, course),
        tails(report),
    )


def _broken(report: GuestReport, course: Course) -> Check | None:
    """Return the check that ends the stage: the scheduler was ended, or a trial not made."""
    done = [trial.trial for trial in report.trials]
    if not same_enablement(report.states["settled"], report.states.get("trials")):
        left = course.trials[len(done) :]
        during = left[0] if left else "the end of the trials"
        words = f"the scheduler ended during or before {during}"
        return ended(report, "trials", Stage.DYNAMIC, words, trials=_took(report))
    refused = [words for trial in report.trials for words in _refused(trial)]
    if refused:
        words = "; ".join(refused)
        return failed(
            "trials", Stage.DYNAMIC, words, trials=_took(report), effects=_effects(report)
        )
    if tuple(done) != course.trials:
        missing = next((name for name in course.trials if name not in done), "none")
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


def _troubles(report: GuestReport, course: Course) -> Check:
    least = trials_of(course.topology)
    served = [w for trial in report.trials for w in _less(trial, least[trial.trial].served)]
    made = [w for trial in report.trials for w in _less(trial, least[trial.trial].made)]
    stuck = [w for trial in report.trials for w in _late(trial, least[trial.trial].late)]
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
    if stuck:
        words = f"{_STRANDED}: {'; '.join(stuck)}; {_STRANDED_REMEDY}"
        return failed("trials", Stage.DYNAMIC, words, **evidence)
    words = f"{len(report.trials)} trials were lived through"
    return passed("trials", Stage.DYNAMIC, words, **evidence)


def _stranded(report: GuestReport, course: Course) -> Check:
    """Return what is told, and no more, of tasks beside CPUs that were taken away."""
    least = trials_of(course.topology)
    stuck = [w for trial in report.trials for w in _late(trial, least[trial.trial].late_told)]
    if stuck:
        words = f"{_STRANDED}: {'; '.join(stuck)}; {_STRANDED_REMEDY}"
        return warning("stranded", Stage.DYNAMIC, words)
    words = "few tasks were left on CPUs that real-time tasks kept"
    return passed("stranded", Stage.DYNAMIC, words)


def _late(trial: TrialData, most: int | None) -> list[str]:
    late = trial.effects.get("late", 0)
    return [] if most is None or late <= most else [f"{trial.trial}: {late} of the light tasks"]


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


def _starvation(report: GuestReport, course: Course) -> Check:
    beats = {beat.class_: beat for beat in report.heartbeats}
    watched: dict[str, int] = {}
    for trial in (trial for trial in report.trials if trial.trial in WATCHING):
        for kind, gap in trial.longest_gaps_ns.items():
            watched[kind] = max(gap, watched.get(kind, 0))
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
    hearts = hearts_of(course.topology)
    silent = [name for name in hearts if name not in beats or not beats[name].beats]
    if (
        status != 0
        or silent
        or len(report.heartbeats) != len(hearts)
        or (WATCHING & set(course.trials) and set(watched) != set(WATCHED))
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
