"""Drives a run through `advance()` with a world that obeys: no clock, no I/O."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from schedcp_api.base import digest_of
from schedcp_api.manifests import BuiltProgram
from schedcp_api.nodestates import SchedulerNodeStateSpec
from schedcp_api.runs import Lesson, OptimizationRunStatus, RunStage
from schedcp_api.services import TokenRequest, Verification, VerificationState
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import Verdict
from schedcp_operator.advance import advance
from schedcp_operator.assignments import desired_assignment, desired_profile_request
from schedcp_operator.events import (
    Effect,
    Event,
    FiguresRead,
    LessonsStored,
    MakePlans,
    Observed,
    PlanningFailed,
    PlansMade,
    PromotionFigure,
    PromotionRead,
    QueriesTried,
    ReadFigures,
    ReadPromotion,
    SignToken,
    StoreLessons,
    SyncNodes,
    TokenReceived,
    Transition,
    TryQueries,
    VerificationSeen,
    Verify,
)
from schedcp_operator.planner import make_plans
from schedcp_operator.programs import programs_on
from schedcp_operator.stages.promoting import is_settled
from schedcp_operator.views import NodeView, Run, World

from .operator_library import LIBRARY
from .operator_nodes import Agent, node, world
from .operator_nouns import KERNEL, NOW, RULES, figures, run, token, verdict
from .operator_profiles import profile

_MOST_STEPS = 500


class Driver:
    """One run and the world around it."""

    def __init__(
        self,
        run: Run,
        *,
        nodes: int = 3,
        pairs: list[list[tuple[float, float]]] | None = None,
        rejected: set[str] | None = None,
        programs: tuple[BuiltProgram, ...] = (),
    ) -> None:
        """`pairs` are the figures of each canary in turn; `rejected` the verifier's refusals.

        `programs` came with every node's agent.
        """
        self.run = run
        self.now: datetime = NOW
        self.nodes: dict[str, NodeView] = {
            f"node-{n}": node(f"node-{n}", programs=programs) for n in range(1, nodes + 1)
        }
        self.approved = ""
        self.verdicts: list[Verdict] = []
        self.lessons: tuple[Lesson, ...] = ()
        self._pairs = list(pairs or [])
        self._rejected = rejected or set()

    def world(self) -> World:
        """The world as the run sees it."""
        return world(*self.nodes.values(), spec=self.run.policy, approved=self.approved)

    def tell(self, event: Event) -> Transition:
        """One event; effects are returned, not performed."""
        transition = advance(self.run, event, now=self.now, rules=RULES)
        self.run = Run(self.run.name, self.run.spec, transition.status)
        return transition

    def observe(self) -> Transition:
        """Look at the world; effects are not performed."""
        return self.tell(Observed(self.world()))

    def step(self) -> None:
        """Look at the world, perform what is asked for, and let time and the agents go on."""
        waiting: list[Event] = [Observed(self.world())]
        while waiting:
            for effect in self.tell(waiting.pop(0)).effects:
                came = self.perform(effect)
                if came is not None:
                    waiting.append(came)
        self.now += timedelta(seconds=5)
        self.obey()

    def until(self, stage: RunStage) -> None:
        """Step until the run is in `stage`."""
        for _ in range(_MOST_STEPS):
            if self.run.status.stage is stage:
                return
            if self.run.status.stage is RunStage.FINISHED:
                raise AssertionError(f"finished before {stage}: {self.run.status.outcome}")
            self._one(stage)
        raise AssertionError(f"still in {self.run.status.stage}: {self.run.status.message}")

    def _one(self, stage: RunStage) -> None:
        """Step, but stop at the very event that enters `stage`."""
        waiting: list[Event] = [Observed(self.world())]
        while waiting:
            transition = self.tell(waiting.pop(0))
            if self.run.status.stage is stage:
                break
            for effect in transition.effects:
                came = self.perform(effect)
                if came is not None:
                    waiting.append(came)
        self.now += timedelta(seconds=5)
        self.obey()

    def refresh(self) -> None:
        """Let every agent's heartbeat be of now."""
        for name, view in self.nodes.items():
            self.nodes[name] = replace(view, status=view.status.replace(heartbeat_at=self.now))

    def report(self, name: str, **status: object) -> None:
        """Let a node's agent report something else."""
        view = self.nodes[name]
        self.nodes[name] = replace(view, status=view.status.replace(**status))

    def obey(self) -> None:
        """Let every agent do what the run wants of it."""
        for name, view in self.nodes.items():
            wanted = desired_assignment(self.run, name)
            spec = SchedulerNodeStateSpec(
                assignments=(wanted,) if wanted else (),
                profile_request=desired_profile_request(self.run, name, seconds=20),
            )
            since = next((e.since for e in self.run.status.nodes if e.name == name), self.now)
            self.nodes[name] = Agent(view).obeys(spec, now=self.now, since=since)

    def settled(self) -> int:
        """How many promoted nodes have held for the soak time."""
        return sum(
            is_settled(self.run, self.nodes[entry.name], now=self.now, rules=RULES)
            for entry in self.run.status.nodes
        )

    def plans(self) -> PlansMade | PlanningFailed:
        """What the planner says."""
        return make_plans(
            profile(),
            self.run.policy,
            library=LIBRARY,
            kernel_digest=KERNEL.content_digest(),
            kernel_release=KERNEL.release,
            programs=programs_on(tuple(self.nodes), self.world()),
        )

    def sign_request(self) -> TokenRequest:
        """What the run asks the signer for."""
        claims = TokenClaims(run=self.run.name, nodes=self.run.status.eligible_nodes)
        return TokenRequest(
            verification=self.run.status.verification or digest_of(b"v"), claims=claims
        )

    def perform(self, effect: Effect) -> Event | None:
        """What a world that obeys makes of an effect."""
        match effect:
            case SyncNodes():
                return None
            case TryQueries():
                return QueriesTried()
            case MakePlans():
                return self.plans()
            case Verify():
                return self._verified(effect)
            case SignToken(request, _):
                return TokenReceived(token(request, self.verdicts[-1], now=self.now))
            case ReadFigures() if self.run.status.stage is RunStage.CANARY:
                return FiguresRead(())
            case ReadFigures(nodes):
                pairs = self._pairs.pop(0) if self._pairs else [(0.5, 1.0)] * 5
                rails = {rail.name: (1.0, 1.0) for rail in self.run.policy.guardrails}
                read = figures(pairs, guardrails=rails)
                return FiguresRead(tuple(block.replace(node=nodes[0].node) for block in read))
            case ReadPromotion(step, names):
                seen = tuple(PromotionFigure(name, "Objective", 1.0, 0.5) for name in names)
                return PromotionRead(step, seen)
            case StoreLessons(lessons):
                self.lessons = lessons
                return LessonsStored(digest_of(b"lessons"))

    def _verified(self, effect: Verify) -> Event:
        accepted = effect.candidate.scheduler not in self._rejected
        given = verdict(effect.candidate, effect.contract.content_digest(), accepted=accepted)
        self.verdicts.append(given)
        return VerificationSeen(
            Verification(
                id=effect.candidate.content_digest(), state=VerificationState.DONE, verdict=given
            )
        )


def pending(status: OptimizationRunStatus) -> tuple[RunStage, str]:
    """Return the stage of a run that is ending, and the reason why it is."""
    assert status.pending_outcome is not None
    return status.stage, status.pending_outcome.reason


def at(stage: RunStage, **options: Any) -> Driver:
    """A driver whose run has just entered `stage`; `options` are those of the driver."""
    driver = Driver(run(), **options)
    driver.until(stage)
    return driver


def finished() -> Run:
    """A run that was promoted."""
    return at(RunStage.FINISHED).run
