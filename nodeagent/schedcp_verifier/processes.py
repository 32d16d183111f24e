"""The one way to run a child to its end: argument list, time-out, explicit environment, bounds.

Nothing here knows what the programs do. The virtual machine, which is talked to while it runs, has
its own module.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .errors import CommandFailed, ToolMissing

__all__ = ["Completed", "Limits", "network_isolation", "run"]

SAFE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TAIL_CHARS = 4000
PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Completed:
    """What a finished child left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Limits:
    """What an untrusted child may use; enforced by the kernel."""

    cpu_seconds: int = 30
    memory_bytes: int = 2 * 1024**3
    file_bytes: int = 64 * 1024**2
    open_files: int = 64

    def wrap(self, argv: Sequence[str | Path]) -> list[str]:
        """Return `argv` as a command that runs within these bounds."""
        return [
            "prlimit",
            f"--cpu={self.cpu_seconds}",
            f"--as={self.memory_bytes}",
            f"--fsize={self.file_bytes}",
            f"--nofile={self.open_files}",
            "--core=0",
            *map(str, argv),
        ]


def run(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> Completed:
    """Run one child to its end and return what it printed.

    `env` is the whole environment (default: a safe PATH and the C locale). Raise CommandFailed
    with the command and the end of its output when it cannot be started, runs out of time or,
    with `check`, ends with a failure.
    """
    command = tuple(str(part) for part in argv)
    shown = shlex.join(command)
    try:
        done = subprocess.run(
            command,
            env={"PATH": SAFE_PATH, "LC_ALL": "C.UTF-8"} if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"cannot start {shown}: {error}; is the program installed?") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{shown}\nran out of time after {timeout_seconds:g} s") from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace")
        raise CommandFailed(f"{shown}\nended with status {done.returncode}\n{said[-TAIL_CHARS:]}")
    return Completed(command, done.returncode, done.stdout, done.stderr)


@cache
def network_isolation() -> tuple[str, ...]:
    """Return the command prefix that takes the network away from a child, or nothing.

    Empty where this machine allows neither a network namespace nor a user namespace; the caller
    says so in the evidence instead of pretending.
    """
    for prefix in (("unshare", "--net"), ("unshare", "--user", "--map-current-user", "--net")):
        try:
            run([*prefix, "true"], timeout_seconds=PROBE_SECONDS)
        except CommandFailed:
            continue
        return prefix
    return ()
