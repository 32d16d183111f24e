"""SchedulerPolicy: what a user asks for, and what the operator says about it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .base import (
    Condition,
    Noun,
    ObjectName,
    Percent,
    SchedulerName,
    Share,
    ShortText,
    Text,
    Timestamp,
    cel,
    validated,
)
from .candidates import Argument, CommandLine, PlanKind
from .selectors import LabelSelector
from .verdicts import ContractLoss, ReplayMode


class WorkloadSelector(Noun):
    """Which pods a policy is about."""

    namespace_selector: LabelSelector = LabelSelector()
    pod_selector: LabelSelector

    model_config = validated(
        cel(
            "has(self.podSelector.matchLabels) && size(self.podSelector.matchLabels) > 0"
            " || has(self.podSelector.matchExpressions)"
            " && size(self.podSelector.matchExpressions) > 0",
            "podSelector must select something: give matchLabels or matchExpressions",
        )
    )


class BuiltinMetric(StrEnum):
    """Figures that the agents export for every policy."""

    WAKEUP_LATENCY_P50 = "WakeupLatencyP50"
    WAKEUP_LATENCY_P99 = "WakeupLatencyP99"
    CPU_PRESSURE = "CpuPressure"
    NEIGHBOUR_CPU_PRESSURE = "NeighbourCpuPressure"
    NEIGHBOUR_CPU_TIME = "NeighbourCpuTime"


class PrometheusQuery(Noun):
    """A query of the user's own; `$node` and `$window` are filled in."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=1024)]

    model_config = validated(
        cel("self.query.contains('$node')", "query must contain $node: figures are taken per node"),
        cel(
            r"!self.query.matches('\\[[0-9]+[a-z]') || self.query.contains('$window')",
            "query looks back over a fixed range: write [$window], which is the length of a block",
        ),
    )


class MetricSource(Noun):
    """Where a figure comes from: a builtin or a Prometheus query, exactly one."""

    builtin: BuiltinMetric | None = None
    prometheus: PrometheusQuery | None = None

    model_config = validated(
        cel(
            "has(self.builtin) != has(self.prometheus)",
            "a metric is either builtin or prometheus, exactly one of the two",
        )
    )

    @property
    def name(self) -> str:
        """Return what people call the figure."""
        return str(self.builtin) if self.builtin else "prometheus"


class Direction(StrEnum):
    """Which way is better."""

    MINIMIZE = "Minimize"
    MAXIMIZE = "Maximize"


_MORE_IS_BETTER = cel(
    "!has(self.metric.builtin) || "
    "(self.metric.builtin == 'NeighbourCpuTime') == (self.direction == 'Maximize')",
    "of the builtin metrics NeighbourCpuTime is better when larger (direction: Maximize), and the "
    "others when smaller (direction: Minimize)",
)


class Objective(Noun):
    """What matters, in words and as a metric."""

    model_config = validated(_MORE_IS_BETTER)

    description: Text = ""
    metric: MetricSource = MetricSource(builtin=BuiltinMetric.WAKEUP_LATENCY_P99)
    direction: Direction = Direction.MINIMIZE
    minimum_effect: Share = "5%"
    """The smallest improvement that is worth a change."""


class Guardrail(Noun):
    """A figure that must not get worse by more than its margin."""

    model_config = validated(_MORE_IS_BETTER)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$", max_length=63)]
    metric: MetricSource
    direction: Direction = Direction.MINIMIZE
    margin: Share = "5%"
    """Of NeighbourCpuTime, also what the replay may take from the neighbours."""


class Trigger(Noun):
    """When a run starts."""

    on_rollout: bool = True
    stabilization_seconds: int = Field(default=60, ge=0, le=3600)
    """How long a rollout must have been complete before it is profiled."""
    cooldown_seconds: int = Field(default=3600, ge=0, le=604_800)
    """Shortest time between two runs of one policy."""


class PinnedCandidate(Noun):
    """A scheduler that the user wants tried, instead of the planner's choice."""

    scheduler: SchedulerName
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    """Knobs of one that has a source."""
    command_line: CommandLine = ()
    """Of one that is a program, without its name."""


class Search(Noun):
    """What may be tried."""

    allow: Annotated[tuple[PlanKind, ...], Field(min_length=1, max_length=4)] = (
        PlanKind.CONFIGURE,
    )
    max_candidates: int = Field(default=3, ge=1, le=16)
    pinned: Annotated[tuple[PinnedCandidate, ...], Field(max_length=16)] = ()
    """Try exactly these, in this order; the planner is not asked."""
    replay: ReplayMode = ReplayMode.REQUIRED
    """`Advisory` lets the canary judge a candidate that the replay does not favour."""
    waived_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()


class CanaryMethod(StrEnum):
    """How the effect on nodes is measured."""

    SWITCHBACK = "Switchback"
    CONTROLS = "Controls"


_MOST_STEPS = 8


class CanaryStep(Noun):
    """How far a candidate is taken in one step: a number of nodes, or a share of them."""

    nodes: Annotated[int, Field(ge=1, le=256)] | None = None
    percent: Annotated[int, Field(ge=1, le=100)] | None = None

    model_config = validated(
        cel("has(self.nodes) != has(self.percent)", "a step has either nodes or percent, not both")
    )


class Budget(Noun):
    """How much of the fleet may be under change at once."""

    max_unavailable: Share = "10%"
    """Share of the selected nodes in change at a time; at least one node is always allowed."""
    one_per_zone: bool = False


class Canary(Noun):
    """How a proven candidate is tried."""

    method: CanaryMethod = CanaryMethod.SWITCHBACK
    pairs: int = Field(default=8, ge=5, le=64)
    """Pairs of ON and OFF blocks; five is the fewest that can reach p < 0.05 one-sided."""
    block_seconds: int = Field(default=60, ge=4, le=3600)
    washout_seconds: int = Field(default=10, ge=1, le=600)
    steps: Annotated[tuple[CanaryStep, ...], Field(min_length=1, max_length=_MOST_STEPS)] = (
        CanaryStep(nodes=1),
        CanaryStep(percent=100),
    )
    budget: Budget = Budget()

    model_config = validated(
        cel("self.method == 'Switchback'", "only Switchback is supported by this version"),
        cel(
            f"{list(range(1, _MOST_STEPS))}.all(i, i >= size(self.steps)"
            " || (has(self.steps[i].percent) ? !has(self.steps[i - 1].percent)"
            " || self.steps[i].percent >= self.steps[i - 1].percent"
            " : has(self.steps[i - 1].nodes) && self.steps[i].nodes >= self.steps[i - 1].nodes))",
            "steps must grow: numbers of nodes first, then percent, none below the one before",
        ),
    )


class Mode(StrEnum):
    """How far the operator may go by itself."""

    OBSERVE = "Observe"
    RECOMMEND = "Recommend"
    CANARY = "Canary"
    AUTO = "Auto"


class Scope(StrEnum):
    """What a candidate schedules."""

    NODE = "Node"
    WORKLOAD = "Workload"
    AUTO = "Auto"


class OnDisconnect(StrEnum):
    """What an agent does when the operator's lease on its node runs out."""

    REVERT = "Revert"
    HOLD = "Hold"


class ApprovalRequired(StrEnum):
    """Where a run waits for a person."""

    NEVER = "Never"
    BEFORE_CANARY = "BeforeCanary"
    BEFORE_PROMOTION = "BeforePromotion"


class Approval(Noun):
    """Whether a person must approve."""

    required: ApprovalRequired = ApprovalRequired.NEVER


class ModelBudget(Noun):
    """The most that one run may ask of a language model."""

    requests: int = Field(default=40, ge=0, le=10_000)
    tokens: int = Field(default=200_000, ge=0, le=100_000_000)


class ModelUse(Noun):
    """Use of a language model, where one is configured."""

    budget: ModelBudget = ModelBudget()


class SchedulerPolicySpec(Noun):
    """The user's side."""

    mode: Mode = Mode.RECOMMEND
    workload: WorkloadSelector
    """Which pods it is about. A change of it ends the run that is under way (PolicyChanged)."""
    nodes: LabelSelector = LabelSelector()
    """Which nodes may be touched; an empty selector means all. A run ends, and gives back its
    nodes, once one that it holds is not selected any more (NodeDeselected)."""
    scope: Scope = Scope.AUTO
    objective: Objective = Objective()
    guardrails: Annotated[
        tuple[Guardrail, ...],
        Field(
            max_length=8,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """Each name at most once."""
    trigger: Trigger = Trigger()
    search: Search = Search()
    canary: Canary = Canary()
    on_disconnect: OnDisconnect = OnDisconnect.REVERT
    approval: Approval = Approval()
    model: ModelUse = ModelUse()
    suspend: bool = False
    """Start no run and end the one under way. A promoted scheduler stays where it is: set `mode`
    to Canary or less, or delete the policy, to take it off."""
    run_history_limit: int = Field(default=10, ge=1, le=100)
    """How many finished runs are kept, beside the one whose scheduler is; older ones are deleted
    once the nodes that they touched are proven to be without their schedulers."""

    model_config = validated(
        cel(
            "self.scope != 'Workload'", "scope Workload is not supported by this version; use Node"
        ),
    )


class ObservedWorkload(Noun):
    """A rollout as the operator has last seen it."""

    workload: ShortText
    """`Kind/namespace/name`"""
    revision: ShortText
    """Digest of the pod template: what tells one rollout from the next."""
    complete_since: Timestamp | None = None
    """Since when every replica of the revision is available; none while it rolls out."""
    handled: bool = False
    """Whether a run was started (or deliberately not) for this revision."""


class PromotedScheduler(Noun):
    """The scheduler that the policy keeps on its nodes."""

    run: ObjectName
    scheduler: SchedulerName
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    command_line: CommandLine = ()
    effect: Percent
    promoted_at: Timestamp


class SchedulerPolicyStatus(Noun):
    """The operator's side."""

    observed_generation: int = 0
    selected_pods: int = 0
    selected_nodes: int = 0
    workloads: Annotated[tuple[ObservedWorkload, ...], Field(max_length=64)] = ()
    active_run: ObjectName | None = None
    last_run: ObjectName | None = None
    last_outcome: ShortText = ""
    last_run_finished_at: Timestamp | None = None
    promoted: PromotedScheduler | None = None
    workload_gone_since: Timestamp | None = None
    """Since when nothing matches `spec.workload` although a scheduler is kept for it."""
    summary: ShortText = ""
    """One line: what it is doing, and whether it is better."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
