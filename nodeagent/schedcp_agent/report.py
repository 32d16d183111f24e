"""Say what the agent observes: memory and observations in, a status out. Pure."""

from dataclasses import dataclass
from datetime import datetime

from schedcp_api.base import Condition, ConditionStatus, percent_text, with_condition
from schedcp_api.nodestates import (
    Arm,
    Assignment,
    AssignmentStatus,
    AttachedScheduler,
    DepartedPod,
    RunState,
    SchedulerNodeStateStatus,
    SwitchbackProgress,
)

from . import VERSION
from .admission import foreign
from .memory import Course, LeaseState, Memory
from .observations import LoaderPhase, Observed
from .switchback import in_arm


@dataclass(frozen=True)
class Facts:
    """What of the status does not come from reconciling."""

    boot_id: str = ""
    metrics_address: str = ""
    pod_pressure_permille: int = 0
    departed: tuple[DepartedPod, ...] = ()
    probes_problem: str = ""
    """Why there are no probes; empty when there are."""
    unmeasured: str = ""
    """The assignment's policy when the agent has no account of it; empty when it has, or need."""
    pressure_excused: bool = False
    """Whether neighbours' pressure says nothing: it was there before what is attached."""
    spec_problem: str = ""
    """Why the latest spec could not be read; empty when it could."""
    rank: str = ""
    """What keeps the agent from surviving a scheduler that starves it; empty when nothing does."""
    record_problem: str = ""
    """Why the quarantine is not kept on this node's disk; empty when it is."""


def status_of(
    memory: Memory,
    observed: Observed,
    facts: Facts,
    *,
    previous: SchedulerNodeStateStatus,
    now: datetime,
) -> SchedulerNodeStateStatus:
    """Return the status; times of unchanged things are taken from `previous`."""
    generation = memory.desired.generation if memory.desired else previous.observed_generation
    return SchedulerNodeStateStatus(
        observed_generation=generation,
        observed_epoch=memory.epoch,
        heartbeat_at=now,
        boot_id=facts.boot_id[:256],
        agent_version=VERSION,
        metrics_address=facts.metrics_address[:256],
        kernel=observed.kernel,
        sched_ext_state="unknown" if observed.sched_ext.problem else observed.sched_ext.state[:256],
        programs=observed.programs,
        attached=_attached(observed, previous, now=now),
        assignments=_assignments(memory, observed, previous, now=now),
        switchback=_switchback(memory),
        profile=memory.profile,
        last_exit=memory.last_exit,
        quarantine=memory.quarantine,
        departed=facts.departed,
        cpu_pressure=percent_text(facts.pod_pressure_permille / 10),
        cpu_demands=tuple(sorted(observed.demands)),
        conditions=_conditions(memory, observed, facts, previous, generation=generation, now=now),
    )


def same_but_for_time(one: SchedulerNodeStateStatus, other: SchedulerNodeStateStatus) -> bool:
    """Return whether two statuses differ in nothing worth writing before the next heartbeat."""
    changes = {"heartbeat_at": None, "cpu_pressure": None, "departed": ()}
    return one.model_copy(update=changes) == other.model_copy(update=changes)


def _attached(
    observed: Observed, previous: SchedulerNodeStateStatus, *, now: datetime
) -> tuple[AttachedScheduler, ...]:
    kernel, loader = observed.sched_ext, observed.loader
    if kernel.problem:
        # Nobody knows; that the last account stands is said by the conditions.
        return previous.attached
    if kernel.idle or not kernel.ops:
        return ()
    mine = observed.ours
    object_digest, run = loader.object_digest or None, loader.run or None
    before = next(
        (
            a
            for a in previous.attached
            if (a.ops_name, a.enable_seq) == (kernel.ops[:256], kernel.enable_seq)
        ),
        None,
    )
    return (
        AttachedScheduler(
            ops_name=kernel.ops[:256],
            enable_seq=kernel.enable_seq,
            object_digest=(object_digest or (before and before.object_digest)) if mine else None,
            run=(run or (before and before.run)) if mine else None,
            since=before.since if before else now,
        ),
    )


def _assignments(
    memory: Memory, observed: Observed, previous: SchedulerNodeStateStatus, *, now: datetime
) -> tuple[AssignmentStatus, ...]:
    course = memory.course
    if course is None or memory.desired is None or not memory.desired.spec.assignments:
        return memory.past if memory.desired is None else ()
    assignment = memory.desired.spec.assignments[0]
    found = _state(course, assignment, observed)
    if found is None:
        return ()
    state, reason, message = found
    said = AssignmentStatus(
        unit=assignment.unit,
        run=assignment.run,
        object_digest=assignment.object_digest,
        state=state,
        reason=reason[:256],
        message=message[:2048],
        since=now,
    )
    before = next((a for a in previous.assignments if _same_word(a, said)), None)
    return (said.replace(since=before.since) if before else said,)


def _same_word(one: AssignmentStatus, other: AssignmentStatus) -> bool:
    """Return whether two say the same of the same candidate, in whatever words."""
    return (one.run, one.object_digest, one.state, one.reason) == (
        other.run,
        other.object_digest,
        other.state,
        other.reason,
    )


def _state(
    course: Course, assignment: Assignment, observed: Observed
) -> tuple[RunState, str, str] | None:
    """Return an assignment's state; none while it is on its way."""
    if course.standing is not None:
        return course.standing.state, course.standing.reason, course.standing.message
    if assignment.switchback is not None:
        done = len(course.progress.blocks) if course.progress else 0
        message = f"{done} of {len(assignment.switchback.blocks)} blocks"
        ended = course.progress is not None and course.progress.finished
        return RunState.SWITCHING_BACK, "Finished" if ended else "InProgress", message
    if in_arm(Arm.ON, observed, assignment.ops_name):
        return RunState.ACTIVE, "Attached", f"{assignment.ops_name} is attached"
    return None


def _switchback(memory: Memory) -> SwitchbackProgress | None:
    return memory.course.progress if memory.course else memory.past_blocks


def _conditions(
    memory: Memory,
    observed: Observed,
    facts: Facts,
    previous: SchedulerNodeStateStatus,
    *,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    conditions = previous.conditions
    for type_, (status, reason, message) in {
        "Ready": _ready(facts),
        "SchedExt": _sched_ext(observed),
        "LeaseValid": _lease(memory, observed),
        "ForeignScheduler": _foreign(observed),
        "OnDefaultScheduler": _default(observed),
        "HandsOff": _hands_off(observed),
        "GuardRails": _guard_rails(facts),
        "Hardened": _hardened(observed, facts),
    }.items():
        conditions = with_condition(
            conditions,
            type_,
            status,
            reason=reason,
            message=message,
            now=now,
            generation=generation,
        )
    return conditions


_EXPOSED = frozenset({"RealTimeRefused", "MemoryNotLocked", "KernelLogUnreadable"})
"""The loader's warnings that say what it lacks, and not what it saw."""
_Finding = tuple[ConditionStatus, str, str]
_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def _ready(facts: Facts) -> _Finding:
    if facts.spec_problem:
        return _FALSE, "SpecUnreadable", facts.spec_problem
    if facts.probes_problem:
        return _FALSE, "ProbesUnavailable", facts.probes_problem
    return _TRUE, "Ready", "the agent profiles, loads and guards"


def _sched_ext(observed: Observed) -> _Finding:
    if observed.sched_ext.problem:
        return _UNKNOWN, "Unreadable", observed.sched_ext.problem
    if observed.sched_ext.supported:
        return _TRUE, "Supported", f"sched_ext is {observed.sched_ext.state}"
    return _FALSE, "NotSupported", "this kernel has no /sys/kernel/sched_ext"


def _lease(memory: Memory, observed: Observed) -> _Finding:
    state = memory.lease_state(observed.uptime)
    if state is LeaseState.NONE or memory.lease is None:
        return _UNKNOWN, "NoLease", "the operator has given no lease"
    if state is LeaseState.VALID:
        return _TRUE, "Renewed", "the operator renews the lease"
    return _FALSE, "Expired", f"last renewed at {memory.lease.renewed_at}"


def _foreign(observed: Observed) -> _Finding:
    if observed.sched_ext.problem:
        return _UNKNOWN, "Unreadable", observed.sched_ext.problem
    if foreign(observed):
        name = observed.sched_ext.ops or "a scheduler"
        return _TRUE, "ForeignScheduler", f"{name} is attached and was not loaded by the agent"
    return _FALSE, "None", "no scheduler but the agent's own is attached"


def _default(observed: Observed) -> _Finding:
    if observed.sched_ext.problem:
        return _UNKNOWN, "Unreadable", observed.sched_ext.problem
    if observed.sched_ext.idle and observed.loader.phase is LoaderPhase.NONE:
        return _TRUE, "Restored", "the kernel's own scheduler runs everything"
    return _FALSE, "SchedulerAttached", observed.sched_ext.ops or observed.sched_ext.state


def _hands_off(observed: Observed) -> _Finding:
    if observed.hands_off:
        return _TRUE, "AskedOnNode", "nothing is attached until something else is assigned"
    return _FALSE, "NotAsked", "nobody on the node has asked to attach nothing"


def _guard_rails(facts: Facts) -> _Finding:
    if facts.unmeasured:
        message = (
            f"neither latency nor pressure is watched: spec.workloads has no entry for policy "
            f"{facts.unmeasured}, whose scheduler is assigned; the operator writes one, so compare "
            "its version with the agent's, and see its log"
        )
        return _FALSE, "NotMeasured", message
    if facts.pressure_excused:
        blind = "neither latency nor pressure is" if facts.probes_problem else "pressure is not"
        message = (
            f"{blind} watched, the kernel's own account is: neighbours waited as much under the "
            "kernel's own scheduler when this one was attached, all threads of a pod at once (a "
            "pod at its CPU limit does)"
        )
        return _FALSE, "PressureExcused", f"{message} {facts.probes_problem}".strip()
    if facts.probes_problem:
        message = f"pressure is watched, but not the target's latency: {facts.probes_problem}"
        return _FALSE, "ProbesUnavailable", message
    return _TRUE, "Watching", "latency, pressure and the kernel's own account are watched"


def _hardened(observed: Observed, facts: Facts) -> _Finding:
    """Whether agent and loader can survive any scheduler, and the record a lost API server."""
    found = {"AgentExposed": facts.rank, "NotKept": facts.record_problem}
    found |= {code: message for code, message in observed.loader.warnings if code in _EXPOSED}
    problems = {reason: message for reason, message in found.items() if message}
    if problems:
        return _FALSE, next(iter(problems)), "; ".join(problems.values())
    return _TRUE, "Hardened", "memory is locked, real-time priority is to be had"
