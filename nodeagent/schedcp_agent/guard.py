"""The node's own guard rails: revert within seconds, without API server, operator or Prometheus.

Pure: one reading a tick goes in, a trip comes out when a limit was exceeded for long enough.

Pressure that was above its limit before the scheduler came (batch work that keeps every CPU busy
always waits) says nothing when it stays there. Then `full` is looked at instead: all threads of a
pod waiting at once, which fair sharing does not do to a pod for ten seconds.
"""

from dataclasses import dataclass, replace

from schedcp_api.nodestates import GuardrailLimits

from .observations import Trip

MOST_PRESSURE_PERMILLE = 950
"""Readings end at 1000, so a higher limit could never be exceeded."""


@dataclass(frozen=True)
class Reading:
    """What the guard looks at, once a tick."""

    attached: bool
    """Whether our loader says that its scheduler is attached."""
    enabled: bool = False
    """Whether the kernel says the same."""
    neighbour_some_permille: int = 0
    neighbour_full_permille: int = 0
    target_longest_ms: int = 0
    nr_rejected: int = 0


@dataclass(frozen=True)
class Guard:
    """For how many ticks in a row each limit has been exceeded."""

    baseline_some_permille: int = 0
    """Neighbours' pressure when the scheduler was attached."""
    pressure_ticks: int = 0
    latency_ticks: int = 0
    disabled_ticks: int = 0


def watch(
    guard: Guard, limits: GuardrailLimits | None, reading: Reading, *, tick_seconds: float
) -> tuple[Guard, Trip | None]:
    """Return the guard after one reading, and a trip when a limit was exceeded for too long."""
    if not reading.attached or limits is None:
        return Guard(baseline_some_permille=reading.neighbour_some_permille), None
    pressure = _pressure(guard, limits, reading)
    guard = replace(
        guard,
        pressure_ticks=guard.pressure_ticks + 1 if pressure else 0,
        latency_ticks=guard.latency_ticks + 1
        if reading.target_longest_ms > limits.target_latency_ms
        else 0,
        disabled_ticks=0 if reading.enabled else guard.disabled_ticks + 1,
    )
    return guard, _trip(guard, limits, reading, pressure, tick_seconds=tick_seconds)


def _pressure(guard: Guard, limits: GuardrailLimits, reading: Reading) -> str:
    """Return which pressure exceeds the limit; empty when none does."""
    limit = _pressure_limit(limits)
    if guard.baseline_some_permille <= limit and reading.neighbour_some_permille > limit:
        return f"some {reading.neighbour_some_permille}"
    if guard.baseline_some_permille > limit and reading.neighbour_full_permille > limit:
        return f"full {reading.neighbour_full_permille}"
    return ""


def _pressure_limit(limits: GuardrailLimits) -> int:
    return min(limits.neighbour_pressure_permille, MOST_PRESSURE_PERMILLE)


def _trip(
    guard: Guard,
    limits: GuardrailLimits,
    reading: Reading,
    pressure: str,
    *,
    tick_seconds: float,
) -> Trip | None:
    def sustained(ticks: int) -> bool:
        return ticks > 0 and ticks * tick_seconds >= limits.sustained_seconds

    if reading.nr_rejected:
        return Trip("TasksRejected", f"the scheduler rejected {reading.nr_rejected} tasks")
    if sustained(guard.latency_ticks):
        return Trip(
            "TargetLatency",
            f"a thread of the target waited {reading.target_longest_ms} ms for a CPU; the limit is "
            f"{limits.target_latency_ms} ms, exceeded for {guard.latency_ticks} readings",
        )
    if sustained(guard.pressure_ticks):
        return Trip(
            "NeighbourPressure",
            f"CPU pressure of a neighbour is {pressure} permille; the limit is "
            f"{_pressure_limit(limits)}, exceeded for {guard.pressure_ticks} readings",
        )
    if sustained(guard.disabled_ticks):
        return Trip(
            "NotEnabled",
            "the loader holds a scheduler that the kernel does not run",
        )
    return None
