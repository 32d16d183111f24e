"""Show verdicts and analyses to people; programs get JSON instead."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schedcp_api.verdicts import Check, Phase, Replay, ReplayFigures, Verdict

__all__ = ["Console", "show_checks", "show_replay", "show_verdict"]

_STYLES = {
    Phase.PASSED: ("passed", "green"),
    Phase.FAILED: ("FAILED", "bold red"),
    Phase.ERROR: ("ERROR", "bold magenta"),
    Phase.SKIPPED: ("skipped", "dim"),
    Phase.WARNING: ("warning", "yellow"),
}


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print one row for each check."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    previous = None
    for check in checks:
        word, style = _STYLES[check.phase]
        stage = "" if check.stage == previous else check.stage.value
        table.add_row(Text(stage, "bold"), Text(check.id), Text(word, style), Text(check.message))
        previous = check.stage
    console.print(table)
    for check in checks:
        log = check.evidence.get("log")
        if check.phase is Phase.FAILED and log:
            console.print(Text(f"\n{check.id}, log:", "bold"))
            console.print(Text(str(log), "dim"))


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print a verdict with its figures."""
    show_checks(console, verdict.checks)
    if verdict.replay is not None:
        show_replay(console, verdict.replay)
    if verdict.contract_losses:
        console.print(
            Text("lost of the CPU contract: ", "yellow")
            + Text(", ".join(loss.value for loss in verdict.contract_losses))
        )
    word, style = ("accepted", "bold green") if verdict.accepted else ("rejected", "bold red")
    if verdict.undecided:
        word, style = "could not tell", "bold magenta"
    console.print(
        Text(f"{verdict.scheduler}: ", "bold")
        + Text(word, style)
        + Text(
            f" on {verdict.kernel.release} after {verdict.duration_seconds} s, object "
            f"{verdict.digest or 'none'}"
        )
    )


def show_replay(console: Console, replay: Replay) -> None:
    """Print the figures of a replay."""
    table = Table(title="replay on virtual time", title_justify="left")
    for name in ("", "wakeup p50", "p99", "p99.9", "target CPU", "neighbours' CPU"):
        table.add_column(name, justify="left" if not name else "right")
    arms = (
        ("idle floor", replay.floor),
        ("default scheduler", replay.baseline),
        ("candidate", replay.candidate),
    )
    for name, figures in arms:
        table.add_row(name, *_cells(figures))
    console.print(table)
    console.print(
        f"better by {replay.improvement}, neighbours lose {replay.neighbour_loss}; {replay.seeds} "
        f"seeds, spread {replay.spread}, fidelity to the profile {replay.fidelity}"
    )


def _cells(figures: ReplayFigures) -> list[str]:
    latencies = (figures.wakeup_p50_ns, figures.wakeup_p99_ns, figures.wakeup_p999_ns)
    shares = (figures.target_cpu_ns, figures.neighbour_cpu_ns)
    return [f"{ns / 1e6:.3f} ms" for ns in latencies] + [f"{ns / 1e9:.3f} s" for ns in shares]
