"""How the demo is watched: a live tree on a terminal, plain lines anywhere else."""

from __future__ import annotations

import datetime
import time
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.live import Live

from schedcp_lab.tree import picture, run_line
from schedcp_lab.views import NodeView, RunView

__all__ = ["LineWatcher", "TreeWatcher", "watcher_for"]


class LineWatcher:
    """Prints a line whenever something changed: for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._said: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print one line of news."""
        elapsed = time.monotonic() - self._start
        self._console.print(
            f"{elapsed:7.1f}s  {text}", markup=False, highlight=False, soft_wrap=True
        )

    def show(self, runs: list[RunView], nodes: list[NodeView]) -> None:
        """Print what differs from the last time."""
        for run in runs:
            self._tell(run.name, run_line(run))
        for node in nodes:
            state = node.ops_name or (node.status.sched_ext_state and "kernel default") or "unknown"
            self._tell(node.name, f"{node.name}: {state}")

    def _tell(self, key: str, line: str) -> None:
        if self._said.get(key) != line:
            self._said[key] = line
            self.say(line)


class TreeWatcher:
    """Redraws a tree in place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._title = "SchedCP"

    def say(self, text: str) -> None:
        """Make the news the tree's title, and leave it above as a line."""
        self._title = text
        self._live.console.print(text, style="bold")

    def show(self, runs: list[RunView], nodes: list[NodeView]) -> None:
        """Redraw."""
        now = datetime.datetime.now(datetime.UTC)
        self._live.update(picture(self._title, runs[-1:], nodes, now=now), refresh=True)


def watcher_for(
    console: Console,
) -> tuple[AbstractContextManager[object], LineWatcher | TreeWatcher]:
    """Return the fitting watcher, and what must be entered while it is used."""
    if not console.is_terminal:
        return nullcontext(), LineWatcher(console)
    live = Live(console=console, auto_refresh=False)
    return live, TreeWatcher(live)
