"""What the agent knows beyond the present moment: frozen, handed through `reconcile` and back.

What must outlive the agent (highest epoch, quarantine, final states, finished blocks) is read back
from the status that the agent itself last wrote; the first two are kept on this node as well.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    Assignment,
    AssignmentStatus,
    BlockRecord,
    ExitInfo,
    ProfilePhase,
    ProfileResult,
    Quarantined,
    RunState,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    SwitchbackProgress,
)
from schedcp_api.tokens import DeploymentToken

from .observations import Pressure, Trip
from .records import Record, merged

FINAL = frozenset({RunState.REFUSED, RunState.EJECTED, RunState.TRIPPED, RunState.FAILED})
_REMEMBERED = frozenset({RunState.EJECTED, RunState.TRIPPED, RunState.FAILED})


@dataclass(frozen=True)
class Desired:
    """The operator's wish, as last read."""

    spec: SchedulerNodeStateSpec
    generation: int


@dataclass(frozen=True)
class Lease:
    """Until when assignments hold. Setting a clock, here or there, neither shortens it nor ends it.

    A renewal is what was never seen before: a stamp that changed, and either is later than all
    others of its epoch, or comes with a newer generation of the spec (the operator's clock was set
    back), or with a higher epoch (another operator, whose clock is behind). Whatever is shown a
    second time has neither, and an operator that was deposed has a lower epoch.
    """

    renewed_at: datetime
    """The operator's own stamp, as last seen to be a renewal."""
    deadline: float
    """Uptime."""
    epoch: int
    generation: int
    """The newest of the spec that was seen in this epoch."""
    latest: datetime
    """The latest stamp that was seen in this epoch."""

    def holds(self, uptime: float) -> bool:
        """Whether assignments hold at `uptime`."""
        return uptime < self.deadline

    def is_renewed_by(self, stamp: datetime, *, epoch: int, generation: int) -> bool:
        """Whether a spec with this stamp, epoch and generation renews the lease."""
        if stamp == self.renewed_at or epoch < self.epoch:
            return False
        return epoch > self.epoch or stamp > self.latest or generation > self.generation


@dataclass(frozen=True)
class Key:
    """What makes an assignment the same one: change any of it and the agent begins anew."""

    unit: str
    run: str
    object_digest: str
    token_digest: str
    switchback: str

    @classmethod
    def of(cls, assignment: Assignment) -> "Key":
        """Return the key of `assignment`."""
        schedule = assignment.switchback
        return cls(
            unit=assignment.unit,
            run=assignment.run,
            object_digest=assignment.object_digest,
            token_digest=digest_of(assignment.token.encode()),
            switchback=digest_of(schedule.model_dump_json().encode()) if schedule else "",
        )


@dataclass(frozen=True)
class Standing:
    """What became of an assignment, where it is more than "on its way"."""

    state: RunState
    reason: str
    message: str
    since: datetime
    final: bool


@dataclass(frozen=True)
class Block:
    """The switchback's block that is under way."""

    index: int
    realised_at: float | None = None
    """The uptime since when the node is in this block's arm; the wash-out counts from here."""
    measuring_from: datetime | None = None
    """For the record; the block's length counts from `measuring_since`."""
    measuring_since: float = 0.0
    ops: str = ""
    enable_seq: int = 0
    spoiled: str = ""
    """Why the block will not count; empty while it is sound."""


@dataclass(frozen=True)
class Doubt:
    """A trip that load alone may have brought about."""

    trip: Trip
    pressure: Pressure
    at: float
    """Its uptime."""
    last: bool
    """There were so many for which no load was seen that this one is held against it."""
    since: float | None = None
    """The uptime since when the kernel's own scheduler has been looked at; None: not yet."""


@dataclass(frozen=True)
class Course:
    """One assignment and how far the agent has come with it."""

    key: Key
    standing: Standing | None = None
    claims: DeploymentToken | None = None
    """The token's claims, once they were found to hold; checked again at every tick. Without them
    nothing runs; with them a standing only says what is waited for."""
    restarts: tuple[float, ...] = ()
    """Uptimes of the latest times that a loader which ended was to be started again."""
    restart_at: float = 0.0
    """The uptime before which nothing is attached."""
    rush: str = ""
    """What tripped in the rush after the node's boot; until that is over nothing is attached."""
    doubt: Doubt | None = None
    """Nothing is attached while a trip is in doubt."""
    unexplained: tuple[tuple[Pressure, float], ...] = ()
    """The latest trips that no load explained: kind of pressure, and uptime of that finding."""
    progress: SwitchbackProgress | None = None
    block: Block | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of this assignment will run any more."""
        if self.standing is not None and self.standing.final:
            return True
        return self.progress is not None and self.progress.finished


class LeaseState(StrEnum):
    """How the operator's lease stands."""

    NONE = "None"
    VALID = "Valid"
    EXPIRED = "Expired"


@dataclass(frozen=True)
class Memory:
    """Everything the agent remembers from one tick to the next."""

    epoch: int = 0
    desired: Desired | None = None
    lease: Lease | None = None
    quarantine: tuple[Quarantined, ...] = ()
    course: Course | None = None
    last_exit: ExitInfo | None = None
    past: tuple[AssignmentStatus, ...] = ()
    """Final states read back from the status; they hold until the spec drops the assignment."""
    past_blocks: SwitchbackProgress | None = None
    profile: ProfileResult | None = None
    ejections: dict[str, int] = field(default_factory=dict)
    """By reason, since the agent started; for the metrics."""
    reverts: dict[str, int] = field(default_factory=dict)

    def lease_state(self, uptime: float) -> LeaseState:
        """Return how the lease stands at `uptime`."""
        if self.lease is None:
            return LeaseState.NONE
        return LeaseState.VALID if self.lease.holds(uptime) else LeaseState.EXPIRED

    @classmethod
    def from_status(
        cls, status: SchedulerNodeStateStatus, record: Record | None = None
    ) -> "Memory":
        """Return what a former agent of this node left in its status and on this disk."""
        record = record or Record()
        profile = status.profile
        if profile is not None and profile.phase is ProfilePhase.RUNNING:
            profile = profile.replace(
                phase=ProfilePhase.FAILED, message="the agent was restarted while it profiled"
            )
        return cls(
            epoch=max(status.observed_epoch, record.epoch),
            quarantine=merged(status.quarantine, record.quarantine),
            last_exit=status.last_exit,
            past=tuple(a for a in status.assignments if a.state in _REMEMBERED),
            past_blocks=status.switchback,
            profile=profile,
        )


def new_lease(
    previous: Lease | None, desired: Desired, *, now: datetime, uptime: float
) -> Lease | None:
    """Return the lease after seeing `desired`.

    The first stamp that is ever seen may be old, so it counts by its own time; a renewal was
    written after we looked, so it counts from now, whatever the two clocks say.
    """
    spec, generation = desired.spec, desired.generation
    stamp, epoch = spec.lease_renewed_at, spec.lease_epoch
    if stamp is None:
        return None
    if previous is None:
        age = max(0.0, (now - stamp).total_seconds())
        return Lease(stamp, uptime + spec.lease_seconds - age, epoch, generation, stamp)
    if epoch < previous.epoch:
        return previous
    renewed = previous.is_renewed_by(stamp, epoch=epoch, generation=generation)
    latest = stamp
    if epoch == previous.epoch:
        generation, latest = max(generation, previous.generation), max(stamp, previous.latest)
    if not renewed:
        return replace(previous, epoch=epoch, generation=generation, latest=latest)
    return Lease(stamp, uptime + spec.lease_seconds, epoch, generation, latest)


def bumped(counts: dict[str, int], key: str) -> dict[str, int]:
    """Return `counts` with one more of `key`."""
    return {**counts, key: counts.get(key, 0) + 1}


def finished_blocks(course: Course) -> tuple[BlockRecord, ...]:
    """Return the records of a course's finished blocks."""
    return course.progress.blocks if course.progress else ()
