"""What the stages share: entering a stage, ending an attempt, concluding, rolling back."""

from datetime import datetime, timedelta
from typing import Any, Protocol

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.nodestates import (
    COMPARING_PRESSURE,
    COMPARISON_SECONDS,
    JUST_BOOTED,
    PASSING_REFUSALS,
    AssignmentStatus,
    RunState,
)
from schedcp_api.runs import (
    Attempt,
    AttemptResult,
    NodeRole,
    OptimizationRunStatus,
    Outcome,
    OutcomeKind,
    RunNode,
    RunStage,
    StageTime,
)

from ..assignments import entries, touches
from ..clocks import clock_problem
from ..eligibility import CLOCK_SKEW, is_clear
from ..events import Event, SyncNodes, Transition
from ..views import NodeView, Rules, Run, World

NO_KEYS = (
    "no key is trusted, so no verdict and no token can be: set the chart's value trustedKeys to the"
    " signer's public key (without the chart, SCHEDCP_OPERATOR_TRUSTED_KEYS_FILE names the file)"
)
_MOST_STAGES = 256
_OF_THIS_CANDIDATE = ("NotEnoughPower", "GuardrailUnclear", "Quarantined")
_SILENCE_ENDS = {RunStage.CANARY: "canary", RunStage.PROMOTING: "promotion"}
"""Stages that need word from every node: in Judging the blocks are done."""
_BY_BLOCKS = (RunStage.CANARY, RunStage.JUDGING)
"""Stages whose outcome comes from blocks, which a node's clock tells apart."""
_FINAL_STATES = frozenset({RunState.REFUSED, RunState.EJECTED, RunState.TRIPPED, RunState.FAILED})


class StageFunction(Protocol):
    """What every stage is."""

    def __call__(self, run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
        """Return what `event` makes of `run`."""


def enter(run: Run, stage: RunStage, *, now: datetime, **changes: Any) -> OptimizationRunStatus:
    """Return the run's status moved to `stage`, with `changes` to other fields."""
    status = run.status
    past = [
        entry if entry.ended_at is not None else entry.replace(ended_at=now)
        for entry in status.stages
    ]
    attempts = changes.get("attempts", status.attempts)
    opened = StageTime(stage=stage, attempt=len(attempts), started_at=now)
    if stage is RunStage.FINISHED:
        opened = opened.replace(ended_at=now)
    conditions = with_condition(
        changes.pop("conditions", status.conditions),
        "Progressing",
        ConditionStatus.FALSE if stage is RunStage.FINISHED else ConditionStatus.TRUE,
        reason=str(stage),
        message=changes.get("message", "") or f"stage {stage}",
        now=now,
    )
    return status.replace(
        **{
            "stage": stage,
            "stage_started_at": now,
            "retries": 0,
            "message": "",
            "stages": tuple([*past, opened][-_MOST_STAGES:]),
            "conditions": conditions,
            **changes,
        }
    )


def stay(run: Run, message: str = "") -> Transition:
    """Return a transition that waits, saying why."""
    if not message or run.status.message == message[:2048]:
        return Transition(run.status)
    return Transition(run.status.replace(message=message[:2048]))


def with_attempt(run: Run, **changes: Any) -> tuple[Attempt, ...]:
    """Return the run's attempts with the last one changed."""
    return (*run.status.attempts[:-1], run.attempt.replace(**changes))


def bounded(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Return reasons that fit an attempt's field."""
    return tuple(reason[:2048] for reason in reasons[:16])


def inconclusive(reason: str, message: str) -> Outcome:
    """Return an outcome of a run that could not be decided."""
    return Outcome(kind=OutcomeKind.INCONCLUSIVE, reason=reason, message=message[:2048])


def error(reason: str, message: str) -> Outcome:
    """Return an outcome of a run that something other than the candidate ended."""
    return Outcome(kind=OutcomeKind.ERROR, reason=reason, message=message[:2048])


def worse(reason: str, message: str) -> Outcome:
    """Return an outcome of a run whose candidate did harm."""
    return Outcome(kind=OutcomeKind.WORSE, reason=reason, message=message[:2048])


def conclude(run: Run, outcome: Outcome, *, now: datetime, **changes: Any) -> Transition:
    """End the loop with `outcome`; nodes that were touched are restored, and proven so, first."""
    unrestored = any(entry.awaited for entry in run.status.nodes)
    if unrestored and run.status.stage is not RunStage.ROLLING_BACK:
        return roll_back(run, outcome, now=now, **changes)
    status = enter(
        run,
        RunStage.LEARNING,
        now=now,
        pending_outcome=outcome,
        message=outcome.message,
        **{"profile_node": None, **changes},
    )
    return Transition(status, (SyncNodes(touches(run)),) if touches(run) else ())


def roll_back(run: Run, outcome: Outcome, *, now: datetime, **changes: Any) -> Transition:
    """Take the candidate off every node; what follows is decided when that is proven."""
    if "attempts" not in changes and run.status.attempts:
        changes["attempts"] = with_attempt(
            run,
            result=AttemptResult.ROLLED_BACK,
            outcome=outcome,
            reasons=bounded((*run.attempt.reasons, f"{outcome.reason}: {outcome.message}")),
        )
    nodes = tuple(
        entry
        if entry.role is NodeRole.REVERTED
        else entry.replace(role=NodeRole.REVERTED, since=now, restored_at=None, gone_at=None)
        for entry in run.status.nodes
    )
    status = enter(
        run,
        RunStage.ROLLING_BACK,
        now=now,
        pending_outcome=outcome,
        nodes=nodes,
        message=outcome.message,
        **changes,
    )
    return Transition(status, (SyncNodes(touches(run)),))


def taken(world: World, name: str, role: NodeRole, *, now: datetime, step: int = 0) -> RunNode:
    """Return the entry of a node that the run takes now, with the boot that it is in."""
    boots = {node.name: node.status.boot_id for node in world.nodes}
    return RunNode(name=name, role=role, step=step, since=now, boot_id=boots.get(name, ""))


def enter_promoting(run: Run, *, now: datetime, **changes: Any) -> OptimizationRunStatus:
    """Return the status in Promoting: the canary's nodes now hold the candidate for good."""
    nodes = tuple(
        entry.replace(role=NodeRole.PROMOTED, since=now) if entry.role is NodeRole.CANARY else entry
        for entry in run.status.nodes
    )
    return enter(run, RunStage.PROMOTING, now=now, nodes=nodes, step=0, passed_over=(), **changes)


def another_may_follow(outcome: Outcome) -> bool:
    """Return whether a next candidate could fare better than the one with this outcome."""
    if outcome.kind in (OutcomeKind.WORSE, OutcomeKind.NO_EFFECT):
        return True
    return outcome.kind is OutcomeKind.INCONCLUSIVE and outcome.reason in _OF_THIS_CANDIDATE


def assignment_status(run: Run, node: NodeView) -> AssignmentStatus | None:
    """Return what the node's agent says of this run's present assignment."""
    if not node.caught_up:
        return None
    digest = run.attempt.object_digest
    return next(
        (s for s in node.status.assignments if s.run == run.name and s.object_digest == digest),
        None,
    )


def shown(entry: RunNode, world: World, *, now: datetime) -> RunNode:
    """Return the entry of a node that is to be given back with what the node shows of that now."""
    if not entry.awaited:
        return entry
    node = world.node(entry.name)
    if node is None:
        return entry.replace(role=NodeRole.REVERTED, gone_at=now)
    return entry.replace(role=NodeRole.REVERTED, restored_at=now) if is_clear(node) else entry


def node_failure(run: Run, world: World, *, now: datetime, rules: Rules) -> Outcome | None:
    """Return the outcome that a node with the candidate forces on a stage that has such nodes.

    A node that left the cluster ends a canary, which needs its blocks, and no promotion.
    """
    stage = run.status.stage
    role = NodeRole.PROMOTED if stage is RunStage.PROMOTING else NodeRole.CANARY
    touched = entries(run, role)
    views = {node.name: node for node in world.nodes}
    failed = _failure_on(run, touched, views, now=now, rules=rules)
    if failed is None and stage in _BY_BLOCKS:
        failed = _mistimed(run, touched, views, now=now)
    if failed is not None or stage not in _SILENCE_ENDS:
        return failed
    heard = [e.name for e in touched if e.name in views or stage is RunStage.CANARY]
    lost = [name for name in heard if is_lost(views.get(name), now=now, rules=rules)]
    if not lost:
        return None
    during = _SILENCE_ENDS[stage]
    return error("NodeLost", f"the agent on {', '.join(lost)} fell silent during the {during}")


def _failure_on(
    run: Run, nodes: tuple[RunNode, ...], views: dict[str, NodeView], *, now: datetime, rules: Rules
) -> Outcome | None:
    """Return the outcome that an agent's final word on the candidate forces, if there is one.

    A refusal that may pass is given as long as an attachment may take. What trips on a node that
    was booted meanwhile may be the rush of all its pods, and proves nothing against the candidate.
    """
    for entry in nodes:
        name = entry.name
        view = views.get(name)
        said = assignment_status(run, view) if view is not None else None
        if view is None or said is None or said.state not in _FINAL_STATES:
            continue
        refused = said.state is RunState.REFUSED
        lasts = now - view.by_our_clock(said.since)
        if (
            refused
            and said.reason in PASSING_REFUSALS
            and lasts <= patience_with(said.reason, rules)
        ):
            continue
        message = f"{name}: {said.state}: {said.reason}: {said.message}"[:2048]
        if said.state is RunState.EJECTED:
            return worse("Ejected", message)
        tripped = said.state is RunState.TRIPPED
        if said.reason == JUST_BOOTED or (tripped and _rebooted(entry, view)):
            return inconclusive("NodeRebooted", message)
        if tripped:
            return worse("GuardrailTripped", message)
        if said.state is RunState.REFUSED:
            return error(said.reason or "Refused", message)
        return error("AttachFailed", message)
    return None


def patience_with(reason: str, rules: Rules) -> timedelta:
    """Return how long a refusal may last that passes by itself."""
    compared = timedelta(seconds=COMPARISON_SECONDS if reason == COMPARING_PRESSURE else 0)
    return rules.attach + compared


def _rebooted(entry: RunNode, node: NodeView) -> bool:
    return entry.boot_id != "" and node.status.boot_id not in ("", entry.boot_id)


def _mistimed(
    run: Run, nodes: tuple[RunNode, ...], views: dict[str, NodeView], *, now: datetime
) -> Outcome | None:
    """Return the outcome that a node's clock forces on a stage whose blocks it times."""
    for entry in nodes:
        view = views.get(entry.name)
        problem = clock_problem(view, run.policy.canary, now=now) if view is not None else ""
        if problem:
            return inconclusive(CLOCK_SKEW, f"{entry.name}: {problem}")
    return None


def is_lost(node: NodeView | None, *, now: datetime, rules: Rules) -> bool:
    """Return whether the node is gone or its agent has been silent for twice the allowed time.

    Of an agent whose clock was never compared only the arrival of a heartbeat tells; where none was
    seen to arrive, nothing was heard since this operator leads.
    """
    if node is None or node.status.heartbeat_at is None:
        return True
    heard = node.by_our_clock(node.status.heartbeat_at)
    if node.clock_skew is None:
        heard = node.heard_at or rules.leading_since or heard
    return now - rules.seen_since(heard) > 2 * rules.heartbeat
