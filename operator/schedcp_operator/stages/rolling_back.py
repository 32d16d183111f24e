"""RollingBack: the kernel's own scheduler everywhere, and proven so before anything else."""

from datetime import datetime

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.policies import Mode
from schedcp_api.runs import Outcome, RunStage

from ..events import Event, Observed, SyncNodes, Transition
from ..views import Rules, Run, World
from ..wording import listed
from .common import another_may_follow, conclude, enter, error, shown, stay


def rolling_back(
    run: Run,
    event: Event,
    *,
    now: datetime,
    rules: Rules,  # noqa: ARG001
) -> Transition:
    """Wait until every touched node shows nothing of ours; then try the next candidate or end."""
    if not isinstance(event, Observed):
        return Transition(run.status)
    nodes = tuple(shown(entry, event.world, now=now) for entry in run.status.nodes)
    waiting = tuple(entry.name for entry in nodes if entry.awaited)
    changed = run.status.replace(nodes=nodes)
    if waiting:
        message = f"waiting for {listed(waiting)} to be back on the kernel's scheduler"
        waited = stay(Run(run.name, run.spec, changed), message)
        return Transition(waited.status, (SyncNodes(waiting),))
    return _restored(Run(run.name, run.spec, changed), event.world, now=now)


def _restored(run: Run, world: World, *, now: datetime) -> Transition:
    outcome = run.status.pending_outcome or error("Unknown", "rolled back without an outcome")
    gone = [entry.name for entry in run.status.nodes if entry.gone_at is not None]
    message = f"{len(run.status.nodes) - len(gone)} nodes show the kernel's own scheduler"
    if gone:
        message += f"; {listed(gone)} left the cluster, and nobody can ask there"
    conditions = with_condition(
        run.status.conditions,
        "Restored",
        ConditionStatus.UNKNOWN if gone else ConditionStatus.TRUE,
        reason="NodesGone" if gone else "Proven",
        message=message,
        now=now,
    )
    tried = len(run.status.attempts)
    stopped = (
        world.policy is None
        or world.policy.spec.suspend
        or world.policy.spec.workload != run.policy.workload
    )
    lowered = world.policy is not None and world.policy.mode in (Mode.OBSERVE, Mode.RECOMMEND)
    if (
        another_may_follow(outcome)
        and tried < run.policy.search.max_candidates
        and not stopped
        and not lowered
    ):
        status = enter(
            run,
            RunStage.PLANNING,
            now=now,
            conditions=conditions,
            message=f"looking for another candidate after {outcome.reason}",
        )
        return Transition(status)
    return conclude(run, outcome, now=now, conditions=conditions)


def not_restored(run: Run, *, now: datetime) -> Transition:
    """End the run although some node could not be proven restored, and say so."""
    waiting = [entry.name for entry in run.status.nodes if entry.awaited]
    before: Outcome | None = run.status.pending_outcome
    after = f", after {before.reason}" if before else ""
    message = (
        f"{', '.join(waiting)} did not show the kernel's scheduler in time{after}; the assignment"
        " is withdrawn and the lease runs out: look at the agent there"
    )
    conditions = with_condition(
        run.status.conditions,
        "Restored",
        ConditionStatus.FALSE,
        reason="NotProven",
        message=message,
        now=now,
    )
    return conclude(run, error("NodesNotRestored", message), now=now, conditions=conditions)
