"""Ends a child process with all that it started. Only `processes` needs this."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

__all__ = ["TERMINATE_SECONDS", "end_group"]

TERMINATE_SECONDS = 15.0


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and all that it started: asked first, then killed."""
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=TERMINATE_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group, if there is one; through sudo, which hands it on, where it is root's.

    A group's number is not given away while one of its processes is there.
    """
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
    except PermissionError:
        name = number.name.removeprefix("SIG")
        subprocess.run(
            ["sudo", "-n", "kill", "-s", name, "--", f"-{group}"],
            timeout=TERMINATE_SECONDS,
            check=False,
        )
