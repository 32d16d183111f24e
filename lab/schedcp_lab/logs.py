"""The ends of logs, for messages that say why a process ended."""

from __future__ import annotations

from pathlib import Path

__all__ = ["TAIL_BYTES", "tail"]

TAIL_BYTES = 4000


def tail(path: Path, *, size: int = TAIL_BYTES) -> str:
    """Return the last `size` bytes of a log file as text; empty when there is none yet."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - size))
        return log.read().decode(errors="replace")
