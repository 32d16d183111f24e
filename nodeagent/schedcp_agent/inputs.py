"""What a scheduler is told about cgroups: its policy's pods, and how long their jobs will take.

The loader reads it from two files, at its start and at each SIGHUP, into the maps `target_cgroups`
and `expected_runtime` of a scheduler that has them.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from schedcp_api.nodestates import TrackedWorkload

from .cgroups import PodCgroup

ENTRIES_MAX = 4096
"""What the loader takes and the maps hold (CGROUP_ENTRIES_MAX)."""
_LOG = logging.getLogger(__name__)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Inputs:
    """The maps' content."""

    target_cgroups: tuple[int, ...] = ()
    expected_runtime_ns: tuple[tuple[int, int], ...] = ()
    """Cgroup and time; only where it is known."""


def inputs_of(
    policy: str, workloads: Iterable[TrackedWorkload], pods: Iterable[PodCgroup]
) -> Inputs:
    """Return what a scheduler of `policy` is told: every cgroup of its pods that are here. Pure.

    A pod's own cgroup comes before what is below it, so that what exceeds the maps is what
    schedulers find without: they look for the cgroups above a task's own, too.
    """
    ids = {pod.uid: pod.ids for pod in pods}
    found = (
        (position > 0, cgroup, pod.expected_runtime_seconds)
        for workload in workloads
        if workload.policy == policy
        for pod in workload.pods
        for position, cgroup in enumerate(ids.get(pod.uid, ()))
    )
    entries = sorted(found, key=lambda entry: entry[:2])[:ENTRIES_MAX]
    return Inputs(
        target_cgroups=tuple(cgroup for _, cgroup, _ in entries),
        expected_runtime_ns=tuple(
            (cgroup, seconds * _SECOND_NS) for _, cgroup, seconds in entries if seconds is not None
        ),
    )


class InputFiles:
    """The two files that the loader reads; they are replaced as a whole, and only by changes."""

    def __init__(self, folder: Path) -> None:
        self.target_cgroups = folder / "target-cgroups"
        self.expected_runtime = folder / "expected-runtime"
        self._written: Inputs | None = None
        self._problem = ""

    def write(self, inputs: Inputs) -> None:
        """Write both; raise OSError when that fails."""
        self._written = None
        _replace(self.target_cgroups, "".join(f"{cgroup}\n" for cgroup in inputs.target_cgroups))
        _replace(
            self.expected_runtime,
            "".join(f"{cgroup} {ns}\n" for cgroup, ns in inputs.expected_runtime_ns),
        )
        self._written, self._problem = inputs, ""

    def changed(self, inputs: Inputs) -> bool:
        """Write both if they say something else; return whether they must be read again.

        What cannot be written is said once, and tried again with the next call.
        """
        if inputs == self._written:
            return False
        try:
            self.write(inputs)
        except OSError as err:
            if str(err) != self._problem:
                _LOG.warning("the scheduler is not told of the pods that came and went: %s", err)
            self._problem = str(err)
            return False
        return True


def _replace(path: Path, text: str) -> None:
    """Write `path`, for the owner alone, without a moment in which it is half written."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
