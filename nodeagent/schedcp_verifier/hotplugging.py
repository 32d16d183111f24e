"""Judge what becomes of a scheduler when a CPU goes off line and comes back.

Pure. The kernel ends a scheduler that has no callback for what happens to a CPU (`cpu_offline` when
it goes, `cpu_online` when it comes; kernel/sched/ext.c, handle_hotplug()): exit kind 66, with a
code that says hotplug and asks for a restart. That is no fault: it is attached once more. Where the
scheduler does not record its end, the kernel's log tells the kind and nothing tells the code; but
no scheduler can bring kind 66 about by itself. Whoever has the callbacks must live through it; what
waits in its own queues for the CPU that goes is its own affair.

A program that loads its scheduler by itself may attach it again by itself, as stock ones do, or end
and be started once more; the kernel's log must then know of no other end than this one.
"""

from __future__ import annotations

from schedcp_api.verdicts import Check, Stage

from .attaching import ended, same_enablement, states_of
from .checks import error, failed, passed
from .kernellog import BY_KERNEL, BY_USER_SPACE, endings
from .records import GuestReport

__all__ = ["held_to_the_end", "hotplug"]

_BY_KERNEL = 66
_REFUSED = (17, 18)
"""Exit codes of the loader: the kernel takes the programs, or the scheduler, no more."""
_ID = "hotplug"


def hotplug(report: GuestReport, *, starved_ns: int) -> Check:
    """Return whether tasks run on while a CPU goes and comes, and a scheduler after it."""
    trials = report.trials_at.get("hotplug", ())
    begin, after = report.states["settled"], report.states.get("hotplug")
    done = len(trials) == 1 and all(trials[0].effects.get(e) for e in ("offlined", "onlined"))
    if after is None or not done:
        said = report.texts.get(("trials", "hotplug"), "no message").strip()
        words = f"the CPU did not go off line and come back: {said}"
        return error(_ID, Stage.DYNAMIC, words, states=states_of(report))
    gaps = trials[0].longest_gaps_ns
    late = [f"{kind} {gap // 1_000_000} ms" for kind, gap in gaps.items() if gap > starved_ns]
    if late:
        words = (
            f"tasks did not run for longer than {starved_ns // 1_000_000} ms after a CPU went off "
            f"line: {', '.join(late)}; empty that CPU's queue from another CPU"
        )
        return failed(_ID, Stage.DYNAMIC, words, states=states_of(report))
    if same_enablement(begin, after):
        return passed(_ID, Stage.DYNAMIC, "the scheduler lived through a CPU that went and came")
    if report.of_program:
        return _back_again(report)
    exit_ = report.loader_event("proof", "exit")
    if exit_ is None or exit_.kind != _BY_KERNEL:
        words = "the scheduler did not live through a CPU that went and came"
        return ended(report, _ID, Stage.DYNAMIC, words)
    again = report.states.get("again")
    if again is None or not again.enabled or again.ops != begin.ops:
        refusal = report.loader_event("again", "error")
        if refusal is not None and report.statuses.get(("schedcp-loader", "again")) in _REFUSED:
            words = f"it could not be attached a second time, after a CPU went: {refusal.message}"
            return failed(_ID, Stage.DYNAMIC, words, states=states_of(report))
        words = "the kernel ended the scheduler for a CPU that went, and it was not attached again"
        return ended(report, _ID, Stage.DYNAMIC, words, step="again")
    words = "the kernel ended the scheduler for a CPU that went, and it was attached again"
    return passed(_ID, Stage.DYNAMIC, words, states=states_of(report))


def _back_again(report: GuestReport) -> Check:
    """Return whether a program's scheduler is back, and went for nothing but the CPU."""
    begin, again = report.states["settled"], report.states.get("again")
    reasons = set(endings(report, "proof"))
    back = again is not None and again.enabled and again.ops == begin.ops
    if back and reasons <= {BY_KERNEL, BY_USER_SPACE}:
        words = "the scheduler ended for a CPU that went, and its program attached it again"
        return passed(_ID, Stage.DYNAMIC, words, states=states_of(report))
    words = "the scheduler did not live through a CPU that went and came"
    return ended(report, _ID, Stage.DYNAMIC, words)


def held_to_the_end(report: GuestReport) -> Check | None:
    """Return what is wrong when the scheduler did not outlast the contract's measurement."""
    begin = report.states.get("again") or report.states["settled"]
    if same_enablement(begin, report.states.get("contract")):
        return None
    step = "again" if "again" in report.states else "proof"
    words = "the scheduler ended during the contract's measurement"
    return ended(report, "trials", Stage.DYNAMIC, words, step=step)
