"""The probes on a real kernel, through Debian's python3-bpfcc. The only module that imports bcc."""

import ctypes
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ProbesUnavailable
from .btf_offsets import member_offsets
from .decode import TaskRow, decode_group, decode_sum, decode_task, longest_waits
from .port import SIDES, GroupReading, SideReading, Tracked

_LOG = logging.getLogger(__name__)
_CGROUPS_MAX = 8192
_TASKS_MAX = 32_768
_GROUPS_MAX = 1024
_TGIDS_MAX = 64
_KINDS = 3
_BY_GROUP, _BY_TGID = 0, 1
_BTF = Path("/sys/kernel/btf/vmlinux")
_TASK_MEMBERS = ("pid", "tgid", "comm")


def open_probes() -> "BccProbes":
    """Compile and attach; takes half a second natively, ten under emulation.

    Raise ProbesUnavailable, with the reason, where that cannot work.
    """
    try:
        from bcc import BPF
    except ImportError as err:
        raise ProbesUnavailable(
            f"Debian's package python3-bpfcc is not installed (or not on this Python): {err}"
        ) from err
    source = files(__package__).joinpath("wakeups.c").read_text()
    flags = [
        "-w",
        *_task_flags(),
        f"-DSIDES={SIDES}",
        f"-DCGROUPS_MAX={_CGROUPS_MAX}",
        f"-DTASKS_MAX={_TASKS_MAX}",
        f"-DGROUPS_MAX={_GROUPS_MAX}",
        f"-DTGIDS_MAX={_TGIDS_MAX}",
    ]
    try:
        return BccProbes(BPF(text=source, cflags=flags))
    # bcc raises bare Exception for everything from a missing header to a refused program.
    except Exception as err:
        raise ProbesUnavailable(
            f"the probes do not compile or attach: {err}; they need the kernel's headers at "
            "/lib/modules/RELEASE/build and the capabilities BPF and PERFMON"
        ) from err


def _task_flags() -> list[str]:
    """Return where this kernel's task_struct has what the probes read."""
    try:
        offsets = member_offsets(_BTF.read_bytes(), "task_struct", _TASK_MEMBERS)
    except (OSError, ValueError) as err:
        raise ProbesUnavailable(f"{_BTF} does not describe task_struct: {err}") from err
    return [f"-DTASK_{name.upper()}={offset}" for name, offset in offsets.items()]


class BccProbes:
    """`Probes` over compiled tracepoint programs."""

    def __init__(self, bpf: Any) -> None:
        self._bpf = bpf
        self._cgroups: dict[int, int] = {}
        self._tgids: dict[int, int] = {}
        self._walker = Walker()

    def track(self, tracked: Tracked) -> None:
        """Write only the differences: most seconds there are none."""
        self._cgroups = _synchronise(
            self._bpf["cgroups"], self._cgroups, tracked.cgroups, _CGROUPS_MAX
        )
        self._tgids = _synchronise(self._bpf["tgids"], self._tgids, tracked.processes, _TGIDS_MAX)
        self._set_option(_BY_TGID, enabled=bool(self._tgids))

    def read(self, sides: frozenset[int]) -> Mapping[int, SideReading]:
        """Return the sums over all CPUs."""
        table = self._bpf["sides"]
        return {
            side: SideReading(
                *(decode_sum(_per_cpu(table, side * _KINDS + kind)) for kind in range(_KINDS))
            )
            for side in sides
        }

    def longest_ns(self, sides: frozenset[int]) -> Mapping[int, int]:
        """Return finished waits since the last call, or longer ones that are still going on."""
        table = self._bpf["longest"]
        waiting = longest_waits(
            (row for _, row in self._tasks()),
            # The clock of bpf_ktime_get_ns().
            now_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        )
        longest: dict[int, int] = {}
        for side in sides:
            key = table.Key(side)
            values = table[key]
            longest[side] = max(*values, waiting.get(side, 0), 0)
            for cpu in range(len(values)):
                values[cpu] = 0
            table[key] = values
        return longest

    def begin_groups(self) -> None:
        """Clear the processes, then count."""
        self._bpf["groups"].clear()
        self._set_option(_BY_GROUP, enabled=True)

    def end_groups(self) -> tuple[GroupReading, ...]:
        """Stop counting, then read."""
        self._set_option(_BY_GROUP, enabled=False)
        threads = Counter((row.side, row.tgid) for _, row in self._tasks())
        return tuple(
            decode_group(bytes(key), bytes(value), threads=threads.get((key.side, key.tgid), 1))
            for key, value in self._walker.items(self._bpf["groups"])
        )

    def lost(self) -> int:
        """Return lost threads and lost processes together."""
        return sum(sum(self._bpf["counters"][ctypes.c_int(counter)]) for counter in range(2))

    def close(self) -> None:
        """Detach the programs and free the maps."""
        self._bpf.cleanup()

    def _set_option(self, key: int, *, enabled: bool) -> None:
        table = self._bpf["options"]
        table[table.Key(key)] = table.Leaf(int(enabled))

    def _tasks(self) -> Iterator[tuple[int, TaskRow]]:
        for key, value in self._walker.items(self._bpf["tasks"]):
            yield key.value, decode_task(bytes(value))


class Walker:
    """Reads whole hash maps: in one system call where kernel and bcc can, else key by key."""

    def __init__(self) -> None:
        self._batches = True

    def items(self, table: Any) -> list[tuple[Any, Any]]:
        """Return the map's keys and values."""
        if self._batches and hasattr(table, "items_lookup_batch"):
            try:
                return list(table.items_lookup_batch())
            # bcc raises bare Exception for whatever the kernel says.
            except Exception as err:  # noqa: BLE001
                _LOG.warning("maps are read key by key: %s", err)
                self._batches = False
        found: list[tuple[Any, Any]] = []
        for key in list(table.keys()):
            # Threads die while we walk: a key that is gone by the time it is read is skipped.
            with suppress(KeyError):
                found.append((key, table[key]))
        return found


def _per_cpu(table: Any, key: int) -> list[bytes]:
    return [bytes(leaf) for leaf in table[table.Key(key)]]


def _synchronise(
    table: Any, present: dict[int, int], wanted: Mapping[int, int], limit: int
) -> dict[int, int]:
    """Make the kernel's map equal to `wanted`, as far as it holds; return what it holds now."""
    kept = dict(list(wanted.items())[:limit])
    for key in present.keys() - kept.keys():
        with suppress(KeyError):
            del table[table.Key(key)]
    for key, side in kept.items():
        if present.get(key) != side:
            table[table.Key(key)] = table.Leaf(side)
    return kept
