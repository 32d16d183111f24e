"""The world as the decisions see it: frozen snapshots, made by `cluster` from what was watched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schedcp_api.base import percent_value
from schedcp_api.nodestates import (
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    TrackedPod,
)
from schedcp_api.policies import Budget, Mode, SchedulerPolicySpec
from schedcp_api.runs import Attempt, OptimizationRunSpec, OptimizationRunStatus, RunStage
from schedcp_api.verdicts import ContractLoss


@dataclass(frozen=True)
class NodeView:
    """One node that a policy selects, with its SchedulerNodeState."""

    name: str
    zone: str = ""
    ready: bool = True
    generation: int = 0
    """Of the SchedulerNodeState's spec."""
    spec: SchedulerNodeStateSpec = field(default_factory=SchedulerNodeStateSpec)
    status: SchedulerNodeStateStatus = field(default_factory=SchedulerNodeStateStatus)
    target_pods: tuple[TrackedPod, ...] = ()
    claimed_by: str = ""
    """The run or policy, other than the one that looks, that has this node; empty when free."""
    selected: bool = True
    """Whether the policy as it is now selects the node; a run that touches it sees it anyway."""
    clock_skew: timedelta | None = None
    """How far the node's clock is ahead of the operator's, negative when it is behind; None while
    too few heartbeats have come that they could be compared by."""
    heard_at: datetime | None = None
    """When the latest heartbeat arrived, by the operator's clock; None while none has been seen to
    arrive."""

    def by_our_clock(self, moment: datetime) -> datetime:
        """Return a time that the node's agent wrote as the operator's clock had it."""
        return moment - (self.clock_skew or timedelta(0))

    @property
    def caught_up(self) -> bool:
        """Whether the agent's status speaks of the present spec."""
        return self.status.observed_generation >= self.generation


@dataclass(frozen=True)
class LivePolicy:
    """The policy as it is now, which may be stricter than when the run began."""

    spec: SchedulerPolicySpec

    @property
    def mode(self) -> Mode:
        """Return how far the operator may go."""
        return self.spec.mode


@dataclass(frozen=True)
class World:
    """Everything outside a run that its next step depends on."""

    nodes: tuple[NodeView, ...] = ()
    policy: LivePolicy | None = None
    """None once the policy is gone, and while it cannot be read."""
    policy_problem: str = ""
    """Why the policy, which is there, cannot be read; empty when it can."""
    approved: str = ""
    """What the run's approval annotation says: the digest of an approved candidate."""

    def node(self, name: str) -> NodeView | None:
        """Return the node of that name, if it is there, and selected or touched by the run."""
        return next((node for node in self.nodes if node.name == name), None)


@dataclass(frozen=True)
class Run:
    """An OptimizationRun."""

    name: str
    spec: OptimizationRunSpec
    status: OptimizationRunStatus = field(default_factory=OptimizationRunStatus)

    @property
    def attempt(self) -> Attempt:
        """Return the candidate under way; there must be one."""
        return self.status.attempts[-1]

    @property
    def policy(self) -> SchedulerPolicySpec:
        """Return the policy as it was when the run began."""
        return self.spec.policy_spec

    @property
    def needed_contract(self) -> frozenset[ContractLoss]:
        """Return what of the CPU contract may not be lost: nobody waives it, and pods may ask."""
        given_up = (*self.policy.search.waived_losses, *self.status.unneeded_losses)
        return frozenset(ContractLoss) - frozenset(given_up)


@dataclass(frozen=True)
class Rules:
    """What the operator's settings say about runs: deadlines, freshness, retries, trusted keys."""

    keys: tuple[Ed25519PublicKey, ...] = ()
    deadlines: Mapping[RunStage, timedelta] = field(default_factory=dict)
    """Longest stay in a stage; a stage without one has a deadline of its own making."""
    heartbeat: timedelta = timedelta(seconds=30)
    """An agent whose last heartbeat is older counts as gone."""
    profile_seconds: int = 20
    soak: timedelta = timedelta(seconds=30)
    """How long a promoted node must hold before it counts."""
    attach: timedelta = timedelta(seconds=60)
    """How long an agent may take to attach an assigned scheduler."""
    patience: timedelta = timedelta(minutes=5)
    """How long a promotion waits for a node that it lacks and cannot take."""
    token_validity_seconds: int = 604_800
    max_retries: int = 2
    """How often a stage is tried again after a lost machine."""
    leading_since: datetime | None = None
    """When this operator began to lead: what it could not see before does not count."""
    promotion_noise_percent: float = 50.0
    """Slack on top of a margin when before and after are compared on a promoted node."""

    def deadline(self, run: Run) -> timedelta:
        """Return the longest stay in the run's stage."""
        base = self.deadlines.get(run.status.stage, timedelta(minutes=10))
        if run.status.stage is RunStage.CANARY:
            canary = run.policy.canary
            blocks = 2 * canary.pairs * (canary.block_seconds + canary.washout_seconds)
            return base + timedelta(seconds=1.5 * blocks)
        if run.status.stage is RunStage.PROMOTING:
            each = self.soak + self.attach
            return base + self.patience + len(run.status.eligible_nodes) * each
        return base

    def expired(self, run: Run, now: datetime) -> bool:
        """Return whether the run has been in its stage for too long while somebody drove it."""
        started = run.status.stage_started_at
        if started is None:
            return False
        return now - self.seen_since(started) > self.deadline(run)

    def seen_since(self, moment: datetime) -> datetime:
        """Return `moment`, or the beginning of this operator's term when that came later."""
        return moment if self.leading_since is None else max(moment, self.leading_since)


def at_once(budget: Budget, selected: int) -> int:
    """Return how many of `selected` nodes may be in change at a time; never fewer than one."""
    return max(1, int(selected * percent_value(budget.max_unavailable) / 100))
