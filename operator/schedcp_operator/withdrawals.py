"""What takes a kept scheduler off its nodes, and what that teaches. Pure."""

from datetime import datetime, timedelta

from schedcp_api.nodestates import PASSING_REFUSALS, AssignmentStatus, RunState
from schedcp_api.policies import Mode, SchedulerPolicyStatus
from schedcp_api.runs import AttemptResult, Lesson, Outcome, OutcomeKind

from .policy_conditions import WORKLOAD_GRACE
from .policy_view import PolicyView, kept, promoted_run, said_of_kept
from .stages.learning import lesson_of
from .views import NodeView

__all__ = ["REFUSAL_GRACE", "afterthought", "gone_since", "is_unproven", "withdrawal"]

REFUSAL_GRACE = timedelta(minutes=5)
"""So long every node may refuse a kept scheduler for a reason that passes by itself: longer than a
changed Secret takes to reach the agents, and than most short jobs take."""
_UNPROVEN = (
    "Expired",
    "WrongKernel",
    "ProgramNotHere",
    "CorruptObject",
    "BadSignature",
    "ContractNeeded",
)
"""Why an agent refuses what was proven once: a new run can prove it, or something else, anew."""


def withdrawal(view: PolicyView, *, now: datetime) -> str | None:
    """Return why the promoted scheduler must leave every node, or None while it may stay.

    One node whose kernel ejected it, or whose guard rail it tripped, speaks for all of them. When
    the workload is gone it serves nobody, and keeps its nodes from other policies.
    """
    promoted = view.policy.status.promoted
    if promoted is None:
        return None
    if view.policy.spec.mode is not Mode.AUTO:
        return f"the policy's mode is {view.policy.spec.mode}"
    if promoted.run in view.unreadable_runs:
        return None
    if promoted_run(view) is None:
        return f"run {promoted.run} is gone"
    failed = _failed_node(view)
    if failed is not None:
        return f"{failed.state}: {failed.reason}"
    ended = _ended(view)
    if ended is not None:
        why = f": {ended.message}" if ended.message else ""
        return f"no node runs it any more: {ended.state}: {ended.reason}{why}"
    since = view.policy.status.workload_gone_since
    if since is not None and _is_gone(view) and now - since >= WORKLOAD_GRACE:
        return f"WorkloadGone: nothing matches spec.workload since {since:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _is_gone(view: PolicyView) -> bool:
    """Return whether nothing matches the policy; a workload without replicas is still there."""
    return view.listed and not view.workloads and view.pods == 0


def gone_since(
    view: PolicyView, status: SchedulerPolicyStatus, *, now: datetime
) -> datetime | None:
    """Return since when the workload of a kept scheduler has been gone; None while it is there."""
    if status.promoted is None:
        return None
    if not view.listed:
        return status.workload_gone_since
    return (status.workload_gone_since or now) if _is_gone(view) else None


def afterthought(view: PolicyView) -> Lesson | None:
    """Return the lesson of a kept scheduler that a node's kernel or agent threw out."""
    failed = _failed_node(view)
    run = promoted_run(view)
    if failed is None or run is None:
        return None
    tripped = failed.state is RunState.TRIPPED
    outcome = Outcome(
        kind=OutcomeKind.WORSE,
        reason="GuardrailTripped" if tripped else "Ejected",
        message=f"after its promotion: {failed.reason}: {failed.message}"[:2048],
    )
    attempt = run.attempt.replace(result=AttemptResult.ROLLED_BACK, outcome=outcome)
    return lesson_of(run, attempt, at=failed.since)


def _failed_node(view: PolicyView) -> AssignmentStatus | None:
    """Return a node's final word against the kept scheduler, if there is one."""
    _, said = kept(view)
    return next((one for one in said if one.state in (RunState.EJECTED, RunState.TRIPPED)), None)


def is_unproven(view: PolicyView) -> bool:
    """Return whether the kept scheduler runs nowhere any more for want of a proof that holds."""
    ended = _ended(view)
    return ended is not None and ended.reason in _UNPROVEN


def _ended(view: PolicyView) -> AssignmentStatus | None:
    """Return what an agent says of a kept scheduler that every agent has given up."""
    holders, _ = kept(view)
    words = said_of_kept(view)
    if holders or not all(_has_ended(one, node) for node, one in words):
        return None
    return next((one for _, one in words), None)


def _has_ended(one: AssignmentStatus, node: NodeView) -> bool:
    """Return whether the node will not run the scheduler again, or not before it is proven anew.

    How long a refusal has lasted is told by the agent's own clock.
    """
    if one.state is not RunState.REFUSED:
        return one.state is RunState.FAILED
    if one.reason not in PASSING_REFUSALS:
        return True
    heard = node.status.heartbeat_at or one.since
    return one.reason in _UNPROVEN and heard - one.since >= REFUSAL_GRACE
