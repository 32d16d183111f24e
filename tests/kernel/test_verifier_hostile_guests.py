"""A guest that a candidate has taken over may say anything: it is bounded, and never a pass.

The guest is a program in QEMU's place that writes to the result channel as it likes. Everything
from the channel on is the real thing.
"""

from __future__ import annotations

import shlex
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.verdicts import Check, Phase, ReplayMode, VerificationRequest
from schedcp_verifier.guests import GuestFactory
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.payloads import LoadedObject
from schedcp_verifier.troubles import MAIN_COURSE, OTHER_COURSES, Course, hearts_of
from schedcp_verifier.verifying import Verifier
from support.laboratory import CONTRACT
from support.verifier import OPS, make_bundle, proof_lines, record, text_record

MOST_MEMORY_BYTES = 64 * 1024**2
"""The result channel's bound of 4 MiB, as records, with what reading them takes."""
DEADLINE_SECONDS = 3.0
SLACK_SECONDS = 30.0
"""To start an interpreter and to end it, twice, on a machine that is busy."""
PROGRAMS = ("schedcp-loader", "workload", "metronome", "heartbeat", "trials")
END = b'{"from":"end"}'
HEAD = """
import os, sys, time
fd = int(sys.argv[sys.argv.index("-add-fd") + 1].partition("=")[2].partition(",")[0])
cpus = sys.argv[sys.argv.index("-smp") + 1].partition("cpus=")[2].partition(",")[0]
said = open({said!r} + cpus, "rb").read()
def say(data):
    while data:
        data = data[os.write(fd, data):]
"""


@dataclass(frozen=True)
class Taken:
    """A verifier whose guests run `script` in QEMU's place."""

    verifier: Verifier
    kernel: KernelBundle
    request: VerificationRequest

    def prove(self) -> tuple[Check, ...]:
        """Return what the verifier makes of the guest."""
        payload = LoadedObject(b"x", ())
        return self.verifier.prove(self.request, self.kernel, payload=payload, ops_name=OPS).checks


def taken(folder: Path, script: str, said: bytes = b"") -> Taken:
    """Put a verifier together around a hostile guest that may say `said`, if it is the main one.

    Those of other machines have an honest report to say.
    """
    kernel = KernelBundle.open(make_bundle(folder / "kernel"))
    programs = folder / "programs"
    programs.mkdir()
    for name in (*PROGRAMS, "busybox"):
        (programs / name).write_bytes(b"")
    for course in (MAIN_COURSE, *OTHER_COURSES):
        says = said if course is MAIN_COURSE else text_of(good_lines(folder, course))
        (folder / f"said-{course.topology.cpus}").write_bytes(says)
    code = folder / "guest.py"
    code.write_text(HEAD.format(said=str(folder / "said-")) + script)
    qemu = folder / "qemu"
    qemu.write_text(f'#!/bin/sh\nexec {shlex.join((sys.executable, str(code)))} "$@"\n')
    qemu.chmod(0o755)
    guests = GuestFactory(
        programs, programs / "busybox", str(qemu), DEADLINE_SECONDS, threading.Event()
    )
    request = VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler="x"),
        kernel_digest=kernel.profile.content_digest(),
        contract=CONTRACT.replace(replay=ReplayMode.ADVISORY),
    )
    return Taken(Verifier(Library(folder), None, guests), kernel, request)  # type: ignore[arg-type]


def good_lines(folder: Path, course: Course = MAIN_COURSE) -> list[bytes]:
    """What an honest guest says of a good candidate on this folder's kernel."""
    digest = KernelBundle.open(make_bundle(folder / "kernel")).profile.btf_digest
    lines = proof_lines(trials=course.trials, hearts=hearts_of(course.topology))
    return [record("kernel", "boot", btfDigest=digest), *lines[1:]]


def phases(checks: tuple[Check, ...]) -> set[Phase]:
    return {check.phase for check in checks}


def text_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def test_an_honest_guest_in_qemus_place_passes(tmp_path: Path) -> None:
    found = taken(tmp_path, "say(said)", text_of(good_lines(tmp_path))).prove()
    assert Phase.PASSED in phases(found)
    assert not phases(found) & {Phase.FAILED, Phase.ERROR}


SCRIPTS = {
    "floods records": 'while True: say(said.rpartition(b\'{"from":"end\')[0])',
    "floods one line without an end": "while True: say(b'x' * 65536)",
    "floods garbage": "while True: say(os.urandom(65536))",
    "floods empty lines": "while True: say(b'\\n' * 65536)",
    "floods after its end": "say(said)\nwhile True: say(b'\\n' * 65536)",
    "floods its console and never ends": "while True: os.write(1, b'x' * 65536)",
    "never says anything and never ends": "time.sleep(3600)",
    "says all and never ends": "say(said)\ntime.sleep(3600)",
    "trickles and never ends": "while True: say(b'x'); time.sleep(0.01)",
    "ignores being ended": (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(3600)"
    ),
    "says all and crashes": "say(said)\nos.abort()",
    "says all and fails": "say(said)\nsys.exit(1)",
    "ends in half a line": 'say(said + b\'{"from":"sta\')',
    "says nothing and ends": "",
    "says garbage in between": "say(said[:900] + b'\\xff\\0\\n' + said[900:])",
    "leaves a child that holds the channel": (
        "say(said)\nif os.fork() == 0: os.setsid(); time.sleep(120)"
    ),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_hostile_guest_is_bounded_and_no_pass(tmp_path: Path, script: str) -> None:
    subject = taken(tmp_path, script, text_of(good_lines(tmp_path)))
    tracemalloc.start()
    started = time.monotonic()
    try:
        found = subject.prove()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert phases(found) & {Phase.ERROR, Phase.FAILED}
    assert Phase.PASSED not in phases(found)
    assert peak < MOST_MEMORY_BYTES
    assert time.monotonic() - started < 2 * DEADLINE_SECONDS + SLACK_SECONDS


def repeated_end(lines: list[bytes]) -> list[bytes]:
    return [*lines, END, END]


def end_first(lines: list[bytes]) -> list[bytes]:
    return [END, *lines]


def end_in_between(lines: list[bytes]) -> list[bytes]:
    return [*lines[:9], END, *lines[9:]]


def of_another_kernel(lines: list[bytes]) -> list[bytes]:
    return [record("kernel", "boot", btfDigest="sha256:" + "0" * 64), *lines[1:]]


def without_a_log(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b'"kmsg"' not in line]


def with_complaints(lines: list[bytes]) -> list[bytes]:
    return [text_record("complaints", "proof", "BUG: it is over"), *lines]


def without_the_attachment(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b'"attached"' not in line]


def without_a_trial(lines: list[bytes]) -> list[bytes]:
    left_out = next(line for line in lines if b'"trial"' in line)
    return [line for line in lines if line != left_out]


def without_a_heart(lines: list[bytes]) -> list[bytes]:
    left_out = next(line for line in lines if b'"heartbeat"' in line and b'"class"' in line)
    return [line for line in lines if line != left_out]


def without_the_contract(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b"candidate-" not in line]


def without_a_control(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b"default-" not in line]


def under_another_scheduler(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"tried"', b'"other"') for line in lines]


def never_enabled(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"enabled"', b'"disabled"') for line in lines]


CLAIMS = (
    repeated_end,
    end_first,
    end_in_between,
    of_another_kernel,
    without_a_log,
    with_complaints,
    without_the_attachment,
    without_a_trial,
    without_a_heart,
    without_the_contract,
    without_a_control,
    under_another_scheduler,
    never_enabled,
)


@pytest.mark.parametrize("claim", CLAIMS)
def test_good_results_of_steps_that_were_not_made_are_no_pass(
    tmp_path: Path, claim: Callable[[list[bytes]], list[bytes]]
) -> None:
    lines = claim(good_lines(tmp_path))
    found = taken(tmp_path, "say(said)", text_of(lines)).prove()
    assert phases(found) & {Phase.ERROR, Phase.FAILED}
