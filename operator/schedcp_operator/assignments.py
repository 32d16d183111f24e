"""What a run wants of a node, derived from its status alone. Pure.

There is no second memory of who runs what: a restarted operator comes to the same answer.
"""

import random

from schedcp_api.nodestates import (
    Arm,
    Assignment,
    GuardrailLimits,
    ProfileRequest,
    Switchback,
)
from schedcp_api.runs import AttemptResult, NodeRole, RunNode, RunStage

from .views import Run

_EXPERIMENT = frozenset(
    {RunStage.CANARY, RunStage.JUDGING, RunStage.AWAITING_APPROVAL, RunStage.PROMOTING}
)
_AFTERWARDS = frozenset({RunStage.LEARNING, RunStage.FINISHED})


def desired_assignment(run: Run, node: str) -> Assignment | None:
    """Return the assignment that `run` wants on `node` now, or None for the kernel's scheduler."""
    status = run.status
    entry = next((entry for entry in status.nodes if entry.name == node), None)
    if entry is None or entry.role is NodeRole.REVERTED or not _holds(run):
        return None
    attempt = run.attempt
    if attempt.object_digest is None or not status.token:
        return None
    return Assignment(
        run=run.name,
        policy=run.spec.policy,
        scheduler=attempt.candidate.scheduler,
        ops_name=attempt.ops_name,
        object_digest=attempt.object_digest,
        arguments=attempt.candidate.arguments,
        command_line=attempt.candidate.command_line,
        token=status.token,
        switchback=switchback(run, node) if entry.role is NodeRole.CANARY else None,
        guardrails=status.guardrails or GuardrailLimits(),
        on_disconnect=run.policy.on_disconnect,
    )


def desired_profile_request(run: Run, node: str, *, seconds: int) -> ProfileRequest | None:
    """Return the profile that `run` wants of `node` now, if any."""
    status = run.status
    if status.stage is not RunStage.PROFILING or status.profile_node != node:
        return None
    return ProfileRequest(id=status.profile_request, policy=run.spec.policy, seconds=seconds)


def touches(run: Run) -> tuple[str, ...]:
    """Return every node that the run has touched."""
    named = [entry.name for entry in run.status.nodes]
    if run.status.profile_node is not None:
        named.append(run.status.profile_node)
    return tuple(dict.fromkeys(named))


def switchback(run: Run, node: str) -> Switchback:
    """Return a canary node's schedule: pairs of one ON and one OFF block, in random order each.

    The order follows from the run's seed, the number of the attempt and the node, so that it can
    be told again, and could not be known before the run. Each node draws its own: what happens to
    all nodes at one time must not fall on the same arm everywhere.
    """
    canary = run.policy.canary
    number = len(run.status.attempts)
    draw = random.Random(f"{run.spec.seed}/blocks/{number}/{node}")  # noqa: S311
    blocks: list[Arm] = []
    for _ in range(canary.pairs):
        pair = [Arm.ON, Arm.OFF]
        draw.shuffle(pair)
        blocks += pair
    return Switchback(
        id=f"{run.name}/{number}",
        blocks=tuple(blocks),
        block_seconds=canary.block_seconds,
        washout_seconds=canary.washout_seconds,
    )


def entries(run: Run, role: NodeRole) -> tuple[RunNode, ...]:
    """Return the run's nodes in that role."""
    return tuple(entry for entry in run.status.nodes if entry.role is role)


def _holds(run: Run) -> bool:
    """Return whether the run's nodes keep what they were assigned in the run's present stage."""
    status = run.status
    if not status.attempts:
        return False
    if status.stage in _AFTERWARDS:
        return run.attempt.result is AttemptResult.PROMOTED
    return status.stage in _EXPERIMENT
