"""Whatever a guest, a loader or a kernel says comes to checks, and nothing else comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_api.verdicts import Check, EvaluationContract, Phase, Stage
from schedcp_verifier.attaching import attachment
from schedcp_verifier.errors import GuestOutputError
from schedcp_verifier.kernellog import judge_kernel_log
from schedcp_verifier.proving import judge_proof
from schedcp_verifier.records import UINT64_MAX, parse_report
from schedcp_verifier.verifierlog import refusal_of
from support.verifier import OPS, proof_lines, record, text_record

NUMBERS = st.integers(0, UINT64_MAX)
WORDS = st.text(max_size=60)
LOG_LINES = st.sampled_from(
    [
        "Verification failed: ",
        "Reason:",
        "  because",
        "At:",
        "Suggestion:",
        "; x = *p; @ a.bpf.c:12",
        "libbpf: prog 'x': failed",
        "processed 3 insns",
        "7: (79) r1 = *(u64 *)(r0 +0)",
        "R0 invalid mem access",
        "BUG: x",
        "",
    ]
)
LOGS = st.lists(LOG_LINES | WORDS, max_size=30).map("\n".join)
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["loaded", "attached", "ended", "error", "stats", "exit"]) | WORDS},
    optional={
        "ops": WORDS,
        "enableSeq": NUMBERS,
        "kind": st.integers(-9, 2000),
        "code": st.integers(-9, 300) | WORDS,
        "exitCode": st.integers(-300, 300),
        "reason": WORDS,
        "message": WORDS,
        "log": LOGS,
        "dump": WORDS,
        "programs": st.lists(
            st.fixed_dictionaries({"name": WORDS, "verifiedInstructions": NUMBERS}), max_size=3
        ),
        "counters": st.dictionaries(WORDS, NUMBERS, max_size=3),
        "of another version": WORDS,
    },
)
MANY = settings(max_examples=60)


def bounded(checks: tuple[Check, ...]) -> bool:
    """Whether every check can be sent and stored."""
    return all(Check.model_validate_json(c.model_dump_json(by_alias=True)) == c for c in checks)


@MANY
@given(LOGS)
def test_any_log_of_the_kernels_verifier_is_one_line(log: str) -> None:
    assert "\n" not in refusal_of(log)


def test_a_huge_log_of_the_kernels_verifier_is_read_in_one_go() -> None:
    for line in ("Verification failed: x\nReason:\n  a\n", "  a  b  c", "\nAt:\n", "R0_w=1 "):
        assert refusal_of(line * (2**20 // len(line)))


@MANY
@given(LOGS, LOGS)
def test_any_log_of_the_kernel_is_a_check(log: str, complaints: str) -> None:
    lines = [text_record("kmsg", "proof", log), text_record("complaints", "proof", complaints)]
    check = judge_kernel_log(parse_report(lines), "proof", Stage.DYNAMIC)
    assert (check.phase is Phase.PASSED) == (bool(log) and not complaints)
    assert bounded((check,))


@MANY
@given(st.lists(EVENTS, max_size=4), st.none() | st.integers(0, 255), LOGS)
def test_any_events_of_the_loader_are_checks(
    events: list[dict[str, Any]], code: int | None, log: str
) -> None:
    lines = [record("loader", "proof", **event) for event in events]
    lines += [text_record("loader", "proof", log)]
    if code is not None:
        lines += [record("status", "proof", program="schedcp-loader", code=code)]
    try:
        report = parse_report(lines)
    except GuestOutputError:
        return
    checks = attachment(report, OPS)
    assert bounded(checks)
    # Nothing was said of who schedules, so whatever the loader claims is not enough.
    assert any(check.phase in (Phase.ERROR, Phase.FAILED) for check in checks)


LINES = proof_lines()


@MANY
@given(st.data())
def test_a_changed_report_is_refused_or_judged(data: st.DataObject) -> None:
    """Numbers and words of one record are others; the whole is judged as any report is."""
    at = data.draw(st.integers(0, len(LINES) - 2))
    found = json.loads(LINES[at])
    place = data.draw(st.sampled_from(sorted(found["data"])))
    found["data"][place] = data.draw(
        NUMBERS | WORDS | st.none() | st.booleans() | st.dictionaries(WORDS, NUMBERS, max_size=2)
    )
    lines = [*LINES[:at], json.dumps(found).encode(), *LINES[at + 1 :]]
    try:
        report = parse_report(lines)
    except GuestOutputError:
        return
    assert bounded(judge_proof(report, OPS, EvaluationContract()).checks)


@MANY
@given(st.lists(st.sampled_from(LINES), max_size=len(LINES)))
def test_any_choice_of_records_is_refused_or_judged(lines: list[bytes]) -> None:
    try:
        report = parse_report(lines)
    except GuestOutputError:
        return
    assert bounded(judge_proof(report, OPS, EvaluationContract()).checks)


def weighs(line: bytes) -> bool:
    """Whether the proof's verdict rests on a record: what was measured, and that it was made."""
    found = json.loads(line)
    kind, step = found["from"], found.get("step", "")
    if kind in ("trials", "heartbeat", "workload", "text"):
        return True
    if kind == "status":
        return step not in ("proof", "trials") or found["data"]["program"] == "heartbeat"
    if kind == "loader":
        return bool(found["data"]["event"] == "loaded")
    return kind == "state" and step in ("attached", "settled", "trials")


@pytest.mark.parametrize("at", [i for i, line in enumerate(LINES) if weighs(line)])
def test_no_record_that_weighs_may_be_missing(at: int) -> None:
    proof = judge_proof(parse_report([*LINES[:at], *LINES[at + 1 :]]), OPS, EvaluationContract())
    assert {check.phase for check in proof.checks} & {Phase.ERROR, Phase.FAILED}


@MANY
@given(st.lists(st.binary(max_size=40) | st.sampled_from(LINES), min_size=1, max_size=9))
def test_any_lines_after_the_end_are_refused(lines: list[bytes]) -> None:
    with pytest.raises(GuestOutputError, match=f"line {len(LINES) + 1} .* after its end"):
        parse_report([*LINES, *lines])
