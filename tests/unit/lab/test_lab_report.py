"""What the demo says at its end, and while it runs."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rich.console import Console

from schedcp_api.candidates import PlanKind, SchedulingPlan
from schedcp_api.nodestates import (
    AttachedScheduler,
    SchedulerNodeStateStatus,
)
from schedcp_api.runs import (
    Attempt,
    AttemptResult,
    BlockFigure,
    OptimizationRunStatus,
    Outcome,
    OutcomeKind,
    RunStage,
    StageTime,
)
from schedcp_lab.report import Act, DemoRecord, Finding, effect_text, html_report, text_report
from schedcp_lab.tree import picture
from schedcp_lab.views import NodeView, RunView
from support.operator_nouns import NOW, candidate, figures, run

WORSE = Outcome(
    kind=OutcomeKind.WORSE,
    reason="GuardrailViolated",
    message="guard rail neighbours got 30.0 % worse; the margin is 5%",
    metric="WakeupLatencyP99",
    effect="70%",
    interval_low="65%",
    interval_high="74%",
    p_value="0.031250",
    smallest_detectable="5%",
    pairs=5,
)
HOSTILE = "<script>alert('x')</script>"


EARLIER = WORSE.replace(message="it got worse", effect="-12%", interval_low="-20%")


def attempt(
    name: str, result: AttemptResult, blocks: tuple[BlockFigure, ...], outcome: Outcome | None
) -> Attempt:
    """A candidate that had a canary."""
    return Attempt(
        plan=SchedulingPlan(kind=PlanKind.CONFIGURE, scheduler=name, rationale="by rule"),
        candidate=candidate(name),
        candidate_digest=candidate(name).content_digest(),
        result=result,
        blocks=blocks,
        outcome=outcome,
    )


def view(outcome: Outcome = WORSE) -> RunView:
    """A finished run with five pairs of blocks."""
    blocks = tuple(
        block.replace(
            started_at=NOW + timedelta(seconds=10 * block.index),
            ended_at=NOW + timedelta(seconds=10 * block.index + 8),
        )
        for block in figures([(0.5, 1.0)] * 5)
    )
    stage = StageTime(stage=RunStage.CANARY, started_at=NOW, ended_at=NOW + timedelta(seconds=90))
    status = OptimizationRunStatus(
        stage=RunStage.FINISHED,
        outcome=outcome,
        attempts=(
            attempt("long_tail", AttemptResult.ROLLED_BACK, blocks, EARLIER),
            attempt("latency_class", AttemptResult.ROLLED_BACK, blocks, outcome),
        ),
        stages=(stage,),
        finished_at=NOW,
    )
    return RunView("checkout-1", run().spec, status)


def record(*findings: Finding) -> DemoRecord:
    """A demo of one act."""
    act = Act("1. An act", HOSTILE, view(), findings)
    return DemoRecord(
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=600),
        kernel="7.3.4",
        accelerator="tcg",
        nodes=2,
        setup=(("control plane", 3.0),),
        acts=(act,),
    )


def printed(*parts: object) -> str:
    """What a terminal would show."""
    console = Console(width=200, record=True, file=io.StringIO())
    for part in parts:
        console.print(part)
    return console.export_text()


def test_a_violated_guard_rail_is_said_first() -> None:
    said = effect_text(WORSE)
    assert said.startswith("Worse (GuardrailViolated): guard rail neighbours got 30.0 % worse")
    assert "better by" not in said


def test_the_report_says_what_was_begun_again() -> None:
    whole = record(Finding("it held", held=True))
    assert "egun again" not in printed(text_report(whole)) + html_report(whole)
    again = replace(whole, acts=(replace(whole.acts[0], broken=f"node-1's kernel {HOSTILE}"),))
    assert "begun again: node-1's kernel" in printed(text_report(again))
    page = html_report(again)
    assert "Begun again: node-1" in page
    assert HOSTILE not in page


def test_the_report_says_what_did_not_hold() -> None:
    good = record(Finding("it held", held=True, seen="node-1"))
    assert "the loop did what it should" in printed(text_report(good))
    bad = record(Finding("it held", held=True), Finding("it did not", held=False, seen="why"))
    said = printed(text_report(bad))
    assert "did NOT do what it should" in said
    assert "NO  it did not (why)" in said
    assert not record().passed, "an act without findings has shown nothing"


def test_the_page_needs_nothing_from_outside_and_quotes_what_it_shows() -> None:
    page = html_report(record(Finding(HOSTILE, held=False, seen=HOSTILE)))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']\s*(?:https?:)?//", page)


def test_every_candidate_that_was_measured_has_its_effect_and_its_plot() -> None:
    told = record(Finding("it held", held=True))
    said = printed(text_report(told))
    assert "long_tail: Worse (GuardrailViolated): it got worse. WakeupLatencyP99: imp" in said
    assert "-12%, 90 % interval -20% to 74%" in said
    page = html_report(told)
    assert page.count("<svg") == 2
    assert "-12%, 90 % interval -20% to 74%" in page


def test_a_canary_under_way_shows_the_blocks_that_are_over() -> None:
    done = figures([(0.005, 0.02)])
    late = done[1].replace(index=2, value="")
    here = attempt("latency_class", AttemptResult.PENDING, (*done, late), None)
    status = OptimizationRunStatus(stage=RunStage.CANARY, attempts=(here,))
    under_way = RunView("checkout-1", run().spec, status)
    said = printed(picture("SchedCP", [under_way], [], now=NOW))
    assert "blocks On:5.00ms Off:20.00ms Off:no data" in said


def test_the_live_picture_shows_stages_and_nodes() -> None:
    attached = AttachedScheduler(ops_name="schedcp_x", enable_seq=1, run="checkout-1", since=NOW)
    busy = SchedulerNodeStateStatus(sched_ext_state="enabled", attached=(attached,))
    rest = SchedulerNodeStateStatus(sched_ext_state="disabled")
    nodes = [NodeView("node-1", busy, None, "schedcp_x"), NodeView("node-2", rest, None, "")]
    said = printed(picture("SchedCP", [view()], nodes, now=datetime.now(UTC)))
    for words in ("checkout-1", "Canary 90s", "node-1  schedcp_x", "node-2  kernel default"):
        assert words in said
    assert "Worse (GuardrailViolated)" in said
