"""Judge how those are served that wake: where they slept, and evenly.

Pure. No figure is compared with another scheduler's here: each candidate is its own measure, so
that a slow one that is slow for everybody passes. Where too few woke to tell, that is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed, warning
from .records import GuestReport, TrialData
from .troubles import Course

__all__ = ["tails", "waking"]

_LONG_MS = 200
"""So long nobody who is brisk waits who is served in turn, at the load of the trials."""
_OUTLIER = 15
"""How many times the mean is no longer the tail of one distribution: most good schedulers have up
to 7, one that makes up for a lag has 33."""
_CROSSED_MOST = 0.8
"""Tasks that wake on any CPU of two memory nodes alike come to the other one half of the time."""
_NODES = 2
_MANY = 50
"""Fewer wakeups say nothing of how they are distributed."""
_WATCHED_TRIALS = ("saturated", "saturated-briefly")
"""Where wakeups are noted one by one."""
_CROSSING_TRIALS = (*_WATCHED_TRIALS, "spare")
"""Those, and where there is a choice of CPUs."""


@dataclass(frozen=True)
class _Seen:
    """One figure, and what is wrong with it, or why it says nothing."""

    shown: str
    wrong: str = ""
    unknown: str = ""


def waking(report: GuestReport, course: Course) -> tuple[Check, ...]:
    """Return whether who wakes stays near, where that can be seen: where there are two nodes."""
    if course.topology.sockets < _NODES:
        return ()
    seen = _each(report, _crossings, _CROSSING_TRIALS)
    return (_judged("waking", seen, "who woke stayed where its memory is", refuses=True),)


def tails(report: GuestReport) -> Check:
    """Return whether some who wake wait much longer than the rest: told, and no more.

    A good scheduler may make up for what somebody had too much of; that is a tail, too.
    """
    seen = _each(report, _tail, _WATCHED_TRIALS)
    return _judged("tails", seen, "nobody who woke waited much longer than others", refuses=False)


def _judged(id_: str, seen: list[_Seen], words: str, *, refuses: bool) -> Check:
    shown = {id_: [found.shown for found in seen]}
    wrong = [found.wrong for found in seen if found.wrong]
    unknown = [found.unknown for found in seen if found.unknown]
    if wrong:
        make = failed if refuses else warning
        return make(id_, Stage.DYNAMIC, "; ".join(wrong), **shown)
    if unknown or not seen:
        told = "; ".join(unknown) or "no trial showed it"
        return warning(id_, Stage.DYNAMIC, f"it cannot be told: {told}", **shown)
    return passed(id_, Stage.DYNAMIC, words, **shown)


def _each(
    report: GuestReport, look: Callable[[TrialData], _Seen], trials: tuple[str, ...]
) -> list[_Seen]:
    return [look(trial) for trial in report.trials if trial.trial in trials]


def _few(trial: TrialData, what: str) -> _Seen:
    shown = f"{trial.trial}: {what}"
    return _Seen(shown, unknown=shown)


def _tail(trial: TrialData) -> _Seen:
    woken = trial.effects.get("woken", 0)
    if woken < _MANY:
        return _few(trial, f"only {woken} woke")
    mean_ms = trial.effects.get("wokenUs", 0) / woken / 1000
    most_ms = trial.effects.get("wokenMostUs", 0) / 1000
    shown = f"{trial.trial}: who woke waited for {mean_ms:.2f} ms, at most for {most_ms:.0f} ms"
    if most_ms < _LONG_MS or most_ms < _OUTLIER * mean_ms:
        return _Seen(shown)
    return _Seen(
        shown,
        f"in {trial.trial} somebody who woke waited for {most_ms:.0f} ms, while the mean is "
        f"{mean_ms:.2f} ms: a canary's percentiles show what that costs",
    )


def _crossings(trial: TrialData) -> _Seen:
    nodes, woken = trial.effects.get("nodes", 0), trial.effects.get("woken", 0)
    if nodes < _NODES:
        return _few(trial, f"the kernel knows {nodes} memory nodes of {_NODES}")
    if woken < _MANY:
        return _few(trial, f"only {woken} woke")
    share = trial.effects.get("crossed", 0) / woken
    shown = f"{trial.trial}: {share:.0%} of those that woke had changed the memory node"
    if share <= _CROSSED_MOST:
        return _Seen(shown)
    return _Seen(
        shown,
        f"in {trial.trial} {share:.0%} of those that woke came to the other memory node: leave "
        "them where their caches are",
    )
