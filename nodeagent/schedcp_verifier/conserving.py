"""Judge what becomes of work beside the kernel's own scheduler: none may wait while a CPU idles.

Pure. The same trials run on the same machine before the candidate is attached, so that what a
machine cannot do is not asked of anybody. How busy CPUs are is told by their idle time: a CPU that
is busy with the scheduler itself looks busy here, and is for other checks to see.
"""

from __future__ import annotations

from schedcp_api.verdicts import Check, Stage

from .checks import error, failed, passed
from .records import GuestReport, TrialData
from .troubles import Course

__all__ = ["conservation", "incomparable"]

_BUSY_LEAST = {"few": 0.7, "spread": 0.85, "brisk": 0.85, "pod": 0.85}
"""How much of the default scheduler's busy time must be left.

With fewer tasks than CPUs, a queue in order of arrival that wakes nobody for a task whose slice is
over loses a tenth: it waits for the next of its CPU's own wakeups. Tasks that share a CPU beside
idle ones lose half.
"""
_WAKEUPS_LEAST = 0.5
"""Tasks that sleep between short bursts sleep less often when they are woken late. A scheduler may
take its time for a reason, but no longer than a burst and its sleep."""
_ADVICE = {
    "few": "with fewer tasks than CPUs: give each an idle CPU, and wake that CPU",
    "spread": "with more tasks than CPUs: no CPU may idle while a task waits that may run there",
    "brisk": "with short bursts: a CPU whose task sleeps takes the next that waits, at once",
    "pod": "with one busy pod: all CPUs are its own as long as nobody else wants them",
    "wakeups": "on a machine with CPUs to spare: kick an idle CPU when a task is queued for it",
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


def _busy_cpus(trial: TrialData, cpus: int) -> float:
    """Return how many CPUs were busy on average."""
    return max(0.0, cpus - trial.effects.get("idleMs", 0) * 1e6 / max(1, trial.took_ns))


def _waited_ms(trial: TrialData) -> int:
    """Return for how long some task waited for a CPU, by the kernel's pressure figures."""
    return trial.effects.get("waitedUs", 0) // 1000


def _bursts_a_second(trial: TrialData) -> float:
    return trial.effects.get("sleeps", 0) * 1e9 / max(1, trial.took_ns)


def conservation(report: GuestReport, course: Course) -> Check:
    """Return whether CPUs work as long as there is work."""
    missing = incomparable(report, course)
    if missing:
        return error("work-conservation", Stage.DYNAMIC, missing)
    cpus = course.topology.cpus
    default = {trial.trial: trial for trial in report.control}
    candidate = {trial.trial: trial for trial in report.trials}
    lost, shown, pressure = [], [], []
    for name in default.keys() & _ADVICE.keys():
        if name == "wakeups":
            least, what = _WAKEUPS_LEAST, "bursts a second"
            base, got = _bursts_a_second(default[name]), _bursts_a_second(candidate[name])
        else:
            least, what = _BUSY_LEAST[name], "CPUs busy"
            base, got = _busy_cpus(default[name], cpus), _busy_cpus(candidate[name], cpus)
        if not base:
            words = f"the kernel's own scheduler got no work done in {name}: nothing to compare"
            return error("work-conservation", Stage.DYNAMIC, words)
        shown.append(f"{name}: {got:.2f} {what}, default scheduler {base:.2f}")
        pressure.append(
            f"{name}: {_waited_ms(candidate[name])} ms, default {_waited_ms(default[name])} ms"
        )
        if got < least * base:
            lost.append(f"{got:.2f} {what} instead of {base:.2f} {_ADVICE[name]}")
    shown.sort()
    if lost:
        words = f"tasks waited while CPUs were idle: {'; '.join(sorted(lost))}"
        return failed("work-conservation", Stage.DYNAMIC, words, busy=shown, pressure=pressure)
    words = f"CPUs worked as under the default scheduler: {'; '.join(shown)}"
    return passed("work-conservation", Stage.DYNAMIC, words, busy=shown, pressure=pressure)
