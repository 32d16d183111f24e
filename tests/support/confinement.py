"""What the kernel lets a process of a pod do, as /proc tells it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Confined", "confined", "find_processes"]

PROC = Path("/proc")


@dataclass(frozen=True)
class Confined:
    """One process: who it is, what it may do, what it sees."""

    users: frozenset[int]
    groups: frozenset[int]
    capabilities: int
    """Every set together, the bounding set as well."""
    no_new_privileges: bool
    seccomp_filtered: bool
    mounts: frozenset[str]
    read_only: frozenset[str]
    """Those of its mounts to which nobody can write; `/` is its root."""
    writable: frozenset[str]
    """Those of its mounts to which it can write itself."""


def find_processes(*words: str) -> Iterator[Path]:
    """Yield the /proc folders of the processes whose arguments contain `words`, side by side."""
    for folder in PROC.glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        names = [word.rpartition(b"/")[2].decode(errors="replace") for word in line]
        if any(tuple(names[at : at + len(words)]) == words for at in range(len(names))):
            yield folder


def confined(process: Path) -> Confined:
    """Return how a process is confined; raise FileNotFoundError when it has ended."""
    lines = (process / "status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    options = {mount[4]: mount[5].split(",") for mount in mounts}
    users = frozenset(map(int, status["Uid"].split()))
    groups = frozenset(map(int, f"{status['Gid']} {status['Groups']}".split()))
    masks = [int(value, 16) for name, value in status.items() if name.startswith("Cap")]
    return Confined(
        users=users,
        groups=groups,
        capabilities=max(masks),
        no_new_privileges=status["NoNewPrivs"] == "1",
        seccomp_filtered=status["Seccomp"] == "2",
        mounts=frozenset(options),
        read_only=frozenset(place for place, words in options.items() if "ro" in words),
        writable=frozenset(
            place
            for place, words in options.items()
            if "rw" in words and _may_write(process / "root" / place.lstrip("/"), users | groups)
        ),
    )


def _may_write(place: Path, owners: frozenset[int]) -> bool:
    """Say whether a place can be written to by one whose user and groups are `owners`."""
    found = place.stat()
    bits = stat.S_IWOTH
    bits |= stat.S_IWUSR if found.st_uid in owners else 0
    bits |= stat.S_IWGRP if found.st_gid in owners else 0
    return bool(found.st_mode & bits)
