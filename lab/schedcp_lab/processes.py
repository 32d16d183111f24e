"""Child processes: `run()` for those that end, `Supervisor` for those that serve.

Nothing started here outlives the program that started it: every child has a process group of its
own and carries a parent-death signal, and those that serve are stopped in reverse order of their
start, so that even a killed lab leaves nothing behind. This module knows nothing of what the
programs do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from schedcp_lab.errors import CommandFailed, NotReady, ProcessLost
from schedcp_lab.logs import TAIL_BYTES, tail
from schedcp_lab.process_groups import TERMINATE_SECONDS, end_group

__all__ = [
    "Completed",
    "Process",
    "ProcessSpec",
    "Supervisor",
    "end_children",
    "environment",
    "run",
    "run_as_root",
    "wait_until",
]

INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"}
)
"""Variables that every child gets."""

SETTINGS = re.compile(r"(?:PIP|UV|CGO|CARGO|RUSTUP|SSL_CERT|XDG_CONFIG)_\w+|GO[A-Z0-9]+|NETRC")
"""The machine's own mirror and certificate settings, which tools must go on seeing."""

POLL_SECONDS = 0.05
PASSWORD_SECONDS = 300.0
_awaited_children: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Completed:
    """What a finished child left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child: the machine's own settings, a C locale, and `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED
        or SETTINGS.fullmatch(name)
        or name.lower() in {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}
    }
    kept["LC_ALL"] = "C.UTF-8"
    kept["PATH"] = kept.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    kept.update(extra or {})
    return kept


def run(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    stdout: IO[bytes] | None = None,
    check: bool = True,
) -> Completed:
    """Run one child to its end and return what it printed.

    `env` is the whole environment (default: `environment()`); `stdout` may name an open file that
    takes the output instead. Raise CommandFailed, with the command and the end of its output, when
    it cannot be started, runs out of time, or (with `check`) ends with a failure.
    """
    command = tuple(str(part) for part in argv)
    shown = shlex.join(command)
    given = dict(env) if env is not None else environment()
    if shutil.which(command[0], path=given.get("PATH", os.defpath)) is None:
        raise CommandFailed(f"cannot start {shown}: no such program; is it installed?")
    try:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command],
            env=given,
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=stdout if stdout is not None else subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"cannot start {shown}: {error}") from error
    said, complaint = _awaited(child, shown, stdin, timeout_seconds=timeout_seconds)
    if check and child.returncode != 0:
        last = (complaint.strip() or said.strip())[-TAIL_BYTES:]
        raise CommandFailed(f"{shown}\nended with status {child.returncode}\n{last}")
    return Completed(command, child.returncode, said, complaint)


def _awaited(
    child: subprocess.Popen[bytes], shown: str, stdin: str | None, *, timeout_seconds: float
) -> tuple[str, str]:
    """Return what a child printed, once it has ended; its group ends whenever we stop waiting."""
    with child:
        _awaited_children.add(child)
        try:
            out, err = child.communicate(
                stdin.encode() if stdin is not None else None, timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired as error:
            end_group(child)
            said = (error.stderr or error.stdout or b"")[-TAIL_BYTES:].decode(errors="replace")
            raise CommandFailed(
                f"{shown}\nran out of time after {timeout_seconds:g} s\n{said}"
            ) from error
        except BaseException:
            end_group(child)
            raise
        finally:
            _awaited_children.discard(child)
    return (out or b"").decode(errors="replace"), err.decode(errors="replace")


def end_children() -> None:
    """End what other threads run now; there `run` says that it failed."""
    for child in tuple(_awaited_children):
        end_group(child)


def run_as_root(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run one child as root, through sudo where we are not; `run` says how it goes.

    sudo asks for a password now, if at all: children of `run` are not in the terminal's foreground.
    What runs under it is bounded by `timeout` as well, because we may not signal root's processes.
    """
    if os.geteuid() == 0:
        return run(argv, timeout_seconds=timeout_seconds, env=env, check=check)
    try:
        subprocess.run(["sudo", "-v"], timeout=PASSWORD_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandFailed(
            f"{shlex.join(str(part) for part in argv)}\nneeds root, and sudo does not give it: "
            f"{error}; run as root, or as a user with sudo"
        ) from error
    bounded = ["timeout", f"--kill-after={TERMINATE_SECONDS:g}", f"{timeout_seconds:g}", *argv]
    return run(
        ["sudo", "--", *bounded],
        timeout_seconds=timeout_seconds + 2 * TERMINATE_SECONDS,
        env=env,
        check=check,
    )


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str,
    timeout_seconds: float,
    interval_seconds: float = POLL_SECONDS,
    hint: Callable[[], str] = str,
) -> float:
    """Poll `condition` until it is true; return the seconds it took.

    Raise NotReady with `what` and whatever `hint` can add when the deadline passes first.
    """
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_seconds:
            raise NotReady(f"{what}: not so after {timeout_seconds:g} s\n{hint()}".rstrip())
        time.sleep(interval_seconds)
    return time.monotonic() - start


@dataclass(frozen=True)
class ProcessSpec:
    """How to start one served process."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=environment)
    cwd: Path | None = None
    terminate_signal: signal.Signals = signal.SIGTERM
    niceness: int = 0
    """How far it stands back for the other children when the CPUs are short, 0 to 19."""


class Process:
    """One served process of a Supervisor; it may be killed and started again."""

    def __init__(self, spec: ProcessSpec, popen: subprocess.Popen[bytes]) -> None:
        self.spec = spec
        self._popen = popen
        self._cleared = False

    @property
    def pid(self) -> int:
        """Return the process id of the present (or last) start."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._popen.poll() is None

    @property
    def aborted(self) -> bool:
        """Say whether the process ended itself by SIGABRT, as a failed assertion does."""
        return self._popen.poll() == -signal.SIGABRT

    def require_alive(self) -> None:
        """Raise ProcessLost, with the end of the log, when the process has ended."""
        status = self._popen.poll()
        if status is not None:
            raise ProcessLost(
                f"{self.spec.name} ended with status {status}; the end of {self.spec.log}:\n"
                f"{tail(self.spec.log)}"
            )

    def wait_ready(self, condition: Callable[[], bool], *, timeout_seconds: float) -> float:
        """Wait until `condition` holds; return the seconds. Fail at once when the process ends."""

        def alive_and_ready() -> bool:
            self.require_alive()
            return condition()

        return wait_until(
            alive_and_ready,
            what=f"{self.spec.name} is ready",
            timeout_seconds=timeout_seconds,
            hint=lambda: f"the end of {self.spec.log}:\n{tail(self.spec.log)}",
        )

    def kill(self) -> None:
        """Kill the process and its group at once, and reap it."""
        self._signal(signal.SIGKILL)
        self._popen.wait(timeout=TERMINATE_SECONDS)
        self._cleared = True

    def stop(self, *, timeout_seconds: float = TERMINATE_SECONDS) -> None:
        """Ask the process to end, and kill it when it does not; its group goes in any case."""
        self._signal(self.spec.terminate_signal)
        try:
            self._popen.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._popen.wait(timeout=TERMINATE_SECONDS)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._cleared:  # The group's number may be another's by now.
            return
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return


class Supervisor:
    """Starts served processes, and stops them in reverse order when its `with` block ends.

    A parent-death signal belongs to the *thread* that started a child, so all children are started
    by one thread that lives exactly as long as the supervisor.
    """

    def __init__(self) -> None:
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, spec: ProcessSpec) -> Process:
        """Start a process with its output appended to its log."""
        process = Process(spec, self._spawner.submit(_spawn, spec).result())
        self._processes.append(process)
        return process

    def restart(self, process: Process) -> Process:
        """Start a process anew from the same specification, stopping it first if it still runs.

        It keeps its place in the order in which everything is stopped.
        """
        process.stop()
        fresh = Process(process.spec, self._spawner.submit(_spawn, process.spec).result())
        self._processes[self._processes.index(process)] = fresh
        return fresh

    def close(self) -> None:
        """Stop everything, the last started first."""
        while self._processes:
            self._processes.pop().stop()
        self._spawner.shutdown()


def _spawn(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    nice = ("nice", "-n", str(spec.niceness)) if spec.niceness else ()
    command = ["setpriv", "--pdeathsig", "KILL", "--", *nice, *spec.argv]
    with spec.log.open("ab") as log:
        try:
            child = subprocess.Popen(
                command,
                env=dict(spec.env),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise CommandFailed(
                f"cannot start {spec.name} ({shlex.join(command)}): {error}"
            ) from error
    # Until setpriv is through, nothing ties the child's life to ours.
    wait_until(
        lambda: child.poll() is not None or _name_of(child.pid) != "setpriv",
        what=f"{spec.name} has a parent-death signal",
        timeout_seconds=TERMINATE_SECONDS,
    )
    if spec.niceness:
        _stand_back(child.pid, spec.niceness)
    return child


def _stand_back(pid: int, niceness: int) -> None:
    """Have a whole session stand back, where the kernel shares CPUs between sessions first.

    From whoever is not root the kernel takes one such wish in a tenth of a second (EAGAIN).
    """
    autogroup = Path(f"/proc/{pid}/autogroup")

    def taken() -> bool:
        try:
            autogroup.write_text(str(niceness))
        except BlockingIOError:
            return False
        except (FileNotFoundError, ProcessLookupError):
            return True
        return True

    wait_until(taken, what=f"process {pid} stands back", timeout_seconds=TERMINATE_SECONDS)


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""
