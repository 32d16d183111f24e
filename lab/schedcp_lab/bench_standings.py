"""How schedulers stand beside each other: rows for programs, and who of ours is best. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schedcp_lab.bench_figures import Goal, Line, goals_of
from schedcp_lab.bench_guests import DEFAULT

__all__ = ["Row", "Standing", "rows_of", "standings_of"]


@dataclass(frozen=True)
class Row:
    """One figure of the report, as the bench's JSON has it."""

    row: str
    figure: float
    unit: str
    baseline: float | None
    ratio: float | None
    spread: str
    target: str
    met: bool | None
    """None where there is no target."""
    cpus: int
    scenario: str
    metric: str
    scheduler: str
    seeds: int
    lost: int = 0
    """With how many seeds more it has no figure, so that no target is met."""
    floor: float | None = None
    bound: float | None = None
    """The least makespan or the most CPU time that is possible."""
    times_bound: float | None = None
    fair_sharing: float | None = None
    error: str = ""
    """Why the figure is none, or not of all seeds."""


@dataclass(frozen=True)
class Standing:
    """The best of our schedulers in one scenario, by its goals and then by the figure in front."""

    lines: tuple[tuple[Line, Goal], ...]
    stock: Line | None
    """The best sound figure in front of the schedulers to compare with."""

    @property
    def line(self) -> Line:
        """The figure in front."""
        return self.lines[0][0]

    @property
    def met(self) -> bool:
        """Whether all goals are."""
        return all(goal.met(line) for line, goal in self.lines)

    @property
    def ahead(self) -> float | None:
        """How many times better it is than the best stock scheduler."""
        return self.line.metric.ratio(self.line.figure, self.stock.figure) if self.stock else None


def standings_of(lines: Sequence[Line], stock: Iterable[str] = ()) -> tuple[Standing, ...]:
    """Return who is best of ours in each scenario that has goals, on each number of CPUs."""
    others = set(stock)
    places = dict.fromkeys((line.cpus, line.scenario.name) for line in lines)
    found = []
    for place in places:
        here = [line for line in lines if (line.cpus, line.scenario.name) == place]
        ours = dict.fromkeys(n for line in here if (n := line.scheduler) not in {DEFAULT, *others})
        candidates = [goals for name in ours if (goals := _goals(here, name))]
        if not candidates:
            continue
        best = min(candidates, key=_rank)
        metric = best[0][0].metric
        front = [x for x in here if x.metric == metric and x.scheduler in others and x.sound]
        compared = min(front, key=lambda line: -(line.ratio or 0), default=None)
        found.append(Standing(tuple(best), compared))
    return tuple(found)


def _goals(lines: Sequence[Line], scheduler: str) -> list[tuple[Line, Goal]]:
    goals = {goal.metric: goal for line in lines[:1] for goal in goals_of(line.scenario)}
    own = [line for line in lines if line.scheduler == scheduler]
    return [(line, goals[line.metric.name]) for line in own if line.metric.name in goals]


def _rank(goals: Sequence[tuple[Line, Goal]]) -> tuple[int, int, float]:
    """Return what is least for the best; whose figures are not sound comes after all others."""
    unsound = sum(not line.sound for line, _ in goals)
    unmet = sum(not goal.met(line) for line, goal in goals)
    return unsound, unmet, -(goals[0][0].ratio or 0.0)


def rows_of(lines: Sequence[Line], stock: Iterable[str] = ()) -> tuple[Row, ...]:
    """Return a row for each figure, and one for each goal of the best of ours."""
    standings = standings_of(lines, stock)
    goals = [
        _row(line, f"best of ours, {line.scheduler}", goal)
        for standing in standings
        for line, goal in standing.lines
    ]
    return (*goals, *(_row(line, line.scheduler) for line in lines))


def _row(line: Line, who: str, goal: Goal | None = None) -> Row:
    own = line.scheduler == DEFAULT
    figures = [value.figure for value in line.values]
    bounds = [value.bound for value in line.values if value.bound]
    fairs = [value.fair for value in line.values if value.fair]
    return Row(
        f"{line.cpus} CPUs, {line.scenario.title}, {line.metric.name}: {who}",
        round(line.figure, 3),
        line.metric.unit,
        baseline=None if own else round(line.baseline, 3),
        ratio=None if own or line.ratio is None else round(line.ratio, 3),
        spread=f"{min(figures):.3f} to {max(figures):.3f}, n={len(figures)}",
        target=goal.words if goal else "",
        met=goal.met(line) if goal else None,
        cpus=line.cpus,
        scenario=line.scenario.name,
        metric=line.metric.name,
        scheduler=line.scheduler,
        seeds=len(figures),
        lost=line.lost,
        floor=_rounded(line.floor),
        bound=_rounded(sum(bounds) / len(bounds)) if bounds else None,
        times_bound=_rounded(line.to_bound),
        fair_sharing=_rounded(sum(fairs) / len(fairs)) if fairs else None,
        error="; ".join(_errors(line)),
    )


def _errors(line: Line) -> Iterable[str]:
    if line.impossible:
        yield "beyond its bound: a measuring error"
    if line.lost:
        yield f"no figure with {line.lost} of {line.lost + len(line.values)} seeds"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
