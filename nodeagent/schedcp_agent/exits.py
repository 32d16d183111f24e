"""What follows from a loader's end: quarantine, a bounded restart, or a final word. Pure.

Exit kinds of the kernel (enum scx_exit_kind): 64 to 69 unregistered (by user space, by the
scheduler, by the kernel, by SysRq, with or by a parent scheduler), 1024 error, 1025 scx_bpf_error,
1026 stall, 1027 and 1028 abuse of a sub-scheduler's rights. A kind that is not listed here is said
to be unknown, and taken for an error.
"""

from dataclasses import replace
from datetime import datetime

from schedcp_api.nodestates import Assignment, ExitInfo, Quarantined, RunState

from . import switchback
from .admission import Rules
from .memory import Course, Memory, bumped
from .observations import LoaderExit, LoaderOutcome, Observed
from .records import merged
from .standings import ended

AGENT_STARVED = "AgentStarved"
_HARMLESS_KINDS = range(64, 70)
_KIND_REASONS = {
    64: "UnregisteredByUser",
    65: "UnregisteredByScheduler",
    66: "UnregisteredByKernel",
    67: "SysRq",
    68: "ParentGone",
    69: "EndedByParent",
    1024: "Error",
    1025: "SchedulerError",
    1026: "Stall",
    1027: "ReenqueueError",
    1028: "RescueError",
}
_REFUSED = frozenset(
    {
        LoaderOutcome.DIGEST_MISMATCH,
        LoaderOutcome.OBJECT_INVALID,
        LoaderOutcome.PROGRAM_REFUSED,
        LoaderOutcome.MAP_REFUSED,
        LoaderOutcome.STRUCT_OPS_REFUSED,
        LoaderOutcome.KNOB_REFUSED,
        LoaderOutcome.UNSUPPORTED,
        LoaderOutcome.USAGE,
    }
)
_TRY_AGAIN = frozenset(
    {
        LoaderOutcome.RESTART_REQUESTED,
        LoaderOutcome.PARENT_GONE,
        LoaderOutcome.PROGRAM_ENDED,
        LoaderOutcome.KILLED,
        LoaderOutcome.INTERNAL,
        LoaderOutcome.START_FAILED,
    }
)


def after_exit(
    memory: Memory,
    assignment: Assignment | None,
    observed: Observed,
    *,
    rules: Rules,
    now: datetime,
) -> Memory:
    """Return the memory after the loader's end, if there was one in this tick.

    The memory's course is that of the assignment.
    """
    end = observed.exit
    if end is None:
        return memory
    if end.kind != 0:
        memory = replace(
            memory,
            last_exit=_exit_info(end),
            ejections=bumped(memory.ejections, kind_reason(end.kind)),
        )
    memory = replace(memory, quarantine=_quarantine(memory, end, observed))
    course = memory.course
    if course is None or assignment is None:
        return memory
    key = course.key
    if (key.object_digest, key.run, key.token_digest) != (
        end.object_digest,
        end.run,
        end.token_digest,
    ):
        return memory
    return replace(memory, course=_course_after(course, assignment, end, observed, rules, now=now))


def kind_reason(kind: int) -> str:
    """Return the word for an exit kind."""
    if kind in _KIND_REASONS:
        return _KIND_REASONS[kind]
    return f"UnknownKind{kind}" if kind > 0 else "ExitUnknown"


def _exit_info(end: LoaderExit) -> ExitInfo:
    return ExitInfo(
        kind=end.kind,
        code=end.code,
        reason=end.reason[:256],
        message=end.message[:2048],
        dump=end.dump[:8192],
        at=end.at,
        object_digest=end.object_digest,
        run=end.run,
    )


def _quarantine(memory: Memory, end: LoaderExit, observed: Observed) -> tuple[Quarantined, ...]:
    """Return the quarantine; errors and stalls go there, an unknown end is taken for an error.

    So does what kept the agent from renewing the loader's lease: it starves whoever looks after it.
    """
    starved = _starved(end)
    known_harmless = end.kind == 0 or end.kind in _HARMLESS_KINDS
    if (known_harmless and not starved) or observed.kernel is None:
        return memory.quarantine
    entry = Quarantined(
        object_digest=end.object_digest,
        kernel_digest=observed.kernel.content_digest(),
        reason=AGENT_STARVED if starved else kind_reason(end.kind),
        message=(end.message or end.reason)[:2048],
        at=end.at,
    )
    return merged(memory.quarantine, (entry,))


def _starved(end: LoaderExit) -> bool:
    """Whether the scheduler kept the agent from running for as long as the loader's lease."""
    return end.outcome is LoaderOutcome.LEASE_EXPIRED and end.was_attached


def _course_after(
    course: Course,
    assignment: Assignment,
    end: LoaderExit,
    observed: Observed,
    rules: Rules,
    *,
    now: datetime,
) -> Course:
    if course.standing is not None and course.standing.final:
        return course
    if end.outcome in (LoaderOutcome.DETACHED, LoaderOutcome.FOREIGN_SCHEDULER):
        return course
    if end.outcome in _TRY_AGAIN:
        again = _again(course, rules, uptime=observed.uptime)
        if again is not None:
            return switchback.spoil(again, f"LoaderEnded: {end.outcome}")
    state, reason = _final_word(end)
    message = " ".join(filter(None, (end.reason, end.message))) or f"the loader ended: {reason}"
    return ended(course, assignment, observed, state, reason=reason, message=message, now=now)


def _again(course: Course, rules: Rules, *, uptime: float) -> Course | None:
    """Return the course with another start to come, or None when there were too many of late.

    It is a rate, not a count: a node whose CPUs come and go now and then keeps its scheduler.
    """
    since = uptime - rules.restart_window_seconds
    latest = tuple(at for at in course.restarts if at > since)
    if len(latest) >= rules.restart_limit:
        return None
    pause = rules.restart_pause_seconds * 2 ** len(latest)
    return replace(course, restarts=(*latest, uptime), restart_at=uptime + pause)


def _final_word(end: LoaderExit) -> tuple[RunState, str]:
    if end.outcome is LoaderOutcome.RESTART_REQUESTED:
        return RunState.EJECTED, "RestartLimit"
    if end.kind != 0:
        return RunState.EJECTED, kind_reason(end.kind)
    if _starved(end):
        return RunState.TRIPPED, AGENT_STARVED
    if end.outcome in _REFUSED:
        return RunState.REFUSED, end.outcome
    return RunState.FAILED, end.outcome
