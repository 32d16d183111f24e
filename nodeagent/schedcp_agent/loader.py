"""The loader process: started, kept alive by a lease, watched, and stopped. Never blocks.

The loader (`schedulers/loader`, C) holds the only link to the kernel. It lets go when its lease
runs out, so a hung or killed agent leaves the kernel's own scheduler behind. It talks in JSON
lines; its `--help` lists its exit codes.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schedcp_api.candidates import Argument

from . import realtime
from .observations import LoaderExit, LoaderOutcome, LoaderPhase, LoaderView

_LOG = logging.getLogger(__name__)
_LINE_BYTES_MAX = 256 * 1024
_READ_BYTES = 65_536
_CODE_CHARS = 64


@dataclass(frozen=True)
class LoadRequest:
    """What to load."""

    object_path: Path
    object_digest: str
    run: str
    ops_name: str
    arguments: tuple[Argument, ...]
    timeout_ms: int
    token_digest: str = ""


class Loader(Protocol):
    """At most one loader process. Not for use by several threads at once."""

    def start(self, request: LoadRequest, *, now: datetime) -> None:
        """Start it; a failure to start shows up in the next `poll`."""

    def stop(self) -> None:
        """Ask it to detach; `poll` says when it has."""

    def renew(self) -> None:
        """Renew its lease."""

    def poll(self, *, now: datetime) -> tuple[LoaderView, LoaderExit | None]:
        """Return what it is doing and, exactly once, how it ended."""


class LoaderEvent(BaseModel):
    """One line of the loader. Fields it has none of keep their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    event: str
    ops: str = ""
    enable_seq: int = Field(default=0, alias="enableSeq")
    kind: int = 0
    code: int | str = 0
    """The kernel's exit code in an `exit`, a word in `error` and `warning`."""
    reason: str = ""
    message: str = ""
    log: str = ""
    dump: str = ""


def parse_event(line: bytes) -> LoaderEvent | None:
    """Return a line's event; None, and a word in the log, for what is not one."""
    try:
        return LoaderEvent.model_validate(json.loads(line))
    except (ValueError, ValidationError) as err:
        _LOG.warning("the loader said what is not an event: %.200r (%s)", line, err)
        return None


@dataclass
class _Child:
    """The process and what it has said so far."""

    request: LoadRequest
    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    started: float
    since: datetime
    phase: LoaderPhase = LoaderPhase.STARTING
    stop_asked_at: float | None = None
    timed_out: bool = False
    buffer: bytes = b""
    attached: LoaderEvent | None = None
    events: dict[str, LoaderEvent] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)


class ProcessLoader:
    """`Loader` over the C program."""

    def __init__(
        self,
        program: Path,
        *,
        lease_ms: int,
        realtime_priority: int,
        attach_timeout_seconds: float,
        detach_timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program = program
        self._lease_ms = lease_ms
        self._realtime_priority = realtime_priority
        self._attach_timeout = attach_timeout_seconds
        self._detach_timeout = detach_timeout_seconds
        self._clock = clock
        self._child: _Child | None = None
        self._failed: LoaderExit | None = None

    def start(self, request: LoadRequest, *, now: datetime) -> None:
        """Start the program with pipes that never block the agent."""
        if self._child is not None:
            raise RuntimeError("a loader is running already; stop it and wait for its end first")
        try:
            process = subprocess.Popen(
                self._arguments(request),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as err:
            self._failed = _exit(
                request,
                LoaderOutcome.START_FAILED,
                f"cannot start {self._program}: {err}",
                now=now,
            )
            return
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child with pipes has no pipes")
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
        self._child = _Child(
            request, process, process.stdin, process.stdout, self._clock(), since=now
        )

    def stop(self) -> None:
        """Send SIGTERM once; `poll` sends SIGKILL when that does not help."""
        child = self._child
        if child is None or child.stop_asked_at is not None:
            return
        child.stop_asked_at = self._clock()
        child.phase = LoaderPhase.STOPPING
        _signal(child, signal.SIGTERM)

    def renew(self) -> None:
        """Write one byte; a full pipe means that there are renewals enough."""
        if self._child is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._child.stdin.fileno(), b"\n")

    def poll(self, *, now: datetime) -> tuple[LoaderView, LoaderExit | None]:
        """Read what there is to read, and see to the deadlines."""
        failed, self._failed = self._failed, None
        child = self._child
        if child is None:
            return LoaderView(), failed
        status = child.process.poll()
        _drain(child, now)
        if status is None:
            self._see_to_deadlines(child)
            return _view(child), None
        self._child = None
        child.stdin.close()
        child.stdout.close()
        if realtime.come_down():
            _LOG.warning("the loader ended and left the agent real-time; it is ordinary again")
        return LoaderView(), _end_of(child, status, now=now)

    def _see_to_deadlines(self, child: _Child) -> None:
        now = self._clock()
        starting = child.phase is LoaderPhase.STARTING
        if starting and now - child.started > self._attach_timeout:
            child.timed_out = True
            self.stop()
        asked = child.stop_asked_at
        if asked is not None and now - asked > self._detach_timeout:
            # The link goes with the process: the kernel detaches when its descriptors are closed.
            _signal(child, signal.SIGKILL)

    def _arguments(self, request: LoadRequest) -> list[str]:
        command = [
            str(self._program),
            f"--object={request.object_path}",
            f"--digest={request.object_digest}",
            f"--timeout-ms={request.timeout_ms}",
            f"--lease-ms={self._lease_ms}",
        ]
        if self._realtime_priority:
            command.append(f"--rt-priority={self._realtime_priority}")
        command += [f"--knob={knob.name}={knob.value}" for knob in request.arguments]
        return command


def _signal(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


def _drain(child: _Child, now: datetime) -> None:
    """Take in every whole line that the loader has written."""
    while True:
        try:
            chunk = os.read(child.stdout.fileno(), _READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            return
        *lines, child.buffer = (child.buffer + chunk).split(b"\n")
        child.buffer = child.buffer[-_LINE_BYTES_MAX:]
        for line in filter(None, lines):
            _take(child, line, now)


def _take(child: _Child, line: bytes, now: datetime) -> None:
    event = parse_event(line[:_LINE_BYTES_MAX])
    if event is None:
        return
    child.events[event.event] = event
    if event.event == "attached":
        child.attached = event
        if child.phase is LoaderPhase.STARTING:
            child.phase, child.since = LoaderPhase.ATTACHED, now
    if event.event == "warning":
        child.warnings[str(event.code)[:_CODE_CHARS]] = event.message
    if event.event != "stats":
        _LOG.info("loader: %s %s", event.event, event.message or event.reason or event.ops)


def _view(child: _Child) -> LoaderView:
    attached = child.attached
    return LoaderView(
        phase=child.phase,
        object_digest=child.request.object_digest,
        run=child.request.run,
        ops=attached.ops if attached else child.request.ops_name,
        enable_seq=attached.enable_seq if attached else 0,
        since=child.since,
        token_digest=child.request.token_digest,
        warnings=tuple(child.warnings.items()),
    )


def _end_of(child: _Child, status: int, *, now: datetime) -> LoaderExit:
    """Put together how a loader ended from what it said and from its exit status."""
    error, left = child.events.get("error"), child.events.get("exit")
    detached = child.events.get("detached")
    word = str(error.code) if error else detached.reason if detached else ""
    outcome = _outcome(word, child)
    message = error.message if error else ""
    if outcome is LoaderOutcome.KILLED:
        message = f"the loader ended with status {status} and without being told to"
    if outcome is LoaderOutcome.ATTACH_TIMEOUT:
        message = "the scheduler was not attached in time, and the loader was stopped"
    if left is not None:
        message = left.message or left.log
    return _exit(
        child.request,
        outcome,
        message,
        now=now,
        kernel=left,
        was_attached=child.attached is not None,
    )


def _outcome(word: str, child: _Child) -> LoaderOutcome:
    if child.timed_out:
        return LoaderOutcome.ATTACH_TIMEOUT
    asked = child.stop_asked_at is not None
    if word not in set(LoaderOutcome):
        return LoaderOutcome.DETACHED if asked else LoaderOutcome.KILLED
    outcome = LoaderOutcome(word)
    # Somebody else's SIGTERM is not our wish to detach.
    return LoaderOutcome.KILLED if outcome is LoaderOutcome.DETACHED and not asked else outcome


def _exit(
    request: LoadRequest,
    outcome: LoaderOutcome,
    message: str,
    *,
    now: datetime,
    kernel: LoaderEvent | None = None,
    was_attached: bool = False,
) -> LoaderExit:
    return LoaderExit(
        outcome=outcome,
        message=message,
        at=now,
        object_digest=request.object_digest,
        run=request.run,
        kind=kernel.kind if kernel else 0,
        code=int(kernel.code) if kernel and isinstance(kernel.code, int) else 0,
        reason=kernel.reason if kernel else "",
        dump=kernel.dump if kernel else "",
        was_attached=was_attached,
        token_digest=request.token_digest,
    )
