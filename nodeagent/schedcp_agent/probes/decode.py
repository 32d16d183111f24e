"""Decode what the kernel's maps hold: bytes in, readings out. The layout is that of `wakeups.c`."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ..histograms import HISTOGRAM_BYTES, Histogram, total
from .port import GroupReading

_TASK = struct.Struct("=QQQQII")
_GROUP_KEY = struct.Struct("=II")
_GROUP_TAIL = struct.Struct("=QQQ16s")
TASK_BYTES = _TASK.size
GROUP_BYTES = 3 * HISTOGRAM_BYTES + _GROUP_TAIL.size


@dataclass(frozen=True)
class TaskRow:
    """One thread that the probes know."""

    woken_ns: int
    side: int
    tgid: int


def decode_task(raw: bytes) -> TaskRow:
    """Decode `struct task`; raise ValueError for another size."""
    if len(raw) != TASK_BYTES:
        raise ValueError(f"a task has {TASK_BYTES} bytes, not {len(raw)}")
    woken, _, _, _, side, tgid = _TASK.unpack(raw)
    return TaskRow(woken, side, tgid)


def decode_sum(raws: Iterable[bytes]) -> Histogram:
    """Return the sum of one per-CPU histogram."""
    return total(Histogram.from_bytes(raw) for raw in raws)


def decode_group(key: bytes, raw: bytes, *, threads: int) -> GroupReading:
    """Decode `struct group_key` and `struct group`; raise ValueError for other sizes."""
    if len(key) != _GROUP_KEY.size or len(raw) != GROUP_BYTES:
        raise ValueError(
            f"a group has {_GROUP_KEY.size} and {GROUP_BYTES} bytes, not {len(key)} and {len(raw)}"
        )
    side, tgid = _GROUP_KEY.unpack(key)
    parts = [raw[i * HISTOGRAM_BYTES : (i + 1) * HISTOGRAM_BYTES] for i in range(3)]
    latency, burst, sleep = (Histogram.from_bytes(part) for part in parts)
    cpu_ns, switches, wakeups, comm = _GROUP_TAIL.unpack(raw[3 * HISTOGRAM_BYTES :])
    return GroupReading(
        side=side,
        tgid=tgid,
        comm=comm.split(b"\0", 1)[0].decode(errors="replace"),
        threads=threads,
        cpu_ns=cpu_ns,
        switches=switches,
        wakeups=wakeups,
        latency=latency,
        burst=burst,
        sleep=sleep,
    )


def longest_waits(tasks: Iterable[TaskRow], *, now_ns: int) -> dict[int, int]:
    """Return by side how long the thread that waits longest for a CPU has waited so far."""
    longest: dict[int, int] = {}
    for task in tasks:
        if task.woken_ns:
            waited = max(0, now_ns - task.woken_ns)
            longest[task.side] = max(longest.get(task.side, 0), waited)
    return longest
