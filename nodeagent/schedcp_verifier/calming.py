"""Judge what speed a scheduler asks for on a machine that has hardly anything to do.

Pure. Just before, all CPUs were busy, so that whoever never lowers what was asked for is seen, too.
"""

from __future__ import annotations

from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed, warning
from .records import GuestReport
from .troubles import Course

__all__ = ["calming"]

_TRIAL = "calms-down"
_ASKED_LEAST = 4
"""So few in 0.8 s are no habit; where there are none, what was asked for before still holds."""
_HIGH_MOST = 0.9
"""How many of the requests may be for the highest speed. Who asks for it whenever a task runs, and
for less when a CPU idles, has one half."""


def calming(report: GuestReport, course: Course) -> tuple[Check, ...]:
    """Q16: return whether the highest speed is asked for on idle CPUs, where that is tried."""
    if _TRIAL not in course.trials:
        return ()
    (effects,) = (trial.effects for trial in report.trials if trial.trial == _TRIAL)
    if not effects.get("speedsWatched"):
        words = (
            "this kernel does not tell which speeds are asked for (CONFIG_KPROBE_EVENTS, "
            "scx_bpf_cpuperf_set), so that nobody looked"
        )
        return (warning("speeds", Stage.DYNAMIC, words),)
    asked, high = effects.get("speeds", 0), effects.get("speedsHigh", 0)
    left = effects.get("speedsLeft", 0)
    shown = (
        f"{high} of {asked} requests were for nine tenths of the highest speed, or more, and "
        f"{left} CPUs were left with it"
    )
    if left or (asked >= _ASKED_LEAST and high > _HIGH_MOST * asked):
        words = (
            f"when all CPUs had been idle for nearly all of a second, {shown}: lower it by how "
            "busy a CPU is, or leave it to the kernel"
        )
        return (failed("speeds", Stage.DYNAMIC, words, speeds=[shown]),)
    return (passed("speeds", Stage.DYNAMIC, f"of CPUs that idle, {shown}", speeds=[shown]),)
