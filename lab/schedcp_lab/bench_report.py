"""The scoreboard for people (a terminal, a plot) and for programs (JSON)."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Group
from rich.table import Table
from rich.text import Text

from schedcp_api.verdicts import Stage
from schedcp_lab.bench_scoreboard import Kind, Row, Scoreboard

__all__ = ["Circumstances", "as_json", "plot", "text_report"]

mpl.rcParams["svg.hashsalt"] = "schedcp"
_COLOURS = {
    Stage.SOURCE: "#0a3069",
    Stage.BUILD: "#0969da",
    Stage.BYTECODE: "#54aeff",
    Stage.ATTACH: "#9a6700",
    Stage.DYNAMIC: "#1a7f37",
    Stage.CONTRACT: "#8250df",
    Stage.REPLAY: "#bf3989",
}
_MISSED = "#cf222e"
_OPEN = "#d0d7de"
_NAMES_SHOWN = 400


@dataclass(frozen=True)
class Circumstances:
    """Where and how the figures were made."""

    scope: str
    """Which part of the set, and how far it was taken."""
    machine: str
    kernel: str
    accelerator: str
    workers: int
    started_at: datetime
    seconds: float
    """How long this run took; what was known from an earlier one cost it nothing."""
    reused: int
    """Findings that an earlier run had made."""
    start_cpu_seconds: float
    """What a fresh verifier needs before its first candidate."""


def as_json(board: Scoreboard, at: Circumstances) -> str:
    """Return the bench's JSON: circumstances, rows, and what was found of each scheduler."""
    found = {
        "scope": at.scope,
        "machine": at.machine,
        "kernel": at.kernel,
        "date": at.started_at.isoformat(timespec="seconds"),
        "accelerator": at.accelerator,
        "workers": at.workers,
        "seconds": round(at.seconds, 1),
        "reused": at.reused,
        "start_cpu_seconds": round(at.start_cpu_seconds, 2),
        "rows": [asdict(row) for row in board.rows()],
        "candidates": [
            {
                "name": entry.case.name,
                "named": list(entry.case.stages),
                **asdict(entry.judgement),
                "trial": asdict(entry.trial) if entry.trial else None,
            }
            for entry in board.entries
        ],
    }
    return json.dumps(found, indent=1) + "\n"


def text_report(board: Scoreboard, at: Circumstances) -> Group:
    """Return the report for a terminal."""
    parts: list[Table | Text] = [_ids_table(board.kinds()), *_good_lines(board)]
    parts += [Text(""), _times_table(board), Text(""), _goals_table(board.rows())]
    parts.append(
        Text(
            f"{at.scope}; {at.machine}; kernel {at.kernel}, {at.accelerator}; {at.workers} at a "
            "time, one to a core. CPU time is of the verifier and its children; wall time is as "
            "the machine was, shared or not. A fresh verifier starts in "
            f"{at.start_cpu_seconds:.1f} s of CPU time, once.",
            style="dim",
        )
    )
    again = f", {at.reused} findings of an earlier run" if at.reused else ""
    parts.append(Text(f"took {at.seconds / 60:.1f} minutes{again}"))
    return Group(*parts)


def _ids_table(kinds: Sequence[Kind]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("id", "n", "stopped at", '"error"', "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("not so", overflow="fold")
    for kind in kinds:
        stages = " ".join(f"{stage} {count}" for stage, count in kind.stages)
        table.add_row(
            kind.id,
            str(kind.variants),
            stages or "-",
            _of(kind.by_error),
            _of(kind.by_state),
            _trouble(kind),
        )
    return table


def _of(count: int | None) -> str:
    return "-" if count is None else str(count)


def _trouble(kind: Kind) -> Text:
    line = Text()
    for word, names, style in (
        ("MISSED", kind.missed, "bold red"),
        ("too late", kind.late, "yellow"),
        ("could not tell", kind.undecided, "magenta"),
        ("open", kind.open, "dim"),
    ):
        if names:
            line.append(f"{word}: {', '.join(names)}  "[:_NAMES_SHOWN], style=style)
    return line


def _good_lines(board: Scoreboard) -> list[Text]:
    good, refused = board.good, board.refused_good()
    if not good:
        return []
    left = sum(entry.judgement.open for entry in good)
    words = f"good: {len(good)}, refused {len(refused)}"
    if left:
        words += f", {left} passed the static stages and were not tried in a guest"
    if board.compared:
        theirs = [entry.trial for entry in good if entry.trial is not None]
        words += (
            f'; "error" refuses {sum(t.by_error for t in theirs)}, '
            f"state {sum(t.by_state for t in theirs)}"
        )
    lines = [Text(words, style="bold red" if refused else "bold green")]
    for entry in refused:
        checks = ", ".join((*entry.judgement.failed, *entry.judgement.undecided))
        lines.append(Text(f"  {entry.case.name}: {checks}: {entry.judgement.reason}", style="red"))
    return lines


def _times_table(board: Scoreboard) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("ended at", "n", "CPU s", "worst", "wall s", "worst"):
        table.add_column(heading, justify="right" if heading != "ended at" else "left")
    table.add_column("slowest", overflow="fold")
    for times in board.times():
        figures = (times.cpu_median, times.cpu_worst, times.wall_median, times.wall_worst)
        cells = [str(times.count), *(f"{seconds:.2f}" for seconds in figures)]
        table.add_row(times.where, *cells, times.worst.partition("/")[2])
    return table


def _goals_table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("goal", "figure", "baseline", "target", "met"):
        table.add_column(heading, overflow="fold")
    words = {True: Text("yes", "green"), False: Text("NO", "bold red"), None: Text("open", "dim")}
    for row in rows:
        if row.target and len(row.row) > 3:
            table.add_row(
                row.row,
                f"{row.figure:g} {row.unit}",
                "-" if row.baseline is None else f"{row.baseline:g}",
                row.target,
                words[row.met],
            )
    return table


def plot(board: Scoreboard, at: Circumstances) -> str:
    """Return one SVG: which stage stopped the variants of each id, and what stopped nothing."""
    kinds = board.kinds()
    figure = Figure(figsize=(max(7.0, 0.24 * len(kinds) + 2), 3.6), layout="constrained")
    axis = figure.subplots()
    places = range(len(kinds))
    bottom = [0] * len(kinds)
    layers: list[tuple[str, str, list[int]]] = [
        (stage.value, colour, [dict(kind.stages).get(stage, 0) for kind in kinds])
        for stage, colour in _COLOURS.items()
    ]
    layers.append(("not tried in a guest", _OPEN, [len(kind.open) for kind in kinds]))
    layers.append(
        ("not stopped", _MISSED, [len(kind.missed) + len(kind.undecided) for kind in kinds])
    )
    for name, colour, heights in layers:
        if any(heights):
            axis.bar(places, heights, bottom=bottom, color=colour, label=name)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for word, by, marker in (('"error"', "by_error", "_"), ("state", "by_state", "x")):
        theirs = [getattr(kind, by) for kind in kinds]
        if kinds and None not in theirs:
            axis.plot(places, theirs, marker, color="black", label=f"stopped by {word}")
    axis.set_xticks(places, [kind.id for kind in kinds], rotation=90, fontsize=7)
    axis.set_ylabel("variants")
    axis.set_title(f"Stage that stopped each id, kernel {at.kernel}", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    if kinds:
        axis.legend(fontsize=7, ncols=5, frameon=False, loc="upper left")
    axis.set_ylim(0, max(bottom, default=1) * 1.3 + 1)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
