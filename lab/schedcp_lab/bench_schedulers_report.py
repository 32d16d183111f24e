"""The schedulers' figures for people (a terminal, a plot) and for programs (JSON)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import geometric_mean

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Group
from rich.table import Table
from rich.text import Text

from schedcp_lab.bench_figures import Line
from schedcp_lab.bench_guests import DEFAULT
from schedcp_lab.bench_scenarios import Family
from schedcp_lab.bench_standings import rows_of, standings_of

__all__ = ["Circumstances", "as_json", "plot", "text_report"]

mpl.rcParams["svg.hashsalt"] = "schedcp"
_MARKERS = "osD^vP*Xph<>"


@dataclass(frozen=True)
class Circumstances:
    """Where and how the figures were made."""

    machine: str
    kernel: str
    started_at: datetime
    seconds: float
    guests: int
    reused: int
    """Guests whose figures an earlier run had made."""
    missing: int
    """Guests that there was no time for."""
    stock: tuple[str, ...] = ()
    """Schedulers to compare with, which are not ours."""
    troubles: tuple[str, ...] = ()
    """What has no figures, and why."""


def as_json(lines: Sequence[Line], at: Circumstances) -> str:
    """Return the bench's JSON: circumstances and rows."""
    found = {
        **asdict(at),
        "started_at": at.started_at.isoformat(timespec="seconds"),
        "seconds": round(at.seconds, 1),
        "accelerator": "tcg, virtual time",
        "rows": [asdict(row) for row in rows_of(lines, at.stock)],
    }
    return json.dumps(found, indent=1) + "\n"


def text_report(lines: Sequence[Line], at: Circumstances) -> Group:
    """Return the report for a terminal."""
    parts: list[Table | Text] = []
    for cpus in dict.fromkeys(line.cpus for line in lines):
        here = [line for line in lines if line.cpus == cpus]
        parts += [Text(f"{cpus} CPUs", style="bold"), _figures(here), Text("")]
        parts += [Text(words) for words in _over_batches(here)]
    parts.append(_goals(lines, at))
    parts += [Text(trouble, style="red") for trouble in at.troubles]
    parts.append(Text(_small_print(at), style="dim"))
    return Group(*parts)


def _small_print(at: Circumstances) -> str:
    missing = f", {at.missing} guests were not begun" if at.missing else ""
    return (
        f"kernel {at.kernel}, virtual time; {at.machine}; medians over seeds, least and most in "
        "brackets, then how many times better than the kernel's own scheduler. Behind a stroke the "
        "floor: the same latency under the same scheduler without neighbours. Bound: the least "
        f"makespan, or the most CPU time, that is possible. {at.guests} guests, {at.reused} of "
        f"them of an earlier run{missing}; took "
        f"{at.seconds / 60:.1f} minutes"
    )


def _figures(lines: Sequence[Line]) -> Table:
    schedulers = list(dict.fromkeys(line.scheduler for line in lines))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("scenario", "figure", "bound", *schedulers):
        table.add_column(heading, overflow="fold")
    for place in dict.fromkeys((line.scenario.name, line.metric.name) for line in lines):
        here = [x for x in lines if (x.scenario.name, x.metric.name) == place]
        by_name = {line.scheduler: line for line in here}
        base = here[0]
        table.add_row(
            base.scenario.name,
            f"{base.metric.name}, {base.metric.unit}",
            _bound(base),
            *(_cell(by_name[name]) if name in by_name else "-" for name in schedulers),
        )
    return table


def _over_batches(lines: Sequence[Line]) -> Iterator[str]:
    """Yield how each scheduler does over all kinds of long-tail batch that start at once."""
    groups: dict[tuple[bool, str, str], list[float]] = {}
    for line in lines:
        if line.scenario.family is not Family.TAIL or not line.scenario.at_once or not line.ratio:
            continue
        key = (line.scenario.known, line.scheduler, line.metric.name)
        groups.setdefault(key, []).append(line.ratio)
    for (known, scheduler, metric), ratios in groups.items():
        if scheduler != DEFAULT:
            kinds = f"{len(ratios)} kinds of batch, {'known' if known else 'blind'}"
            yield f"{kinds}: {metric} {geometric_mean(ratios):.2f}x with {scheduler}"


def _bound(line: Line) -> str:
    bounds = [value.bound for value in line.values if value.bound]
    fairs = [value.fair for value in line.values if value.fair]
    if not bounds:
        return ""
    fair = f" (fair {sum(fairs) / len(fairs):.0f})" if fairs else ""
    return f"{sum(bounds) / len(bounds):.0f}{fair}"


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 1000 else f"{figure:.3g}"


def _cell(line: Line) -> Text:
    figures = [value.figure for value in line.values]
    spread = f" [{_short(min(figures))}-{_short(max(figures))}]" if len(figures) > 1 else ""
    bound = f" {line.to_bound:.2f}b" if line.to_bound and not line.metric.more_is_better else ""
    floor = "" if line.floor is None else f"/{_short(line.floor)}"
    text = Text(f"{_short(line.figure)}{floor}{spread}{bound}")
    if line.impossible:
        text.append(" BEYOND ITS BOUND", style="bold red")
    elif line.scheduler != DEFAULT and line.ratio is not None:
        style = "green" if line.ratio >= 1 else "yellow"
        text.append(f" {line.ratio:.2f}x", style=style)
    if line.lost:
        text.append(f" LOST {line.lost} of {line.lost + len(line.values)}", style="bold red")
    return text


def _goals(lines: Sequence[Line], at: Circumstances) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title="the best of ours", title_justify="left")
    for heading in ("CPUs", "scenario", "scheduler", "figure", "default", "ratio", "target", "met"):
        table.add_column(heading, overflow="fold")
    table.add_column("best stock", overflow="fold")
    for standing in standings_of(lines, at.stock):
        for line, goal in standing.lines:
            met = goal.met(line)
            stock = standing.stock if line is standing.line else None
            table.add_row(
                str(line.cpus),
                line.scenario.title,
                line.scheduler,
                f"{line.metric.name} {_short(line.figure)} {line.metric.unit}",
                _short(line.baseline),
                "-" if line.ratio is None else f"{line.ratio:.2f}",
                goal.words,
                Text("yes", "green") if met else Text("NO", "bold red"),
                f"{stock.scheduler} {_short(stock.figure)}" if stock else "",
            )
    return table


def plot(lines: Sequence[Line], at: Circumstances) -> str:
    """Return one SVG: how many times better than the kernel's own each scheduler is."""
    cpus = list(dict.fromkeys(line.cpus for line in lines))
    schedulers = dict.fromkeys(line.scheduler for line in lines if line.scheduler != DEFAULT)
    rows = dict.fromkeys((line.scenario.name, line.metric.name) for line in lines)
    size = (3.2 + 3.4 * max(1, len(cpus)), 1.6 + 0.19 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, max(1, len(cpus)), sharey=True, squeeze=False)[0]
    for axis, count in zip(axes, cpus, strict=False):
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(f"{count} CPUs", fontsize=9)
        here = [line for line in lines if line.cpus == count]
        for number, name in enumerate(schedulers):
            _points(axis, [x for x in here if x.scheduler == name], list(rows), name, number)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.grid(axis="both", linewidth=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(rows)), [f"{s}: {m}" for s, m in rows], fontsize=6)
    axes[0].invert_yaxis()
    figure.supxlabel(
        f"times better than the kernel's own scheduler, kernel {at.kernel}", fontsize=8
    )
    if schedulers:
        axes[-1].legend(fontsize=6, frameon=False, loc="best")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _points(
    axis: Axes, lines: Sequence[Line], rows: list[tuple[str, str]], name: str, number: int
) -> None:
    shown = [line for line in lines if line.ratio]
    middles = [line.ratio or 1.0 for line in shown]
    below = [middle - min(line.ratios) for line, middle in zip(shown, middles, strict=True)]
    above = [max(line.ratios) - middle for line, middle in zip(shown, middles, strict=True)]
    axis.errorbar(
        middles,
        [rows.index((line.scenario.name, line.metric.name)) for line in shown],
        xerr=[below, above],
        fmt=_MARKERS[number % len(_MARKERS)],
        markersize=3.5,
        linewidth=0.7,
        label=name,
    )
