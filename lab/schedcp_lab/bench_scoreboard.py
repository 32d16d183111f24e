"""The scoreboard: from what was found of each scheduler to figures with targets. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from schedcp_api.verdicts import Stage
from schedcp_lab.bench_cases import Case
from schedcp_lab.bench_results import Judgement, Trial

__all__ = ["FULL_SECONDS", "REJECT_SECONDS", "Entry", "Kind", "Row", "Scoreboard", "Times"]

REJECT_SECONDS = 2.0
"""The target for the median time to reject a defect at Source or Bytecode."""
FULL_SECONDS = 90.0
"""The target for a full verdict, emulated."""
_STAGES = tuple(Stage)
_SOON = (Stage.SOURCE, Stage.BYTECODE)


@dataclass(frozen=True)
class Entry:
    """One scheduler with all that was found of it."""

    case: Case
    judgement: Judgement
    trial: Trial | None = None

    @property
    def stopped(self) -> bool:
        """Whether some check refused it."""
        return self.judgement.stage is not None

    @property
    def in_time(self) -> bool:
        """Whether it was stopped at a stage that the set names, or before the last of these."""
        stage, last = self.judgement.stage, self.case.last_stage
        return (
            stage is not None and last is not None and _STAGES.index(stage) <= _STAGES.index(last)
        )


@dataclass(frozen=True)
class Row:
    """One figure of the report, as the bench's JSON has it."""

    row: str
    figure: float | None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    spread: str = ""
    target: str = ""
    met: bool | None = None
    """None where there is no target, or where not everything was examined."""


@dataclass(frozen=True)
class Kind:
    """What became of the variants of one id."""

    id: str
    variants: int
    stages: tuple[tuple[Stage, int], ...]
    missed: tuple[str, ...]
    """Gone through the whole pipeline and accepted."""
    late: tuple[str, ...]
    """Stopped, but after the stage that the set names."""
    undecided: tuple[str, ...]
    open: tuple[str, ...]
    """Passed by the static stages, and not tried in a guest."""
    by_error: int | None
    by_state: int | None


@dataclass(frozen=True)
class Times:
    """CPU and wall time by where candidates ended."""

    where: str
    count: int
    cpu_median: float
    cpu_worst: float
    worst: str
    wall_median: float
    wall_worst: float


@dataclass(frozen=True)
class Scoreboard:
    """All that was found, and the questions that are asked of it."""

    entries: tuple[Entry, ...]

    @property
    def bad(self) -> tuple[Entry, ...]:
        """The schedulers that must be stopped."""
        return tuple(entry for entry in self.entries if not entry.case.good)

    @property
    def good(self) -> tuple[Entry, ...]:
        """The schedulers that must not be refused."""
        return tuple(entry for entry in self.entries if entry.case.good)

    @property
    def complete(self) -> bool:
        """Whether everything was taken as far as it goes."""
        return not any(entry.judgement.open for entry in self.entries)

    @property
    def compared(self) -> bool:
        """Whether the baselines were tried on everything."""
        return bool(self.entries) and all(entry.trial is not None for entry in self.entries)

    def kinds(self) -> tuple[Kind, ...]:
        """Return what became of each id."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.bad:
            groups.setdefault(entry.case.id, []).append(entry)
        return tuple(_kind(id_, group) for id_, group in sorted(groups.items()))

    def refused_good(self) -> tuple[Entry, ...]:
        """Return the good schedulers that were refused, or of which it could not be told."""
        return tuple(e for e in self.good if not e.judgement.open and not e.judgement.accepted)

    def times(self) -> tuple[Times, ...]:
        """Return how long candidates took, by the stage that stopped them."""
        ends: dict[str, list[Entry]] = {}
        for entry in self.entries:
            stage = entry.judgement.stage
            passed = "static only" if entry.judgement.open else "full verdict"
            ends.setdefault(stage.value if stage else passed, []).append(entry)
        order = [*(stage.value for stage in _STAGES), *ends]
        return tuple(_times(end, ends[end]) for end in dict.fromkeys(order) if end in ends)

    def rows(self) -> tuple[Row, ...]:
        """Return the figures, those with a target first, then one for each id."""
        return (*self._goals(), *self._costs(), *(self._id_row(kind) for kind in self.kinds()))

    def _goals(self) -> Iterable[Row]:
        bad, good = self.bad, self.good
        if bad:
            stopped = sum(entry.stopped for entry in bad)
            in_time = sum(entry.in_time for entry in bad)
            kinds = self.kinds()
            whole = sum(1 for kind in kinds if sum(n for _, n in kind.stages) == kind.variants)
            for beside, theirs in self._beside(bad):
                yield self._share(
                    f"bad ones stopped before a node{beside}", stopped, len(bad), baseline=theirs
                )
            yield self._share("bad ones stopped at the stage named or earlier", in_time, len(bad))
            yield self._share("ids of which every variant is stopped", whole, len(kinds))
        if good:
            refused = len(self.refused_good())
            for beside, theirs in self._beside(good):
                yield Row(
                    f"good ones refused{beside}",
                    refused,
                    f"of {len(good)}",
                    baseline=theirs,
                    target="0",
                    met=False if refused else True if self.complete else None,
                )

    def _beside(self, entries: Sequence[Entry]) -> Iterable[tuple[str, float | None]]:
        """Yield each baseline with how many it stops, or nothing to compare with."""
        if not self.compared:
            return [("", None)]
        trials = [entry.trial for entry in entries if entry.trial is not None]
        return [
            (', beside the search for "error"', sum(trial.by_error for trial in trials)),
            (", beside the look at the state", sum(trial.by_state for trial in trials)),
        ]

    def _share(self, name: str, count: int, total: int, *, baseline: float | None = None) -> Row:
        whole = count == total
        return Row(
            name,
            count,
            f"of {total}",
            baseline=baseline,
            ratio=round(count / baseline, 2) if baseline else None,
            target=f"{total}",
            met=whole if whole or self.complete else None,
        )

    def _costs(self) -> Iterable[Row]:
        soon = [e.judgement.cpu_seconds for e in self.entries if e.judgement.stage in _SOON]
        if soon:
            yield _seconds("time to reject at Source or Bytecode", soon, REJECT_SECONDS)
        whole = [e.judgement.cpu_seconds for e in self.entries if e.judgement.accepted]
        if whole:
            yield _seconds("time of a full verdict", whole, FULL_SECONDS, worst=True)
        for times in self.times():
            yield Row(
                f"time, {times.where}" if times.where not in _STAGES else f"time to {times.where}",
                times.cpu_median,
                "CPU s, median",
                spread=f"up to {times.cpu_worst:.2f} ({times.worst}), n={times.count}",
            )

    def _id_row(self, kind: Kind) -> Row:
        stopped = sum(count for _, count in kind.stages)
        return Row(
            kind.id,
            stopped,
            f"of {kind.variants} stopped",
            baseline=kind.by_error,
            ratio=round(stopped / kind.by_error, 2) if kind.by_error else None,
            spread=" ".join(f"{stage}:{count}" for stage, count in kind.stages),
            target=str(kind.variants),
            met=True if stopped == kind.variants else None if kind.open else False,
        )


def _kind(id_: str, entries: Sequence[Entry]) -> Kind:
    counts = Counter(entry.judgement.stage for entry in entries)
    trials = [entry.trial for entry in entries if entry.trial is not None]
    compared = len(trials) == len(entries)

    def named(which: Iterable[Entry]) -> tuple[str, ...]:
        return tuple(entry.case.name.removeprefix("bad/") for entry in which)

    return Kind(
        id=id_,
        variants=len(entries),
        stages=tuple((stage, counts[stage]) for stage in _STAGES if counts[stage]),
        missed=named(e for e in entries if e.judgement.accepted),
        late=named(e for e in entries if e.stopped and not e.in_time),
        undecided=named(e for e in entries if not e.stopped and e.judgement.undecided),
        open=named(e for e in entries if e.judgement.open and not e.judgement.undecided),
        by_error=sum(trial.by_error for trial in trials) if compared else None,
        by_state=sum(trial.by_state for trial in trials) if compared else None,
    )


def _times(where: str, entries: Sequence[Entry]) -> Times:
    slowest = max(entries, key=lambda entry: entry.judgement.cpu_seconds)
    walls = [entry.judgement.wall_seconds for entry in entries]
    return Times(
        where,
        len(entries),
        round(median(entry.judgement.cpu_seconds for entry in entries), 2),
        round(slowest.judgement.cpu_seconds, 2),
        slowest.case.name,
        round(median(walls), 2),
        round(max(walls), 2),
    )


def _seconds(name: str, values: Sequence[float], target: float, *, worst: bool = False) -> Row:
    judged = max(values) if worst else median(values)
    return Row(
        name,
        round(judged, 2),
        "CPU s, worst" if worst else "CPU s, median",
        spread=f"{min(values):.2f} to {max(values):.2f}, n={len(values)}",
        target=f"under {target:g}",
        met=judged < target,
    )
