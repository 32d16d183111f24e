"""Survive the scheduler that we load: memory that is not paged out, and real-time when it counts.

An agent that always ran as SCHED_FIFO would disturb the very latencies that it measures. So the
agent's work is ordinary, and a keeper thread, which does next to nothing, is real-time: when the
agent is late while a scheduler is attached, the keeper lifts it above that scheduler until it has
caught up. The loader, which can end it all, is real-time throughout; when even the keeper cannot
help (another thread holds the interpreter and is starved), the loader's lease runs out.
"""

import ctypes
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_LOOK_SECONDS = 0.5
_LATE_SECONDS = 3.0
_CALM_LOOKS = 10
"""So many looks in a row without lateness end the lift."""


@dataclass(frozen=True)
class Lift:
    """Whether the agent is lifted, and for how many looks it has been in time since."""

    lifted: bool = False
    calm: int = 0


def decide(lift: Lift, *, late_seconds: float, attached: bool) -> Lift:
    """Return the lift after one look at the agent."""
    if attached and late_seconds > _LATE_SECONDS:
        return Lift(lifted=True)
    calm = lift.calm + 1
    return Lift(lifted=lift.lifted and calm < _CALM_LOOKS, calm=calm)


def lock_memory() -> str:
    """Keep what is used from being paged out; return why that failed, empty when it did not."""
    # On fault: lock what is used, not every page of the compiler that bcc maps.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return ""
    reason = os.strerror(ctypes.get_errno())
    return f"memory is not locked: {reason}; the agent needs the capability IPC_LOCK"


def set_priority(thread_id: int, priority: int) -> str:
    """Make a thread SCHED_FIFO (or ordinary, with 0); return why that failed, or nothing.

    What the thread starts does not inherit it.
    """
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK if priority else os.SCHED_OTHER
    try:
        os.sched_setscheduler(thread_id, policy, os.sched_param(priority))
    except OSError as err:
        return f"no real-time priority: {err}; the agent needs the capability SYS_NICE"
    return ""


class Keeper:
    """The real-time thread that looks after the agent's thread, which is the one that makes it."""

    def __init__(
        self, *, priority: int, late_seconds: Callable[[], float], attached: Callable[[], bool]
    ) -> None:
        self._priority = priority
        self._late_seconds = late_seconds
        self._attached = attached
        self._kept = threading.get_native_id()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Start to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to look."""
        self._ended.set()
        self._thread.join(timeout=10 * _LOOK_SECONDS)

    def _run(self) -> None:
        problem = set_priority(threading.get_native_id(), self._priority)
        if problem:
            return
        lift = Lift()
        while not self._ended.wait(_LOOK_SECONDS):
            late = self._late_seconds()
            after = decide(lift, late_seconds=late, attached=self._attached())
            if after.lifted != lift.lifted:
                set_priority(self._kept, self._priority if after.lifted else 0)
                _LOG.warning("the agent is %.1f s late; real-time: %s", late, after.lifted)
            lift = after
