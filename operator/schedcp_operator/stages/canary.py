"""Canary: the candidate runs on a few nodes in blocks; the agents keep the clock."""

import random
from datetime import datetime

from schedcp_api.policies import CanaryStep
from schedcp_api.runs import MOST_BLOCKS, NodeRole, RunStage

from ..assignments import desired_assignment, switchback
from ..eligibility import is_quarantined, refusal
from ..events import Event, FiguresRead, Observed, ReadFigures, SyncNodes, Transition
from ..views import NodeView, Rules, Run, World, at_once
from .blocks import unread_blocks, with_figures
from .common import (
    enter,
    inconclusive,
    node_failure,
    roll_back,
    stay,
    taken,
    with_attempt,
)


def canary(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Choose the nodes, see to it that they are assigned, and wait for the last block.

    Figures are read as blocks end, for whoever looks on; the judge reads all of them anew.
    """
    if isinstance(event, FiguresRead):
        blocks = with_figures(run.attempt.blocks, event.blocks)
        return Transition(run.status.replace(attempts=with_attempt(run, blocks=blocks)))
    if not isinstance(event, Observed):
        return Transition(run.status)
    world = event.world
    if not run.status.nodes or all(n.role is NodeRole.REVERTED for n in run.status.nodes):
        return _begun(run, world, now=now, rules=rules)
    failed = node_failure(run, world, now=now, rules=rules)
    if failed is not None:
        return roll_back(run, failed, now=now)
    names = tuple(n.name for n in run.status.nodes if n.role is NodeRole.CANARY)
    views = {node.name: node for node in world.nodes}
    unassigned = tuple(name for name in names if not _is_assigned(run, views[name]))
    if unassigned:
        return Transition(run.status, (SyncNodes(unassigned),))
    done, total = _progress(run, [views[name] for name in names])
    if done == total:
        return Transition(enter(run, RunStage.JUDGING, now=now))
    unread = unread_blocks(run, world, names)
    status = stay(run, f"block {done + 1} of {total} on {', '.join(names)}").status
    return Transition(status, (ReadFigures(unread),) if unread else ())


def _begun(run: Run, world: World, *, now: datetime, rules: Rules) -> Transition:
    chosen, why = _choose(run, world, now=now, rules=rules)
    if not chosen:
        if "quarantine" in why:
            return roll_back(run, inconclusive("Quarantined", why), now=now)
        return stay(run, why)
    past = tuple(n for n in run.status.nodes if n.name not in chosen)
    nodes = tuple(taken(world, name, NodeRole.CANARY, now=now) for name in chosen)
    changed = run.status.replace(
        nodes=(*past, *nodes),
        attempts=with_attempt(run, blocks=()),  # of a canary that was lost, if there was one
        message=f"canary on {', '.join(chosen)}",
    )
    return Transition(changed, (SyncNodes(chosen),))


def _choose(run: Run, world: World, *, now: datetime, rules: Rules) -> tuple[tuple[str, ...], str]:
    """Return the canary's nodes, drawn by the run's seed among those with target pods."""
    fit = [
        node
        for node in sorted(world.nodes, key=lambda n: n.name)
        if node.name in run.status.eligible_nodes
        and node.target_pods
        and refusal(node, run.policy.canary, now=now, rules=rules) is None
    ]
    if not fit:
        return (), "no eligible node runs a pod of the workload"
    clean = [node for node in fit if not is_quarantined(node, run.attempt.object_digest or "")]
    if not clean:
        return (), "every node with pods of the workload has the object in quarantine"
    draw = random.Random(f"{run.spec.seed}/nodes/{len(run.status.attempts)}")  # noqa: S311
    draw.shuffle(clean)
    policy = run.policy.canary
    wanted = min(
        nodes_of_step(policy.steps[0], len(run.status.eligible_nodes)),
        at_once(policy.budget, len(run.status.eligible_nodes)),
        MOST_BLOCKS // (2 * policy.pairs),
    )
    chosen: list[NodeView] = []
    for node in clean:
        crowded = policy.budget.one_per_zone and any(n.zone == node.zone for n in chosen)
        if len(chosen) < wanted and not crowded:
            chosen.append(node)
    return tuple(node.name for node in chosen), ""


def nodes_of_step(step: CanaryStep, eligible: int) -> int:
    """Return how many of `eligible` nodes a step means; at least one."""
    if step.nodes is not None:
        return min(step.nodes, eligible)
    return max(1, -(-eligible * (step.percent or 0) // 100))


def _is_assigned(run: Run, node: NodeView) -> bool:
    wanted = desired_assignment(run, node.name)
    return wanted is not None and node.spec.assignments == (wanted,)


def _progress(run: Run, nodes: list[NodeView]) -> tuple[int, int]:
    """Return the finished and the scheduled blocks of all canary nodes together."""
    each = 2 * run.policy.canary.pairs
    done = 0
    for node in nodes:
        schedule = switchback(run, node.name)
        progress = node.status.switchback
        if progress is not None and progress.id == schedule.id and progress.run == run.name:
            done += each if progress.finished else min(len(progress.blocks), each - 1)
    return done, each * len(nodes)
