"""Judge what becomes of a scheduler after a long time in which nobody has anything to do.

Pure. A guest that idles skips its time, but not for nothing: an idle kernel still has some ten
timers a second, so that ten minutes cost the host five seconds, and hours as many minutes. What is
not seen: whatever waits for longer than the soak, for a number of wakeups or forks beyond those of
the trials, or for an hour of the day. Such conditions are looked for in the bytecode, which a
program's nobody reads. A loader stands still during the soak; a program that loads its scheduler by
itself runs on, because it may be a part of it.
"""

from __future__ import annotations

from schedcp_api.verdicts import Check, Stage

from .attaching import ended, same_enablement, states_of
from .checks import error, failed, passed
from .records import GuestReport

__all__ = ["SOAK_SECONDS", "soaked"]

SOAK_SECONDS = 1200
"""Of the guest's time."""
_ID = "soak"


def soaked(report: GuestReport, *, starved_ns: int) -> Check:
    """Return whether work is still done after the soak as it was before."""
    begin, after = report.states["settled"], report.states.get("soak")
    if after is not None and not same_enablement(begin, after):
        words = f"the scheduler ended within {SOAK_SECONDS} s of idleness, or after it"
        return ended(report, _ID, Stage.DYNAMIC, words)
    before, trials = report.states.get("trials"), report.trials_at.get("soak", ())
    long_enough = (
        before is not None
        and after is not None
        and _seconds(after.uptime) - _seconds(before.uptime) >= SOAK_SECONDS
    )
    if not long_enough or len(trials) != 1 or not trials[0].longest_gaps_ns:
        said = report.texts.get(("trials", "soak"), "no message").strip()
        words = f"the guest did not idle for {SOAK_SECONDS} s and work after that: {said}"
        return error(_ID, Stage.DYNAMIC, words, states=states_of(report))
    gaps = trials[0].longest_gaps_ns
    late = [f"{kind} {gap // 1_000_000} ms" for kind, gap in gaps.items() if gap > starved_ns]
    if late:
        words = (
            f"after {SOAK_SECONDS} s of idleness tasks went without running for longer than "
            f"{starved_ns // 1_000_000} ms: {', '.join(late)}; what a scheduler does must not "
            f"depend on how long it has been there"
        )
        return failed(_ID, Stage.DYNAMIC, words, states=states_of(report))
    words = f"work was done after {SOAK_SECONDS} s of idleness as before"
    return passed(_ID, Stage.DYNAMIC, words)


def _seconds(uptime: str) -> float:
    """Return an uptime as a number; what is none is no time at all."""
    try:
        return float(uptime)
    except ValueError:
        return 0.0
