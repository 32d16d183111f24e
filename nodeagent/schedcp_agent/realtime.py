"""Survive the scheduler that we load: real-time priority, and memory that is not paged out.

Only the thread that calls gets the priority; threads and children that it starts do not inherit
it. When another thread holds the interpreter and is starved, the loader's lease runs out, and that
is safe.
"""

import ctypes
import os

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def take_priority(priority: int) -> str:
    """Become SCHED_FIFO and lock memory; return what was not permitted, empty when all was."""
    problems = [problem for problem in (_become_fifo(priority), _lock_memory()) if problem]
    return "; ".join(problems)


def _become_fifo(priority: int) -> str:
    if not priority:
        return ""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as err:
        return f"no real-time priority: {err}; the agent needs the capability SYS_NICE"
    return ""


def _lock_memory() -> str:
    # On fault: lock what is used, not every page of the compiler that bcc maps.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return ""
    reason = os.strerror(ctypes.get_errno())
    return f"memory is not locked: {reason}; the agent needs the capability IPC_LOCK"
