"""What a policy's status depends on, gathered. No decisions."""

from dataclasses import dataclass

from schedcp_api.nodestates import AssignmentStatus

from .objects import PolicyObject, WorkloadObject
from .views import NodeView, Run

__all__ = ["PolicyView", "kept"]


@dataclass(frozen=True)
class PolicyView:
    """Everything that a policy's status depends on."""

    policy: PolicyObject
    nodes: tuple[NodeView, ...]
    workloads: tuple[WorkloadObject, ...]
    pods: int
    runs: tuple[Run, ...]
    """This policy's runs, by uid."""
    prometheus_problem: str | None
    """Why Prometheus cannot be asked; empty when it can, None while nobody has tried."""
    overlap: str
    """An older policy that selects some of the same pods; empty when there is none."""
    seed: int


def kept(view: PolicyView) -> tuple[tuple[str, ...], tuple[AssignmentStatus, ...]]:
    """Return which nodes run the promoted scheduler, and what the agents say of it."""
    promoted = view.policy.status.promoted
    run = promoted.run if promoted is not None else ""
    holders = tuple(n.name for n in view.nodes if any(a.run == run for a in n.status.attached))
    said = tuple(s for n in view.nodes for s in n.status.assignments if s.run == run)
    return holders, said
