"""What a policy says of itself, and whether it starts a run. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schedcp_api.base import Condition, ConditionStatus, with_condition
from schedcp_api.policies import (
    ObservedWorkload,
    PromotedScheduler,
    SchedulerPolicySpec,
    SchedulerPolicyStatus,
)
from schedcp_api.runs import (
    AttemptResult,
    Lesson,
    OptimizationRunSpec,
    Outcome,
    RunStage,
    RunTrigger,
    TriggerKind,
)

from .eligibility import Selection, select
from .objects import WorkloadObject
from .policy_conditions import (
    KEPT,
    NO_TRIGGER,
    UNNEEDED,
    WITHDRAWN,
    conditions_of,
)
from .policy_view import PolicyView
from .views import Rules, Run
from .withdrawals import afterthought, gone_since, is_unproven, withdrawal

_MOST_WORKLOADS = 64


@dataclass(frozen=True)
class NewRun:
    """A run to be created."""

    name: str
    spec: OptimizationRunSpec


@dataclass(frozen=True)
class PolicyDecision:
    """The policy's new status, and the run to create before it is written, if any."""

    status: SchedulerPolicyStatus
    start: NewRun | None = None
    lesson: Lesson | None = None
    """What a scheduler taught that was kept and then taken off."""


def decide(view: PolicyView, *, now: datetime, rules: Rules) -> PolicyDecision:
    """Return what `view` comes to."""
    policy = view.policy
    status = acknowledged(view, now=now)
    status = status.replace(workload_gone_since=gone_since(view, status, now=now))
    selection = select(view.nodes, policy.spec.canary, now=now, rules=rules)
    status = status.replace(
        observed_generation=policy.generation,
        selected_pods=view.pods,
        selected_nodes=len(view.nodes),
        workloads=rollouts(view, now=now),
    )
    status = status.replace(conditions=conditions_of(view, status, selection, now=now))
    start = _start(view, status, selection, now=now)
    if start is not None:
        complete = tuple(
            entry.replace(handled=True) if entry.complete_since is not None else entry
            for entry in status.workloads
        )
        status = status.replace(active_run=start.name, promoted=None, workloads=complete)
    status = status.replace(summary=_summary(view, status, now=now)[:256])
    return PolicyDecision(status, start, afterthought(view))


def acknowledged(view: PolicyView, *, now: datetime) -> SchedulerPolicyStatus:
    """Return the status with what became of its runs: one adopted, finished, or withdrawn."""
    status = view.policy.status
    runs = {run.name: run for run in view.runs}
    active = runs.get(status.active_run or "")
    if status.active_run in view.unreadable_runs:
        return status
    adopted = None
    if active is None:
        unfinished = [run for run in view.runs if run.status.stage is not RunStage.FINISHED]
        adopted = min(unfinished, key=lambda run: run.name, default=None)
        status = status.replace(active_run=adopted.name if adopted else None)
    elif active.status.stage is RunStage.FINISHED:
        status = _finished(status, active, now=now)
    status = _withdrawn(view, status, now=now)
    # Whoever created the run did not come to say so: it takes the kept one's place all the same.
    return status.replace(promoted=None) if adopted is not None else status


def _withdrawn(
    view: PolicyView, status: SchedulerPolicyStatus, *, now: datetime
) -> SchedulerPolicyStatus:
    """Return the status without the kept scheduler, if there is a reason to take it off."""
    reason = withdrawal(view, now=now) if status.promoted is not None else None
    if reason is None:
        return status
    conditions = with_condition(
        status.conditions,
        KEPT,
        ConditionStatus.FALSE,
        reason=WITHDRAWN,
        message=reason,
        now=now,
        generation=view.policy.generation,
    )
    outcome = f"{WITHDRAWN}: {reason}"[:256]
    return status.replace(promoted=None, last_outcome=outcome, conditions=conditions)


def _finished(status: SchedulerPolicyStatus, run: Run, *, now: datetime) -> SchedulerPolicyStatus:
    outcome = run.status.outcome
    promoted = None
    if run.status.attempts and run.attempt.result is AttemptResult.PROMOTED and outcome:
        promoted = PromotedScheduler(
            run=run.name,
            scheduler=run.attempt.candidate.scheduler,
            arguments=run.attempt.candidate.arguments,
            command_line=run.attempt.candidate.command_line,
            effect=outcome.effect or "0%",
            promoted_at=run.status.finished_at or now,
        )
    return status.replace(
        active_run=None,
        last_run=run.name,
        last_outcome=_said(outcome) if outcome else "",
        last_run_finished_at=run.status.finished_at or now,
        promoted=promoted,
    )


def _said(outcome: Outcome) -> str:
    """Return an outcome in one line."""
    reason = "" if outcome.reason == outcome.kind else f": {outcome.reason}"
    message = f": {outcome.message}" if outcome.message else ""
    return f"{outcome.kind}{reason}{message}"[:256]


def rollouts(view: PolicyView, *, now: datetime) -> tuple[ObservedWorkload, ...]:
    """Return the policy's workloads with since when each one's revision is complete.

    A policy that was changed, or whose kept scheduler lost its proof (by time, by a new kernel, for
    want of its key, ...), has its workloads' present revisions looked at again. A rollout
    whose run is under way is handled, also when a crash came before the policy could say so; then
    all are that were complete when the run began.
    """
    under_way = [
        run
        for run in view.runs
        if run.status.stage is not RunStage.FINISHED
        and run.spec.policy_generation == view.policy.generation
    ]
    before = {entry.workload: entry for entry in view.policy.status.workloads}
    changed = is_unproven(view) or view.policy.status.observed_generation != view.policy.generation
    found: list[ObservedWorkload] = []
    for workload in view.followed(_MOST_WORKLOADS):
        known = before.get(workload.key)
        if known is not None and known.revision != workload.revision:
            known = None
        since = known.complete_since if known is not None else None
        since = (since or now) if workload.complete else None
        begun = any(
            _belongs(workload, to=run.spec.trigger)
            or (run.name != view.policy.status.active_run and _was_complete(since, run))
            for run in under_way
        )
        found.append(
            ObservedWorkload(
                workload=workload.key,
                revision=workload.revision,
                complete_since=since,
                handled=begun or (known is not None and known.handled and not changed),
            )
        )
    return tuple(found)


def _belongs(workload: WorkloadObject, *, to: RunTrigger) -> bool:
    """Return whether a rollout is the one that a run was started for."""
    return (workload.key, workload.revision) == (to.workload, to.revision)


def _was_complete(since: datetime | None, run: Run) -> bool:
    """Return whether a rollout, complete since then, was so when a run began.

    Only of a run that the policy does not know of yet: clocks may be set while one is under way.
    """
    return since is not None and since <= run.spec.trigger.at


def _start(
    view: PolicyView, status: SchedulerPolicyStatus, selection: Selection, *, now: datetime
) -> NewRun | None:
    spec = view.policy.spec
    if spec.suspend or not spec.trigger.on_rollout or status.active_run is not None:
        return None
    if view.overlap or any(problem != "" for problem in _problems(view).values()):
        return None
    if not any(node.target_pods for node in selection.nodes):
        return None
    if _cooling_down(spec, status, now) is not None:
        return None
    due = [entry for entry in status.workloads if _is_due(entry, spec, now)]
    if not due:
        return None
    return _new_run(view, due[0], now=now)


def _problems(view: PolicyView) -> dict[str, str | None]:
    """Return what is wrong with what runs of the mode need: empty is well, None not known yet.

    A rollout waits for them, because a run that must fail for want of one would spend it.
    """
    found = {
        "SchedulersKnown": view.search_problem.message if view.search_problem else "",
        "KeysTrusted": view.keys_problem,
        "PrometheusReachable": view.prometheus_problem,
    }
    unneeded = UNNEEDED.get(view.policy.spec.mode, ())
    return {need: problem for need, problem in found.items() if need not in unneeded}


def _is_due(entry: ObservedWorkload, spec: SchedulerPolicySpec, now: datetime) -> bool:
    if entry.handled or entry.complete_since is None:
        return False
    return now - entry.complete_since >= timedelta(seconds=spec.trigger.stabilization_seconds)


def _cooling_down(
    spec: SchedulerPolicySpec, status: SchedulerPolicyStatus, now: datetime
) -> datetime | None:
    """Return when the cool-down ends, or None when it has."""
    if status.last_run_finished_at is None:
        return None
    ends = status.last_run_finished_at + timedelta(seconds=spec.trigger.cooldown_seconds)
    return ends if ends > now else None


def _new_run(view: PolicyView, entry: ObservedWorkload, *, now: datetime) -> NewRun:
    """Return the run for a rollout; its name follows from it, so that it is created once."""
    policy = view.policy
    # With the run before it: going back to an earlier revision is a rollout like any other.
    before = policy.status.last_run or ""
    identity = f"{policy.uid}/{policy.generation}/{entry.workload}/{entry.revision}/{before}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return NewRun(
        name=f"{policy.name[:200].rstrip('-.')}-{suffix}",
        spec=OptimizationRunSpec(
            policy=policy.name,
            policy_uid=policy.uid,
            policy_generation=policy.generation,
            policy_spec=policy.spec,
            trigger=RunTrigger(
                kind=TriggerKind.ROLLOUT,
                workload=entry.workload,
                revision=entry.revision,
                at=now,
            ),
            seed=view.seed,
        ),
    )


def _first_of(bad: Mapping[str, Condition], names: tuple[str, ...]) -> str:
    """Return what the first of these conditions says; empty when none of them is bad."""
    return next((f"{bad[name].reason}: {bad[name].message}" for name in names if name in bad), "")


def _summary(view: PolicyView, status: SchedulerPolicyStatus, *, now: datetime) -> str:
    """Return one line: what it is doing, and whether it is better."""
    runs = {run.name: run for run in view.runs}
    active = runs.get(status.active_run or "")
    if active is not None:
        return f"{active.status.stage}: {active.status.message}".rstrip(": ")
    if status.active_run:
        return f"{RunStage.PENDING}"
    if view.policy.spec.suspend:
        return "suspended"
    if not view.policy.spec.trigger.on_rollout and status.promoted is None:
        return NO_TRIGGER
    bad = {c.type: c for c in status.conditions if c.status is ConditionStatus.FALSE}
    lacking = _first_of(bad, ("WorkloadMatched", "NodesEligible"))
    if lacking:
        return lacking
    if status.promoted is not None:
        kept_on = next((c for c in status.conditions if c.type == KEPT), None)
        short = kept_on is not None and kept_on.status is ConditionStatus.FALSE
        where = f" ({kept_on.message})" if short and kept_on is not None else ""
        return f"keeps {status.promoted.scheduler}, {status.promoted.effect} better{where}"
    lacking = _first_of(bad, tuple(_problems(view)))
    if lacking:
        return lacking
    waiting = [entry for entry in status.workloads if not entry.handled]
    ends = _cooling_down(view.policy.spec, status, now)
    if waiting and ends is not None:
        return f"cooling down until {ends.isoformat(timespec='seconds')}"
    if any(entry.complete_since is None for entry in waiting):
        return "waiting for a rollout to complete"
    if waiting:
        return "waiting for a rollout to settle"
    if status.last_outcome:
        return f"last run: {status.last_outcome}"
    return "watching for rollouts"
