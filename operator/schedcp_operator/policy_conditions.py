"""The conditions of a policy: what a person reads first. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from schedcp_api.base import Condition, ConditionStatus, with_condition
from schedcp_api.nodestates import RunState
from schedcp_api.policies import Mode, PromotedScheduler, SchedulerPolicyStatus

from .eligibility import Selection
from .kube import Json
from .policy_view import PolicyView, kept, promoted_run
from .stages.canary import nodes_of_step
from .stages.common import NO_KEYS
from .views import Run
from .wording import listed

__all__ = [
    "KEPT",
    "NO_TRIGGER",
    "UNNEEDED",
    "WITHDRAWN",
    "WORKLOAD_GRACE",
    "conditions_of",
    "unreadable_status",
]

KEPT = "Kept"
"""Condition: whether the promoted scheduler runs everywhere; why it does not any more."""
WITHDRAWN = "Withdrawn"
"""The reason of `Kept` once a scheduler was taken off; its message says why."""

WORKLOAD_GRACE = timedelta(minutes=5)
"""So long a kept scheduler outlives its workload: longer than it takes to install one anew, which
deletes it first, and short of keeping nodes from other policies."""

NO_TRIGGER = "spec.trigger.onRollout is false: nothing starts a run"

UNNEEDED: Mapping[Mode, tuple[str, ...]] = {
    Mode.OBSERVE: ("SchedulersKnown", "KeysTrusted", "PrometheusReachable"),
    Mode.RECOMMEND: ("PrometheusReachable",),
}
"""What runs of a mode do without: it is told, and keeps no policy from being ready."""
_Row = tuple[str, ConditionStatus, str, str]
"""A condition: type, status, reason and message."""


def conditions_of(
    view: PolicyView, status: SchedulerPolicyStatus, selection: Selection, *, now: datetime
) -> tuple[Condition, ...]:
    rows = _rows(view, status, selection)
    false = ConditionStatus.FALSE
    harmless = {"Progressing", KEPT, *UNNEEDED.get(view.policy.spec.mode, ())}
    bad = [row for row in rows if row[1] is false and row[0] not in harmless]
    ready: _Row = ("Ready", ConditionStatus.TRUE, "Ready", "watching for rollouts")
    if bad:
        kind, _, reason, message = bad[0]
        ready = ("Ready", false, reason, f"{kind}: {message}"[:2048])
    elif view.policy.spec.suspend:
        ready = ("Ready", false, "Suspended", "spec.suspend is true: rollouts start no runs")
    elif not view.policy.spec.trigger.on_rollout:
        ready = ("Ready", false, "NoTrigger", NO_TRIGGER)
    conditions = tuple(
        c for c in status.conditions if c.type != KEPT or status.promoted or c.reason == WITHDRAWN
    )
    for kind, value, reason, message in (*rows, ready):
        conditions = with_condition(
            conditions,
            kind,
            value,
            reason=reason,
            message=message,
            now=now,
            generation=view.policy.generation,
        )
    return conditions


def unreadable_status(status: Json, problem: str, *, now: datetime) -> Json:
    """Return the status of a policy that cannot be read, as JSON: Ready is false and says why.

    Everything else stays as it was found, also what is not understood.
    """
    found = [c for c in status.get("conditions") or [] if isinstance(c, dict)]
    said = {"status": "False", "reason": "Unreadable", "message": problem[:2048]}
    ready = next((c for c in found if c.get("type") == "Ready"), {})
    if {key: ready.get(key) for key in said} == said:
        return status
    moved = now.isoformat().replace("+00:00", "Z")
    since = ready.get("lastTransitionTime") if ready.get("status") == "False" else None
    told = {**ready, **said, "type": "Ready", "lastTransitionTime": since or moved}
    return {**status, "conditions": [*(c for c in found if c.get("type") != "Ready"), told]}


def _rows(
    view: PolicyView, status: SchedulerPolicyStatus, selection: Selection
) -> tuple[_Row, ...]:
    true, false = ConditionStatus.TRUE, ConditionStatus.FALSE
    eligible = bool(selection.nodes) or status.active_run is not None or bool(status.promoted)
    problem = view.prometheus_problem
    kept_row = (_keeping(view, status, status.promoted),) if status.promoted is not None else ()
    return (
        ("WorkloadMatched", *_matching(view, followed=len(status.workloads))),
        (
            "NodesEligible",
            true if eligible else false,
            selection.reason if not eligible or selection.nodes else "InUse",
            selection.message,
        ),
        (
            "PrometheusReachable",
            ConditionStatus.UNKNOWN if problem is None else (false if problem else true),
            "NotTried" if problem is None else ("PrometheusUnavailable" if problem else "Answers"),
            problem or ("nobody has asked yet" if problem is None else "Prometheus answers"),
        ),
        ("KeysTrusted", *_trusting(view.keys_problem)),
        ("SchedulersKnown", *_knowing(view)),
        (
            "Progressing",
            true if status.active_run else false,
            "Running" if status.active_run else "Idle",
            f"run {status.active_run}" if status.active_run else "no run is under way",
        ),
        *kept_row,
    )


def _trusting(problem: str | None) -> tuple[ConditionStatus, str, str]:
    """Return the condition that says whether a verdict or a token could be trusted at all."""
    if problem is None:
        return ConditionStatus.UNKNOWN, "NotTried", "nobody has looked for the trusted keys yet"
    if problem:
        reason = "NoTrustedKeys" if problem == NO_KEYS else "KeysUnavailable"
        return ConditionStatus.FALSE, reason, problem
    return ConditionStatus.TRUE, "Trusted", "there is a key that tokens can be checked with"


def _knowing(view: PolicyView) -> tuple[ConditionStatus, str, str]:
    """Return the condition that says whether what the policy wants tried can be."""
    problem = view.search_problem
    if problem is not None:
        return ConditionStatus.FALSE, problem.reason, problem.message[:2048]
    if not view.policy.spec.search.pinned:
        return ConditionStatus.TRUE, "NothingPinned", "the planner chooses from the library"
    return ConditionStatus.TRUE, "Known", "what the policy pins is there, and can be set like that"


def _keeping(view: PolicyView, status: SchedulerPolicyStatus, promoted: PromotedScheduler) -> _Row:
    """Return the condition that says on how many nodes the promoted scheduler really runs.

    Of those that its run meant it for, whether or not it was taken to them: the others are named.
    """
    assigned = [
        node.name
        for node in view.nodes
        if any(a.run == promoted.run for a in node.spec.assignments)
    ]
    holders, said = kept(view)
    run = promoted_run(view)
    wanted = max(len(assigned), _meant(view, run) if run is not None else 0)
    message = f"{len(holders)} of {wanted} nodes run {promoted.scheduler}"
    others = [f"{one.state}: {one.reason}" for one in said if one.state is not RunState.ACTIVE]
    if others:
        message += f"; {', '.join(sorted(set(others))[:4])}"
    if run is not None and len(assigned) < wanted:
        message += f"; {_missed(view, run, assigned)}, until the next run"
    if status.workload_gone_since is not None:
        ends = status.workload_gone_since + WORKLOAD_GRACE
        message += f"; nothing matches spec.workload: it is taken off at {ends:%Y-%m-%dT%H:%M:%SZ}"
    if not assigned:
        return KEPT, ConditionStatus.UNKNOWN, "NotAssigned", message
    if len(holders) >= wanted:
        return KEPT, ConditionStatus.TRUE, "Running", message
    return KEPT, ConditionStatus.FALSE, "NotEverywhere", message


def _missed(view: PolicyView, run: Run, assigned: list[str]) -> str:
    """Return which nodes of the run that are there do not have its scheduler, and why."""
    reasons = {entry.name: entry.reason for entry in run.status.passed_over}
    names = sorted(
        {node.name for node in view.nodes} & set(run.status.eligible_nodes) - set(assigned)
    )
    left = tuple(f"{name} ({reasons[name]})" for name in names if name in reasons)
    others = tuple(name for name in names if name not in reasons)
    said = (
        f"left out: {listed(left)}" if left else "",
        f"not taken by run {run.name}: {listed(others)}" if others else "",
    )
    return "; ".join(part for part in said if part)


def _meant(view: PolicyView, run: Run) -> int:
    """Return how many of the nodes that are there the run's last step means."""
    there = {node.name for node in view.nodes}
    present = sum(name in there for name in run.status.eligible_nodes)
    return min(present, nodes_of_step(run.policy.canary.steps[-1], present))


def _matching(view: PolicyView, *, followed: int) -> tuple[ConditionStatus, str, str]:
    """Return the condition that says whether the policy is about anything that can start a run."""
    reason, message = _unmatched(view, followed)
    if reason:
        return ConditionStatus.FALSE, reason, message
    said = f"{view.pods} running pods of {len(view.workloads)} workloads"
    return ConditionStatus.TRUE, "PodsMatched", said


def _unmatched(view: PolicyView, followed: int) -> tuple[str, str]:
    """Return what is wrong with what the selectors match, and what to do; empty when it is well."""
    if view.overlap:
        return (
            "Overlap",
            f"policy {view.overlap}, which is older, selects some of the same pods: narrow one of "
            "the selectors, because a workload has one objective",
        )
    if view.pods > 0 and view.listed and not view.workloads:
        return (
            "NoWorkloads",
            f"{view.pods} running pods match spec.workload, but no pod template of a Deployment,"
            " StatefulSet or DaemonSet does, and only their rollouts start runs: select by labels"
            " that such a template has; pods of Jobs or of other controllers start none",
        )
    if view.pods > 0 and followed < len(view.workloads):
        return (
            "TooManyWorkloads",
            f"{len(view.workloads)} workloads match, and rollouts of {followed} are followed: the"
            " others start no run; narrow the selectors, or make several policies of this one",
        )
    if view.pods > 0:
        return "", ""
    if view.workloads:
        names = ", ".join(workload.key for workload in view.workloads[:4])
        return "NoPods", f"{names} match, but none of their pods is running"
    return (
        "NoPods",
        "no running pod matches spec.workload: compare podSelector with the pods' labels, and"
        " namespaceSelector with the labels of their namespace",
    )
