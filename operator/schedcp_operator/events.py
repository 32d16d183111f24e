"""What happens to a run (events), what it asks for (effects), and the two together.

Effects are idempotent: whoever performs one may be killed at any point and do it again.
"""

from dataclasses import dataclass

from schedcp_api.candidates import Candidate, SchedulingPlan, WorkloadDescription
from schedcp_api.nodestates import BlockRecord, GuardrailLimits
from schedcp_api.runs import BlockFigure, Lesson, OptimizationRunStatus
from schedcp_api.services import TokenRequest, Verification
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import EvaluationContract

from .programs import NodePrograms
from .views import World


@dataclass(frozen=True)
class Observed:
    """The world, looked at again."""

    world: World


@dataclass(frozen=True)
class Proposal:
    """A plan with the candidate that it comes to."""

    plan: SchedulingPlan
    candidate: Candidate


@dataclass(frozen=True)
class PlansMade:
    """The planner's answer, best first. The same question gives the same answer."""

    description: WorkloadDescription
    proposals: tuple[Proposal, ...]
    guardrails: GuardrailLimits
    set_aside: tuple[str, ...] = ()
    """What the planner would have proposed but for a lesson, with the lesson's words."""


@dataclass(frozen=True)
class PlanningFailed:
    """There can be no plan."""

    reason: str
    message: str


@dataclass(frozen=True)
class VerificationSeen:
    """How the verification stands."""

    verification: Verification


@dataclass(frozen=True)
class VerifierFailed:
    """The verifier could not be asked, or no longer knows the verification."""

    message: str
    forgotten: bool = False
    """The verifier answered that it does not know the id: it must be asked anew."""


@dataclass(frozen=True)
class TokenReceived:
    """A token that claims to be what was asked for, and whose object agents can get."""

    token: str


@dataclass(frozen=True)
class SigningRefused:
    """There is no token; `final` when asking again gives the same answer."""

    reason: str
    message: str
    final: bool


@dataclass(frozen=True)
class FiguresRead:
    """The canary's figures."""

    blocks: tuple[BlockFigure, ...]


@dataclass(frozen=True)
class FiguresMissing:
    """Prometheus could not be asked."""

    message: str


@dataclass(frozen=True)
class QueriesTried:
    """The policy's own queries were asked once."""

    problem: str = ""
    """Why Prometheus could not be asked; empty when it took the queries."""


@dataclass(frozen=True)
class QueriesRefused:
    """Prometheus refuses a query of the policy's, now and whenever it is asked."""

    message: str


@dataclass(frozen=True)
class PromotionFigure:
    """One figure on a promoted node, with the candidate and without it.

    `before` is what the canary's OFF blocks showed; on a node that was no canary, the figure of
    the soak time before the promotion.
    """

    node: str
    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class PromotionRead:
    """The figures of the nodes of one step."""

    step: int
    figures: tuple[PromotionFigure, ...]


@dataclass(frozen=True)
class LessonsStored:
    """The lessons are in the store."""

    digest: str


Event = (
    Observed
    | PlansMade
    | PlanningFailed
    | VerificationSeen
    | VerifierFailed
    | TokenReceived
    | SigningRefused
    | FiguresRead
    | FiguresMissing
    | QueriesTried
    | QueriesRefused
    | PromotionRead
    | LessonsStored
)


@dataclass(frozen=True)
class SyncNodes:
    """Bring these nodes' SchedulerNodeStates in line with what the run now wants of them."""

    nodes: tuple[str, ...]


@dataclass(frozen=True)
class TryQueries:
    """Ask the policy's own queries once, for this node: a bad one shall not cost a canary."""

    node: str


@dataclass(frozen=True)
class MakePlans:
    """Describe the profile and plan for it."""

    profile_digest: str
    kernel_digest: str
    kernel_release: str
    programs: NodePrograms
    """What the run's nodes have."""


@dataclass(frozen=True)
class Verify:
    """Start the verification, or ask how it stands when `verification` names one."""

    candidate: Candidate
    profile_digest: str
    kernel_digest: str
    contract: EvaluationContract
    claims: TokenClaims
    """Of the token that follows an accepted verdict."""
    verification: str


@dataclass(frozen=True)
class SignToken:
    """Have a token signed, once what agents fetch under it is in the store."""

    request: TokenRequest
    built_digest: str | None
    """None: nothing is fetched for a program."""


@dataclass(frozen=True)
class NodeBlocks:
    """The finished blocks of one canary node."""

    node: str
    blocks: tuple[BlockRecord, ...]


@dataclass(frozen=True)
class ReadFigures:
    """Read each block's figures from Prometheus."""

    nodes: tuple[NodeBlocks, ...]


@dataclass(frozen=True)
class ReadPromotion:
    """Read the figures of these nodes for the soak time and as long before `since`."""

    step: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class StoreLessons:
    """Keep what was learned."""

    lessons: tuple[Lesson, ...]


Effect = (
    SyncNodes
    | TryQueries
    | MakePlans
    | Verify
    | SignToken
    | ReadFigures
    | ReadPromotion
    | StoreLessons
)


@dataclass(frozen=True)
class Transition:
    """The new status, to be written first, and then the effects, to be performed in order."""

    status: OptimizationRunStatus
    effects: tuple[Effect, ...] = ()
