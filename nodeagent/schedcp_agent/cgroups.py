"""The pods' part of the cgroup tree: who is there, how much CPU it used, how long it waited."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"
_POD_FOLDER = re.compile(rf"^(?:kubepods(?:-burstable|-besteffort)?-)?pod({_UID})(?:\.slice)?$")
_CLASS_FOLDER = re.compile(r"^(?:burstable|besteffort|kubepods-(?:burstable|besteffort)\.slice)$")
_USAGE = re.compile(r"^usage_usec (\d{1,20})$", re.MULTILINE)
_PRESSURE = re.compile(r"^(some|full) avg10=(\d{1,3}\.\d{1,2}) .*?total=(\d{1,20})$", re.MULTILINE)
_ROOTS = ("kubepods", "kubepods.slice", "kubelet/kubepods", "kubelet.slice/kubelet-kubepods.slice")
_CGROUP2_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


@dataclass(frozen=True)
class PodCgroup:
    """One pod's cgroup. `ids` are those of it and everything below, as BPF sees them."""

    uid: str
    path: Path
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Usage:
    """What a cgroup has used and waited, since it was made."""

    cpu_usec: int = 0
    some_usec: int = 0
    full_usec: int = 0
    some_permille: int = 0
    """PSI `some`, average of ten seconds."""


def find_cgroup2(preferred: Path) -> Path:
    """Return where cgroup2 is mounted: `preferred`, unless the node still has both hierarchies."""
    for root in (preferred, *_CGROUP2_ROOTS):
        if (root / "cgroup.controllers").exists():
            return root
    return preferred


def find_pods(cgroup_root: Path) -> tuple[PodCgroup, ...]:
    """Return every pod's cgroup, with the layouts of the cgroupfs and the systemd driver."""
    found: list[PodCgroup] = []
    for name in _ROOTS:
        root = cgroup_root / name
        folders = _folders(str(root))
        classes = [path for folder, path in folders if _CLASS_FOLDER.match(folder)]
        for folder, path in (*folders, *(pair for above in classes for pair in _folders(above))):
            match = _POD_FOLDER.match(folder)
            if match:
                uid = match.group(1).replace("_", "-")
                found.append(PodCgroup(uid, Path(path), ids_below(Path(path))))
    return tuple(found)


def ids_below(path: Path) -> tuple[int, ...]:
    """Return the cgroup ids (inode numbers) of `path` and everything below; empty if it is gone."""
    ids: list[int] = []
    for folder in _below(str(path)):
        try:
            ids.append(os.stat(folder).st_ino)  # noqa: PTH116  (every second, for every pod)
        except OSError:
            continue
    return tuple(ids)


def folders_below(path: Path) -> tuple[Path, ...]:
    """Return `path` and every cgroup below."""
    return tuple(map(Path, _below(str(path))))


def _below(path: str) -> Iterator[str]:
    pending = [path]
    while pending:
        folder = pending.pop()
        yield folder
        pending.extend(below for _, below in _folders(folder))


def read_usage(path: Path) -> Usage:
    """Return a cgroup's use of the CPU and its pressure; zeros for one that is gone."""
    pressure = parse_pressure(read_text(f"{path}/cpu.pressure"))
    match = _USAGE.search(read_text(f"{path}/cpu.stat"))
    return Usage(int(match.group(1)) if match else 0, *pressure)


def parse_pressure(text: str) -> tuple[int, int, int]:
    """Return `some` and `full` in microseconds in total, and `some` avg10 in permille."""
    found = {
        kind: (round(float(average) * 10), int(total))
        for kind, average, total in _PRESSURE.findall(text)
    }
    some, full = found.get("some", (0, 0)), found.get("full", (0, 0))
    return some[1], full[1], min(some[0], 1000)


def _folders(path: str) -> list[tuple[str, str]]:
    """Return the names and paths of the folders in `path`."""
    # Pods come and go while we look; what is gone has no folders.
    try:
        with os.scandir(path) as entries:
            return [(e.name, e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def read_text(path: Path | str) -> str:
    """Return a file of the tree; empty when it is gone or was never there."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""
