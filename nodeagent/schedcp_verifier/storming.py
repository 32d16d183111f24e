"""Judge how much a scheduler is at work for nothing: switches, kicks, tasks that it queues again.

Pure. Rates are compared with those of the kernel's own scheduler in the same trials on the same
machine, an idle one and a busy one. What a CPU does within one system call or interrupt counts
nothing here; a loop of that kind shows as a machine that makes no progress.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedcp_api.verdicts import Check, Stage

from .checks import error, failed, passed
from .conserving import incomparable
from .records import GuestReport, TrialData
from .troubles import Course

__all__ = ["storms"]

_TRIALS = ("idle", "spread")
_ADVICE: Mapping[str, str] = {
    "switches": "context switches: let a task use its slice, and an idle CPU sleep",
    "interrupts": "interrupts that made CPUs schedule: kick a CPU once for a task, not in answer "
    "to a kick",
    "requeued": "tasks that were queued again before they ran: do not take back what you have just "
    "put on a CPU",
}
_RATIO = 20
_TICKS = 250
"""A second, on each CPU: who is at work no more often than the timer makes no storm, even where the
kernel's own scheduler is hardly seen."""


def storms(report: GuestReport, course: Course) -> Check:
    """Return whether the scheduler works much more often than there is a reason to."""
    missing = incomparable(report, course)
    if missing:
        return error("storms", Stage.DYNAMIC, missing)
    default = {trial.trial: trial for trial in report.control}
    candidate = {trial.trial: trial for trial in report.trials}
    seen, shown = [], []
    for name in (name for name in _TRIALS if name in default):
        for effect, advice in _ADVICE.items():
            base, got = (_rate(arm[name], effect) for arm in (default, candidate))
            shown.append(f"{name}: {got:.0f} {effect} a second, default scheduler {base:.0f}")
            if got > _RATIO * max(base, _TICKS * course.topology.cpus):
                seen.append(f"in {name} {got:.0f} a second instead of {base:.0f} {advice}")
    if seen:
        words = f"the scheduler keeps itself busy: {'; '.join(seen)}"
        return failed("storms", Stage.DYNAMIC, words, rates=shown)
    words = f"no rate was {_RATIO} times the default scheduler's"
    return passed("storms", Stage.DYNAMIC, words, rates=shown)


def _rate(trial: TrialData, effect: str) -> float:
    return trial.effects.get(effect, 0) * 1e9 / max(1, trial.took_ns)
