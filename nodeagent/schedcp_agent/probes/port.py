"""The seam between the agent and the kernel's tracepoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..histograms import Histogram

SIDES = 34
"""How many sides the probes keep apart: nobody's, the other pods', and one for each policy."""
NOBODY = 0
OTHER_PODS = 1
FIRST_TARGET = 2


@dataclass(frozen=True)
class SideReading:
    """One side's histograms since the probes were opened."""

    latency: Histogram = field(default_factory=Histogram)
    burst: Histogram = field(default_factory=Histogram)
    sleep: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True)
class GroupReading:
    """One process during a profile."""

    side: int
    tgid: int
    comm: str
    threads: int
    cpu_ns: int
    switches: int
    wakeups: int
    latency: Histogram
    burst: Histogram
    sleep: Histogram


@dataclass(frozen=True)
class Tracked:
    """Whose threads count, by cgroup id or by process id, and for which side."""

    cgroups: Mapping[int, int] = field(default_factory=dict)
    processes: Mapping[int, int] = field(default_factory=dict)


class Probes(Protocol):
    """What the agent asks of the tracepoints. Not for use by several threads at once."""

    def track(self, tracked: Tracked) -> None:
        """Make the kernel's map of cgroups and processes equal to `tracked`."""

    def read(self, sides: frozenset[int]) -> Mapping[int, SideReading]:
        """Return the histograms of `sides`."""

    def longest_ns(self, sides: frozenset[int]) -> Mapping[int, int]:
        """Return each side's longest wakeup latency since the last call, still waiting or not."""

    def begin_groups(self) -> None:
        """Start to count by process, from zero."""

    def end_groups(self) -> tuple[GroupReading, ...]:
        """Stop to count by process and return what was counted."""

    def lost(self) -> int:
        """Return how many samples the probes have dropped so far."""

    def close(self) -> None:
        """Detach from the kernel."""
