"""Nodes whose kernel the emulator broke, and what is begun again when it did.

The kernel patches its own code whenever a scheduler comes or goes: it puts an `int3` there for a
moment. When QEMU emulates several CPUs at once, one of them can go on running the `int3` that the
other has taken away, and the guest's kernel dies of `Oops: int3`. No scheduler can cause that. The
machine starts again as after a power cut, and a canary that was under way there is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from schedcp_lab.accelerators import Accelerator
from schedcp_lab.errors import KernelBroken, LabError

__all__ = ["Faults", "Node"]

MARK = b"Oops: int3"
LINE_BYTES = 4096
T = TypeVar("T")


class Node(Protocol):
    """What is asked of a node."""

    @property
    def console(self) -> Path:
        """The log of its console, of all its boots."""


class Faults:
    """The faults of a cluster's nodes; only those count in whose course something is under way."""

    def __init__(self, nodes: Mapping[str, Node], accelerator: Accelerator) -> None:
        self.repeated: list[str] = []
        """Why something was begun again, each time."""
        self._nodes = nodes
        self._emulated = accelerator is Accelerator.TCG
        self._known: dict[str, int] | None = None

    def check(self) -> None:
        """Raise KernelBroken when the emulator has broken a kernel since the course began."""
        if self._known is None:
            return
        for name, count in self._counts().items():
            if count > self._known.get(name, 0):
                raise KernelBroken(
                    name,
                    f"the emulator broke the kernel of {name} ({MARK.decode()}), which no scheduler"
                    f" can; see {self._nodes[name].console}",
                )

    def course(self, run: Callable[[], T], begin_anew: Callable[[KernelBroken], T]) -> T:
        """Return what `run` returns, or `begin_anew` when a kernel was broken in its course.

        That is done once. KernelBroken comes from `check`, which is asked here as well when `run`
        raised a LabError; what breaks in the second course is raised.
        """
        try:
            return self._watched(run)
        except KernelBroken as broken:
            self.repeated.append(str(broken))
            return self._watched(partial(begin_anew, broken))

    def _watched(self, run: Callable[[], T]) -> T:
        self._known = self._counts()
        try:
            return run()
        except LabError:
            self.check()
            raise
        finally:
            self._known = None

    def _counts(self) -> dict[str, int]:
        if not self._emulated:
            return {}
        return {name: _lines_with_mark(node.console) for name, node in self._nodes.items()}


def _lines_with_mark(console: Path) -> int:
    if not console.exists():
        return 0
    # A kernel can flood its console: the log is never in memory as a whole.
    with console.open("rb") as log:
        return sum(MARK in line for line in iter(lambda: log.readline(LINE_BYTES), b""))
