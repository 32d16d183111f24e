"""From findings to figures with targets, and to what is shown of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from schedcp_api.verdicts import Check, Phase, Stage
from schedcp_lab.bench_cases import Case
from schedcp_lab.bench_report import Circumstances, as_json, plot, text_report
from schedcp_lab.bench_results import Judgement, Shelf, Trial, judgement_of
from schedcp_lab.bench_scoreboard import FULL_SECONDS, REJECT_SECONDS, Entry, Row, Scoreboard

AT = Circumstances(
    scope="3 schedulers",
    machine="x86_64, 2 CPUs",
    kernel="7.0.0-test",
    accelerator="tcg",
    workers=2,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    seconds=60.0,
    reused=1,
    start_cpu_seconds=1.0,
)
PASSED = Judgement(None, (), (), (), "", cpu_seconds=40.0, wall_seconds=80.0, whole=True)
OPEN = replace(PASSED, whole=False, cpu_seconds=1.0)
UNTOLD = replace(PASSED, undecided=("Dynamic/guest",))
GONE, ENABLED = Trial(True, True, False), Trial(True, False, True)


def stopped(stage: Stage, cpu_seconds: float = 1.0) -> Judgement:
    return replace(
        PASSED, stage=stage, failed=(f"{stage}/x",), cpu_seconds=cpu_seconds, reason="because"
    )


def bad(name: str, judgement: Judgement, *stages: Stage, trial: Trial | None = None) -> Entry:
    named = stages or (Stage.BYTECODE, Stage.DYNAMIC)
    return Entry(Case(Path(f"bad/{name}.bpf.c"), named), judgement, trial)


def good(name: str, judgement: Judgement, trial: Trial | None = None) -> Entry:
    return Entry(Case(Path(f"good/{name}.bpf.c")), judgement, trial)


def row(board: Scoreboard, begins: str) -> Row:
    (found,) = [row for row in board.rows() if row.row.startswith(begins)]
    return found


@pytest.mark.parametrize(
    ("stage", "named", "in_time"),
    [
        (Stage.SOURCE, (Stage.BYTECODE,), True),
        (Stage.BYTECODE, (Stage.BYTECODE, Stage.DYNAMIC), True),
        (Stage.DYNAMIC, (Stage.BYTECODE, Stage.DYNAMIC), True),
        (Stage.CONTRACT, (Stage.BYTECODE, Stage.DYNAMIC), False),
        (Stage.BYTECODE, (Stage.SOURCE, Stage.BUILD), False),
    ],
)
def test_in_time_is_at_a_stage_named_or_before(
    stage: Stage, named: tuple[Stage, ...], in_time: bool
) -> None:
    assert bad("T01-x", stopped(stage), *named).in_time is in_time


def test_what_becomes_of_variants_is_told_by_name() -> None:
    board = Scoreboard(
        (
            bad("T01-caught", stopped(Stage.BYTECODE)),
            bad("T01-late", stopped(Stage.CONTRACT)),
            bad("T01-missed", PASSED),
            bad("T01-open", OPEN),
            bad("T01-untold", UNTOLD),
        )
    )
    (kind,) = board.kinds()
    assert kind.stages == ((Stage.BYTECODE, 1), (Stage.CONTRACT, 1))
    assert kind.missed == ("T01-missed",)
    assert kind.late == ("T01-late",)
    assert kind.open == ("T01-open",)
    assert kind.undecided == ("T01-untold",)


@pytest.mark.parametrize(
    ("other", "met"),
    [(stopped(Stage.DYNAMIC), True), (OPEN, None), (PASSED, False), (UNTOLD, False)],
)
def test_a_goal_is_met_when_all_is_stopped_and_open_until_all_is_tried(
    other: Judgement, met: bool | None
) -> None:
    board = Scoreboard((bad("T01-a", stopped(Stage.SOURCE)), bad("T02-b", other)))
    assert row(board, "bad ones stopped at the stage").met is met
    assert row(board, "ids of which").met is met


@pytest.mark.parametrize("judgement", [stopped(Stage.BYTECODE), UNTOLD])
def test_a_good_one_that_is_not_accepted_is_refused(judgement: Judgement) -> None:
    board = Scoreboard((good("fifo", PASSED), good("vtime", judgement)))
    assert [entry.case.name for entry in board.refused_good()] == ["good/vtime"]
    assert {r.met for r in board.rows() if r.row.startswith("good ones refused")} == {False}


def test_baselines_are_compared_on_the_same_set_or_not_at_all() -> None:
    entries = (
        bad("T01-a", stopped(Stage.BYTECODE), trial=GONE),
        bad("T02-b", stopped(Stage.BYTECODE), trial=ENABLED),
    )
    compared = row(Scoreboard(entries), "bad ones stopped before a node, beside the search")
    assert (compared.figure, compared.baseline, compared.ratio) == (2, 1, 2.0)
    partly = Scoreboard((*entries[:1], replace(entries[1], trial=None)))
    assert row(partly, "bad ones stopped before a node").baseline is None


@pytest.mark.parametrize(
    ("trial", "by_error", "by_state"),
    [
        (GONE, True, True),
        (ENABLED, False, False),
        (replace(ENABLED, crashed=True), True, True),
        (Trial(False, True, False), True, True),
        (Trial(True, False, False), False, True),
    ],
)
def test_a_guest_that_died_counts_for_the_baselines(
    trial: Trial, by_error: bool, by_state: bool
) -> None:
    assert (trial.by_error, trial.by_state) == (by_error, by_state)


def test_times_are_judged_by_median_and_by_worst() -> None:
    slow = REJECT_SECONDS * 5
    board = Scoreboard(
        (
            *(bad(f"M0{n}-x", stopped(Stage.SOURCE, 0.5)) for n in range(3)),
            bad("M09-x", stopped(Stage.BYTECODE, slow)),
            good("fifo", PASSED),
            good("slow", replace(PASSED, cpu_seconds=FULL_SECONDS + 1)),
        )
    )
    rejecting, whole = row(board, "time to reject"), row(board, "time of a full verdict")
    assert (rejecting.figure, rejecting.met) == (0.5, True)
    assert (whole.figure, whole.met) == (FULL_SECONDS + 1, False)
    by_end = {times.where: times for times in board.times()}
    assert by_end["Bytecode"].worst == "bad/M09-x"
    assert by_end["full verdict"].count == 2


def test_the_first_check_that_failed_names_the_stage() -> None:
    def check(id_: str, stage: Stage, phase: Phase) -> Check:
        return Check(id=id_, stage=stage, phase=phase, message=id_)

    checks = (
        check("a", Stage.SOURCE, Phase.PASSED),
        check("b", Stage.BYTECODE, Phase.WARNING),
        check("c", Stage.BYTECODE, Phase.FAILED),
        check("d", Stage.DYNAMIC, Phase.FAILED),
    )
    found = judgement_of(checks, cpu_seconds=1, wall_seconds=2, whole=False)
    assert found.stage is Stage.BYTECODE
    assert found.failed == ("Bytecode/c", "Dynamic/d")
    assert found.warnings == ("Bytecode/b",)
    assert found.whole
    assert judgement_of(checks[:2], cpu_seconds=1, wall_seconds=2, whole=False).open


def test_findings_are_found_again_by_all_that_they_depend_on(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Judgement)
    key = {"verifier": "a", "request": "b"}
    shelf.keep(key, stopped(Stage.SOURCE))
    assert shelf.find(key) == stopped(Stage.SOURCE)
    assert shelf.find({**key, "verifier": "other"}) is None
    (kept,) = tmp_path.iterdir()
    kept.write_text('{"stage":')
    assert shelf.find(key) is None


def test_reports_say_what_is_missed_and_which_targets_are_not_met() -> None:
    board = Scoreboard(
        (
            bad("T01-missed", PASSED, trial=ENABLED),
            bad("T02-caught", stopped(Stage.BYTECODE), trial=GONE),
            good("fifo", stopped(Stage.DYNAMIC), ENABLED),
        )
    )
    page = io.StringIO()
    Console(file=page, width=200).print(text_report(board, AT))
    said = page.getvalue()
    assert "MISSED: T01-missed" in said
    assert "good/fifo: Dynamic/x: because" in said
    assert "NO" in said
    found = json.loads(as_json(board, AT))
    assert found["kernel"] == AT.kernel
    assert {entry["name"] for entry in found["candidates"]} == {e.case.name for e in board.entries}
    fields = {"row", "figure", "unit", "baseline", "ratio", "spread", "target", "met"}
    assert all(set(entry) == fields for entry in found["rows"])
    assert [entry["met"] for entry in found["rows"] if entry["row"] == "T01"] == [False]


def test_good_ones_alone_have_a_report_too() -> None:
    board = Scoreboard((good("fifo", PASSED, ENABLED),))
    assert "</svg>" in plot(board, AT)
    assert {row.met for row in board.rows() if row.row.startswith("good")} == {True}


def test_the_plot_is_one_picture_that_needs_nothing_else() -> None:
    board = Scoreboard((bad("T01-a", stopped(Stage.SOURCE), trial=GONE), bad("T02-b", PASSED)))
    picture = plot(board, AT)
    assert picture.startswith("<?xml")
    assert picture == plot(board, AT)
    assert "<image" not in picture
