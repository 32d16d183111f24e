"""The loop as one pure function: `advance(run, event, now=..., rules=...) -> Transition`.

profile → plan → candidate → verdict → token → canary → outcome → lesson. A stage never calls an
earlier one: a retry is a transition with feedback. Everything the next step depends on is in the
run's status and in the event, so an operator that was killed goes on where it stopped.
"""

from collections.abc import Mapping
from datetime import datetime

from schedcp_api.policies import Mode
from schedcp_api.runs import NodeRole, Outcome, RunStage

from .events import Event, Observed, Transition
from .stages.approval import awaiting_approval
from .stages.canary import canary
from .stages.common import (
    StageFunction,
    conclude,
    error,
    inconclusive,
    node_failure,
    roll_back,
    stay,
)
from .stages.judging import judging
from .stages.learning import finished, learning
from .stages.pending import pending
from .stages.planning import planning
from .stages.profiling import profiling
from .stages.promoting import promoting
from .stages.rolling_back import not_restored, rolling_back
from .stages.signing import signing
from .stages.verifying import verifying
from .views import Rules, Run, World
from .wording import listed

__all__ = ["advance"]

_STAGES: Mapping[RunStage, StageFunction] = {
    RunStage.PENDING: pending,
    RunStage.PROFILING: profiling,
    RunStage.PLANNING: planning,
    RunStage.VERIFYING: verifying,
    RunStage.SIGNING: signing,
    RunStage.AWAITING_APPROVAL: awaiting_approval,
    RunStage.CANARY: canary,
    RunStage.JUDGING: judging,
    RunStage.PROMOTING: promoting,
    RunStage.ROLLING_BACK: rolling_back,
    RunStage.LEARNING: learning,
}

_ENDING = frozenset({RunStage.ROLLING_BACK, RunStage.LEARNING})

_HOLDING = frozenset({RunStage.CANARY, RunStage.JUDGING, RunStage.PROMOTING})
"""Where nodes hold a candidate that can still fail on them."""

_NEEDED = {
    RunStage.SIGNING: Mode.CANARY,
    RunStage.AWAITING_APPROVAL: Mode.CANARY,
    RunStage.CANARY: Mode.CANARY,
    RunStage.JUDGING: Mode.CANARY,
    RunStage.PROMOTING: Mode.AUTO,
}
"""How far the policy must allow the operator to go for a stage."""

_RANK = {mode: rank for rank, mode in enumerate(Mode)}


def advance(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Return what `event` makes of `run`: the status to write, and then the effects to perform."""
    stage = run.status.stage
    if stage is RunStage.FINISHED:
        return Transition(run.status)
    if run.status.stage_started_at is None:
        run = Run(run.name, run.spec, run.status.replace(stage_started_at=now))
    if isinstance(event, Observed) and stage not in _ENDING:
        if event.world.policy_problem:
            return _without_policy(run, event.world, now=now, rules=rules)
        stop = _interruption(run, event.world)
        if stop is not None:
            return conclude(run, stop, now=now)
    transition = _STAGES[stage](run, event, now=now, rules=rules)
    stuck = transition.status.stage is stage
    if stuck and isinstance(event, Observed) and rules.expired(run, now):
        return _timed_out(run, now=now)
    return transition


def _without_policy(run: Run, world: World, *, now: datetime, rules: Rules) -> Transition:
    """Wait until the policy can be read again, but not where the candidate does harm meanwhile.

    What a run does was settled when it began; the policy as it is now can only stop it. So the
    run goes no further, while a failed node and the stage's deadline end it as ever.
    """
    if run.status.stage in _HOLDING:
        failed = node_failure(run, world, now=now, rules=rules)
        if failed is not None:
            return roll_back(run, failed, now=now)
        if rules.expired(run, now):
            message = (
                f"the time for stage {run.status.stage} is over, and policy {run.spec.policy}"
                f" cannot be read: {world.policy_problem}"
            )
            return conclude(run, inconclusive("PolicyUnreadable", message), now=now)
    return stay(run, f"waiting for the policy: {world.policy_problem}")


def _interruption(run: Run, world: World) -> Outcome | None:
    """Return the outcome when the policy no longer lets the run go on."""
    if world.policy is None:
        return inconclusive("PolicyDeleted", f"policy {run.spec.policy} is gone")
    if world.policy.spec.suspend:
        return inconclusive("Suspended", f"policy {run.spec.policy} is suspended")
    needed = _NEEDED.get(run.status.stage)
    if needed is not None and _RANK[world.policy.mode] < _RANK[needed]:
        message = f"the policy's mode is {world.policy.mode} now, too little for a {needed} stage"
        return inconclusive("ModeChanged", message)
    if world.policy.spec.workload != run.policy.workload:
        message = (
            f"spec.workload of policy {run.spec.policy} is not what it was when the run began, so"
            " its figures would be of other pods; the next run is for the workload as it is now"
        )
        return inconclusive("PolicyChanged", message)
    lost = _deselected(run, world)
    if lost:
        message = (
            f"policy {run.spec.policy} no longer selects {listed(lost)}, which the run had"
            " taken: spec.nodes or the node's labels changed; the run ends and gives back all its"
            " nodes, and the next one takes those that are selected then"
        )
        return inconclusive("NodeDeselected", message)
    return None


def _deselected(run: Run, world: World) -> tuple[str, ...]:
    """Return the nodes that the run holds although its policy does not select them any more."""
    held = {entry.name for entry in run.status.nodes if entry.role is not NodeRole.REVERTED}
    return tuple(node.name for node in world.nodes if node.name in held and not node.selected)


def _timed_out(run: Run, *, now: datetime) -> Transition:
    stage = run.status.stage
    said = run.status.message or "no progress"
    if stage is RunStage.ROLLING_BACK:
        return not_restored(run, now=now)
    if stage is RunStage.LEARNING:
        return finished(run, now=now)
    reasons: Mapping[RunStage, Outcome] = {
        RunStage.PENDING: inconclusive("NoEligibleNodes", said),
        RunStage.PROFILING: error("ProfilingTimedOut", said),
        RunStage.PLANNING: error("PlanningTimedOut", said),
        RunStage.VERIFYING: error("VerificationTimedOut", said),
        RunStage.SIGNING: error("SigningTimedOut", said),
        RunStage.AWAITING_APPROVAL: inconclusive("NotApproved", said),
        RunStage.CANARY: error("CanaryTimedOut", said),
        RunStage.JUDGING: inconclusive("PrometheusUnavailable", said),
        RunStage.PROMOTING: error("PromotionTimedOut", said),
    }
    return conclude(run, reasons[stage], now=now)
