"""The live picture of a cluster at work: stages, nodes and figures, as a rich tree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from schedcp_api.nodestates import Arm
from schedcp_api.runs import Attempt, OptimizationRunStatus, RunStage
from schedcp_lab.views import NodeView, RunView

__all__ = ["milliseconds", "picture", "run_line"]

STAGES = (
    RunStage.PROFILING,
    RunStage.PLANNING,
    RunStage.VERIFYING,
    RunStage.SIGNING,
    RunStage.CANARY,
    RunStage.JUDGING,
    RunStage.PROMOTING,
    RunStage.ROLLING_BACK,
    RunStage.LEARNING,
)


def picture(
    title: str, runs: Sequence[RunView], nodes: Sequence[NodeView], *, now: datetime
) -> Group:
    """Draw the runs and the nodes as they are now."""
    root = Tree(Text(title, style="bold"))
    for view in runs:
        _draw_run(root, view, now=now)
    branch = root.add(Text("nodes", style="bold"))
    for node in nodes:
        branch.add(_node_line(node))
    if not nodes:
        branch.add(Text("none has reported yet", style="dim"))
    return Group(root)


def run_line(view: RunView) -> str:
    """Return one line about a run, for logs."""
    status = view.status
    parts = [f"{view.name}: {status.stage}"]
    if status.attempts:
        parts.append(_attempt_text(status.attempts[-1]))
    if status.outcome:
        parts.append(f"{status.outcome.kind} ({status.outcome.reason})")
    if status.message:
        parts.append(status.message)
    return " - ".join(parts)


def _draw_run(root: Tree, view: RunView, *, now: datetime) -> None:
    status = view.status
    colour = "green" if view.finished else "cyan"
    branch = root.add(
        Text.assemble(
            ("run ", "dim"),
            (view.name, "bold"),
            ("  triggered by ", "dim"),
            view.spec.trigger.workload,
        )
    )
    branch.add(_stage_line(status, now=now))
    if status.description:
        branch.add(
            Text.assemble(
                ("workload ", "dim"),
                str(status.description.workload_class),
                (f"  {status.description.summary}", "dim"),
            )
        )
    for number, attempt in enumerate(status.attempts, 1):
        branch.add(Text.assemble((f"candidate {number} ", "dim"), _attempt_text(attempt)))
        if attempt.blocks:
            branch.add(_blocks_line(attempt))
    if status.outcome:
        outcome = status.outcome
        text = f"{outcome.kind} ({outcome.reason})"
        if outcome.effect:
            text += f"  effect {outcome.effect} [{outcome.interval_low}, {outcome.interval_high}]"
        branch.add(Text.assemble(("outcome ", "dim"), (text, f"bold {colour}")))
    elif status.message:
        branch.add(Text(status.message, style="dim"))


def _stage_line(status: OptimizationRunStatus, *, now: datetime) -> Text:
    spent: dict[RunStage, float] = {}
    for time in status.stages:
        spent[time.stage] = (
            spent.get(time.stage, 0.0) + ((time.ended_at or now) - time.started_at).total_seconds()
        )
    line = Text()
    for stage in STAGES:
        if stage is status.stage:
            style, mark = "bold cyan", ">"
        elif stage in spent:
            style, mark = "green", ""
        else:
            continue
        seconds = f" {spent[stage]:.0f}s" if stage in spent else ""
        line.append(f"{mark}{stage}{seconds}  ", style=style)
    return line if line.plain else Text(str(status.stage), style="bold cyan")


def _attempt_text(attempt: Attempt) -> str:
    text = f"{attempt.candidate.spelled}: {attempt.result}"
    if attempt.replay_improvement:
        text += f" (replay {attempt.replay_improvement})"
    return text


def _blocks_line(attempt: Attempt) -> Text:
    line = Text("blocks ", style="dim")
    for block in attempt.blocks:
        style = "red" if not block.valid else "green" if block.arm is Arm.ON else "yellow"
        figure = milliseconds(block.value) if block.value else "no data"
        line.append(f"{block.arm}:{figure} ", style=style)
    return line


def milliseconds(value: str) -> str:
    """Return a figure in seconds as milliseconds, for people."""
    return f"{float(value) * 1000:.2f}ms"


def _node_line(node: NodeView) -> Text:
    status = node.status
    if status.attached:
        scheduler, style = node.ops_name, "green"
    elif status.sched_ext_state == "disabled":
        scheduler, style = "kernel default", "yellow"
    else:
        scheduler, style = status.sched_ext_state or "not reported yet", "red"
    line = Text.assemble((node.name, "bold"), "  ", (scheduler, style))
    for assignment in status.assignments:
        line.append(f"  {assignment.state} {assignment.reason}", style="dim")
    if status.switchback and not status.switchback.finished:
        line.append(f"  block {len(status.switchback.blocks)}", style="dim")
    for entry in status.quarantine:
        line.append(f"  quarantined {entry.object_digest[7:19]} ({entry.reason})", style="red")
    return line
