"""Decide what to do next: desired and observed state in, memory and actions out. Pure.

The rule that everything here serves: a scheduler is attached only while a token that holds, a lease
that holds (or `Hold` for one that was promoted), and a record without ejections say that it may be.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from schedcp_api.nodestates import (
    Arm,
    Assignment,
    RunState,
    SwitchbackProgress,
)
from schedcp_api.policies import OnDisconnect
from schedcp_api.tokens import DeploymentToken

from . import switchback
from .admission import Refusal, Rules, admit
from .exits import after_exit
from .memory import (
    Course,
    Desired,
    Key,
    LeaseState,
    Memory,
    Standing,
    bumped,
    new_lease,
)
from .observations import FetchFailure, LoaderPhase, Observed
from .standings import ended, for_now, refused
from .trips import after_rush, compared, explained, tripped

_RUNNING = frozenset({LoaderPhase.STARTING, LoaderPhase.ATTACHED})


@dataclass(frozen=True)
class Fetch:
    """Get an object's bytes from the operator."""

    object_digest: str


@dataclass(frozen=True)
class Attach:
    """Start the loader."""

    assignment: Assignment
    token_digest: str
    timeout_ms: int
    of_program: bool = False
    """The object is a program, which is run and not loaded."""


@dataclass(frozen=True)
class Detach:
    """Stop the loader, and see the kernel's own scheduler back."""

    reason: str


Action = Fetch | Attach | Detach


@dataclass(frozen=True)
class Decision:
    """What to remember and what to do."""

    memory: Memory
    actions: tuple[Action, ...] = ()


def follow(memory: Memory, desired: Desired, *, now: datetime, uptime: float) -> Memory:
    """Return the memory after reading the operator's wish; a fenced-off epoch changes nothing."""
    if desired.spec.lease_epoch < memory.epoch:
        return memory
    return replace(
        memory,
        epoch=desired.spec.lease_epoch,
        desired=desired,
        lease=new_lease(memory.lease, desired, now=now, uptime=uptime),
    )


def reconcile(memory: Memory, observed: Observed, *, rules: Rules, now: datetime) -> Decision:
    """Return what to remember and what to do after one look at the world."""
    assignment = _assignment(memory)
    memory = _on_course(memory, assignment)
    memory = after_exit(memory, assignment, observed, rules=rules, now=now)
    course = memory.course
    if assignment is None or course is None or observed.stopping or observed.hands_off:
        reason = "AgentStopping" if observed.stopping else "NotAssigned"
        reason = "HandsOff" if observed.hands_off else reason
        return Decision(memory, tuple(_detach(observed, reason)))
    if course.standing is None or not course.standing.final:
        memory = _judge(memory, course, assignment, observed, rules=rules, now=now)
    return _act(memory, memory.course or course, assignment, observed, now=now)


def _assignment(memory: Memory) -> Assignment | None:
    if memory.desired is None or not memory.desired.spec.assignments:
        return None
    return memory.desired.spec.assignments[0]


def _on_course(memory: Memory, assignment: Assignment | None) -> Memory:
    """Begin a course for a new assignment, with what a former agent had finished of it."""
    if assignment is None:
        # Before the first reading of the spec there is nothing to forget.
        return replace(memory, course=None, past=() if memory.desired else memory.past)
    key = Key.of(assignment)
    if memory.course is not None and memory.course.key == key:
        return memory
    standing = next(
        (
            Standing(a.state, a.reason, a.message, a.since, final=True)
            for a in memory.past
            if (a.unit, a.run, a.object_digest) == (key.unit, key.run, key.object_digest)
        ),
        None,
    )
    course = Course(key, standing=standing, progress=_past_progress(memory, assignment))
    return replace(memory, course=course, past=(), past_blocks=None)


def _past_progress(memory: Memory, assignment: Assignment) -> SwitchbackProgress | None:
    schedule, past = assignment.switchback, memory.past_blocks
    if schedule is None or past is None:
        return None
    same = (past.id, past.run) == (schedule.id, assignment.run)
    fits = tuple(b.arm for b in past.blocks) == schedule.blocks[: len(past.blocks)]
    return past if same and fits else None


def _judge(
    memory: Memory,
    course: Course,
    assignment: Assignment,
    observed: Observed,
    *,
    rules: Rules,
    now: datetime,
) -> Memory:
    """Set the course's standing: tripped, refused, without a lease, or free to run."""
    course = explained(course, observed)
    if observed.trip is not None:
        course = tripped(course, assignment, observed, observed.trip, now=now)
        return replace(memory, course=course, reverts=bumped(memory.reverts, observed.trip.reason))
    if not _leased(memory, course, assignment, observed):
        return _without_lease(memory, course, now=now)
    answer = admit(assignment, observed, memory.quarantine, rules=rules, now=now)
    if not isinstance(answer, Refusal):
        answer = after_rush(course, observed) or answer
    if isinstance(answer, Refusal):
        course = replace(
            course, doubt=None
        )  # What comes later would be compared with another time.
        return replace(memory, course=refused(course, assignment, observed, answer, now=now))
    if course.doubt is not None:
        course = compared(course, course.doubt, assignment, observed, now=now)
        if course.doubt is not None:
            return replace(memory, course=course)
    course = replace(course, claims=answer)
    failure = observed.fetch_failures.get(assignment.object_digest)
    if failure is not None:
        unfetched = _unfetched(course, assignment, observed, failure, rules=rules, now=now)
        return replace(memory, course=unfetched)
    return replace(memory, course=replace(course, standing=None))


def _unfetched(
    course: Course,
    assignment: Assignment,
    observed: Observed,
    failure: FetchFailure,
    *,
    rules: Rules,
    now: datetime,
) -> Course:
    """Return the course while the object is not here: a canary gives up, what is kept waits.

    That the store is away, or refuses this agent for a time, says nothing against the scheduler.
    """
    corrupt = failure.reason == "CorruptObject"
    canary = assignment.switchback is not None
    too_often = failure.permanent or failure.attempts >= rules.fetch_attempts
    if corrupt or (canary and too_often):
        return ended(
            course,
            assignment,
            observed,
            RunState.REFUSED if corrupt else RunState.FAILED,
            reason=failure.reason,
            message=failure.message,
            now=now,
        )
    if canary:
        return replace(course, standing=None)
    message = (
        "its object is not here, and fetching it goes on until it is (the operator's log says more "
        f"if that lasts): {failure.message}; tries so far: {failure.attempts}"
    )
    return replace(course, standing=for_now(course, failure.reason, message, now=now))


def _leased(memory: Memory, course: Course, assignment: Assignment, observed: Observed) -> bool:
    """Whether the lease lets this assignment run. `Hold` keeps what is promoted and attached."""
    if memory.lease_state(observed.uptime) is LeaseState.VALID:
        return True
    return (
        assignment.on_disconnect is OnDisconnect.HOLD
        and assignment.switchback is None
        and memory.lease is not None
        and observed.loader.phase is LoaderPhase.ATTACHED
        and observed.loader.object_digest == course.key.object_digest
        and observed.loader.run == course.key.run
    )


def _without_lease(memory: Memory, course: Course, *, now: datetime) -> Memory:
    standing = course.standing
    reverts = memory.reverts
    if standing is None or standing.state is not RunState.LEASE_EXPIRED:
        message = (
            f"the operator has not renewed since {memory.lease.renewed_at}"
            if memory.lease
            else "the operator has never given a lease on this node"
        )
        standing = Standing(RunState.LEASE_EXPIRED, "LeaseExpired", message, now, final=False)
        reverts = bumped(memory.reverts, "LeaseExpired") if course.claims else reverts
    course = replace(course, standing=standing, claims=None, doubt=None)
    course = switchback.spoil(course, "LeaseExpired")
    return replace(memory, course=course, reverts=reverts)


def _act(
    memory: Memory, course: Course, assignment: Assignment, observed: Observed, *, now: datetime
) -> Decision:
    claims = course.claims
    if claims is None:
        reason = course.standing.reason if course.standing else "NotAdmitted"
        return Decision(memory, tuple(_detach(observed, reason)))
    if assignment.switchback is not None:
        course = switchback.advance(
            course, assignment.switchback, observed, ops_name=assignment.ops_name, now=now
        )
        memory = replace(memory, course=course)
        if switchback.current_arm(assignment.switchback, course) is Arm.OFF:
            needless = course.ended or claims.program_digest is not None
            fetch = () if needless else _fetch(assignment, observed)
            return Decision(memory, (*_detach(observed, "SwitchbackOff"), *fetch))
    return Decision(memory, _attach(course, claims, assignment, observed))


def _attach(
    course: Course, claims: DeploymentToken, assignment: Assignment, observed: Observed
) -> tuple[Action, ...]:
    loader = observed.loader
    if loader.phase in _RUNNING:
        mine = (course.key.object_digest, course.key.run, course.key.token_digest)
        if (loader.object_digest, loader.run, loader.token_digest) != mine:
            return (Detach("Replaced"),)
        return ()
    of_program = claims.program_digest is not None
    fetch = () if of_program else _fetch(assignment, observed)
    free = loader.phase is LoaderPhase.NONE and observed.sched_ext.idle
    if fetch or not free or observed.uptime < course.restart_at:
        return fetch
    return (Attach(assignment, course.key.token_digest, claims.timeout_ms, of_program=of_program),)


def _fetch(assignment: Assignment, observed: Observed) -> tuple[Action, ...]:
    if assignment.object_digest in observed.objects:
        return ()
    return (Fetch(assignment.object_digest),)


def _detach(observed: Observed, reason: str) -> Iterable[Action]:
    return (Detach(reason),) if observed.loader.phase in _RUNNING else ()
