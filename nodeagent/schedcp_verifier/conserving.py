"""Judge what becomes of work beside the kernel's own scheduler: none may wait while a CPU idles.

Pure. The same trials run on the same machine before the candidate is attached, so that what a
machine cannot do is not asked of anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schedcp_api.verdicts import Check, Stage

from .checks import error, failed, passed
from .records import GuestReport, TrialData
from .troubles import Course

__all__ = ["conservation", "incomparable"]


@dataclass(frozen=True)
class _Yield:
    """What must be got out of a trial."""

    effect: str
    unit: int
    least: float
    """As a share of what the kernel's own scheduler gets."""
    words: str


_YIELDS: Mapping[str, _Yield] = {
    "few": _Yield(
        "workNs",
        1_000_000_000,
        0.85,
        "CPUs worked with fewer tasks than CPUs: give each an idle CPU, and wake that CPU",
    ),
    "spread": _Yield(
        "workNs",
        1_000_000_000,
        0.85,
        "CPUs worked with more tasks than CPUs: no CPU may idle while a task waits that "
        "may run there",
    ),
    # Tasks that sleep between short bursts: whoever is woken late sleeps less often. A scheduler
    # may take its time for a good reason, but not for longer than the burst and its sleep.
    "wakeups": _Yield(
        "sleeps",
        1,
        0.5,
        "short bursts a second on a machine with CPUs to spare: kick an idle CPU when a task is "
        "queued for it",
    ),
}


def incomparable(report: GuestReport, course: Course) -> str:
    """Return why there is nothing to compare with, or an empty text."""
    done = tuple(trial.trial for trial in report.control)
    if done == course.compared:
        return ""
    said = report.texts.get(("trials", "control"), "no message").strip()
    return (
        f"the kernel's own scheduler came through {', '.join(done) or 'none'} of the trials that "
        f"are compared ({', '.join(course.compared)}): {said}"
    )


def _rate(trial: TrialData, asked: _Yield) -> float:
    """Return what was got a second."""
    return trial.effects.get(asked.effect, 0) * 1e9 / asked.unit / max(1, trial.took_ns)


def conservation(report: GuestReport, course: Course) -> Check:
    """Return whether CPUs work as long as there is work."""
    missing = incomparable(report, course)
    if missing:
        return error("work-conservation", Stage.DYNAMIC, missing)
    default = {trial.trial: trial for trial in report.control}
    candidate = {trial.trial: trial for trial in report.trials}
    lost, shown = [], []
    for name, asked in _YIELDS.items():
        if name not in default:
            continue
        base, got = (_rate(arm[name], asked) for arm in (default, candidate))
        if not base:
            words = f"the kernel's own scheduler got no work done in {name}: nothing to compare"
            return error("work-conservation", Stage.DYNAMIC, words)
        shown.append(f"{name}: {got:.2f}, default scheduler {base:.2f}")
        if got < asked.least * base:
            lost.append(f"{got:.2f} instead of {base:.2f} {asked.words}")
    if lost:
        words = f"CPUs were idle beside work: {'; '.join(lost)}"
        return failed("work-conservation", Stage.DYNAMIC, words, figures=shown)
    words = f"as much work was done as under the default scheduler: {'; '.join(shown)}"
    return passed("work-conservation", Stage.DYNAMIC, words, figures=shown)
