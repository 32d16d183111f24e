"""What the agent sees of the world at one tick: kernel, loader, fetched objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schedcp_api.kernels import KernelProfile
from schedcp_api.manifests import BuiltProgram
from schedcp_api.verdicts import ContractLoss

from .kernel_probe import SchedExt


class LoaderPhase(StrEnum):
    """What the loader process is doing."""

    NONE = "None"
    STARTING = "Starting"
    ATTACHED = "Attached"
    STOPPING = "Stopping"


@dataclass(frozen=True)
class LoaderView:
    """The loader as the agent knows it: at most one."""

    phase: LoaderPhase = LoaderPhase.NONE
    object_digest: str = ""
    run: str = ""
    ops: str = ""
    """What it is to attach, or has attached."""
    enable_seq: int = 0
    """0 until it has attached."""
    since: datetime | None = None
    token_digest: str = ""
    """Of the token under which it was started: the same object may come with other knobs."""
    of_program: bool = False
    """What it holds is a program."""
    warnings: tuple[tuple[str, str], ...] = ()
    """Code and message of each kind of warning that it gave."""


class LoaderOutcome(StrEnum):
    """How a loader ended: the loader's own words, and three of the agent's."""

    DETACHED = "Detached"
    INTERNAL = "Internal"
    DIGEST_MISMATCH = "DigestMismatch"
    OBJECT_INVALID = "ObjectInvalid"
    PROGRAM_REFUSED = "ProgramRefused"
    MAP_REFUSED = "MapRefused"
    STRUCT_OPS_REFUSED = "StructOpsRefused"
    KNOB_REFUSED = "KnobRefused"
    FOREIGN_SCHEDULER = "ForeignScheduler"
    LOAD_FAILED = "LoadFailed"
    ATTACH_FAILED = "AttachFailed"
    UNSUPPORTED = "Unsupported"
    EJECTED = "Ejected"
    RESTART_REQUESTED = "RestartRequested"
    LEASE_EXPIRED = "LeaseExpired"
    PARENT_GONE = "ParentGone"
    PROGRAM_ENDED = "ProgramEnded"
    USAGE = "Usage"
    KILLED = "Killed"
    """It vanished without a word: a signal, or the node's memory killer."""
    ATTACH_TIMEOUT = "AttachTimeout"
    START_FAILED = "StartFailed"


LOADER_EXIT_CODES: Mapping[int, LoaderOutcome] = {
    0: LoaderOutcome.DETACHED,
    1: LoaderOutcome.INTERNAL,
    10: LoaderOutcome.DIGEST_MISMATCH,
    11: LoaderOutcome.OBJECT_INVALID,
    12: LoaderOutcome.PROGRAM_REFUSED,
    13: LoaderOutcome.MAP_REFUSED,
    14: LoaderOutcome.STRUCT_OPS_REFUSED,
    15: LoaderOutcome.KNOB_REFUSED,
    16: LoaderOutcome.FOREIGN_SCHEDULER,
    17: LoaderOutcome.LOAD_FAILED,
    18: LoaderOutcome.ATTACH_FAILED,
    19: LoaderOutcome.UNSUPPORTED,
    20: LoaderOutcome.EJECTED,
    21: LoaderOutcome.RESTART_REQUESTED,
    22: LoaderOutcome.LEASE_EXPIRED,
    23: LoaderOutcome.PARENT_GONE,
    24: LoaderOutcome.PROGRAM_ENDED,
    64: LoaderOutcome.USAGE,
}
"""The loader's contract (`schedcp-loader --help`): what its exit code means."""


@dataclass(frozen=True)
class LoaderExit:
    """A loader that has ended; shown to exactly one tick."""

    outcome: LoaderOutcome
    message: str
    at: datetime
    object_digest: str
    run: str
    kind: int = 0
    """The kernel's exit kind; 0 when the kernel did not end it, -1 when it is not known."""
    code: int = 0
    reason: str = ""
    dump: str = ""
    was_attached: bool = False
    token_digest: str = ""


@dataclass(frozen=True)
class FetchFailure:
    """An object that could not be fetched so far."""

    attempts: int
    permanent: bool
    """The same request is likely to fail again, as long as nobody does anything about it."""
    reason: str
    message: str


class Pressure(StrEnum):
    """The kernel's two kinds of pressure stall: some threads wait, or all at once."""

    SOME = "some"
    FULL = "full"


@dataclass(frozen=True)
class Trip:
    """A guard rail of the agent's own that was exceeded for too long."""

    reason: str
    message: str
    pressure: Pressure | None = None
    """What load alone may bring about, which a look at the kernel's own scheduler tells."""


@dataclass(frozen=True)
class Observed:
    """One tick's view."""

    uptime: float = 0.0
    """Seconds since the node's boot, on a clock that nobody can set; deadlines count on it."""
    kernel: KernelProfile | None = None
    sched_ext: SchedExt = field(default_factory=SchedExt)
    loader: LoaderView = field(default_factory=LoaderView)
    ours: bool = False
    """Whether the scheduler that the kernel shows is the agent's own."""
    exit: LoaderExit | None = None
    trip: Trip | None = None
    loaded: frozenset[Pressure] = frozenset()
    """What exceeds the guard rail's limit under the kernel's own scheduler, too."""
    objects: frozenset[str] = frozenset()
    """Digests of the objects that lie here, checked."""
    programs: tuple[BuiltProgram, ...] = ()
    """Those that came with the agent."""
    fetch_failures: Mapping[str, FetchFailure] = field(default_factory=dict)
    demands: frozenset[ContractLoss] = frozenset()
    """Parts of the CPU contract that pods on this node ask for."""
    probes_opening: bool = False
    """Nothing is known of latencies yet, because the probes are still being compiled."""
    stopping: bool = False
    """The agent was told to end."""
    hands_off: bool = False
    """Somebody on the node told it to attach nothing until something else is assigned."""
