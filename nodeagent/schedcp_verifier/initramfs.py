"""The guest's only disk: an initramfs written byte for byte, so that equal inputs boot equally.

Pure: entries in, a `newc` cpio archive out. No time stamps, no owners, no build machine in it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["Entry", "archive", "directory", "file", "program", "symlink"]

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_CONSOLE = (5, 1)
"""Major and minor number of /dev/console, which must exist before init mounts anything."""


@dataclass(frozen=True)
class Entry:
    """One member of the archive, by its path without a leading slash."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file(path: str, data: bytes) -> Entry:
    """Return a plain file."""
    return Entry(path, stat.S_IFREG | 0o644, data)


def program(path: str, data: bytes) -> Entry:
    """Return an executable file."""
    return Entry(path, stat.S_IFREG | 0o755, data)


def directory(path: str) -> Entry:
    """Return a directory."""
    return Entry(path, stat.S_IFDIR | 0o755)


def symlink(path: str, target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive: the entries, the folders that they need, /dev/console, the trailer.

    Raise ValueError when two entries have the same path or a path leads out of the archive.
    """
    members: dict[str, Entry] = {}
    console = Entry("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE)
    for entry in (console, *entries):
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"{entry.path!r} is not a path inside the initramfs")
        if entry.path in members:
            raise ValueError(f"the initramfs has two entries {entry.path!r}")
        members[entry.path] = entry
    for name in tuple(members):
        for parent in PurePosixPath(name).parents:
            if parent.parts:
                members.setdefault(str(parent), directory(str(parent)))
    ordered = sorted(members.values(), key=lambda entry: entry.path)
    body = b"".join(_member(number, entry) for number, entry in enumerate(ordered, 1))
    return body + _member(0, Entry(_TRAILER, 0))


def _member(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    fields = (
        inode,
        entry.mode,
        0,  # uid
        0,  # gid
        1,  # links
        0,  # mtime
        len(entry.data),
        0,  # device of the file itself
        0,
        *entry.device,
        len(name),
        0,  # checksum, unused by this format
    )
    header = _MAGIC + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
