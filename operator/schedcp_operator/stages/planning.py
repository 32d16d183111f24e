"""Planning: take the best proposal that has not been tried yet."""

from datetime import datetime

from schedcp_api.candidates import WorkloadClass
from schedcp_api.policies import Mode
from schedcp_api.runs import MOST_BLOCKS, Attempt, Outcome, RunStage

from ..events import Event, MakePlans, Observed, PlanningFailed, PlansMade, Proposal, Transition
from ..programs import programs_on
from ..views import Rules, Run, World
from .common import conclude, enter, error, inconclusive


def planning(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:  # noqa: ARG001
    """Ask the planner, and turn its next untried proposal into an attempt."""
    status = run.status
    match event:
        case PlanningFailed(reason, message):
            return conclude(run, error(reason, message), now=now)
        case PlansMade():
            return _chosen(run, event, now=now)
        case Observed(world) if status.profile_digest and status.kernel_digest:
            asked = MakePlans(
                status.profile_digest,
                status.kernel_digest,
                _release(status.eligible_nodes, status.kernel_digest, world),
                programs_on(status.eligible_nodes, world),
            )
            return Transition(status, (asked,))
        case _:
            return Transition(status)


def _release(nodes: tuple[str, ...], kernel_digest: str, world: World) -> str:
    """Return the release of the run's kernel; empty when none of its nodes can say it now."""
    views = [view for name in nodes if (view := world.node(name)) is not None]
    kernels = [view.status.kernel for view in views if view.status.kernel is not None]
    return next((k.release for k in kernels if k.content_digest() == kernel_digest), "")


def _chosen(run: Run, made: PlansMade, *, now: datetime) -> Transition:
    known = {"description": made.description, "guardrails": made.guardrails}
    if run.policy.mode is Mode.OBSERVE:
        message = f"mode Observe ends here: {made.description.summary}"
        return conclude(run, inconclusive("ModeObserve", message), now=now, **known)
    tried = {attempt.candidate_digest for attempt in run.status.attempts}
    left = [p for p in made.proposals if p.candidate.content_digest() not in tried]
    if not left or len(tried) >= run.policy.search.max_candidates:
        return conclude(run, _nothing_left(run, made), now=now, **known)
    attempt = _attempt(left[0])
    status = enter(
        run,
        RunStage.VERIFYING,
        now=now,
        attempts=(*_trimmed(run.status.attempts), attempt),
        verification="",
        token="",
        contract_digest=None,
        message=attempt.plan.rationale,
        **known,
    )
    return Transition(status)


def _trimmed(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return the attempts without the blocks of the first, as far as they do not fit an object."""
    room = MOST_BLOCKS
    kept: list[Attempt] = []
    for attempt in reversed(attempts):
        room -= len(attempt.blocks)
        kept.append(attempt if room >= 0 else attempt.replace(blocks=()))
    return tuple(reversed(kept))


def _attempt(proposal: Proposal) -> Attempt:
    return Attempt(
        plan=proposal.plan,
        candidate=proposal.candidate,
        candidate_digest=proposal.candidate.content_digest(),
    )


def _nothing_left(run: Run, made: PlansMade) -> Outcome:
    """Return the outcome when no candidate is left: that of the last one measured, if any was."""
    if run.status.pending_outcome is not None:
        return run.status.pending_outcome
    if run.status.attempts:
        last = run.attempt
        why = last.reasons[0] if last.reasons else str(last.result)
        message = f"none of {len(run.status.attempts)} candidates was accepted; the last: {why}"
        return inconclusive("NoAcceptedCandidate", message)
    if made.set_aside:
        message = f"every plan was tried before: {'; '.join(made.set_aside)}"
        return inconclusive("KnownNotToHelp", message)
    if made.description.workload_class is WorkloadClass.IDLE:
        return inconclusive("NothingToGain", made.description.summary)
    return inconclusive("NoPlan", f"no scheduler fits: {made.description.summary}")
