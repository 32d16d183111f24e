"""The demo's report: text for the terminal, and one self-contained HTML page with plots.

Everything shown comes from the OptimizationRun objects, the agents' status and the lab's own clock.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from matplotlib.figure import Figure
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schedcp_api.nodestates import Arm
from schedcp_api.runs import Attempt, BlockFigure, OptimizationRunStatus, Outcome, RunStage
from schedcp_lab.views import RunView

__all__ = ["Act", "DemoRecord", "Finding", "html_report", "text_report"]

mpl.rcParams["svg.hashsalt"] = "schedcp"
COLOURS = {Arm.ON: "#1a7f37", Arm.OFF: "#9a6700"}


@dataclass(frozen=True)
class Finding:
    """One thing that had to be true, and whether it was."""

    text: str
    held: bool
    seen: str = ""


@dataclass(frozen=True)
class Act:
    """One part of the demo: what it shows, the run it led to, what was found."""

    title: str
    story: str
    run: RunView | None
    findings: tuple[Finding, ...]
    broken: str = ""
    """Why it was begun again; empty when it was not."""

    @property
    def passed(self) -> bool:
        """Say whether everything that had to be true was."""
        return bool(self.findings) and all(finding.held for finding in self.findings)


@dataclass(frozen=True)
class DemoRecord:
    """All that a demo did."""

    started_at: datetime
    finished_at: datetime
    kernel: str
    accelerator: str
    nodes: int
    setup: tuple[tuple[str, float], ...]
    """What the cluster's start consisted of, with seconds."""
    acts: tuple[Act, ...]

    @property
    def passed(self) -> bool:
        """Say whether every act did what it should."""
        return bool(self.acts) and all(act.passed for act in self.acts)

    @property
    def seconds(self) -> float:
        """Return how long the demo took."""
        return (self.finished_at - self.started_at).total_seconds()


def text_report(record: DemoRecord) -> Group:
    """Return the report for a terminal."""
    parts: list[Panel | Text | Table] = []
    for act in record.acts:
        body: list[Text | Table] = [Text(act.story)]
        if act.broken:
            body.append(Text(f"begun again: {act.broken}", style="yellow"))
        if act.run is not None:
            body.append(_attempts_table(act.run.status))
            body += [Text(line) for line in _reasons(act.run.status)]
            body.append(Text(effect_text(act.run.status.outcome)))
            body.append(Text("stages: " + _stages_text(act.run.status), style="dim"))
        for finding in act.findings:
            mark, style = ("yes", "green") if finding.held else ("NO ", "bold red")
            line = Text.assemble((f"  {mark} ", style), finding.text)
            if finding.seen:
                line.append(f" ({finding.seen})", style="dim")
            body.append(line)
        parts.append(Panel(Group(*body), title=act.title, title_align="left"))
    setup = "  ".join(f"{name} {seconds:.0f}s" for name, seconds in record.setup)
    parts.append(
        Text(f"cluster: {record.nodes} nodes, {record.kernel}, {record.accelerator}; {setup}")
    )
    verdict = (
        "the loop did what it should" if record.passed else "the loop did NOT do what it should"
    )
    parts.append(
        Text(
            f"{verdict}; {record.seconds / 60:.1f} minutes in all",
            style="bold green" if record.passed else "bold red",
        )
    )
    return Group(*parts)


def effect_text(outcome: Outcome | None) -> str:
    """Return an outcome in one sentence."""
    if outcome is None:
        return "no outcome"
    kind, reason = str(outcome.kind), outcome.reason
    said = f"{kind if kind == reason else f'{kind} ({reason})'}: {outcome.message}"
    if outcome.effect is None:
        return said
    rails = "".join(
        f"; guard rail {rail.name}: harm {rail.harm}, at most {rail.harm_at_most},"
        f" margin {rail.margin}"
        for rail in outcome.guardrails
    )
    return (
        f"{said}. {outcome.metric}: improvement {outcome.effect}, 90 % interval"
        f" {outcome.interval_low} to {outcome.interval_high}, p of no improvement"
        f" {outcome.p_value}, {outcome.pairs} pairs; the smallest effect that could have been seen"
        f" is {outcome.smallest_detectable}{rails}"
    )


def _attempts_table(status: OptimizationRunStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("tried", "replay, virtual time", "neighbours lose", "result"):
        table.add_column(heading, overflow="fold")
    for attempt in status.attempts:
        table.add_row(
            attempt.candidate.spelled,
            attempt.replay_improvement or "-",
            attempt.replay_neighbour_loss or "-",
            str(attempt.result),
        )
    return table


def _reasons(status: OptimizationRunStatus) -> list[str]:
    """Return why each candidate was taken or left; the outcome says it of the last one."""
    said = status.outcome.message if status.outcome else ""
    lines = []
    for attempt in status.attempts:
        why = _why(attempt, status.outcome)
        if not said or said not in why:
            lines.append(
                f"{attempt.plan.scheduler}: {why.removeprefix(f'{attempt.plan.scheduler}: ')}"
            )
    return lines


def _why(attempt: Attempt, ended: Outcome | None) -> str:
    """Return what a candidate's blocks showed, if that is not what the run ended with; or words."""
    outcome = attempt.outcome
    if outcome is not None and outcome.effect is not None and outcome != ended:
        return effect_text(outcome)
    return "; ".join(attempt.reasons) or attempt.plan.rationale


def _stages_text(status: OptimizationRunStatus) -> str:
    """Return what took a second or more; the page has the rest."""
    told = [f"{stage} {seconds:.0f}s" for stage, seconds in _durations(status) if seconds >= 1]
    return "  ".join(told)


def _durations(status: OptimizationRunStatus) -> Sequence[tuple[RunStage, float]]:
    return [
        (time.stage, (time.ended_at - time.started_at).total_seconds())
        for time in status.stages
        if time.ended_at is not None and time.ended_at > time.started_at
    ]


def html_report(record: DemoRecord) -> str:
    """Return one HTML page that needs nothing from outside: style and plots are inside."""
    environment = Environment(
        loader=PackageLoader("schedcp_lab"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages = [
        {
            "act": act,
            "effect": effect_text(act.run.status.outcome) if act.run else "",
            "plots": _plots(act.run.status) if act.run else [],
            "durations": _durations(act.run.status) if act.run else [],
        }
        for act in record.acts
    ]
    template = environment.get_template("report.html")
    return template.render(record=record, pages=pages, effect_text=effect_text)


def _plots(status: OptimizationRunStatus) -> list[tuple[Attempt, str]]:
    """Return the plot of each candidate that has a figure of some block."""
    return [
        (attempt, _blocks_plot(attempt.blocks))
        for attempt in status.attempts
        if any(block.value for block in attempt.blocks)
    ]


def _blocks_plot(measured: tuple[BlockFigure, ...]) -> str:
    """Plot the ON and OFF blocks of every node in time, as an SVG element."""
    nodes = sorted({block.node for block in measured})
    figure = Figure(figsize=(9, 2.6 * len(nodes)), layout="constrained")
    axes = figure.subplots(len(nodes), 1, squeeze=False)[:, 0]
    for axis, node in zip(axes, nodes, strict=True):
        blocks = [block for block in measured if block.node == node]
        start = min(block.started_at for block in blocks)
        for block in blocks:
            if not block.value:
                continue
            left = (block.started_at - start).total_seconds()
            width = (block.ended_at - block.started_at).total_seconds()
            axis.bar(
                left,
                float(block.value) * 1000,
                width,
                align="edge",
                color=COLOURS[block.arm] if block.valid else "#cccccc",
                hatch=None if block.valid else "//",
            )
        axis.set_ylabel("p99 wakeup latency, ms")
        axis.set_xlabel("seconds")
        axis.set_title(f"{node}: candidate on (green), kernel's scheduler (amber)", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
