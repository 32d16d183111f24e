"""Judge what becomes of a pod's work while other pods come and go.

Pure. The candidate is its own measure: the same work was done just before, while nobody came.
"""

from __future__ import annotations

from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed
from .records import GuestReport, TrialData
from .troubles import Course

__all__ = ["churn"]

_CALM, _CHURN = "pod", "pods-pass"
_LEFT_LEAST = 0.125
"""How much of the wakeups must be left. Half of the CPUs is: who comes has as much to do, and as
many tasks as there are CPUs. A good one that is fair to groups lets who is new catch up, and leaves
0.19; those that serve the new first, or everybody late, leave 0.05."""


def churn(report: GuestReport, course: Course) -> tuple[Check, ...]:
    """Return whether pods that come and go disturb others, where that is tried."""
    if not {_CALM, _CHURN} <= set(course.trials):
        return ()
    seen = {trial.trial: _sleeps_a_second(trial) for trial in report.trials}
    calm, got = seen[_CALM], seen[_CHURN]
    shown = f"{got:.0f} bursts a second while pods came and went, {calm:.0f} while none did"
    if got < _LEFT_LEAST * calm:
        words = (
            f"a pod's work suffers while others come and go: {shown}; do not change how tasks are "
            "served because a control group is made, entered or removed"
        )
        return (failed("pod-churn", Stage.DYNAMIC, words, churn=[shown]),)
    words = f"pods that come and go disturb nobody: {shown}"
    return (passed("pod-churn", Stage.DYNAMIC, words, churn=[shown]),)


def _sleeps_a_second(trial: TrialData) -> float:
    return trial.effects.get("sleeps", 0) * 1e9 / max(1, trial.took_ns)
