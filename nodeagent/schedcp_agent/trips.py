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
from .observations import LoaderPhase, Observed, Trip
from .standings import ended, refused

FIRST_COMPARISON_SECONDS = 30
"""How long the first comparison takes at most; the next may be the last word, and takes longer."""
SUSPECT_SECONDS = 900
"""For how long after a comparison that found no load another trip may be the last."""
RELEASE_SECONDS = 60
"""For how long the kernel may take to be in charge again before the trip counts as it is."""


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
        again = observed.uptime < course.suspect_until
        doubt = Doubt(trip, observed.uptime, again)
        return _in_doubt(course, doubt, assignment, observed, now=now)
    return _held_against(course, trip, assignment, observed, now=now)


def compared(
    course: Course, doubt: Doubt, assignment: Assignment, observed: Observed, *, now: datetime
) -> Course:
    """Return the course after one look at the kernel's own scheduler: free, ended or in doubt.

    Calm shows little, for load comes and goes: what is attached then is suspect, and ends with the
    next comparison that finds no load. One that does ends the suspicion.
    """
    trip = doubt.trip
    if trip.pressure in observed.loaded:
        return replace(course, doubt=None)
    free = observed.sched_ext.idle and observed.loader.phase is LoaderPhase.NONE
    if not free and observed.uptime - doubt.at >= RELEASE_SECONDS:
        return _held_against(course, trip, assignment, observed, now=now)
    since = (observed.uptime if doubt.since is None else doubt.since) if free else None
    if since is None or observed.uptime - since < _comparison_seconds(doubt):
        return _in_doubt(course, replace(doubt, since=since), assignment, observed, now=now)
    if doubt.again:
        calm = f"{trip.message}, for the second time, and not under the kernel's own scheduler"
        return _held_against(course, replace(trip, message=calm), assignment, observed, now=now)
    return replace(course, doubt=None, suspect_until=observed.uptime + SUSPECT_SECONDS)


def _comparison_seconds(doubt: Doubt) -> int:
    return COMPARISON_SECONDS if doubt.again else FIRST_COMPARISON_SECONDS


def _in_doubt(
    course: Course, doubt: Doubt, assignment: Assignment, observed: Observed, *, now: datetime
) -> Course:
    then = "if so, this is attached again" if doubt.again else "then this is attached again"
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
