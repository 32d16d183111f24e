"""The node's own guard rails: revert within seconds, without API server, operator or Prometheus.

Pure: one reading a tick goes in, a trip comes out when a limit was exceeded for long enough, by
the clock: an agent that is starved reads rarely. Pressure is that since the reading before; the
kernel's own averages take half a minute to come near a limit.

Pressure that was above its limit before the scheduler came (batch work that keeps every CPU busy
always waits) says nothing when it stays there. Then `full` is looked at instead: all threads of a
pod waiting at once, which fair sharing does not do to a pod for ten seconds. Where the neighbours'
account begins while the scheduler is attached, nobody knows what was before: what is found then
counts as that.

A scheduler that the kernel is taking away is nobody's to judge any more: under load that lasts ten
seconds, everything waits meanwhile, and the loader then brings the kernel's own account of why.
"""

from dataclasses import dataclass, replace

from schedcp_api.nodestates import GuardrailLimits

from .observations import Trip

MOST_PRESSURE_PERMILLE = 950
"""Readings end at 1000, so a higher limit could never be exceeded."""
LEAVING_SECONDS = 30
"""For how long the kernel may be at taking a scheduler away before that is trouble of its own."""
BOOT_RUSH_SECONDS = 600
"""For how long after the node's boot load alone proves nothing against a scheduler: all pods start
at once, and the kubelet lets one that waits for another wait up to five minutes between two tries.
"""
BY_LOAD = frozenset({"TargetLatency", "NeighbourPressure"})
"""Trips that load alone brings about under any scheduler."""


@dataclass(frozen=True)
class Reading:
    """What the guard looks at, once a tick."""

    attached: bool
    """Whether our loader says that its scheduler is attached."""
    enabled: bool = False
    """Whether the kernel says the same."""
    leaving: bool = False
    """Whether the kernel is at taking it away."""
    baseline_some_permille: int | None = None
    """Neighbours' pressure over ten seconds; None without an account of them."""
    neighbour_some_permille: int = 0
    """Neighbours' pressure since the reading before."""
    neighbour_full_permille: int = 0
    target_longest_ms: int = 0
    nr_rejected: int = 0
    bypasses: int = 0
    """How often the kernel has set the scheduler aside; attaching it counts, too."""


@dataclass(frozen=True)
class Guard:
    """Since when each limit has been exceeded without a break, as uptimes; None when it is not."""

    baseline_some_permille: int | None = None
    """Neighbours' pressure when the scheduler was attached, or when their account began, if later;
    None before both."""
    baseline_bypasses: int | None = None
    """The kernel's count when the scheduler was first seen attached."""
    pressure_since: float | None = None
    latency_since: float | None = None
    disabled_since: float | None = None
    bypassed_since: float | None = None
    leaving_since: float | None = None


def watch(
    guard: Guard, limits: GuardrailLimits | None, reading: Reading, *, uptime: float
) -> tuple[Guard, Trip | None]:
    """Return the guard after one reading, and a trip when a limit was exceeded for too long."""
    if not reading.attached or limits is None:
        return Guard(baseline_some_permille=reading.baseline_some_permille), None
    if reading.leaving:
        return _leaving(guard, uptime=uptime)
    if guard.baseline_some_permille is None:
        guard = replace(guard, baseline_some_permille=reading.baseline_some_permille)
    pressure = _pressure(guard, limits, reading)
    late = reading.target_longest_ms > limits.target_latency_ms
    first = guard.baseline_bypasses is None
    baseline = reading.bypasses if first else guard.baseline_bypasses or 0
    bypassed = reading.bypasses > baseline and reading.enabled
    guard = replace(
        guard,
        baseline_bypasses=baseline,
        pressure_since=_since(guard.pressure_since, uptime, exceeded=bool(pressure)),
        latency_since=_since(guard.latency_since, uptime, exceeded=late),
        disabled_since=_since(guard.disabled_since, uptime, exceeded=not reading.enabled),
        bypassed_since=_since(guard.bypassed_since, uptime, exceeded=bypassed),
        leaving_since=None,
    )
    return guard, _trip(guard, limits, reading, pressure, uptime=uptime)


def _leaving(guard: Guard, *, uptime: float) -> tuple[Guard, Trip | None]:
    """Return the guard while the kernel takes the scheduler away; nothing else is judged."""
    since = uptime if guard.leaving_since is None else guard.leaving_since
    trip = None
    if uptime - since >= LEAVING_SECONDS:
        trip = Trip(
            "NotEnabled",
            f"the kernel has been taking the scheduler away for {LEAVING_SECONDS} s",
        )
    return Guard(guard.baseline_some_permille, guard.baseline_bypasses, leaving_since=since), trip


def _since(since: float | None, uptime: float, *, exceeded: bool) -> float | None:
    if not exceeded:
        return None
    return uptime if since is None else since


def _pressure(guard: Guard, limits: GuardrailLimits, reading: Reading) -> str:
    """Return which pressure exceeds the limit; empty when none does."""
    limit, baseline = _pressure_limit(limits), guard.baseline_some_permille
    if baseline is None:
        return ""
    if baseline <= limit and reading.neighbour_some_permille > limit:
        return f"some {reading.neighbour_some_permille}"
    if baseline > limit and reading.neighbour_full_permille > limit:
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
    uptime: float,
) -> Trip | None:
    def sustained(since: float | None) -> bool:
        return since is not None and uptime - since >= limits.sustained_seconds

    if reading.nr_rejected:
        return Trip("TasksRejected", f"the scheduler rejected {reading.nr_rejected} tasks")
    # An ejection begins with a bypass, too: what is still enabled after a while is not ejected.
    if sustained(guard.bypassed_since):
        return Trip("Bypassed", "the kernel has set the scheduler aside while it was attached")
    if sustained(guard.latency_since):
        return Trip(
            "TargetLatency",
            f"a thread of the target waited {reading.target_longest_ms} ms for a CPU; the limit of "
            f"{limits.target_latency_ms} ms was exceeded for {limits.sustained_seconds} s",
        )
    if sustained(guard.pressure_since):
        return Trip(
            "NeighbourPressure",
            f"CPU pressure of a neighbour is {pressure} permille; the limit of "
            f"{_pressure_limit(limits)} was exceeded for {limits.sustained_seconds} s",
        )
    if sustained(guard.disabled_since):
        return Trip("NotEnabled", "the loader holds a scheduler that the kernel does not run")
    return None
