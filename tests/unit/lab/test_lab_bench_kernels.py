"""What a guest that loads many schedulers says of each, and what the bench makes of it."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from schedcp_lab.bench_kernels import Cell, as_json, rows_of, text_report
from schedcp_lab.kernel_series import SeriesKernel
from schedcp_lab.succession import OBJECTS_MAX, STEPS, TRIALS, Fate, fates, tried_in_turn
from schedcp_verifier.records import parse_report
from schedcp_verifier.troubles import HEARTS

MS = 1_000_000


def line(source: str, step: str, **data: Any) -> bytes:
    return json.dumps({"from": source, "step": step, "data": data}).encode()


def text(name: str, step: str, body: str) -> bytes:
    return line("text", step, name=name, base64=base64.b64encode(body.encode()).decode())


def hearts(gap_ms: int, *, without: str = "") -> str:
    beats = [
        {"class": heart, "beats": 0 if heart == without else 9, "longestGapNs": gap_ms * MS}
        for heart in HEARTS
    ]
    return "".join(json.dumps(beat) + "\n" for beat in beats)


def loaded(
    *, gap_ms: int = 20, without: str = "", enable_seq: int = 1, trials: tuple[str, ...] = TRIALS
) -> list[bytes]:
    """What a guest says of a scheduler that was attached as the first one."""
    return [
        line("loader", "s", event="attached", ops="schedcp_s", enableSeq=1),
        *(line("trials", "s", trial=trial, tookNs=1) for trial in trials),
        text("heartbeat", "s", hearts(gap_ms, without=without)),
        line("state", "s", state="enabled", ops="schedcp_s", enableSeq=enable_seq, uptime="1"),
    ]


def fate(lines: list[bytes]) -> Fate:
    return fates(parse_report([*lines, b'{"from":"end"}']), ("s",))["s"]


def test_who_holds_and_lets_everybody_run_is_told_with_the_longest_gap() -> None:
    found = fate(loaded())
    assert found.holds
    assert found.longest_gap_ns == 20 * MS


REFUSED = [line("loader", "s", event="error", message="no such kfunc")]
EXIT = line("loader", "s", event="exit", kind=1026, reason="runnable task stall", message="x")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (REFUSED, "no such kfunc"),
        ([], "did not attach it"),
        ([*loaded(enable_seq=2), EXIT], "runnable task stall"),
        (loaded(trials=TRIALS[:1]), f"only {TRIALS[0]} came to an end"),
        (loaded(without=HEARTS[3]), f"no beat of {HEARTS[3]}"),
        (loaded(gap_ms=9000), "the longest gap was 9000 ms"),
        ([*loaded(), text("complaints", "s", "BUG: x\n")], "the kernel complained: BUG: x"),
        ([*loaded()[:-2], text("heartbeat", "s", "?"), loaded()[-1]], "a heart said '?'"),
    ],
)
def test_who_does_not_hold_is_told_with_the_reason(lines: list[bytes], words: str) -> None:
    found = fate(lines)
    assert not found.holds
    assert words in found.words


def test_a_guest_takes_so_many_objects_and_no_more() -> None:
    objects = {f"s{number}": b"" for number in range(OBJECTS_MAX + 1)}
    with pytest.raises(ValueError, match="more than the"):
        tried_in_turn(None, None, objects)  # type: ignore[arg-type]
    assert STEPS.is_file()


RUNS = Cell("fifo", "7.3.4+deb13-cloud-amd64", (), fate=Fate(True, ""))
LACKS = Cell("fifo", "7.1.13+deb13-cloud-amd64", ("the kfunc a",), "Build: a undeclared")
SURPRISE = Cell("fifo", "6.18.15+deb13-cloud-amd64", (), "Bytecode: starves")
CHEAT = Cell("fifo", "6.17.13+deb13-cloud-amd64", ("the kfunc a",), fate=Fate(True, ""))
NONE = SeriesKernel("6.12.117", None, "no sched_ext")


def test_what_the_needs_foretell_is_met_and_what_surprises_is_not() -> None:
    assert [row.met for row in rows_of([RUNS, LACKS, SURPRISE, CHEAT], [NONE])] == [
        True,
        True,
        False,
        False,
        None,
    ]


def test_the_report_says_why_what_does_not_run_does_not() -> None:
    console = Console(file=io.StringIO(), width=160)
    console.print(text_report([RUNS, LACKS], [NONE]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "7.1.13+deb13-cloud-amd64: fifo: this kernel lacks the kfunc a" in shown
    assert "6.12.117: no sched_ext" in shown
    found = json.loads(
        as_json([RUNS, LACKS], [NONE], machine="m", started_at=datetime(2026, 1, 1, tzinfo=UTC),
                seconds=1.0)
    )  # fmt: skip
    assert [cell["runs"] for cell in found["cells"]] == [True, False]
