"""Learning: one lesson for each attempt, and the end of the run."""

from datetime import datetime

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.runs import (
    Attempt,
    AttemptResult,
    Lesson,
    OptimizationRunStatus,
    OutcomeKind,
    RunStage,
)

from ..events import Event, LessonsStored, Observed, StoreLessons, Transition
from ..views import Rules, Run
from .common import enter, error


def learning(
    run: Run,
    event: Event,
    *,
    now: datetime,
    rules: Rules,  # noqa: ARG001
) -> Transition:
    """Store the lessons; a run without attempts has none and ends at once."""
    match event:
        case Observed() if run.status.attempts:
            return Transition(run.status, (StoreLessons(lessons_of(run)),))
        case Observed():
            return finished(run, now=now)
        case LessonsStored(digest):
            return finished(run, now=now, lesson_digest=digest)
        case _:
            return Transition(run.status)


def lessons_of(run: Run) -> tuple[Lesson, ...]:
    """Return the run's lessons; asked again, it returns the same ones to the byte."""
    at = run.status.stage_started_at or run.spec.trigger.at
    return tuple(lesson_of(run, attempt, at=at) for attempt in run.status.attempts)


def lesson_of(run: Run, attempt: Attempt, *, at: datetime) -> Lesson:
    """Return what one attempt of a run taught."""
    status = run.status
    return Lesson(
        run=run.name,
        policy=run.spec.policy,
        workload=run.spec.trigger.workload,
        description=status.description,
        profile_digest=status.profile_digest,
        kernel_digest=status.kernel_digest,
        candidate=attempt.candidate,
        result=attempt.result,
        outcome=attempt.outcome,
        antipattern=_antipattern(run, attempt),
        at=at,
    )


def _antipattern(run: Run, attempt: Attempt) -> str:
    """Return what not to do again: only of candidates that were refused or measured and failed."""
    measured = attempt.outcome
    harmful = measured is not None and measured.kind in (OutcomeKind.WORSE, OutcomeKind.NO_EFFECT)
    if measured is not None and harmful:
        why = f"{measured.reason}: {measured.message}"
    elif attempt.result is AttemptResult.REJECTED:
        why = attempt.reasons[0] if attempt.reasons else "no reason was given"
    else:
        return ""
    described = run.status.description
    kind = described.workload_class if described else "this"
    spelled = attempt.candidate.spelled
    return f"do not use {spelled} for {kind} work on this kernel: {why}"[:2048]


def finished(run: Run, *, now: datetime, lesson_digest: str | None = None) -> Transition:
    """End the run: the outcome that was pending is the outcome."""
    status: OptimizationRunStatus = run.status
    outcome = status.pending_outcome or error("Unknown", "the run ended without an outcome")
    decided = outcome.kind not in (OutcomeKind.ERROR, OutcomeKind.INCONCLUSIVE)
    conditions = with_condition(
        status.conditions,
        "Decided",
        ConditionStatus.TRUE if decided else ConditionStatus.FALSE,
        reason=outcome.reason,
        message=outcome.message,
        now=now,
    )
    ended = enter(
        run,
        RunStage.FINISHED,
        now=now,
        outcome=outcome,
        lesson_digest=lesson_digest,
        finished_at=now,
        message=outcome.message,
        conditions=conditions,
    )
    return Transition(ended)
