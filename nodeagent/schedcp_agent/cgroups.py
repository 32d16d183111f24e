"""The pods' part of the cgroup tree: who is there, how much CPU it used, how long it waited."""

import re
from dataclasses import dataclass
from pathlib import Path

_UID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"
_POD_FOLDER = re.compile(rf"^(?:kubepods(?:-burstable|-besteffort)?-)?pod({_UID})(?:\.slice)?$")
_CLASS_FOLDER = re.compile(r"^(?:burstable|besteffort|kubepods-(?:burstable|besteffort)\.slice)$")
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
    some_permille: int = 0
    """PSI `some`, average of ten seconds."""
    full_permille: int = 0


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
        for folder in (root, *(d for d in _folders(root) if _CLASS_FOLDER.match(d.name))):
            for candidate in _folders(folder):
                match = _POD_FOLDER.match(candidate.name)
                if match:
                    uid = match.group(1).replace("_", "-")
                    found.append(PodCgroup(uid, candidate, ids_below(candidate)))
    return tuple(found)


def ids_below(path: Path) -> tuple[int, ...]:
    """Return the cgroup ids (inode numbers) of `path` and everything below; empty if it is gone."""
    ids: list[int] = []
    pending = [path]
    while pending:
        folder = pending.pop()
        try:
            ids.append(folder.stat().st_ino)
        except OSError:
            continue
        pending.extend(_folders(folder))
    return tuple(ids)


def read_usage(path: Path) -> Usage:
    """Return a cgroup's use of the CPU and its pressure; zeros for one that is gone."""
    pressure = parse_pressure(_text(path / "cpu.pressure"))
    match = re.search(r"^usage_usec (\d+)$", _text(path / "cpu.stat"), re.MULTILINE)
    return Usage(int(match.group(1)) if match else 0, *pressure)


def parse_pressure(text: str) -> tuple[int, int, int]:
    """Return `some` in microseconds in total, and `some` and `full` avg10 in permille."""
    found = {
        kind: (round(float(average) * 10), int(total))
        for kind, average, total in re.findall(
            r"^(some|full) avg10=(\d{1,3}\.\d{1,2}) .*?total=(\d{1,20})$", text, re.MULTILINE
        )
    }
    some, full = found.get("some", (0, 0)), found.get("full", (0, 0))
    return some[1], min(some[0], 1000), min(full[0], 1000)


def _folders(path: Path) -> tuple[Path, ...]:
    # Pods come and go while we look; what is gone has no folders.
    try:
        return tuple(entry for entry in path.iterdir() if entry.is_dir())
    except OSError:
        return ()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
