"""Survive the scheduler that we load: memory that is not paged out, and real-time when it counts.

An agent that always ran as SCHED_FIFO would disturb the very latencies that it measures. So its
threads are ordinary, and the loader, which is real-time throughout and waits for the agent's
renewals anyhow, lifts them all above the scheduler for as long as they come late. Here is what the
agent itself does about it: see that this is permitted, and come down when a loader has died before
it could lower what it had lifted.
"""

import ctypes
import os
from pathlib import Path

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_THREADS = Path("/proc/self/task")


def lock_memory() -> str:
    """Keep what is used from being paged out; return why that failed, empty when it did not."""
    # On fault: lock what is used, not every page of the compiler that bcc maps.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return ""
    reason = os.strerror(ctypes.get_errno())
    return f"memory is not locked: {reason}; the agent needs the capability IPC_LOCK"


def try_priority(priority: int) -> str:
    """Say why this thread may not become SCHED_FIFO, empty when it may; leave it ordinary."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError as err:
        return f"no real-time priority: {err}; the agent needs the capability SYS_NICE"
    return ""


def come_down() -> int:
    """Make every thread of this process ordinary again; return how many were not."""
    lifted = 0
    for entry in _THREADS.iterdir():
        thread = int(entry.name)
        try:
            if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK != os.SCHED_OTHER:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
                lifted += 1
        except ProcessLookupError:
            continue  # it ended while we looked
    return lifted
