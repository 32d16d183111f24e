"""Which nodes may be touched, and why the others may not. Pure."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from schedcp_api.base import ConditionStatus
from schedcp_api.kernels import KernelFeature, KernelProfile
from schedcp_api.policies import Canary

from .clocks import clock_problem
from .views import NodeView, Rules

FOREIGN_SCHEDULER = "ForeignScheduler"
ON_DEFAULT = "OnDefaultScheduler"
CLOCK_SKEW = "ClockSkew"


MOST_NODES = 256
_NAMED = 4
"""So many nodes of other kernels are named."""


@dataclass(frozen=True)
class Refusal:
    """Why a node must not be touched."""

    node: str
    reason: str
    message: str


def refusal(node: NodeView, canary: Canary, *, now: datetime, rules: Rules) -> Refusal | None:
    """Return why `node` is not eligible for runs with such a canary, or None when it is."""
    status = node.status
    if not node.selected:
        return Refusal(node.name, "Deselected", "spec.nodes does not select the node any more")
    if not node.ready:
        return Refusal(node.name, "NotReady", "the node is not Ready")
    if status.heartbeat_at is None or status.kernel is None:
        return Refusal(node.name, "NoAgent", "no agent has reported from the node")
    age = now - node.by_our_clock(status.heartbeat_at)
    if age > rules.heartbeat:
        seconds = int(age.total_seconds())
        return Refusal(node.name, "AgentStale", f"the agent's last heartbeat is {seconds} s old")
    if KernelFeature.SCHED_EXT not in status.kernel.features:
        return Refusal(
            node.name, "NoSchedExt", f"the kernel {status.kernel.release} has no sched_ext"
        )
    if has_foreign_scheduler(node):
        return Refusal(node.name, FOREIGN_SCHEDULER, "another scheduler is attached: hands off")
    if problem := clock_problem(node, canary, now=now):
        return Refusal(node.name, CLOCK_SKEW, problem)
    if node.claimed_by:
        return Refusal(node.name, "Claimed", f"the node is in use by {node.claimed_by}")
    return None


def has_foreign_scheduler(node: NodeView) -> bool:
    """Return whether the node runs a scheduler that is not ours."""
    foreign = any(attached.run is None for attached in node.status.attached)
    return foreign or _says(node, FOREIGN_SCHEDULER)


def is_clear(node: NodeView) -> bool:
    """Return whether the agent shows the node without a scheduler of ours, nothing assigned.

    It must say so itself: that it reports none is not enough, because it may not know.
    """
    ours = any(attached.run is not None for attached in node.status.attached)
    heard = node.status.heartbeat_at is not None and node.caught_up
    if node.spec.assignments or ours or not heard:
        return False
    return _says(node, FOREIGN_SCHEDULER) or (_says(node, ON_DEFAULT) and _is_disabled(node))


def _says(node: NodeView, kind: str) -> bool:
    return any(
        condition.type == kind and condition.status is ConditionStatus.TRUE
        for condition in node.status.conditions
    )


def _is_disabled(node: NodeView) -> bool:
    """Return whether sched_ext is off; a kernel that has it and says nothing is not known to be."""
    kernel = node.status.kernel
    has_it = kernel is not None and KernelFeature.SCHED_EXT in kernel.features
    return node.status.sched_ext_state == ("disabled" if has_it else "")


def is_quarantined(node: NodeView, object_digest: str) -> bool:
    """Return whether the node's agent has quarantined the object under the present kernel."""
    kernel = node.status.kernel
    return any(
        entry.object_digest == object_digest
        and (kernel is None or entry.kernel_digest == kernel.content_digest())
        for entry in node.status.quarantine
    )


@dataclass(frozen=True)
class Selection:
    """The nodes that may be touched together: all of one kernel."""

    nodes: tuple[NodeView, ...]
    kernel: KernelProfile | None
    reason: str
    message: str
    """In words, for the condition `NodesEligible`."""


def select(
    nodes: tuple[NodeView, ...], canary: Canary, *, now: datetime, rules: Rules
) -> Selection:
    """Return the eligible nodes of the kernel that most target pods run on.

    A verdict holds for one kernel, so nodes with other kernels are left out of a run.
    """
    if not nodes:
        return Selection((), None, "NoNodes", "no node matches spec.nodes")
    refusals = [found for n in nodes if (found := refusal(n, canary, now=now, rules=rules))]
    refused = {found.node for found in refusals}
    free = tuple(node for node in nodes if node.name not in refused)
    if not free:
        reasons = Counter(found.reason for found in refusals)
        reason = refusals[0].reason if len(reasons) == 1 else "NoEligibleNode"
        return Selection((), None, reason, _listed(refusals))
    weights: Counter[str] = Counter()
    for node in free:
        weights[_kernel_digest(node)] += 1 + 1000 * len(node.target_pods)
    digest = min(weights, key=lambda key: (-weights[key], key))
    fit = sorted(
        (n for n in free if _kernel_digest(n) == digest), key=lambda n: (not n.target_pods, n.name)
    )
    chosen = tuple(sorted(fit[:MOST_NODES], key=lambda n: n.name))
    message = f"{len(chosen)} of {len(nodes)} nodes are eligible"
    if len(fit) > MOST_NODES:
        message += f" ({len(fit) - MOST_NODES} are left out: a run takes at most {MOST_NODES})"
    others = [node for node in free if _kernel_digest(node) != digest]
    if others:
        message += f"; {_of_other_kernels(others)}, and a run is for one kernel"
    if refusals:
        message += f"; {_listed(refusals)}"
    return Selection(chosen, chosen[0].status.kernel, "Eligible", message)


def _kernel_digest(node: NodeView) -> str:
    return node.status.kernel.content_digest() if node.status.kernel else ""


def _of_other_kernels(nodes: list[NodeView]) -> str:
    """Say how many nodes run other kernels than the chosen one, and of a few which."""
    releases: dict[str, list[str]] = {}
    for node in sorted(nodes, key=lambda n: n.name)[:_NAMED]:
        kernel = node.status.kernel
        releases.setdefault(kernel.release if kernel else "", []).append(node.name)
    named = "; ".join(f"{release}: {', '.join(names)}" for release, names in releases.items())
    rest = f"; and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    verb = "runs" if len(nodes) == 1 else "run"
    return f"{len(nodes)} {verb} another kernel ({named}{rest})"


def _listed(refusals: list[Refusal]) -> str:
    shown = "; ".join(f"{found.node}: {found.message}" for found in refusals[:8])
    rest = len(refusals) - 8
    return f"{shown}; and {rest} more" if rest > 0 else shown
