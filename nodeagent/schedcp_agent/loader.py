"""The loader process: started, kept alive by a lease, watched, and stopped. Never blocks.

The loader (`schedulers/loader`, C) holds the only link to the kernel. It lets go when its lease
runs out, so a hung or killed agent leaves the kernel's own scheduler behind. It talks in JSON
lines; its `--help` lists its exit codes, which count when it could not say a word.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import realtime
from .inputs import InputFiles, Inputs
from .load_requests import LoadRequest, ProgramFile, load_options
from .observations import (
    LOADER_EXIT_CODES,
    LoaderExit,
    LoaderOutcome,
    LoaderPhase,
    LoaderView,
)

_LOG = logging.getLogger(__name__)
_LINE_BYTES_MAX = 256 * 1024
_READ_BYTES = 65_536
_CODE_CHARS = 64
_KIND_UNKNOWN = -1


class Loader(Protocol):
    """At most one loader process. Not for use by several threads at once."""

    def start(self, request: LoadRequest, *, now: datetime) -> None:
        """Start it; a failure to start shows up in the next `poll`."""

    def stop(self) -> None:
        """Ask it to detach; `poll` says when it has."""

    def renew(self) -> None:
        """Renew its lease."""

    def feed(self, inputs: Inputs) -> None:
        """Have what it holds know of `inputs`; nothing happens unless they changed."""

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
        inputs: InputFiles,
        lease_ms: int,
        realtime_priority: int,
        attach_timeout_seconds: float,
        detach_timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program = program
        self._inputs = inputs
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
            self._inputs.write(request.inputs)
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

    def feed(self, inputs: Inputs) -> None:
        """Rewrite the files and send SIGHUP, once it holds: before, that could still kill it."""
        child = self._child
        if child is None or child.phase is not LoaderPhase.ATTACHED:
            return
        if self._inputs.changed(inputs):
            _signal(child, signal.SIGHUP)

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
        ending = Ending(
            status,
            child.events,
            asked=child.stop_asked_at is not None,
            timed_out=child.timed_out,
        )
        return LoaderView(), exit_of(child.request, ending, now=now)

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
        return [
            str(self._program),
            f"--lease-ms={self._lease_ms}",
            *([f"--rt-priority={self._realtime_priority}"] if self._realtime_priority else []),
            *load_options(request, self._inputs),
        ]


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
        of_program=isinstance(child.request.payload, ProgramFile),
        warnings=tuple(child.warnings.items()),
    )


@dataclass(frozen=True)
class Ending:
    """What is known of a loader that has ended."""

    status: int
    """Its exit code; a signal's number below zero."""
    events: Mapping[str, LoaderEvent] = field(default_factory=dict)
    """The last of each kind that it sent."""
    asked: bool = False
    """It was told to stop."""
    timed_out: bool = False
    """It was told so because it had not attached in time."""

    @property
    def word(self) -> LoaderOutcome | None:
        """Return the loader's own word for how it ended; None when it said none that is known."""
        error, detached = self.events.get("error"), self.events.get("detached")
        word = str(error.code) if error else detached.reason if detached else ""
        return LoaderOutcome(word) if word in set(LoaderOutcome) else None

    @property
    def outcome(self) -> LoaderOutcome:
        """Return how it ended: by its own word, or else by its exit code."""
        if self.timed_out:
            return LoaderOutcome.ATTACH_TIMEOUT
        outcome = self.word or LOADER_EXIT_CODES.get(self.status)
        if outcome is None:
            return LoaderOutcome.DETACHED if self.asked else LoaderOutcome.KILLED
        # Somebody else's SIGTERM is not our wish to detach.
        other = outcome is LoaderOutcome.DETACHED and not self.asked
        return LoaderOutcome.KILLED if other else outcome

    @property
    def message(self) -> str:
        """Return what a person must know of it."""
        outcome = self.outcome
        error, left = self.events.get("error"), self.events.get("exit")
        if left is not None:
            return left.message or left.log
        if outcome is LoaderOutcome.ATTACH_TIMEOUT:
            return "the scheduler was not attached in time, and the loader was stopped"
        if outcome is LoaderOutcome.KILLED:
            return f"the loader ended with status {self.status} and without being told to"
        if self.word is None:
            return f"the loader ended with status {self.status} ({outcome}) and said nothing of it"
        return error.message if error else ""


def exit_of(request: LoadRequest, ending: Ending, *, now: datetime) -> LoaderExit:
    """Return how a loader ended. Pure.

    An ejection of which the kernel's account is missing is of an unknown kind: that quarantines.
    """
    return _exit(
        request,
        ending.outcome,
        ending.message,
        now=now,
        kernel=ending.events.get("exit"),
        was_attached="attached" in ending.events,
    )


def _exit(
    request: LoadRequest,
    outcome: LoaderOutcome,
    message: str,
    *,
    now: datetime,
    kernel: LoaderEvent | None = None,
    was_attached: bool = False,
) -> LoaderExit:
    unknown = _KIND_UNKNOWN if outcome is LoaderOutcome.EJECTED else 0
    return LoaderExit(
        outcome=outcome,
        message=message,
        at=now,
        object_digest=request.object_digest,
        run=request.run,
        kind=(kernel.kind if kernel else 0) or unknown,
        code=int(kernel.code) if kernel and isinstance(kernel.code, int) else 0,
        reason=kernel.reason if kernel else "",
        dump=kernel.dump if kernel else "",
        was_attached=was_attached,
        token_digest=request.token_digest,
    )
