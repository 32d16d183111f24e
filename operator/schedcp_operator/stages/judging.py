"""Judging: the blocks' figures, and what they say."""

from datetime import datetime
from typing import Any

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.policies import ApprovalRequired, Mode
from schedcp_api.runs import BlockFigure, NodeRole, OutcomeKind, RunStage

from ..events import (
    Event,
    FiguresMissing,
    FiguresRead,
    Observed,
    QueriesRefused,
    ReadFigures,
    Transition,
)
from ..judge import judge
from ..views import Rules, Run, World
from .blocks import finished_blocks
from .common import (
    conclude,
    enter,
    enter_promoting,
    error,
    inconclusive,
    is_lost,
    node_failure,
    roll_back,
    stay,
    with_attempt,
)
from .signing import approval_message


def judging(
    run: Run,
    event: Event,
    *,
    now: datetime,
    rules: Rules,
) -> Transition:
    """Read every block's figures, once, and decide."""
    match event:
        case Observed(world):
            return _reading(run, world, now=now, rules=rules)
        case FiguresRead(blocks):
            return _judged(run, blocks, now=now)
        case QueriesRefused(message):
            return conclude(run, error("BadQuery", message), now=now)
        case FiguresMissing(message):
            return stay(run, f"no figures: {message}")
        case _:
            return Transition(run.status)


def _reading(run: Run, world: World, *, now: datetime, rules: Rules) -> Transition:
    failed = node_failure(run, world, now=now, rules=rules)
    if failed is not None:
        return roll_back(run, failed, now=now)
    names = tuple(n.name for n in run.status.nodes if n.role is NodeRole.CANARY)
    untimed = [n.name for n in world.nodes if n.name in names and n.clock_skew is None]
    if untimed:
        return _untimed(run, world, tuple(untimed), now=now, rules=rules)
    return Transition(run.status, (ReadFigures(finished_blocks(run, world, names)),))


def _untimed(
    run: Run, world: World, names: tuple[str, ...], *, now: datetime, rules: Rules
) -> Transition:
    """Wait for a heartbeat from each of `names`, by which to compare the clock of its blocks.

    An operator that has just begun has none yet, and an agent that fell silent sends none.
    """
    lost = [name for name in names if is_lost(world.node(name), now=now, rules=rules)]
    if not lost:
        return stay(run, f"waiting for a heartbeat from {', '.join(names)}, to compare the clocks")
    message = (
        f"the agent on {', '.join(lost)} says nothing, so the clock that its blocks were timed by"
        " could not be compared with the operator's: look at the agent there"
    )
    return roll_back(run, inconclusive("ClockUnknown", message), now=now)


def _judged(run: Run, blocks: tuple[BlockFigure, ...], *, now: datetime) -> Transition:
    canaries = sum(n.role is NodeRole.CANARY for n in run.status.nodes)
    scheduled = run.policy.canary.pairs * max(1, canaries)
    outcome = judge(blocks, run.policy, scheduled_pairs=scheduled)
    conditions = with_condition(
        run.status.conditions,
        "Measured",
        ConditionStatus.TRUE if outcome.pairs else ConditionStatus.FALSE,
        reason=outcome.reason,
        message=outcome.message,
        now=now,
    )
    known: dict[str, Any] = {"conditions": conditions}
    attempts = with_attempt(run, blocks=blocks)
    run = Run(run.name, run.spec, run.status.replace(attempts=attempts))
    if outcome.kind is not OutcomeKind.IMPROVED:
        return roll_back(run, outcome, now=now, **known)
    known["attempts"] = with_attempt(run, outcome=outcome)
    if run.policy.mode is not Mode.AUTO:
        ended = outcome.replace(message=f"{outcome.message}; mode {run.policy.mode} ends here")
        return conclude(run, ended, now=now, **known)
    known["pending_outcome"] = outcome
    if run.policy.approval.required is ApprovalRequired.BEFORE_PROMOTION:
        message = f"{outcome.message}; {approval_message(run)}"[:2048]
        status = enter(run, RunStage.AWAITING_APPROVAL, now=now, message=message, **known)
        return Transition(status)
    return Transition(enter_promoting(run, now=now, message=outcome.message, **known))
