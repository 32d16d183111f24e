"""What a call can do, as far as scheduling goes; which one does what is in `signatures`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .arithmetic import FULL, Bounds

__all__ = ["CPUS_MAX", "CPU_SOURCES", "Effect", "Signature"]

CPUS_MAX = 8192
CPU_SOURCES = frozenset({"place", "argument:this_cpu", "argument:previous_cpu"})
"""What the number of a CPU comes from."""
"""The most CPUs that a kernel can be built for."""


class Effect(StrEnum):
    """What a call does."""

    NOTHING = "nothing"
    INSERT = "insert"
    MOVE = "move"
    """Moves one task, which an iterator came to, from its queue to another."""
    CONSUME = "consume"
    """Moves the first task of a queue to the local queue."""
    SERVE_OTHERS = "serve_others"
    """Lets another scheduler, of a part of the tasks, fill the local queue."""
    CREATE = "create"
    DESTROY = "destroy"
    KICK = "kick"
    REENQUEUE = "reenqueue"
    REPORT = "report"
    """Ends the scheduler with an error."""
    LEAVE = "leave"
    """Ends the scheduler without one."""
    DUMP = "dump"
    PRINT = "print"
    ITERATE = "iterate"
    NEXT = "next"
    CLOSE = "close"
    LOOKUP = "lookup"
    UPDATE = "update"
    DELETE = "delete"
    PUSH = "push"
    POP = "pop"
    STORAGE = "storage"
    READ = "read"
    FORMAT = "format"
    COMPARE_TEXT = "compare_text"
    SET_SLICE = "set_slice"
    SET_VTIME = "set_vtime"
    KEEP = "keep"
    """Puts a node into a list or tree, or a pointer into a map."""
    ALLOCATE = "allocate"
    FIND_TASK = "find_task"
    LOOP = "loop"
    FOR_EACH = "for_each"
    CALLBACK = "callback"
    ASK_IDLE = "ask_idle"
    """Asks the kernel's own account of idle CPUs."""
    START_TIMER = "start_timer"
    SET_SPEED = "set_speed"


@dataclass(frozen=True)
class Signature:
    """A function: its effect, what its arguments are, and what it returns."""

    name: str
    effect: Effect = Effect.NOTHING
    roles: tuple[str, ...] = ()
    """One word for each argument; those that the analysis asks for have names, others `-`."""
    result: Bounds = FULL
    sources: tuple[str, ...] = ()
    """What the result depends on beside the arguments."""
    pure: bool = False
    """Equal arguments give equal results for as long as one program runs."""
    output: tuple[int, int, Bounds] | None = None
    """An argument (from 0) that points to what is written: its size, and bounds of the value."""
    failure: bool = False
    """The result is 0 for success, and negative for failure."""

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of it but its name."""
        return any(source.startswith("call:") for source in self.sources)

    @property
    def arity(self) -> int:
        """How many arguments it takes."""
        return len(self.roles)
