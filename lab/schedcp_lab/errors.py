"""What can go wrong while a lab is set up or runs.

LabError
├── CommandFailed        a child process ended with a failure, or ran out of time
├── NotReady             a condition did not come true before its deadline
├── Unreachable          the API server does not answer; it may come back
├── KernelBroken         the emulator broke the kernel of a node
├── ProcessLost          a supervised process ended although it should run
├── ToolMissing          a program of the host is absent or too old
├── PackageUnavailable   the machine's package source does not have what is needed
└── KernelUnsuitable     a kernel cannot serve: no sched_ext, no BTF, unknown packing

Every message says what failed, why, and what can be done about it.
"""

from __future__ import annotations

__all__ = [
    "CommandFailed",
    "KernelBroken",
    "KernelUnsuitable",
    "LabError",
    "NotReady",
    "PackageUnavailable",
    "ProcessLost",
    "ToolMissing",
    "Unreachable",
]


class LabError(Exception):
    """The base of every error that the lab raises on purpose."""


class CommandFailed(LabError):
    """A child process ended with a failure, or ran out of time."""


class NotReady(LabError):
    """A condition did not come true before its deadline."""


class Unreachable(LabError):
    """The API server does not answer, or not yet."""


class KernelBroken(LabError):
    """The emulator broke the kernel of a node; what went on there has to be begun again."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(message)
        self.node = node


class ProcessLost(LabError):
    """A supervised process ended although it should run."""


class ToolMissing(LabError):
    """A program of the host is absent or too old."""


class PackageUnavailable(LabError):
    """The machine's package source does not have what is needed."""


class KernelUnsuitable(LabError):
    """A kernel cannot serve: no sched_ext, no BTF, or an unknown packing."""
