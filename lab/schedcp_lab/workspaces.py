"""Scratch folders of builds: each is its build's for as long as that lives, and is swept after."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schedcp_lab.cache import Cache
from schedcp_lab.rootfs import remove_tree

__all__ = ["workspace"]


@contextmanager
def workspace(cache: Cache, name: str) -> Iterator[Path]:
    """Yield an empty folder for one build; what builds that died left behind is removed first.

    Root may own what is put there.
    """
    parent = cache.directory("work")
    with cache.lock("work"):
        for folder in parent.iterdir():
            _sweep(folder)
        mine = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        life = os.open(mine, os.O_RDONLY)
        fcntl.flock(life, fcntl.LOCK_EX)
    try:
        yield mine
    finally:
        remove_tree(mine)
        os.close(life)


def _sweep(folder: Path) -> None:
    """Remove a folder unless a build that lives holds its lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        remove_tree(folder)
    finally:
        os.close(descriptor)
