"""What follows from a guard rail that tripped: the end, or doubt that it was load alone. Pure."""

from dataclasses import replace
from datetime import datetime

from schedcp_api.nodestates import (
    COMPARING_PRESSURE,
    COMPARISON_SECONDS,
    JUST_BOOTED,
    Assignment,
    RunState,
)

from .admission import Refusal
from .guard import BOOT_RUSH_SECONDS, BY_LOAD
from .memory import Course, Doubt
from .observations import LoaderPhase, Observed, Pressure, Trip
from .standings import ended, refused

FIRST_COMPARISON_SECONDS = 30
"""How long a comparison takes at most; one that may be the last word takes longer."""
MOST_UNEXPLAINED = 3
UNEXPLAINED_SECONDS = 600
"""So many trips within so long may be short load, which had ended when it was looked for."""
RELEASE_SECONDS = 60
"""For how long the kernel may take to be in charge again before the trip counts as it is."""
_NO_LOAD = (
    f"; that was at least trip {MOST_UNEXPLAINED + 1} within {UNEXPLAINED_SECONDS // 60} minutes "
    f"that no load explained, the last in {COMPARISON_SECONDS} s of the kernel's own scheduler"
)


def tripped(
    course: Course, assignment: Assignment, observed: Observed, trip: Trip, *, now: datetime
) -> Course:
    """Return the course after a trip: ended, in doubt, or put off where a boot's rush explains it.

    A canary is not put off for so long: a run that was disturbed can be repeated.
    """
    rush = trip.reason in BY_LOAD and observed.uptime < BOOT_RUSH_SECONDS
    if rush and assignment.switchback is None:
        message = (
            f"{trip.reason} {observed.uptime:.0f} s after the node's boot, when all of its pods "
            f"start at once: {trip.message}. That proves nothing: it is attached again "
            f"{BOOT_RUSH_SECONDS} s after the boot"
        )
        refusal = Refusal(JUST_BOOTED, message)
        return refused(replace(course, rush=message), assignment, observed, refusal, now=now)
    if trip.pressure is not None:
        last = len(_latest(course, uptime=observed.uptime)) >= MOST_UNEXPLAINED
        doubt = Doubt(trip, trip.pressure, observed.uptime, last)
        return _in_doubt(course, doubt, assignment, observed, now=now)
    return _held_against(course, trip, assignment, observed, now=now)


def compared(
    course: Course, doubt: Doubt, assignment: Assignment, observed: Observed, *, now: datetime
) -> Course:
    """Return the course after one look at the kernel's own scheduler: free, ended or in doubt.

    Calm alone shows little, for load comes and goes: only one trip after the other that no load
    explains is held against the scheduler.
    """
    if doubt.pressure in observed.loaded:
        return replace(course, doubt=None)
    uptime = observed.uptime
    free = observed.sched_ext.idle and observed.loader.phase is LoaderPhase.NONE
    if not free and uptime - doubt.at >= RELEASE_SECONDS:
        return _held_against(course, doubt.trip, assignment, observed, now=now)
    since = (uptime if doubt.since is None else doubt.since) if free else None
    if since is None or uptime - since < _comparison_seconds(doubt):
        return _in_doubt(course, replace(doubt, since=since), assignment, observed, now=now)
    if doubt.last:
        trip = replace(doubt.trip, message=doubt.trip.message + _NO_LOAD)
        return _held_against(course, trip, assignment, observed, now=now)
    unexplained = (*_latest(course, uptime=uptime), (doubt.pressure, uptime))
    return replace(course, doubt=None, unexplained=unexplained)


def explained(course: Course, observed: Observed) -> Course:
    """Return the course without the trips that may have been the load which is seen now."""
    left = tuple(one for one in course.unexplained if one[0] not in observed.loaded)
    return replace(course, unexplained=left)


def _latest(course: Course, *, uptime: float) -> tuple[tuple[Pressure, float], ...]:
    since = uptime - UNEXPLAINED_SECONDS
    return tuple((kind, at) for kind, at in course.unexplained if at > since)


def _comparison_seconds(doubt: Doubt) -> int:
    return COMPARISON_SECONDS if doubt.last else FIRST_COMPARISON_SECONDS


def _in_doubt(
    course: Course, doubt: Doubt, assignment: Assignment, observed: Observed, *, now: datetime
) -> Course:
    then = "if so, this is attached again" if doubt.last else "then this is attached again"
    message = (
        f"{doubt.trip.message}. Whether load alone does that is seen under the kernel's own "
        f"scheduler, for up to {_comparison_seconds(doubt)} s; {then}"
    )
    refusal = Refusal(COMPARING_PRESSURE, message)
    return refused(replace(course, doubt=doubt), assignment, observed, refusal, now=now)


def _held_against(
    course: Course, trip: Trip, assignment: Assignment, observed: Observed, *, now: datetime
) -> Course:
    return ended(
        course,
        assignment,
        observed,
        RunState.TRIPPED,
        reason=trip.reason,
        message=trip.message,
        now=now,
    )


def after_rush(course: Course, observed: Observed) -> Refusal | None:
    """Return a refusal of what tripped in the rush after the boot, until that is over."""
    if not course.rush or observed.uptime >= BOOT_RUSH_SECONDS:
        return None
    return Refusal(JUST_BOOTED, course.rush)
