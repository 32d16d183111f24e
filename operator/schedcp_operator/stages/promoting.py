"""Promoting: node by node, within the budget, and only while each one holds."""

import random
from datetime import datetime

from schedcp_api.base import percent_value
from schedcp_api.nodestates import JUST_BOOTED, RunState
from schedcp_api.policies import Direction, MetricSource
from schedcp_api.runs import AttemptResult, NodeRole, PassedOver, RunNode, RunStage

from ..assignments import desired_assignment, entries
from ..eligibility import ON_DEFAULT, is_quarantined, refusal
from ..events import (
    Event,
    FiguresMissing,
    Observed,
    PromotionFigure,
    PromotionRead,
    QueriesRefused,
    ReadPromotion,
    SyncNodes,
    Transition,
)
from ..judge import harm_percent
from ..views import NodeView, Rules, Run, World, at_once
from ..wording import listed
from .canary import nodes_of_step
from .common import (
    assignment_status,
    conclude,
    enter,
    error,
    node_failure,
    patience_with,
    roll_back,
    shown,
    stay,
    taken,
    with_attempt,
    worse,
)

OBJECTIVE = "Objective"
"""The objective among the names of guard rails, which have no capitals."""
QUARANTINED = "Quarantined"
_LASTING = frozenset({QUARANTINED, "NoSchedExt", JUST_BOOTED})
"""Why a node cannot be taken that no wait changes, or none that a promotion has the time for."""


def promoting(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Take the candidate to the nodes of each step; one that fails takes it off all of them."""
    match event:
        case Observed(world):
            return _walked(run, world, now=now, rules=rules)
        case PromotionRead(step, figures) if step == run.status.step:
            return _read(run, figures, now=now, rules=rules)
        case QueriesRefused(message):
            return conclude(run, error("BadQuery", message), now=now)
        case FiguresMissing(message):
            return stay(run, f"no step without figures: {message}")
        case _:
            return Transition(run.status)


def _walked(run: Run, world: World, *, now: datetime, rules: Rules) -> Transition:
    """Go on to the next nodes, unless one fails or does not take the candidate in time.

    Whoever renewed a lease a moment ago has changed what the agent is asked, and knows nothing
    until it answers; an agent that never answers is a lost node. A node that left the cluster says
    nothing of the candidate: the others go on without it, as they do, after some patience, without
    one that cannot be taken, and without one whose boot's rush lasts too long.
    """
    run = _without_gone(run, world, now=now)
    if not _present(run, world):
        left = listed(run.status.eligible_nodes)
        message = f"none of {left} is in the cluster and selected any more: nothing is promoted"
        return roll_back(run, error("NodesGone", message), now=now)
    run = _without_rushed(run, world, now=now, rules=rules)
    run = _with_passed_over(run, world, now=now, rules=rules)
    failed = node_failure(run, world, now=now, rules=rules)
    if failed is not None:
        return roll_back(run, failed, now=now)
    views = {node.name: node for node in world.nodes}
    names = tuple(entry.name for entry in entries(run, NodeRole.PROMOTED))
    unassigned = tuple(name for name in names if not _is_assigned(run, views[name]))
    unsynced = (*unassigned, *_still_assigned(run, world))
    if unsynced:
        return Transition(run.status, (SyncNodes(unsynced),))
    moving = [
        entry
        for entry in entries(run, NodeRole.PROMOTED)
        if not is_settled(run, views[entry.name], now=now, rules=rules)
    ]
    stuck = [entry.name for entry in moving if _is_stuck(run, entry, views[entry.name], now, rules)]
    if stuck:
        message = f"{', '.join(stuck)} did not hold the scheduler within the time allowed"
        return roll_back(run, error("PromotionTimedOut", message), now=now)
    return _more(run, world, moving, now=now, rules=rules)


def _is_stuck(run: Run, entry: RunNode, node: NodeView, now: datetime, rules: Rules) -> bool:
    """Return whether a node has not held the scheduler for longer than it may take."""
    said = assignment_status(run, node)
    allowed = rules.soak + patience_with(said.reason if said else "", rules)
    return node.caught_up and now - _moving_since(entry, node) > allowed


def _without_gone(run: Run, world: World, *, now: datetime) -> Run:
    """Return the run whose nodes that left the cluster are no longer promoted."""
    nodes = tuple(
        entry.replace(role=NodeRole.REVERTED, since=now, gone_at=now)
        if entry.role is NodeRole.PROMOTED and world.node(entry.name) is None
        else entry
        for entry in run.status.nodes
    )
    return Run(run.name, run.spec, run.status.replace(nodes=nodes))


def _without_rushed(run: Run, world: World, *, now: datetime, rules: Rules) -> Run:
    """Return the run that gave back the nodes on which the rush of their boot put it off.

    That proves nothing, and lasts longer than a promotion can wait, whether the node was booted
    before or after it was taken. Where no node would be left, nothing is given back here.
    """
    held = entries(run, NodeRole.PROMOTED)
    rushed = {entry.name for entry in held if _is_rushed(run, world, entry, now=now, rules=rules)}
    given_back = rushed if len(rushed) < len(held) else set[str]()
    nodes = tuple(
        entry.replace(role=NodeRole.REVERTED, since=now, restored_at=None, gone_at=None)
        if entry.name in given_back
        else shown(entry, world, now=now)
        if entry.role is NodeRole.REVERTED
        else entry
        for entry in run.status.nodes
    )
    return Run(run.name, run.spec, run.status.replace(nodes=nodes))


def _is_rushed(run: Run, world: World, entry: RunNode, *, now: datetime, rules: Rules) -> bool:
    """Return whether the agent has put the candidate off for as long as an attachment may take."""
    node = world.node(entry.name)
    said = assignment_status(run, node) if node is not None else None
    if node is None or said is None or said.state is not RunState.REFUSED:
        return False
    return said.reason == JUST_BOOTED and now - node.by_our_clock(said.since) > rules.attach


def _was_given_back(run: Run, name: str) -> bool:
    """Return whether this promotion had the node, which is there, and gave it back."""
    began = run.status.stage_started_at
    return any(
        entry.name == name
        and entry.role is NodeRole.REVERTED
        and entry.gone_at is None
        and began is not None
        and entry.since >= began
        for entry in run.status.nodes
    )


def _still_assigned(run: Run, world: World) -> tuple[str, ...]:
    """Return the nodes that were given back and are still asked to run the candidate."""
    return tuple(
        node.name
        for node in world.nodes
        if _was_given_back(run, node.name)
        and any(assignment.run == run.name for assignment in node.spec.assignments)
    )


def _present(run: Run, world: World) -> tuple[str, ...]:
    """Return the run's nodes that are there and selected: steps and budget are shares of these."""
    there = {node.name for node in world.nodes if node.selected}
    return tuple(name for name in run.status.eligible_nodes if name in there)


def _with_passed_over(run: Run, world: World, *, now: datetime, rules: Rules) -> Run:
    """Return the run with the nodes that the step lacks and cannot take: since when, and why."""
    since = {entry.name: entry.since for entry in run.status.passed_over}
    free, passed_over = 0, list[PassedOver]()
    for node in _not_held(run, world):
        reason = _hindrance(run, node, now=now, rules=rules)
        free += not reason
        if reason:
            first = since.get(node.name, now)
            passed_over.append(PassedOver(name=node.name, reason=reason, since=first))
    if len(entries(run, NodeRole.PROMOTED)) + free >= _wanted(run, world):
        passed_over = []
    return Run(run.name, run.spec, run.status.replace(passed_over=tuple(passed_over)))


def _not_held(run: Run, world: World) -> list[NodeView]:
    """Return the run's nodes that are there and not promoted, by name."""
    held = {entry.name for entry in entries(run, NodeRole.PROMOTED)}
    names = set(run.status.eligible_nodes) - held
    return sorted((n for n in world.nodes if n.name in names), key=lambda n: n.name)


def _hindrance(run: Run, node: NodeView, *, now: datetime, rules: Rules) -> str:
    """Return why the node cannot be taken now; empty when it can."""
    if _was_given_back(run, node.name):
        return JUST_BOOTED
    refused = refusal(node, run.policy.canary, now=now, rules=rules)
    if refused is not None:
        return refused.reason
    return QUARANTINED if is_quarantined(node, run.attempt.object_digest or "") else ""


def _wanted(run: Run, world: World) -> int:
    """Return how many nodes the present step means."""
    return nodes_of_step(run.policy.canary.steps[run.status.step], len(_present(run, world)))


def _awaited(run: Run, *, now: datetime, rules: Rules) -> tuple[str, ...]:
    """Return the nodes that the step waits for, with why they cannot be taken.

    Each for a while only, and none so long that the stage's own time would run out over it.
    """
    if rules.expired(run, now + rules.attach):
        return ()
    return tuple(
        f"{entry.name} ({entry.reason})"
        for entry in run.status.passed_over
        if entry.reason not in _LASTING and now - rules.seen_since(entry.since) < rules.patience
    )


def left_out(run: Run) -> str:
    """Return which nodes the promotion went on without, and why; empty when none."""
    if not run.status.passed_over:
        return ""
    named = tuple(f"{entry.name} ({entry.reason})" for entry in run.status.passed_over)
    return f"left out: {listed(named)}"


def _moving_since(entry: RunNode, node: NodeView) -> datetime:
    """Return since when a node has been on its way: one that lost its scheduler begins anew."""
    changes = [c.last_transition_time for c in node.status.conditions if c.type == ON_DEFAULT]
    attached = [a.since for a in node.status.attached]
    return max(entry.since, *(node.by_our_clock(moment) for moment in (*changes, *attached)))


def is_settled(run: Run, node: NodeView, *, now: datetime, rules: Rules) -> bool:
    """Return whether the node has held this run's scheduler for the soak time."""
    said = assignment_status(run, node)
    if said is None or said.state is not RunState.ACTIVE:
        return False
    return any(
        attached.run == run.name
        and attached.object_digest == run.attempt.object_digest
        and attached.ops_name == run.attempt.ops_name
        and now - node.by_our_clock(attached.since) >= rules.soak
        for attached in node.status.attached
    )


def _more(
    run: Run, world: World, moving: list[RunNode], *, now: datetime, rules: Rules
) -> Transition:
    canary = run.policy.canary
    eligible = len(_present(run, world))
    wanted = _wanted(run, world)
    held = entries(run, NodeRole.PROMOTED)
    waiting = _waiting(run, world, now=now, rules=rules)
    room = min(wanted - len(held), at_once(canary.budget, eligible) - len(moving))
    zones = {_zone(world, entry.name) for entry in moving}
    chosen: list[str] = []
    for node in waiting:
        if len(chosen) >= room or (canary.budget.one_per_zone and node.zone in zones):
            continue
        chosen.append(node.name)
        zones.add(node.zone)
    if chosen:
        step = run.status.step
        added = (taken(world, name, NodeRole.PROMOTED, now=now, step=step) for name in chosen)
        kept = (entry for entry in run.status.nodes if entry.name not in chosen)
        changed = run.status.replace(nodes=(*kept, *added))
        return Transition(changed, (SyncNodes(tuple(chosen)),))
    if moving or (len(held) < wanted and waiting):
        named = ", ".join(entry.name for entry in moving) or "the budget"
        return stay(run, f"{len(held)} of {eligible} nodes; waiting for {named}")
    awaited = _awaited(run, now=now, rules=rules)
    if awaited:
        minutes = f"{rules.patience.total_seconds() / 60:g} minutes"
        named = f"{listed(awaited)}, each for {minutes} at most"
        return stay(run, f"{len(held)} of {eligible} nodes; waiting for {named}")
    hosts = tuple(e.name for e in held if (n := world.node(e.name)) and n.target_pods)
    if not hosts:
        return stay(run, "no step without figures: no promoted node runs a pod of the workload")
    return Transition(run.status, (ReadPromotion(run.status.step, hosts),))


def _waiting(run: Run, world: World, *, now: datetime, rules: Rules) -> list[NodeView]:
    """Return the nodes still to be promoted: those with target pods first, else by the seed."""
    nodes = [
        node for node in _not_held(run, world) if not _hindrance(run, node, now=now, rules=rules)
    ]
    random.Random(f"{run.spec.seed}/promotion").shuffle(nodes)  # noqa: S311
    return sorted(nodes, key=lambda node: not node.target_pods)


def _read(
    run: Run, figures: tuple[PromotionFigure, ...], *, now: datetime, rules: Rules
) -> Transition:
    missing = sorted({f"{f.name} on {f.node}" for f in figures if f.after is None})
    if missing or not figures:
        return stay(run, f"no step without figures: none of {', '.join(missing) or 'any node'}")
    names = {f.name for f in figures}
    blind = names - {f.name for f in figures if f.before is not None}
    if blind:
        return stay(run, f"no step without figures from before: none of {', '.join(sorted(blind))}")
    harmed = promotion_harm(run, figures, slack=rules.promotion_noise_percent)
    if harmed:
        return roll_back(run, worse("GuardrailViolated", harmed), now=now)
    if run.status.step + 1 < len(run.policy.canary.steps):
        return Transition(run.status.replace(step=run.status.step + 1, message=""))
    outcome = run.status.pending_outcome
    attempts = with_attempt(run, result=AttemptResult.PROMOTED)
    message = f"promoted to {len(entries(run, NodeRole.PROMOTED))} nodes"
    gone = tuple(entry.name for entry in run.status.nodes if entry.gone_at is not None)
    if gone:
        message += f"; {listed(gone)} left the cluster"
    without = left_out(run)
    if without:
        message += f"; {without}"
        if outcome is not None:
            said = "; ".join(filter(None, (outcome.message, message)))
            outcome = outcome.replace(message=said[:2048])
    status = enter(
        run,
        RunStage.LEARNING,
        now=now,
        attempts=attempts,
        pending_outcome=outcome,
        message=message,
    )
    return Transition(status)


def promotion_harm(run: Run, figures: tuple[PromotionFigure, ...], *, slack: float) -> str:
    """Return what got worse beyond its margin and `slack` percent on a promoted node; "" if none.

    One before and one after prove little, hence the slack: the proof was the canary, this only
    catches a node on which the candidate does plain harm.
    """
    sources: dict[str, tuple[MetricSource, Direction, float]] = {
        rail.name: (rail.metric, rail.direction, percent_value(rail.margin))
        for rail in run.policy.guardrails
    }
    objective = run.policy.objective
    sources[OBJECTIVE] = (objective.metric, objective.direction, 0.0)
    for figure in figures:
        if figure.before is None or figure.after is None or figure.name not in sources:
            continue
        metric, direction, margin = sources[figure.name]
        harm = harm_percent(figure.before, figure.after, direction, metric)
        if harm > margin + slack:
            return f"{figure.name} on {figure.node} got {harm:.0f} % worse than before"
    return ""


def _is_assigned(run: Run, node: NodeView) -> bool:
    wanted = desired_assignment(run, node.name)
    return wanted is not None and node.spec.assignments == (wanted,)


def _zone(world: World, name: str) -> str:
    node = world.node(name)
    return node.zone if node is not None else ""
