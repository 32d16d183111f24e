"""Profiling: one agent watches the workload under the kernel's own scheduler."""

from datetime import datetime

from schedcp_api.nodestates import ProfilePhase
from schedcp_api.runs import RunStage

from ..eligibility import refusal
from ..events import Event, Observed, SyncNodes, Transition
from ..views import NodeView, Rules, Run, World
from .common import conclude, enter, error, stay
from .pending import busiest


def profiling(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Wait for the profile; ask again, elsewhere if need be, when a node or agent fails."""
    if not isinstance(event, Observed):
        return Transition(run.status)
    status = run.status
    node = event.world.node(status.profile_node or "")
    canary = run.policy.canary
    refused = refusal(node, canary, now=now, rules=rules) if node is not None else None
    if node is None or refused is not None:
        why = refused.message if refused else "the node is gone"
        return _again(run, event.world, f"{status.profile_node}: {why}", now=now, rules=rules)
    result = node.status.profile
    if result is None or result.id != status.profile_request:
        return _asking(run, node)
    if result.phase is ProfilePhase.FAILED:
        return _again(run, event.world, result.message, now=now, rules=rules)
    if result.phase is not ProfilePhase.DONE or result.digest is None:
        return stay(run, f"profiling on {node.name}")
    entered = enter(run, RunStage.PLANNING, now=now, profile_digest=result.digest)
    return Transition(entered, (SyncNodes((node.name,)),))


def _asking(run: Run, node: NodeView) -> Transition:
    asked = node.spec.profile_request
    if asked is not None and asked.id == run.status.profile_request:
        return stay(run, f"waiting for the agent on {node.name}")
    return Transition(run.status, (SyncNodes((node.name,)),))


def _again(run: Run, world: World, why: str, *, now: datetime, rules: Rules) -> Transition:
    status = run.status
    if status.retries >= rules.max_retries:
        message = f"no profile after {status.retries + 1} tries: {why}"
        return conclude(run, error("ProfilingFailed", message), now=now)
    hosts = [
        node
        for node in world.nodes
        if node.name in status.eligible_nodes
        and node.target_pods
        and refusal(node, run.policy.canary, now=now, rules=rules) is None
    ]
    if not hosts:
        return stay(run, f"no node to profile on: {why}")
    others = [node for node in hosts if node.name != status.profile_node]
    host = busiest(others or hosts)
    retries = status.retries + 1
    changed = status.replace(
        retries=retries,
        profile_node=host.name,
        profile_request=f"{run.name}/{retries}",
        message=f"profiling again on {host.name}: {why}"[:2048],
    )
    named = tuple(dict.fromkeys((status.profile_node or host.name, host.name)))
    return Transition(changed, (SyncNodes(named),))
