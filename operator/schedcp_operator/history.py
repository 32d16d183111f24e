"""Which finished runs a policy has no room for any more. Pure."""

from collections.abc import Iterable

from schedcp_api.runs import RunNode, RunStage

from .eligibility import is_clear
from .objects import PolicyObject
from .views import NodeView, Run, World

__all__ = ["has_left", "surplus"]


def surplus(policy: PolicyObject, runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the policy's finished runs beyond the newest `runHistoryLimit`, the oldest first.

    What the policy's status names is never among them.
    """
    status = policy.status
    named = {status.active_run, status.last_run, status.promoted.run if status.promoted else None}
    finished = sorted(
        (run for run in runs if run.status.stage is RunStage.FINISHED),
        key=lambda run: (run.status.finished_at or run.spec.trigger.at, run.name),
    )
    old = finished[: max(0, len(finished) - policy.spec.run_history_limit)]
    return tuple(run for run in old if run.name not in named)


def has_left(run: Run, world: World) -> bool:
    """Return whether every node that the run touched is proven to be without its scheduler."""
    return all(_is_without(run, entry, world.node(entry.name)) for entry in run.status.nodes)


def _is_without(run: Run, entry: RunNode, node: NodeView | None) -> bool:
    """Return whether a node was proven restored, shows it now, runs another one, or is gone."""
    if entry.restored_at is not None or node is None:
        return True
    attached = {one.run for one in node.status.attached}
    if run.name in attached | {one.run for one in node.spec.assignments}:
        return False
    return is_clear(node) or (node.caught_up and bool(attached - {None}))
