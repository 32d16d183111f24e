"""OptimizationRun: the record of one loop, from the rollout that triggered it to the lesson."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .base import (
    Condition,
    Digest,
    Noun,
    ObjectName,
    Percent,
    ShortText,
    Text,
    Timestamp,
    cel,
    validated,
)
from .candidates import Candidate, SchedulingPlan, WorkloadDescription
from .nodestates import Arm, GuardrailLimits
from .policies import SchedulerPolicySpec
from .tokens import MAX_TOKEN_CHARS
from .verdicts import ContractLoss

MOST_BLOCKS = 512
"""The most blocks of one canary, on all of its nodes together."""


class TriggerKind(StrEnum):
    """Why a run was started."""

    ROLLOUT = "Rollout"
    MANUAL = "Manual"


class RunTrigger(Noun):
    """What started the run."""

    kind: TriggerKind
    workload: ShortText
    revision: ShortText
    at: Timestamp


class OptimizationRunSpec(Noun):
    """What the run was asked for: fixed when it is created."""

    policy: ObjectName
    policy_uid: ShortText
    policy_generation: int = Field(ge=0)
    policy_spec: SchedulerPolicySpec
    """The policy as it was; a later change of the policy does not change a run."""
    trigger: RunTrigger
    seed: int = Field(ge=0, le=2**31 - 1)
    """Decides the order of blocks and of nodes; drawn once, recorded here."""

    model_config = validated(
        cel("self == oldSelf", "a run's spec is a record and cannot be changed")
    )


class RunStage(StrEnum):
    """Where the loop is. What is true of the run is in its conditions."""

    PENDING = "Pending"
    PROFILING = "Profiling"
    PLANNING = "Planning"
    VERIFYING = "Verifying"
    SIGNING = "Signing"
    AWAITING_APPROVAL = "AwaitingApproval"
    CANARY = "Canary"
    JUDGING = "Judging"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    LEARNING = "Learning"
    FINISHED = "Finished"


class StageTime(Noun):
    """When a stage was entered and left."""

    stage: RunStage
    attempt: int = Field(default=0, ge=0)
    started_at: Timestamp
    ended_at: Timestamp | None = None


class AttemptResult(StrEnum):
    """What became of one candidate."""

    PENDING = "Pending"
    REJECTED = "Rejected"
    UNDECIDED = "Undecided"
    ACCEPTED = "Accepted"
    ROLLED_BACK = "RolledBack"
    PROMOTED = "Promoted"


class OutcomeKind(StrEnum):
    """What the measurements say."""

    IMPROVED = "Improved"
    WORSE = "Worse"
    NO_EFFECT = "NoEffect"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


class RailFinding(Noun):
    """What a canary showed of one guard rail. A positive harm is for the worse."""

    name: ShortText
    harm: Percent
    harm_at_most: Percent
    """The upper end of the harm's one-sided interval: the rail holds when it is in the margin."""
    margin: Percent


class Outcome(Noun):
    """The judge's answer, with what it rests on. A positive effect is an improvement."""

    kind: OutcomeKind
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,126}$", max_length=127)]
    message: Text = ""
    metric: ShortText = ""
    effect: Percent | None = None
    interval_low: Percent | None = None
    interval_high: Percent | None = None
    p_value: ShortText = ""
    """Of the exact one-sided permutation test on block pairs, as a decimal."""
    smallest_detectable: Percent | None = None
    """The smallest effect that this many pairs with this much noise could have shown."""
    pairs: int = Field(default=0, ge=0)
    guardrails: Annotated[tuple[RailFinding, ...], Field(max_length=8)] = ()
    """Of the guard rails that could be measured."""


class BlockFigure(Noun):
    """One block's figures: the objective, and each guard rail by name, in SI base units."""

    node: ObjectName
    index: int = Field(ge=0)
    arm: Arm
    started_at: Timestamp
    ended_at: Timestamp
    value: ShortText
    """Decimal text; empty when there was no data."""
    guardrails: Annotated[dict[str, ShortText], Field(max_length=8)] = Field(default_factory=dict)
    valid: bool = True
    invalid_reason: ShortText = ""
    scrapes: int | None = Field(default=None, ge=0)
    """How often Prometheus scraped the target that it scraped most, answered or not; absent where
    that is not known."""


class Attempt(Noun):
    """One candidate's way through the loop."""

    plan: SchedulingPlan
    candidate: Candidate
    candidate_digest: Digest
    verdict_digest: Digest | None = None
    """The verdict's `evidence_digest()`."""
    object_digest: Digest | None = None
    """Of what was proven: the built object, or the program."""
    ops_name: ShortText = ""
    replay_improvement: Percent | None = None
    replay_neighbour_loss: Percent | None = None
    result: AttemptResult = AttemptResult.PENDING
    reasons: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    outcome: Outcome | None = None
    """What the canary of this candidate showed; none when it never came to one."""
    blocks: Annotated[tuple[BlockFigure, ...], Field(max_length=MOST_BLOCKS)] = ()
    """Of its canary, as far as they are over and read. Where all attempts together have more than
    one canary may, those of the first are left out."""

    @property
    def built_digest(self) -> str | None:
        """Digest of what agents fetch; none of a program, which came with them."""
        return self.object_digest if self.candidate.program_digest is None else None


class NodeRole(StrEnum):
    """What a node is to a run."""

    CANARY = "Canary"
    PROMOTED = "Promoted"
    REVERTED = "Reverted"


class RunNode(Noun):
    """A node that the run has touched."""

    name: ObjectName
    role: NodeRole
    step: int = Field(default=0, ge=0)
    since: Timestamp
    boot_id: ShortText = ""
    """Of the node when it was taken; empty where the kernel does not tell."""
    restored_at: Timestamp | None = None
    """When the agent showed that the node is back on the kernel's scheduler."""
    gone_at: Timestamp | None = None
    """When the node was seen to have left the cluster without having shown that."""

    @property
    def awaited(self) -> bool:
        """Whether it may still show that it is back on the kernel's scheduler."""
        return self.restored_at is None and self.gone_at is None


class PassedOver(Noun):
    """A node that a promotion lacks and cannot take."""

    name: ObjectName
    reason: ShortText
    """Why not: NotReady, AgentStale, Claimed, Quarantined, ..."""
    since: Timestamp


class OptimizationRunStatus(Noun):
    """Where the loop is; a restarted operator goes on from here."""

    stage: RunStage = RunStage.PENDING
    stage_started_at: Timestamp | None = None
    lease_epoch: int = 0
    kernel_digest: Digest | None = None
    eligible_nodes: Annotated[tuple[ObjectName, ...], Field(max_length=256)] = ()
    profile_request: ShortText = ""
    profile_node: ObjectName | None = None
    profile_digest: Digest | None = None
    description: WorkloadDescription | None = None
    guardrails: GuardrailLimits | None = None
    """The agents' limits for this run, derived from the profile."""
    unneeded_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()
    """Parts of the CPU contract that no pod on the eligible nodes asked for at the beginning."""
    contract_digest: Digest | None = None
    attempts: Annotated[tuple[Attempt, ...], Field(max_length=16)] = ()
    verification: ShortText = ""
    """The verifier's name for the verification under way."""
    token: Annotated[str, StringConstraints(max_length=MAX_TOKEN_CHARS)] = ""
    step: int = Field(default=0, ge=0)
    nodes: Annotated[tuple[RunNode, ...], Field(max_length=256)] = ()
    passed_over: Annotated[tuple[PassedOver, ...], Field(max_length=256)] = ()
    """Nodes without which the promotion's present step is short; after the last, who was left out.
    """
    outcome: Outcome | None = None
    pending_outcome: Outcome | None = None
    """What the run will end with once the nodes are proven restored."""
    retries: int = Field(default=0, ge=0)
    """How often the current stage was tried again after a lost machine."""
    lesson_digest: Digest | None = None
    stages: Annotated[tuple[StageTime, ...], Field(max_length=256)] = ()
    message: Text = ""
    finished_at: Timestamp | None = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()


class Lesson(Noun):
    """What the Learning agent keeps of one attempt."""

    run: ObjectName
    policy: ObjectName
    workload: ShortText
    description: WorkloadDescription | None
    profile_digest: Digest | None
    kernel_digest: Digest | None
    candidate: Candidate
    result: AttemptResult
    outcome: Outcome | None
    antipattern: Text = ""
    """What not to do again, where something failed; empty otherwise."""
    at: Timestamp
