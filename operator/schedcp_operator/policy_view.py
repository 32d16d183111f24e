"""What a policy's status depends on, gathered. No decisions."""

from dataclasses import dataclass

from schedcp_api.nodestates import AssignmentStatus

from .events import PlanningFailed
from .objects import PolicyObject, WorkloadObject
from .views import NodeView, Run

__all__ = ["PolicyView", "kept", "promoted_run", "said_of_kept"]


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
    keys_problem: str | None
    """Why no token could be trusted; empty when one can, None while nobody has looked."""
    search_problem: PlanningFailed | None
    """Why nothing that the policy wants tried can be; None when something can."""
    overlap: str
    """An older policy that selects some of the same pods; empty when there is none."""
    seed: int
    listed: bool = True
    """Whether the world was listed: before that, a workload that is not seen is not gone."""
    unreadable_runs: frozenset[str] = frozenset()
    """Runs that are there but cannot be read: nothing is concluded from their absence."""

    def followed(self, most: int) -> tuple[WorkloadObject, ...]:
        """Return the workloads, at most so many, whose rollouts are followed, by key.

        None is given up for a newcomer: that its rollout is handled would be forgotten, and a run
        would start without any rollout once there is room again.
        """
        known = {entry.workload for entry in self.policy.status.workloads}
        chosen = sorted(self.workloads, key=lambda one: (one.key not in known, one.key))[:most]
        return tuple(sorted(chosen, key=lambda one: one.key))


def promoted_run(view: PolicyView) -> Run | None:
    """Return the run whose scheduler the policy keeps, if it keeps one and the run can be read."""
    promoted = view.policy.status.promoted
    return next((run for run in view.runs if promoted and run.name == promoted.run), None)


def kept(view: PolicyView) -> tuple[tuple[str, ...], tuple[AssignmentStatus, ...]]:
    """Return which nodes run the promoted scheduler, and what the agents say of it."""
    wanted = _wanted(view)
    holders = tuple(
        node.name
        for node in view.nodes
        if any((a.run, a.object_digest) == wanted for a in node.status.attached)
    )
    return holders, tuple(one for _, one in said_of_kept(view))


def said_of_kept(view: PolicyView) -> tuple[tuple[NodeView, AssignmentStatus], ...]:
    """Return what the agents say of the promoted scheduler, each with its node."""
    wanted = _wanted(view)
    return tuple(
        (node, one)
        for node in view.nodes
        for one in node.status.assignments
        if (one.run, one.object_digest) == wanted
    )


def _wanted(view: PolicyView) -> tuple[str, str] | None:
    """Return the run and the object of what the policy keeps; None when it keeps nothing."""
    run = promoted_run(view)
    if run is None or run.attempt.object_digest is None:
        return None
    return run.name, run.attempt.object_digest
