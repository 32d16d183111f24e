"""Nodes whose kernel the emulator broke, and what is begun again when it did.

The kernel patches its own code whenever a scheduler comes or goes: it puts an `int3` there for a
moment. When QEMU emulates several CPUs at once, one of them can go on running the `int3` that the
other has taken away, and the guest's kernel dies of `Oops: int3`. No scheduler can cause that. The
machine starts again as after a power cut, and a canary that was under way there is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from schedcp_lab.accelerators import Accelerator
from schedcp_lab.errors import KernelBroken

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
    """The faults of a cluster's nodes; those that are known already are nobody's concern."""

    def __init__(self, nodes: Mapping[str, Node], accelerator: Accelerator) -> None:
        self._nodes = nodes
        self._emulated = accelerator is Accelerator.TCG
        self._known: dict[str, int] = {}

    def check(self) -> None:
        """Raise KernelBroken when the emulator has broken a kernel since `course` began."""
        for name, count in self._counts().items():
            if count > self._known.get(name, 0):
                raise KernelBroken(
                    f"the emulator broke the kernel of {name} ({MARK.decode()}), which no scheduler"
                    f" can; see {self._nodes[name].console}"
                )

    def course(self, run: Callable[[], T], begin_anew: Callable[[KernelBroken], T]) -> T:
        """Return what `run` returns, or `begin_anew` when KernelBroken was raised in its course.

        That is done once: what breaks again in the second course is raised.
        """
        self._known = self._counts()
        try:
            return run()
        except KernelBroken as broken:
            self._known = self._counts()
            return begin_anew(broken)

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
