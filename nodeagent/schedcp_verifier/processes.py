"""The one way to run a child to its end: argument list, time-out, explicit environment, bounds.

What a child prints goes to a file first, so that a flood ends at a bound and not in our memory.
Nothing here knows what the programs do. The virtual machine, which is talked to while it runs, has
its own module.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from .errors import CommandFailed, ToolMissing

__all__ = ["Completed", "Isolation", "Limits", "isolation", "run"]

SAFE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TAIL_CHARS = 4000
OUTPUT_BYTES = 1024**2
"""What is kept of each of a child's two streams, from its beginning."""
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
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            done = subprocess.run(
                command,
                env={"PATH": SAFE_PATH, "LC_ALL": "C.UTF-8"} if env is None else dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{shown}\nran out of time after {timeout_seconds:g} s") from error
        except FileNotFoundError as error:
            raise ToolMissing(
                f"cannot start {shown}: {error}; is the program installed?"
            ) from error
        except OSError as error:
            raise CommandFailed(f"cannot start {shown}: {error}") from error
        said = [_beginning(stream) for stream in (stdout, stderr)]
    if check and done.returncode != 0:
        words = (said[1].strip() or said[0].strip()).decode(errors="replace")
        raise CommandFailed(f"{shown}\nended with status {done.returncode}\n{words[-TAIL_CHARS:]}")
    return Completed(command, done.returncode, *said)


def _beginning(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read(OUTPUT_BYTES)


@dataclass(frozen=True)
class Isolation:
    """How a child is kept apart: a command prefix, and what it achieves in words."""

    prefix: tuple[str, ...]
    words: str


_HIDE = (
    'hidden=$1; shift; while [ "$hidden" -gt 0 ]; do if [ -d "$1" ]; then '
    'mount -t tmpfs -o ro,size=4k,mode=0 none "$1" || exit 125; fi; '
    'shift; hidden=$((hidden - 1)); done; exec "$@"'
)
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
_SAME_ADDRESSES = ("setarch", "--addr-no-randomize")


@cache
def isolation(hidden: tuple[Path, ...]) -> Isolation:
    """Return the strongest isolation of this machine from the network and the folders `hidden`.

    As root a child becomes nobody besides, who may read no secret. Where the machine allows
    neither namespaces nor another user, the words say so instead of pretending.
    """
    hide = ("sh", "-c", _HIDE, "sh", str(len(hidden)), *map(str, hidden))
    root = os.geteuid() == 0
    nobody = _NOBODY if root else ()
    as_user = ", as nobody" if root else ""
    ways = [
        (("unshare", "--mount", "--net", *hide, *nobody), "own mounts and network"),
        (("unshare", "--user", "--map-root-user", "--mount", "--net", *hide), "own user namespace"),
        (nobody, "shared mounts and network"),
    ]
    plain = Isolation((), "none: this machine allows neither namespaces nor another user")
    found = next((Isolation(w, f"{t}{as_user}") for w, t in ways if w and _works(w)), plain)
    if _works((*found.prefix, *_SAME_ADDRESSES)):
        return Isolation((*found.prefix, *_SAME_ADDRESSES), f"{found.words}, same addresses")
    return found


def _works(prefix: tuple[str, ...]) -> bool:
    try:
        run([*prefix, "true"], timeout_seconds=PROBE_SECONDS)
    except CommandFailed:
        return False
    return True
