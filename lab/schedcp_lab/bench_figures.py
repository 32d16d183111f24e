"""From measurements to figures with targets: medians over seeds, their spread, bounds, goals. Pure.

A ratio says how many times better than the kernel's own scheduler a figure is, whichever direction
is better. A figure beyond what is possible is a measuring error, and is called so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from schedcp_lab.bench_guests import DEFAULT, Measurement
from schedcp_lab.bench_scenarios import (
    SCENARIOS,
    WEIGHTS,
    WINDOW_NS,
    Family,
    Kind,
    Scenario,
)

__all__ = ["Goal", "Line", "Metric", "Value", "goals_of", "lines_of", "metrics_of"]

Groups = Mapping[str, Mapping[str, int]]

LATENCY_TIMES = 4.0
"""How many times better a wakeup's p99 beside hogs has to be."""
HOGS = "CPU time of the hogs"
HOGS_KEEP = 0.97
WAKEUPS = "wakeups"
"""Of the target: a latency that is better because less was asked for is no gain."""
NO_WORSE = 0.98
KNOWN_WITHIN = 1.05
"""Of the least makespan, when the expected run times are known."""
BEYOND = 0.995
"""A makespan below this share of its bound, or a throughput as much above, is no figure."""


@dataclass(frozen=True)
class Metric:
    """One figure of a scenario."""

    name: str
    unit: str
    value: Callable[[Groups], float]
    more_is_better: bool = False

    def ratio(self, figure: float, baseline: float) -> float | None:
        """Return how many times better than the baseline it is."""
        above, below = (figure, baseline) if self.more_is_better else (baseline, figure)
        return above / below if below else None

    def impossible(self, figure: float, bound: float | None) -> bool:
        """Say whether it is beyond its bound."""
        if bound is None:
            return False
        return figure > bound / BEYOND if self.more_is_better else figure < bound * BEYOND


@dataclass(frozen=True)
class Value:
    """One figure with one seed, beside all that it is compared with."""

    figure: float
    baseline: float
    """What the kernel's own scheduler came to with the same work."""
    bound: float | None = None
    """The least or the most that is possible."""
    fair: float | None = None
    """What equal shares come to."""
    floor: float | None = None
    """The same without neighbours."""


@dataclass(frozen=True)
class Line:
    """One figure of one scheduler, over all seeds."""

    cpus: int
    scenario: Scenario
    metric: Metric
    scheduler: str
    values: tuple[Value, ...]
    lost: int = 0
    """With how many seeds more the kernel's own scheduler has a figure, and this one has none."""

    @property
    def figure(self) -> float:
        """The median."""
        return median(value.figure for value in self.values)

    @property
    def baseline(self) -> float:
        """The median of the kernel's own scheduler."""
        return median(value.baseline for value in self.values)

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times better than the kernel's own scheduler, seed by seed."""
        found = (self.metric.ratio(value.figure, value.baseline) for value in self.values)
        return tuple(ratio for ratio in found if ratio is not None)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios, if there is any."""
        return median(self.ratios) if self.ratios else None

    @property
    def floor(self) -> float | None:
        """The median without neighbours."""
        return _median([value.floor for value in self.values])

    @property
    def to_bound(self) -> float | None:
        """How many times the bound it is."""
        return _median([value.figure / value.bound for value in self.values if value.bound])

    @property
    def to_fair(self) -> float | None:
        """How many times the makespan of equal shares it is."""
        return _median([value.figure / value.fair for value in self.values if value.fair])

    @property
    def impossible(self) -> bool:
        """Whether a value is beyond its bound, so that something was measured wrongly."""
        return any(self.metric.impossible(value.figure, value.bound) for value in self.values)

    @property
    def sound(self) -> bool:
        """Whether it can be judged: with every seed, and measured rightly."""
        return not self.lost and not self.impossible


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


@dataclass(frozen=True)
class Goal:
    """What a figure is to come to."""

    metric: str
    words: str
    reached: Callable[[Line], bool]

    def met(self, line: Line) -> bool:
        """Say whether a figure comes to it; one that is not sound does not."""
        return line.sound and self.reached(line)


def _ms(group: str, field: str) -> Callable[[Groups], float]:
    return lambda groups: groups[group][field] / 1e6


def _rate(groups: Groups) -> float:
    return groups["target"]["wakeups"] / (WINDOW_NS / 1e9)


def _deviation(groups: Groups) -> float:
    """Return by how many percent the worst share of the CPU time differs from its weight's."""
    used = {name: groups[name]["cpu_time_ns"] for name in WEIGHTS}
    whole, weights = sum(used.values()), sum(WEIGHTS.values())
    shares = (used[name] * weights / (whole * weight) for name, weight in WEIGHTS.items())
    return 100 * max(abs(share - 1) for share in shares) if whole else 100.0


def _latencies(what: str) -> tuple[Metric, ...]:
    places = (("p99", "p99"), ("p50", "p50"), ("p99.9", "p999"))
    return tuple(
        Metric(f"{what} {name}", "ms", _ms("target", f"{what}_{field}_ns"))
        for name, field in places
    )


def metrics_of(scenario: Scenario) -> tuple[Metric, ...]:
    """Return what is read from a scenario, the figure that counts first."""
    hogs = Metric(HOGS, "ms", _ms("hogs", "cpu_time_ns"), more_is_better=True)
    wakeups = Metric(WAKEUPS, "1/s", _rate, more_is_better=True)
    match scenario.kind:
        case Kind.LATENCY:
            return (*_latencies("wakeup"), hogs, wakeups)
        case Kind.SERVICE:
            return (*_latencies("response"), hogs, wakeups)
        case Kind.REQUESTS:
            return (*_latencies("wakeup"), Metric("requests", "1/s", _rate, more_is_better=True))
        case Kind.SHARES:
            return (Metric("worst share against its weight", "%", _deviation),)
    return (
        Metric("makespan", "ms", _ms("sum", "makespan_ns")),
        Metric("mean turnaround", "ms", _ms("sum", "turnaround_mean_ns")),
    )


def goals_of(scenario: Scenario) -> tuple[Goal, ...]:
    """Return what is aimed at in a scenario; nothing where figures are only shown."""

    def times(line: Line, least: float) -> bool:
        return line.ratio is not None and line.ratio >= least

    hogs = Goal(HOGS, "within 3 %", lambda line: times(line, HOGS_KEEP))
    no_worse = "no worse than 2 %"
    kept = (hogs, Goal(WAKEUPS, no_worse, lambda line: times(line, NO_WORSE)))
    match scenario.kind:
        case Kind.LATENCY:
            words = f"{LATENCY_TIMES:g}x"
            return (Goal("wakeup p99", words, lambda line: times(line, LATENCY_TIMES)), *kept)
        case Kind.SERVICE:
            return (Goal("response p99", "better", lambda line: times(line, 1)), *kept)
        case Kind.REQUESTS:
            return (
                Goal("wakeup p99", no_worse, lambda line: times(line, NO_WORSE)),
                Goal("requests", no_worse, lambda line: times(line, NO_WORSE)),
            )
        case Kind.SHARES:
            return ()
    if scenario.nothing_to_gain:
        return (Goal("makespan", no_worse, lambda line: times(line, NO_WORSE)),)
    if scenario.known:
        words = f"{KNOWN_WITHIN:g} of the bound"
        return (Goal("makespan", words, lambda line: (line.to_bound or 9) <= KNOWN_WITHIN),)
    if scenario.family is Family.TAIL:
        words = "no worse than fair sharing"
        return (Goal("makespan", words, lambda line: (line.to_fair or 9) <= 1 / NO_WORSE),)
    return (Goal("makespan", "better", lambda line: times(line, 1)),)


def lines_of(measured: Mapping[int, Sequence[Measurement]]) -> tuple[Line, ...]:
    """Return all figures, by number of CPUs, in the order of the scenarios."""
    return tuple(
        line
        for cpus, found in sorted(measured.items())
        for scenario in SCENARIOS
        for line in _lines(cpus, scenario, [m for m in found if m.scenario == scenario.name])
    )


def _lines(cpus: int, scenario: Scenario, found: Sequence[Measurement]) -> list[Line]:
    figured = {(m.scheduler, m.seed, m.floor): m.groups for m in found if m.groups}
    schedulers = dict.fromkeys(scheduler for scheduler, _, floor in figured if not floor)
    seeds = [seed for who, seed, floor in figured if who == DEFAULT and not floor]
    lines = []
    for metric in metrics_of(scenario):
        for scheduler in schedulers:
            values = tuple(
                _value(cpus, scenario, metric, seed, figured, scheduler)
                for seed in seeds
                if (scheduler, seed, False) in figured
            )
            if values:
                lost = len(seeds) - len(values)
                lines.append(Line(cpus, scenario, metric, scheduler, values, lost))
    return lines


def _value(
    cpus: int,
    scenario: Scenario,
    metric: Metric,
    seed: int,
    figured: Mapping[tuple[str, int, bool], Groups],
    scheduler: str,
) -> Value:
    alone = figured.get((scheduler, seed, True))
    latency = metric.unit == "ms" and not metric.more_is_better
    value = Value(
        metric.value(figured[scheduler, seed, False]),
        metric.value(figured[DEFAULT, seed, False]),
        floor=metric.value(alone) if alone and latency else None,
    )
    if metric.name == HOGS:
        return replace(value, bound=cpus * WINDOW_NS / 1e6)
    if metric.name != "makespan":
        return value
    least, fair = scenario.least_ns(cpus, seed), scenario.fair_ns(cpus, seed)
    return replace(value, bound=least / 1e6 if least else None, fair=fair / 1e6 if fair else None)
