"""Show verdicts and analyses to people; programs get JSON instead.

What passed is a line for each stage. What did not is shown with its reason, the lines of the source
that it is about, the end of the log that goes with it, and what to do. Sources, logs and names come
from others: whatever a terminal would act on is shown as its code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from schedcp_api.verdicts import Check, Phase, Replay, ReplayFigures, Stage, Verdict

__all__ = ["Console", "SourceText", "plain", "show_checks", "show_replay", "show_verdict"]

_STYLES = {
    Phase.PASSED: ("passed", "green"),
    Phase.FAILED: ("FAILED", "bold red"),
    Phase.ERROR: ("COULD NOT TELL", "bold magenta"),
    Phase.SKIPPED: ("skipped", "dim"),
    Phase.WARNING: ("warning", "yellow"),
}
_QUIET = (Phase.PASSED, Phase.SKIPPED)
_PLACE = re.compile(r"[\w.-]+\.bpf\.c:(?P<line>\d+)")
_MOST_PLACES = 6
_LOG_LINES = 15
_LOG_NAMES = ("log", "complaints", "output")


@dataclass(frozen=True)
class SourceText:
    """The source that was judged, so that people see the lines that are meant."""

    path: str
    text: str

    def line(self, number: int) -> str:
        """Return a line, counted from 1; empty when there is none."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip() if 0 < number <= len(lines) else ""


def plain(text: str) -> str:
    """Return a text without anything that a terminal would act on."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}"
        for c in text.replace("\r\n", "\n")
    )


def show_checks(
    console: Console,
    checks: Sequence[Check],
    source: SourceText | None = None,
    *,
    every: bool = False,
) -> None:
    """Print a line for each stage, and all there is to know about what did not pass."""
    stages = Table(box=None, pad_edge=False, show_header=False)
    stages.add_column(no_wrap=True)
    stages.add_column(overflow="fold")
    for stage in Stage:
        of_stage = [check for check in checks if check.stage is stage]
        if of_stage:
            stages.add_row(Text(stage.value, "bold"), _counts(of_stage))
    console.print(stages)
    for check in checks:
        if every or check.phase not in _QUIET:
            _show_check(console, check, source)


def _counts(checks: Sequence[Check]) -> Text:
    """Return how many checks ended how, the worst first."""
    parts = []
    for phase in (Phase.FAILED, Phase.ERROR, Phase.WARNING, Phase.PASSED, Phase.SKIPPED):
        found = [check for check in checks if check.phase is phase]
        word, style = _STYLES[phase]
        if found:
            parts.append(Text(f"{len(found)} {word}", style))
    return Text(", ").join(parts)


def _show_check(console: Console, check: Check, source: SourceText | None) -> None:
    word, style = _STYLES[check.phase]
    head = Text(f"{word}  ", style) + Text(plain(f"{check.stage.value}/{check.id}"), "bold")
    if check.phase in _QUIET:
        console.print(head + Text(f"  {plain(check.message)}"))
        return
    console.print()
    console.print(head)
    _indented(console, Text(plain(check.message)))
    if source is not None:
        for number in _lines_of(check):
            place = Text(f"{plain(source.path)}:{number}", "cyan")
            _indented(console, place + Text("  " + plain(source.line(number)).strip()))
    for name in _LOG_NAMES:
        log = check.evidence.get(name)
        if log:
            _show_log(console, name, log if isinstance(log, str) else "\n".join(map(str, log)))


def _indented(console: Console, text: Text, *, by: int = 2) -> None:
    console.print(Padding(text, (0, 0, 0, by), expand=False))


def _lines_of(check: Check) -> list[int]:
    """Return the lines of the source that a check is about."""
    said = check.evidence.get("lines") or _PLACE.findall(check.message)
    found: list[int] = []
    for item in said if isinstance(said, list) else []:
        place = _PLACE.search(str(item))
        if place is not None:
            found.append(int(place["line"]))
        elif str(item).isdecimal():
            found.append(int(item))
    return list(dict.fromkeys(found))[:_MOST_PLACES]


def _show_log(console: Console, name: str, log: str) -> None:
    lines = plain(log).rstrip().split("\n")
    left_out = len(lines) - _LOG_LINES
    head = f"{name}, the last {_LOG_LINES} of {len(lines)} lines (all: --json)"
    _indented(console, Text(f"{head if left_out > 0 else name}:", "bold"))
    _indented(console, Text("\n".join(lines[-_LOG_LINES:]), "dim"), by=4)


def show_verdict(
    console: Console, verdict: Verdict, source: SourceText | None = None, *, every: bool = False
) -> None:
    """Print a verdict: what was looked at, what did not pass, what it comes to, what to do."""
    show_checks(console, verdict.checks, source, every=every)
    if verdict.replay is not None:
        console.print()
        show_replay(console, verdict.replay)
    word, style = ("ACCEPTED", "bold green") if verdict.accepted else ("REJECTED", "bold red")
    if verdict.undecided:
        word, style = "COULD NOT TELL", "bold magenta"
    console.print(
        Text(f"\n{verdict.scheduler}: ", "bold")
        + Text(word, style)
        + Text(f" on {plain(verdict.kernel.release)} after {verdict.duration_seconds} s")
    )
    for line in _advice(verdict):
        _indented(console, Text(line))
    if verdict.digest is not None:
        _indented(console, Text(f"object {verdict.digest}", "dim"))
    signed = f"signed by key {verdict.key_id}" if verdict.signature else "not signed"
    _indented(console, Text(signed, "dim"))


def _advice(verdict: Verdict) -> list[str]:
    """Return what the verdict means and what can be done about it."""
    if verdict.undecided:
        return [
            "This says nothing about the scheduler: the machine, not the candidate, failed above.",
            "Repair that, or verify again when the machine is less busy.",
        ]
    if verdict.accepted:
        lost = ", ".join(loss.value for loss in verdict.contract_losses)
        says = ["It may be tried on nodes that run this kernel, and on no others."]
        if lost:
            says.append(f"While it runs, pods on the node lose: {lost} (waived).")
        return says
    stages = {check.stage for check in verdict.checks if check.phase is Phase.FAILED}
    if stages == {Stage.REPLAY}:
        return [
            "It is safe, but its gain is not shown: no node gets it under this contract.",
            "Other knobs, another scheduler, or an advisory replay may do.",
        ]
    if stages == {Stage.CONTRACT}:
        return [
            "It runs well, but takes limits from pods that they ask for: no node gets it.",
            "Waive the loss only if no pod on the nodes relies on it.",
        ]
    return ["No node gets it. Repair what failed above, and verify again."]


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
