"""A policy in a healthy cluster, as the operator sees it."""

from datetime import datetime, timedelta
from typing import Any

from schedcp_api.policies import ObservedWorkload, SchedulerPolicyStatus, Trigger
from schedcp_operator.events import PlanningFailed
from schedcp_operator.objects import PolicyObject, WorkloadObject
from schedcp_operator.policy_view import PolicyView
from schedcp_operator.views import NodeView, Run

from .operator_nodes import node
from .operator_nouns import NOW, policy_spec

WORKLOAD = WorkloadObject(
    kind="Deployment",
    namespace="shop",
    name="checkout",
    labels={"app": "checkout"},
    revision="r1",
    complete=True,
)
TRIGGER = Trigger(stabilization_seconds=60, cooldown_seconds=3600)


def view(
    *,
    status: SchedulerPolicyStatus | None = None,
    nodes: tuple[NodeView, ...] | None = None,
    workloads: tuple[WorkloadObject, ...] = (WORKLOAD,),
    pods: int = 2,
    runs: tuple[Run, ...] = (),
    problem: str | None = "",
    keys_problem: str | None = "",
    search_problem: PlanningFailed | None = None,
    overlap: str = "",
    generation: int = 1,
    **spec: Any,
) -> PolicyView:
    """A policy in a healthy cluster."""
    policy = PolicyObject(
        raw={},
        name="checkout",
        uid="uid-1",
        generation=generation,
        spec=policy_spec(**{"trigger": TRIGGER, **spec}),
        status=status or SchedulerPolicyStatus(observed_generation=1),
    )
    return PolicyView(
        policy=policy,
        nodes=(node("node-1"), node("node-2")) if nodes is None else nodes,
        workloads=workloads,
        pods=pods,
        runs=runs,
        prometheus_problem=problem,
        keys_problem=keys_problem,
        search_problem=search_problem,
        overlap=overlap,
        seed=7,
    )


def settled(
    *, since: datetime = NOW - timedelta(seconds=60), handled: bool = False, **changes: Any
) -> SchedulerPolicyStatus:
    """A status that has seen the rollout complete."""
    seen = ObservedWorkload(
        workload=WORKLOAD.key, revision="r1", complete_since=since, handled=handled
    )
    return SchedulerPolicyStatus(observed_generation=1, workloads=(seen,)).replace(**changes)


def conditions(found: SchedulerPolicyStatus) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {c.type: (str(c.status), c.reason) for c in found.conditions}
