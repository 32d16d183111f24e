"""What a guest says is input like any other: a record, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_verifier.errors import GuestOutputError
from schedcp_verifier.microvm import BoundedLog
from schedcp_verifier.records import RECORDS_MAX, Charge, parse_report
from schedcp_verifier.troubles import HEARTS
from support.verifier import group_record, proof_lines, record, state_record, text_record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_a_whole_proof_is_read() -> None:
    report = parse_report(proof_lines())
    assert report.complete
    assert report.states["settled"].ops == "tried"
    assert report.groups["default-weight-last"]["heavy"].cpu_time_ns == 2_900_000_000
    assert [beat.class_ for beat in report.heartbeats] == list(HEARTS)


def test_who_was_in_charge_is_known_when_the_lines_break_off() -> None:
    lines = proof_lines()
    attached, freed = (
        next(i for i, line in enumerate(lines) if b'"border"' in line and who in line)
        for who in (b'"candidate"', b'"kernel"}')
    )
    for end, expected in ((attached, False), (attached + 1, True), (freed + 1, False)):
        charge = Charge()
        parse_report(lines[:end], charge)
        assert charge.candidate is expected


def test_without_the_end_it_is_not_complete() -> None:
    assert not parse_report(proof_lines()[:-1]).complete


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b'{"from":"nobody","step":"x","data":{}}',
        record("state", "x", state="enabled"),
        state_record("x", enableSeq=-1),
        state_record("x", enableSeq="1"),
        state_record("x", extra=1),
        state_record("x" * 200),
        group_record("x", "g", 2**64),
        record("status", "x", program="p", code=256),
        record("text", "x", name="log", base64="***"),
        b'{"from":"end"',
        b"\xff\xfe",
    ],
)
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(GuestOutputError, match="line 1"):
        parse_report([line])


def test_too_many_records_are_refused() -> None:
    line = record("status", "x", program="p", code=0)
    with pytest.raises(GuestOutputError, match="more than"):
        parse_report([line] * (RECORDS_MAX + 1))


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_bytes_do_anything_else(lines: list[bytes]) -> None:
    try:
        parse_report(lines)
    except GuestOutputError:
        return
    assert not lines


@given(
    st.sampled_from(
        ["state", "text", "loader", "workload", "trials", "heartbeat", "kernel", "border"]
    ),
    JSON,
)
def test_no_json_does_anything_else(source: str, data: object) -> None:
    line = json.dumps({"from": source, "step": "s", "data": data}).encode()
    try:
        report = parse_report([line])
    except GuestOutputError:
        return
    assert isinstance(data, dict)
    assert not report.complete


@given(st.binary(max_size=200))
def test_any_text_survives(data: bytes) -> None:
    text = data.decode(errors="replace")
    assert parse_report([text_record("log", "s", text)]).texts["log", "s"] == text


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(min_value=1, max_value=64))
def test_a_log_keeps_its_start_and_its_end_within_its_bound(
    chunks: list[bytes], limit: int
) -> None:
    log = BoundedLog(limit)
    for chunk in chunks:
        log.write(chunk)
    whole = b"".join(chunks)
    assert bytes(log.head) == whole[:limit]
    assert len(log.tail) <= limit
    assert whole.endswith(bytes(log.tail))
    assert len(log.head) + len(log.tail) + log.dropped == len(whole)
