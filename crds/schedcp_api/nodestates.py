"""SchedulerNodeState: what the operator wants of one node, and what its agent observes there.

The operator writes the spec, the agent of that very node writes the status, nobody else either.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .base import (
    ROOT_UNIT,
    Condition,
    Digest,
    Noun,
    ObjectName,
    Percent,
    SchedulerName,
    ShortText,
    Text,
    Timestamp,
)
from .candidates import Argument, CommandLine
from .kernels import KernelProfile
from .manifests import BuiltProgram
from .policies import OnDisconnect
from .tokens import MAX_TOKEN_CHARS
from .verdicts import ContractLoss

EXPECTED_RUNTIME_SECONDS_MAX = 2_000_000
"""About 23 days; a scheduler sorts everything beyond twelve alike."""

MOST_DEPARTED = 64
MOST_TRACKED_PODS = 256
MOST_TRACKED_WORKLOADS = 32

BlockSeed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class PodRole(StrEnum):
    """A pod's side in a measurement."""

    TARGET = "Target"


PodUid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$", max_length=36)]


class TrackedPod(Noun):
    """A pod whose threads count as the target; every other pod on the node is a neighbour."""

    namespace: ObjectName
    name: ObjectName
    uid: PodUid
    expected_runtime_seconds: Annotated[
        int | None, Field(ge=1, le=EXPECTED_RUNTIME_SECONDS_MAX)
    ] = None
    """CPU time that the pod's job is expected to take; absent when it is not known."""


class TrackedWorkload(Noun):
    """What the agent shall measure for one policy on this node."""

    policy: ObjectName
    workload: ShortText
    pods: Annotated[tuple[TrackedPod, ...], Field(max_length=MOST_TRACKED_PODS)] = ()
    """Empty where the policy has a scheduler but no pod: all pods are neighbours, and watched."""


class ProfileRequest(Noun):
    """Ask for one profile; answered once, in `status.profile`."""

    id: ShortText
    """Unique for each request: the run's name and an attempt number."""
    policy: ObjectName
    seconds: int = Field(ge=1, le=600)


class Arm(StrEnum):
    """The two arms of a switchback."""

    ON = "On"
    OFF = "Off"


class Switchback(Noun):
    """Run the assignment in blocks instead of all the time; the agent keeps the clock.

    Each block is `washout_seconds`, whose figures do not count, and then `block_seconds`. After
    the last block the node is on the kernel's scheduler and stays there until the spec changes.
    """

    id: ShortText
    blocks: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=128)]
    block_seconds: int = Field(ge=4, le=3600)
    washout_seconds: int = Field(ge=1, le=600)


class GuardrailLimits(Noun):
    """What the agent reverts upon by itself, without the API server or Prometheus."""

    neighbour_pressure_permille: int = Field(default=950, ge=1, le=1000)
    """Neighbours' CPU pressure (PSI `some`, ten seconds) that, when exceeded, trips."""
    target_latency_ms: int = Field(default=2000, ge=1, le=30_000)
    """Wakeup latency of one thread of the target that, when exceeded, trips."""
    sustained_seconds: int = Field(default=5, ge=1, le=10)
    """For how long either must be exceeded."""


class Assignment(Noun):
    """A scheduler for one unit of a node, with the proof that it may run there."""

    unit: ShortText = ROOT_UNIT
    run: ObjectName
    policy: ObjectName
    scheduler: SchedulerName
    ops_name: ShortText
    object_digest: Digest
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    command_line: CommandLine = ()
    """Of an object that is a program."""
    token: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN_CHARS)]
    switchback: Switchback | None = None
    guardrails: GuardrailLimits = GuardrailLimits()
    on_disconnect: OnDisconnect = OnDisconnect.REVERT


class SchedulerNodeStateSpec(Noun):
    """What the operator wants."""

    lease_epoch: int = Field(default=0, ge=0)
    """Fencing: an agent never follows an epoch lower than the highest it has seen."""
    lease_renewed_at: Timestamp | None = None
    lease_seconds: int = Field(default=30, ge=5, le=3600)
    """An assignment holds this long after `lease_renewed_at`; then `on_disconnect` decides."""
    workloads: Annotated[tuple[TrackedWorkload, ...], Field(max_length=MOST_TRACKED_WORKLOADS)] = ()
    """One for each policy with pods here, and for that of an assignment. The first has a pod."""
    profile_request: ProfileRequest | None = None
    assignments: Annotated[tuple[Assignment, ...], Field(max_length=1)] = ()
    """At most one today (scope Node); a list because sub-schedulers will be several."""


class ExitInfo(Noun):
    """Why a scheduler left, as the kernel recorded it."""

    kind: int
    code: int = 0
    reason: ShortText = ""
    message: Text = ""
    dump: Annotated[str, StringConstraints(max_length=8192)] = ""
    at: Timestamp
    object_digest: Digest | None = None
    run: ObjectName | None = None


class AttachedScheduler(Noun):
    """The scheduler that the kernel runs for one unit right now."""

    unit: ShortText = ROOT_UNIT
    ops_name: ShortText
    enable_seq: int = Field(ge=0)
    object_digest: Digest | None = None
    """None for a scheduler that the agent did not load."""
    run: ObjectName | None = None
    since: Timestamp


class Quarantined(Noun):
    """An object that must not be loaded on this node again under this kernel."""

    object_digest: Digest
    kernel_digest: Digest
    reason: ShortText
    message: Text = ""
    at: Timestamp


class BlockRecord(Noun):
    """One finished block of a switchback. It counts only if `valid`."""

    index: int = Field(ge=0, le=127)
    arm: Arm
    started_at: Timestamp
    """After the wash-out."""
    ended_at: Timestamp
    ops_name: ShortText = ""
    """The kernel's ops name during the block; empty for the kernel's own scheduler."""
    enable_seq_start: int = Field(ge=0)
    enable_seq_end: int = Field(ge=0)
    valid: bool
    invalid_reason: ShortText = ""


class SwitchbackProgress(Noun):
    """How far the agent has come with `spec.assignments[].switchback`."""

    id: ShortText
    run: ObjectName
    blocks: Annotated[tuple[BlockRecord, ...], Field(max_length=128)] = ()
    finished: bool = False


class ProfilePhase(StrEnum):
    """How a profile request stands."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class ProfileResult(Noun):
    """The answer to a profile request; the profile itself is in the store."""

    id: ShortText
    phase: ProfilePhase
    digest: Digest | None = None
    message: Text = ""


class RunState(StrEnum):
    """What the agent made of an assignment."""

    ACTIVE = "Active"
    SWITCHING_BACK = "SwitchingBack"
    REFUSED = "Refused"
    EJECTED = "Ejected"
    TRIPPED = "Tripped"
    LEASE_EXPIRED = "LeaseExpired"
    FAILED = "Failed"


JUST_BOOTED = "JustBooted"
"""The reason of what is put off until the rush after the node's boot is over."""
COMPARING_PRESSURE = "ComparingPressure"
"""The reason of what is off while its node sees whether neighbours wait as much without it."""
COMPARISON_SECONDS = 90
"""How long that takes at most, from when the kernel's own scheduler is in charge."""
PASSING_REFUSALS = frozenset(
    {
        "NotYetValid",
        "BadSignature",
        "RevocationsUnreadable",
        "ContractNeeded",
        "KernelUnreadable",
        "ForeignScheduler",
        "FetchFailed",
        JUST_BOOTED,
        COMPARING_PRESSURE,
    }
)
"""Reasons of a refusal that pass by themselves, so that the agent looks again at every tick.

Clocks differ; keys are on their way, or come back; the API server or the kernel does not answer; a
pod that asks for more goes; somebody else detaches; the store is away; all of a node's pods start;
neighbours that wait are compared.
"""


class AssignmentStatus(Noun):
    """One assignment, seen from the node.

    Ejected, Tripped and Failed are final; so is Refused, but for `PASSING_REFUSALS`.
    """

    unit: ShortText = ROOT_UNIT
    run: ObjectName
    object_digest: Digest
    state: RunState
    reason: ShortText = ""
    message: Text = ""
    since: Timestamp
    """Since when the state has had this reason, by the node's clock."""


class DepartedPod(Noun):
    """What a pod had used when its cgroup was gone, whatever became of its work."""

    uid: PodUid
    cpu_milliseconds: int = Field(ge=0, le=2**53)
    at: Timestamp


class SchedulerNodeStateStatus(Noun):
    """What the agent observes."""

    observed_generation: int = 0
    observed_epoch: int = 0
    heartbeat_at: Timestamp | None = None
    boot_id: ShortText = ""
    agent_version: ShortText = ""
    metrics_address: ShortText = ""
    """`host:port` where Prometheus finds the agent, over TLS."""
    kernel: KernelProfile | None = None
    sched_ext_state: ShortText = ""
    """`/sys/kernel/sched_ext/state`, or empty without sched_ext."""
    programs: Annotated[tuple[BuiltProgram, ...], Field(max_length=64)] = ()
    """What came with the agent and may be put in charge here; none is ever fetched."""
    attached: Annotated[tuple[AttachedScheduler, ...], Field(max_length=8)] = ()
    assignments: Annotated[tuple[AssignmentStatus, ...], Field(max_length=8)] = ()
    switchback: SwitchbackProgress | None = None
    profile: ProfileResult | None = None
    last_exit: ExitInfo | None = None
    quarantine: Annotated[tuple[Quarantined, ...], Field(max_length=64)] = ()
    departed: Annotated[tuple[DepartedPod, ...], Field(max_length=MOST_DEPARTED)] = ()
    """The pods that went last, the latest at the end."""
    cpu_pressure: Percent | None = None
    cpu_demands: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] | None = None
    """Parts of the CPU contract that pods on the node ask for; none until somebody looked."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Ready, SchedExt, LeaseValid, ForeignScheduler, OnDefaultScheduler."""
