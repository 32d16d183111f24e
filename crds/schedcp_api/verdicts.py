"""What the Execution Verifier says of a candidate, and the contract it judges by."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from .base import Digest, Noun, Percent, SchedulerName, ShortText, Text
from .candidates import Argument, Candidate, CommandLine
from .kernels import KernelProfile
from .profiles import WorkloadProfile


class Stage(StrEnum):
    """The stages of verification, cheapest first."""

    SOURCE = "Source"
    BUILD = "Build"
    BYTECODE = "Bytecode"
    ATTACH = "Attach"
    DYNAMIC = "Dynamic"
    CONTRACT = "Contract"
    REPLAY = "Replay"


class Phase(StrEnum):
    """How a check ended. Only `Passed` is a pass; `Error` means it could not tell."""

    PASSED = "Passed"
    FAILED = "Failed"
    ERROR = "Error"
    SKIPPED = "Skipped"
    WARNING = "Warning"


class Check(Noun):
    """One check with its evidence."""

    id: ShortText
    stage: Stage
    phase: Phase
    message: Text
    evidence: dict[str, Any] = Field(default_factory=dict)
    """Figures and excerpts (strings, integers, lists of them), bounded by the verifier."""


class ContractLoss(StrEnum):
    """A part of Kubernetes' CPU contract that does not survive under a candidate."""

    CPU_WEIGHT = "CpuWeight"
    CPU_MAX = "CpuMax"
    CPUSET = "Cpuset"
    NICE = "Nice"
    CGROUP_IDLE = "CgroupIdle"


class ReplayMode(StrEnum):
    """What a replay without a gain means for the verdict."""

    REQUIRED = "Required"
    ADVISORY = "Advisory"


class ReplayFigures(Noun):
    """The target's and neighbours' figures in one arm; nanoseconds of virtual time, medians."""

    wakeup_p50_ns: int = Field(ge=0)
    wakeup_p99_ns: int = Field(ge=0)
    wakeup_p999_ns: int = Field(ge=0)
    target_cpu_ns: int = Field(ge=0)
    neighbour_cpu_ns: int = Field(ge=0)
    makespan_ns: int = Field(default=0, ge=0)
    """0 where the workload has no end."""


class Replay(Noun):
    """The candidate against the default scheduler on virtual time."""

    baseline: ReplayFigures
    candidate: ReplayFigures
    floor: ReplayFigures
    """The same target on an otherwise idle machine under the default scheduler."""
    improvement: Percent
    """How much better the target's p99 wakeup latency (or makespan) got; negative is worse."""
    neighbour_loss: Percent
    """CPU time that the neighbours lost; negative is a gain."""
    seeds: int = Field(ge=1)
    fidelity: Percent
    """How well the baseline arm reproduces the profile's own figures; 100% is exact."""
    spread: Percent
    """Largest relative difference between seeds in the candidate arm."""


class EvaluationContract(Noun):
    """What a candidate is judged by: frozen and hashed before the first run."""

    metric: ShortText = "WakeupLatencyP99"
    replay: ReplayMode = ReplayMode.REQUIRED
    minimum_improvement: Percent = "5%"
    maximum_neighbour_loss: Percent = "10%"
    waived_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()
    """What the policy lets go, whoever asks for it."""
    unneeded_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()
    """What no pod on the target nodes asks for; agents watch that it stays so."""
    watchdog_ms: int = Field(default=10_000, ge=1000, le=30_000)
    seeds: int = Field(default=2, ge=1, le=16)


class VerificationRequest(Noun):
    """What the operator hands to the verifier."""

    candidate: Candidate
    source: Annotated[str, Field(max_length=262_144)] | None = None
    """C source of a candidate that is not in the library; its digest must be the candidate's.

    A program does not travel in a request: the verifier must have it."""
    kernel_digest: Digest
    """Digest of the target nodes' `KernelProfile`; the verifier must have that very kernel."""
    profile: WorkloadProfile | None = None
    contract: EvaluationContract = EvaluationContract()


class Verdict(Noun):
    """The verifier's answer; `checks` hold the reasons an agent can act on."""

    accepted: bool
    checks: Annotated[tuple[Check, ...], Field(max_length=256)]
    contract_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()
    replay: Replay | None = None
    scheduler: SchedulerName
    ops_name: ShortText = ""
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    candidate_digest: Digest
    source_digest: Digest | None = None
    program_digest: Digest | None = None
    """Digest of the candidate's program, if it is one."""
    command_line: CommandLine = ()
    digest: Digest | None = None
    """Digest of the built object, or of the program; none when nothing was built."""
    contract_digest: Digest
    kernel: KernelProfile
    duration_seconds: int = Field(ge=0)
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")] | None = None
    """Ed25519, base64url; see `signatures`. None: nobody vouches for this verdict."""
    key_id: ShortText | None = None

    @property
    def undecided(self) -> bool:
        """Whether some check could not tell, which is neither a pass nor a rejection."""
        failed = any(check.phase is Phase.FAILED for check in self.checks)
        return not failed and any(check.phase is Phase.ERROR for check in self.checks)

    def evidence_digest(self) -> str:
        """Return the digest that a token carries: of all but the time it took and who signed."""
        return self.replace(duration_seconds=0, signature=None, key_id=None).content_digest()

    def reasons(self) -> tuple[str, ...]:
        """Return one line for each check that is not a pass."""
        bad = (Phase.FAILED, Phase.ERROR)
        return tuple(f"{c.stage}/{c.id}: {c.message}" for c in self.checks if c.phase in bad)
