"""Get this node back to the kernel's own scheduler and prove it, with or without its agent."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import NotRestored
from .kernel_probe import SchedExt

PID_FILE = "agent.pid"
_POLL_SECONDS = 0.2
_LOADER = "schedcp-loader"
_OPS_PREFIX = "schedcp"
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of the first one (include/linux/proc_ns.h): its /proc shows every process."""


@dataclass(frozen=True)
class Place:
    """Where the node shows what runs on it."""

    state_dir: Path
    proc_root: Path = Path("/proc")
    bpf_root: Path = Path("/sys/fs/bpf")


def restore_node(
    read_sched_ext: Callable[[], SchedExt],
    *,
    place: Place,
    timeout_seconds: float,
    quiet_seconds: float,
) -> None:
    """Have this node's agent (or, without one, its loader) let go; raise NotRestored.

    One look proves nothing: a loader may be about to attach. For `quiet_seconds`, which is longer
    than the agent takes to hear of it, there must be no loader and no scheduler.
    """
    agent = _running_agent(place)
    if agent is not None:
        os.kill(agent, signal.SIGUSR1)
    else:
        for loader in _loaders(place.proc_root):
            os.kill(loader, signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    quiet_since: float | None = None
    while True:
        busy = _busy(read_sched_ext(), place)
        now = time.monotonic()
        quiet_since = None if busy else now if quiet_since is None else quiet_since
        if quiet_since is not None and now - quiet_since >= quiet_seconds:
            break
        if now > deadline:
            raise NotRestored(f"after {timeout_seconds:g} s: {busy or 'not quiet for long enough'}")
        time.sleep(_POLL_SECONDS)
    if agent is None and not _sees_all_processes(place.proc_root):
        raise NotRestored(
            "nothing is attached, but whether it stays so cannot be told: no agent is to be seen "
            "from here, and not all processes are; run this on the host or in the agent's pod"
        )


def _busy(seen: SchedExt, place: Place) -> str:
    """Return what keeps the node from being restored; empty when nothing does."""
    if seen.problem:
        return f"nobody knows what runs here: {seen.problem}"
    if not seen.idle:
        return (
            f"sched_ext is still {seen.state} ({seen.ops or 'no name'}); if it is not SchedCP's, "
            "detach it with the program that attached it, or with SysRq-S"
        )
    loaders = list(_loaders(place.proc_root))
    if loaders:
        return f"a loader runs: process {loaders[0]}"
    pins = [str(path) for path in pins_of_ours(place.bpf_root)]
    return f"a pin is left, remove it: {pins[0]}" if pins else ""


def pins_of_ours(bpf_root: Path) -> Iterator[Path]:
    """Yield what is pinned under our names, where the BPF file system can be seen.

    The loader pins nothing; somebody may have done so with its maps or its link.
    """
    for folder, names, files in os.walk(bpf_root):
        for name in (*names, *files):
            if name.startswith(_OPS_PREFIX):
                yield Path(folder) / name


def _running_agent(place: Place) -> int | None:
    """Return the agent that left its number, or one that is to be seen among all processes."""
    try:
        pid = int((place.state_dir / PID_FILE).read_text())
    except (OSError, ValueError):
        pid = None
    if pid is not None and _is_agent(place.proc_root / str(pid)):
        return pid
    found = (int(e.name) for e in place.proc_root.iterdir() if e.name.isdigit() and _is_agent(e))
    return next(found, None)


def _is_agent(entry: Path) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    named = any(b"schedcp-agent" in word or b"schedcp_agent" in word for word in words)
    return named and b"run" in words


def _loaders(proc_root: Path) -> Iterator[int]:
    for entry in proc_root.iterdir():
        if entry.name.isdigit() and _comm(entry) == _LOADER:
            yield int(entry.name)


def _comm(entry: Path) -> str:
    try:
        return (entry / "comm").read_text().strip()
    except OSError:
        return ""


def _sees_all_processes(proc_root: Path) -> bool:
    try:
        return (proc_root / "self" / "ns" / "pid").stat().st_ino == _INITIAL_PID_NAMESPACE
    except OSError:
        return False
