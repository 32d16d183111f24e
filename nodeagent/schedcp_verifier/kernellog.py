"""What the kernel must not say while a candidate is in charge. Pure: a report in, a check out.

The whole log is searched in the guest, with the same expression; its end comes along as evidence.
"""

from __future__ import annotations

import re

from schedcp_api.verdicts import Check, Stage

from .checks import error, failed, passed
from .records import GuestReport

__all__ = ["BY_KERNEL", "BY_USER_SPACE", "LOG_DENIED", "endings", "judge_kernel_log"]

LOG_DENIED = (
    "BUG:|WARNING:|Oops|general protection|soft lockup|hard LOCKUP|rcu.*(stall|starved)|"
    "blocked for more than|self-detected stall"
)
"""An extended regular expression, any case."""
BY_USER_SPACE = "unregistered from user space"
BY_KERNEL = "unregistered from the main kernel"
"""Reasons for an end that are no errors (kernel/sched/ext.c, scx_exit_reason())."""
_ENDING = re.compile(r'sched_ext: BPF scheduler "[^"]*" disabled \(([^)\n]*)\)')


def endings(report: GuestReport, step: str) -> tuple[str, ...]:
    """Return the reasons for which schedulers ended, in their order, as the kernel logged them."""
    return tuple(_ENDING.findall(report.texts.get(("kmsg", step), "")))


def judge_kernel_log(report: GuestReport, step: str, stage: Stage) -> Check:
    """Return whether the kernel complained; a log that is missing says nothing."""
    log = report.texts.get(("kmsg", step), "")
    complaints = report.texts.get(("complaints", step), "")
    if complaints:
        return failed(
            "kernel-log",
            stage,
            f"the kernel complained while the scheduler ran: {complaints.splitlines()[0].strip()}",
            complaints=complaints,
            log=log,
        )
    if not log:
        return error(
            "kernel-log",
            stage,
            "the kernel's log is missing, although it tells of every attachment: nobody knows "
            "what else it held",
        )
    return passed("kernel-log", stage, "the kernel had nothing to complain about")
