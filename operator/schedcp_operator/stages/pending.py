"""Pending: find the nodes, and wait until none of them runs a scheduler of an earlier run."""

from datetime import datetime

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.runs import RunStage

from ..eligibility import is_clear, select
from ..events import Event, Observed, SyncNodes, Transition
from ..views import NodeView, Rules, Run
from .common import enter, stay


def pending(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Wait for eligible nodes with target pods; the one with most of them is profiled."""
    if not isinstance(event, Observed):
        return Transition(run.status)
    selection = select(event.world.nodes, now=now, rules=rules)
    if not selection.nodes or selection.kernel is None:
        return stay(run, f"{selection.reason}: {selection.message}")
    hosts = [node for node in selection.nodes if node.target_pods]
    if not hosts:
        return stay(run, "NoPods: no eligible node runs a pod of the workload")
    unclear = [node.name for node in selection.nodes if not is_clear(node)]
    if unclear:
        message = f"waiting for the kernel's own scheduler on {', '.join(unclear[:8])}"
        waiting = stay(run, message)
        return Transition(waiting.status, (SyncNodes(tuple(unclear)),))
    host = busiest(hosts)
    status = enter(
        run,
        RunStage.PROFILING,
        now=now,
        kernel_digest=selection.kernel.content_digest(),
        eligible_nodes=tuple(node.name for node in selection.nodes),
        profile_node=host.name,
        profile_request=f"{run.name}/0",
        conditions=with_condition(
            run.status.conditions,
            "NodesEligible",
            ConditionStatus.TRUE,
            reason=selection.reason,
            message=selection.message,
            now=now,
        ),
    )
    return Transition(status, (SyncNodes((host.name,)),))


def busiest(hosts: list[NodeView]) -> NodeView:
    """Return the node with most target pods, the first by name among equals."""
    return min(hosts, key=lambda node: (-len(node.target_pods), node.name))
