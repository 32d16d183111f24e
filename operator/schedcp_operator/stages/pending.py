"""Pending: find the nodes, and wait until none of them runs a scheduler of an earlier run."""

from datetime import datetime

from schedcp_api.base import Condition, ConditionStatus, with_condition
from schedcp_api.runs import RunStage
from schedcp_api.verdicts import ContractLoss

from ..eligibility import is_clear, select
from ..events import (
    Event,
    Observed,
    QueriesRefused,
    QueriesTried,
    SyncNodes,
    Transition,
    TryQueries,
)
from ..views import NodeView, Rules, Run, World
from ..wording import listed
from .common import conclude, enter, error, stay

_ANSWERED = "QueriesAnswered"


def pending(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Wait for eligible nodes with target pods; the one with most of them is profiled."""
    match event:
        case Observed(world):
            return _looked(run, world, now=now, rules=rules)
        case QueriesTried(problem):
            return Transition(run.status.replace(conditions=_tried(run, problem, now=now)))
        case QueriesRefused(message):
            return conclude(run, error("BadQuery", message), now=now)
        case _:
            return Transition(run.status)


def _looked(run: Run, world: World, *, now: datetime, rules: Rules) -> Transition:
    selection = select(world.nodes, run.policy.canary, now=now, rules=rules)
    if not selection.nodes or selection.kernel is None:
        return stay(run, f"{selection.reason}: {selection.message}")
    hosts = [node for node in selection.nodes if node.target_pods]
    if not hosts:
        return stay(run, "NoPods: no eligible node runs a pod of the workload")
    unclear = [node.name for node in selection.nodes if not is_clear(node)]
    if unclear:
        message = f"waiting for the kernel's own scheduler on {listed(unclear)}"
        waiting = stay(run, message)
        return Transition(waiting.status, (SyncNodes(tuple(unclear)),))
    host = busiest(hosts)
    if _has_queries(run) and not any(c.type == _ANSWERED for c in run.status.conditions):
        return Transition(run.status, (TryQueries(host.name),))
    status = enter(
        run,
        RunStage.PROFILING,
        now=now,
        kernel_digest=selection.kernel.content_digest(),
        eligible_nodes=tuple(node.name for node in selection.nodes),
        unneeded_losses=_unneeded(selection.nodes),
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


def _unneeded(nodes: tuple[NodeView, ...]) -> tuple[ContractLoss, ...]:
    """Return the parts of the CPU contract that no pod on `nodes` asks for, by their agents' word.

    An agent that has not looked yet does not say that nobody asks.
    """
    asked = [node.status.cpu_demands for node in nodes]
    if any(demands is None for demands in asked):
        return ()
    needed = {loss for demands in asked for loss in demands or ()}
    return tuple(loss for loss in ContractLoss if loss not in needed)


def _has_queries(run: Run) -> bool:
    spec = run.policy
    metrics = (spec.objective.metric, *(rail.metric for rail in spec.guardrails))
    return any(metric.prometheus is not None for metric in metrics)


def _tried(run: Run, problem: str, *, now: datetime) -> tuple[Condition, ...]:
    """Return the run's conditions; Prometheus that is gone now is waited for where it counts."""
    return with_condition(
        run.status.conditions,
        _ANSWERED,
        ConditionStatus.UNKNOWN if problem else ConditionStatus.TRUE,
        reason="PrometheusUnavailable" if problem else "Answered",
        message=problem or "Prometheus takes the policy's queries",
        now=now,
    )


def busiest(hosts: list[NodeView]) -> NodeView:
    """Return the node with most target pods, the first by name among equals."""
    return min(hosts, key=lambda node: (-len(node.target_pods), node.name))
