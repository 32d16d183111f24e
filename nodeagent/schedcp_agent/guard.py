"""The node's own guard rails: revert within seconds, without API server, operator or Prometheus.

Pure: one reading a tick goes in, a trip comes out when a limit was exceeded for long enough, by
the clock: an agent that is starved reads rarely. Pressure is that since the reading before; the
kernel's own averages take half a minute to come near a limit.

Pressure that was above its limit before the scheduler came (batch work that keeps every CPU busy
always waits) says nothing while that is attached. Then `full` is looked at instead: all threads of
a pod waiting at once, which fair sharing does not do for seconds to a pod that has some weight.
Where the neighbours' account begins while the scheduler is attached, nobody knows what was before:
what is found then counts as that.

Load that comes while the scheduler is attached looks like a fault of its. So both kinds of pressure
are watched under the kernel's own scheduler, too: what a trip by one comes to is told by `trips`.

A scheduler that the kernel is taking away is nobody's to judge any more: under load that lasts ten
seconds, everything waits meanwhile, and the loader then brings the kernel's own account of why.
"""

from dataclasses import dataclass, field, replace

from schedcp_api.nodestates import GuardrailLimits

from .observations import Pressure, Trip
from .pressure import Watched

MOST_PRESSURE_PERMILLE = 950
"""Readings end at 1000, so a higher limit could never be exceeded."""
LEAVING_SECONDS = 30
"""For how long the kernel may be at taking a scheduler away before that is trouble of its own."""
_NEARLY_PERMILLE = 50
"""Pressure that is so much less without a scheduler as with it is still load."""
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
    idle: bool = False
    """Whether the kernel's own scheduler is in charge of everything."""
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
    idle_since: float | None = None
    some: Watched = field(default_factory=Watched)
    full: Watched = field(default_factory=Watched)
    latency_since: float | None = None
    disabled_since: float | None = None
    bypassed_since: float | None = None
    leaving_since: float | None = None

    @property
    def loaded(self) -> frozenset[Pressure]:
        """What exceeds its limit under the kernel's own scheduler."""
        return frozenset(kind for kind, watched in self._kinds if watched.loaded)

    @property
    def excused(self) -> bool:
        """Whether pressure of both kinds says nothing, because it was there before."""
        return self.some.excused and self.full.excused

    @property
    def _kinds(self) -> tuple[tuple[Pressure, Watched], ...]:
        return ((Pressure.SOME, self.some), (Pressure.FULL, self.full))


def watch(
    guard: Guard, limits: GuardrailLimits | None, reading: Reading, *, uptime: float
) -> tuple[Guard, Trip | None]:
    """Return the guard after one reading, and a trip when a limit was exceeded for too long."""
    if limits is None:
        return Guard(baseline_some_permille=reading.baseline_some_permille), None
    if not reading.attached:
        return _unattached(guard, limits, reading, uptime=uptime), None
    if reading.leaving:
        return _leaving(guard, uptime=uptime)
    comes = guard.baseline_bypasses is None
    guard = _pressed(guard, limits, reading, comes=comes, uptime=uptime)
    late = reading.target_longest_ms > limits.target_latency_ms
    baseline = reading.bypasses if comes else guard.baseline_bypasses or 0
    bypassed = reading.bypasses > baseline and reading.enabled
    guard = replace(
        guard,
        baseline_bypasses=baseline,
        latency_since=_since(guard.latency_since, uptime, exceeded=late),
        disabled_since=_since(guard.disabled_since, uptime, exceeded=not reading.enabled),
        bypassed_since=_since(guard.bypassed_since, uptime, exceeded=bypassed),
        leaving_since=None,
    )
    return guard, _trip(guard, limits, reading, uptime=uptime)


def _unattached(guard: Guard, limits: GuardrailLimits, reading: Reading, *, uptime: float) -> Guard:
    """Return the guard while nothing of ours is attached: how much waits without it."""
    since = _since(guard.idle_since, uptime, exceeded=reading.idle)
    some, full = _seen(guard, limits, reading, margin=_NEARLY_PERMILLE, uptime=uptime)
    seconds = limits.sustained_seconds
    return Guard(
        reading.baseline_some_permille,
        idle_since=since,
        some=some.alone(idle_since=since, uptime=uptime, sustained_seconds=seconds),
        full=full.alone(idle_since=since, uptime=uptime, sustained_seconds=seconds),
    )


def _pressed(
    guard: Guard, limits: GuardrailLimits, reading: Reading, *, comes: bool, uptime: float
) -> Guard:
    """Return the guard after a reading of the pressure beside what is attached."""
    if comes:
        some, full = guard.some.coming(uptime=uptime), guard.full.coming(uptime=uptime)
        guard = replace(guard, idle_since=None, some=some, full=full)
    baseline = guard.baseline_some_permille
    if baseline is None:
        baseline = reading.baseline_some_permille
    if (comes or guard.baseline_some_permille is None) and (baseline or 0) > _limit(limits):
        guard = replace(guard, some=replace(guard.some, excused=True))
    some, full = _seen(guard, limits, reading, uptime=uptime)
    return replace(guard, baseline_some_permille=baseline, some=some, full=full)


def _seen(
    guard: Guard, limits: GuardrailLimits, reading: Reading, *, margin: int = 0, uptime: float
) -> tuple[Watched, Watched]:
    """Return both kinds of pressure after a reading; the limit is lower by the margin."""
    limit, seconds = max(0, _limit(limits) - margin), limits.sustained_seconds
    over = reading.neighbour_some_permille > limit, reading.neighbour_full_permille > limit
    return (
        guard.some.seen(over=over[0], uptime=uptime, sustained_seconds=seconds),
        guard.full.seen(over=over[1], uptime=uptime, sustained_seconds=seconds),
    )


def _leaving(guard: Guard, *, uptime: float) -> tuple[Guard, Trip | None]:
    """Return the guard while the kernel takes the scheduler away; nothing else is judged."""
    since = uptime if guard.leaving_since is None else guard.leaving_since
    trip = None
    if uptime - since >= LEAVING_SECONDS:
        trip = Trip(
            "NotEnabled",
            f"the kernel has been taking the scheduler away for {LEAVING_SECONDS} s",
        )
    some, full = replace(guard.some, over_since=None), replace(guard.full, over_since=None)
    kept = Guard(guard.baseline_some_permille, guard.baseline_bypasses, some=some, full=full)
    return replace(kept, leaving_since=since), trip


def _since(since: float | None, uptime: float, *, exceeded: bool) -> float | None:
    if not exceeded:
        return None
    return uptime if since is None else since


def _by_pressure(guard: Guard, reading: Reading) -> tuple[Pressure, int] | None:
    """Return the pressure that trips, and how large it is."""
    if guard.baseline_some_permille is None:
        return None
    if not guard.some.excused:
        some = Pressure.SOME, reading.neighbour_some_permille
        return some if guard.some.sustained else None
    full = Pressure.FULL, reading.neighbour_full_permille
    return full if guard.full.sustained and not guard.full.excused else None


def _limit(limits: GuardrailLimits) -> int:
    return min(limits.neighbour_pressure_permille, MOST_PRESSURE_PERMILLE)


def _trip(
    guard: Guard,
    limits: GuardrailLimits,
    reading: Reading,
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
    pressure = _by_pressure(guard, reading)
    if pressure is not None:
        kind, permille = pressure
        return Trip(
            "NeighbourPressure",
            f"CPU pressure of a neighbour is {kind} {permille} permille; the limit of "
            f"{_limit(limits)} was exceeded for {limits.sustained_seconds} s",
            pressure=kind,
        )
    if sustained(guard.disabled_since):
        return Trip("NotEnabled", "the loader holds a scheduler that the kernel does not run")
    return None
