"""The supervision of the loader, with a program that behaves like it in every way but one."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schedcp_agent.inputs import InputFiles, Inputs
from schedcp_agent.load_requests import LoadRequest, ObjectFile
from schedcp_agent.loader import ProcessLoader
from schedcp_agent.observations import LoaderExit, LoaderOutcome, LoaderPhase, LoaderView
from schedcp_api.candidates import Argument
from schedcp_lab.processes import wait_until
from support import agent_loader_standin

DEADLINE_SECONDS = 30.0
DIGEST = "sha256:" + "0" * 64


class Bench:
    """A loader on the stand-in program, and its present state."""

    def __init__(self, folder: Path, **deadlines: float) -> None:
        program = folder / "schedcp-loader"
        standin = Path(agent_loader_standin.__file__)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{standin}" "$@"\n')
        program.chmod(0o755)
        self._folder = folder
        self.loader = ProcessLoader(
            program,
            inputs=InputFiles(folder),
            lease_ms=int(deadlines.get("lease_ms", 20_000)),
            realtime_priority=0,
            attach_timeout_seconds=deadlines.get("attach", 30.0),
            detach_timeout_seconds=deadlines.get("detach", 30.0),
        )
        self.view = LoaderView()
        self.ended: LoaderExit | None = None

    def start(self, behaviour: str, *, inputs: Inputs | None = None) -> None:
        path = self._folder / "object"
        path.write_text(behaviour)
        payload = ObjectFile(path, (Argument(name="slice_us", value="3000"),))
        request = LoadRequest(
            payload, DIGEST, "run-1", "schedcp_x", 10_000, inputs=inputs or Inputs()
        )
        self.loader.start(request, now=datetime.now(UTC))

    def wait(self, condition: Callable[[], bool], *, renewing: bool = True) -> None:
        """Poll, as the agent's ticks do, until `condition` holds."""

        def ticked() -> bool:
            if condition():
                return True
            self.view, ended = self.loader.poll(now=datetime.now(UTC))
            self.ended = ended or self.ended
            if renewing:
                self.loader.renew()
            return False

        wait_until(
            ticked,
            what="the loader does what it should",
            timeout_seconds=DEADLINE_SECONDS,
            interval_seconds=0.02,
            hint=lambda: f"{self.view} {self.ended}",
        )

    def until_attached(self) -> None:
        self.wait(lambda: self.view.phase is LoaderPhase.ATTACHED)

    def read(self) -> list[str]:
        """Return what the stand-in read in its two files, the latest last."""
        return [code for code, _ in self.view.warnings]

    def until_ended(self, *, renewing: bool = True) -> LoaderExit:
        self.wait(lambda: self.ended is not None, renewing=renewing)
        assert self.ended is not None
        assert self.loader.poll(now=datetime.now(UTC)) == (LoaderView(), None), "shown once"
        return self.ended


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A loader with generous deadlines."""
    yield from benches(tmp_path)


def benches(folder: Path, **deadlines: float) -> Iterator[Bench]:
    made = Bench(folder, **deadlines)
    yield made
    made.loader.stop()
    if made.view.phase is not LoaderPhase.NONE and made.ended is None:
        made.wait(lambda: made.ended is not None)


def test_attached_held_and_detached(bench: Bench) -> None:
    bench.start("attach")
    bench.until_attached()
    assert (bench.view.ops, bench.view.enable_seq, bench.view.run) == ("schedcp_x", 3, "run-1")
    bench.loader.stop()
    ended = bench.until_ended()
    assert (ended.outcome, ended.was_attached, ended.kind) == (LoaderOutcome.DETACHED, True, 0)


def test_an_ejection_is_told_in_the_kernels_words(bench: Bench) -> None:
    bench.start("eject")
    ended = bench.until_ended()
    assert (ended.outcome, ended.kind) == (LoaderOutcome.EJECTED, 1026)
    assert (ended.reason, ended.message, ended.dump) == ("stall", "runnable task", "d")


def test_an_ejection_without_a_word_is_of_an_unknown_kind(bench: Bench) -> None:
    bench.start("wordless")
    ended = bench.until_ended()
    assert (ended.outcome, ended.kind) == (LoaderOutcome.EJECTED, -1)
    assert "status 20" in ended.message


def test_it_reads_again_what_changed_and_nothing_else(bench: Bench) -> None:
    first, second = Inputs((7,)), Inputs((7, 8), ((8, 5_000_000_000),))
    bench.start("attach", inputs=first)
    bench.loader.feed(second)
    bench.until_attached()
    bench.wait(lambda: bench.read() == ["Read 7\n|"])
    bench.loader.feed(first)
    bench.loader.feed(second)
    bench.wait(lambda: len(bench.read()) > 1)
    assert bench.read() == ["Read 7\n|", "Read 7\n8\n|8 5000000000\n"]


def test_what_it_cannot_be_told_keeps_it_from_starting(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "target-cgroups").mkdir()
    bench.start("attach")
    ended = bench.until_ended()
    assert ended.outcome is LoaderOutcome.START_FAILED
    assert "target-cgroups" in ended.message


def test_what_it_refuses(bench: Bench) -> None:
    bench.start("refuse")
    ended = bench.until_ended()
    assert (ended.outcome, ended.was_attached) == (LoaderOutcome.DIGEST_MISMATCH, False)
    assert ended.message == "not the object that was approved"


@pytest.mark.parametrize("lease_ms", [500])
def test_it_lets_go_when_nobody_renews(tmp_path: Path, lease_ms: int) -> None:
    for bench in benches(tmp_path, lease_ms=lease_ms):
        bench.start("attach")
        bench.until_attached()
        assert bench.until_ended(renewing=False).outcome is LoaderOutcome.LEASE_EXPIRED


def test_it_is_killed(bench: Bench) -> None:
    bench.start("die")
    ended = bench.until_ended()
    assert ended.outcome is LoaderOutcome.KILLED
    assert "-9" in ended.message


def test_somebody_else_ends_it(bench: Bench, tmp_path: Path) -> None:
    bench.start("attach")
    bench.until_attached()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _runs(entry, str(tmp_path / "object")):
            os.kill(int(entry.name), signal.SIGTERM)
    assert bench.until_ended().outcome is LoaderOutcome.KILLED


def _runs(entry: Path, argument: str) -> bool:
    try:
        return argument.encode() in (entry / "cmdline").read_bytes()
    except OSError:
        return False


def test_one_that_never_attaches(tmp_path: Path) -> None:
    for bench in benches(tmp_path, attach=1.0):
        bench.start("hang")
        assert bench.until_ended().outcome is LoaderOutcome.ATTACH_TIMEOUT


def test_one_that_does_not_hear(tmp_path: Path) -> None:
    for bench in benches(tmp_path, detach=1.0):
        bench.start("deaf")
        bench.until_attached()
        bench.loader.stop()
        assert bench.until_ended().outcome is LoaderOutcome.DETACHED


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    loader = ProcessLoader(
        tmp_path / "gone",
        inputs=InputFiles(tmp_path),
        lease_ms=1000,
        realtime_priority=0,
        attach_timeout_seconds=1,
        detach_timeout_seconds=1,
    )
    request = LoadRequest(ObjectFile(tmp_path / "o"), DIGEST, "run-1", "schedcp_x", 10_000)
    loader.start(request, now=datetime.now(UTC))
    _, ended = loader.poll(now=datetime.now(UTC))
    assert ended is not None
    assert ended.outcome is LoaderOutcome.START_FAILED
