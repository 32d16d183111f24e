"""What becomes of an assignment that does not run: ended for good, or off for now. Pure."""

from dataclasses import replace
from datetime import datetime

from schedcp_api.nodestates import Assignment, RunState

from . import switchback
from .admission import Refusal
from .memory import Course, Standing
from .observations import Observed


def refused(
    course: Course, assignment: Assignment, observed: Observed, refusal: Refusal, *, now: datetime
) -> Course:
    """Return the course of what must not run: ended, or off until the reason has passed."""
    if refusal.final:
        return ended(
            course,
            assignment,
            observed,
            RunState.REFUSED,
            reason=refusal.reason,
            message=refusal.message,
            now=now,
        )
    standing = for_now(course, refusal.reason, refusal.message, now=now)
    return switchback.spoil(replace(course, standing=standing, claims=None), refusal.reason)


def for_now(course: Course, reason: str, message: str, *, now: datetime) -> Standing:
    """Return the standing of what does not run, and will when `reason` has passed."""
    same = course.standing is not None and course.standing.reason == reason
    since = course.standing.since if same and course.standing else now
    return Standing(RunState.REFUSED, reason[:256], message[:2048], since, final=False)


def ended(
    course: Course,
    assignment: Assignment,
    observed: Observed,
    state: RunState,
    *,
    reason: str,
    message: str,
    now: datetime,
) -> Course:
    """Return the course with a final standing; a block that was being measured is recorded so."""
    if assignment.switchback is not None:
        course = switchback.spoil(course, reason)
        course = switchback.cut_short(course, assignment.switchback, observed, now=now)
    standing = Standing(state, reason[:256], message[:2048], now, final=True)
    return replace(course, standing=standing, claims=None)
