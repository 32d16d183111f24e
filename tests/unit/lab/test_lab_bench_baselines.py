"""What the baselines' guest says is read as it may come from a guest that breaks."""

from __future__ import annotations

import base64

import pytest

from schedcp_lab.bench_baselines import read_trials

NAMES = {"000": "bad/first", "001": "bad/second"}


def end(number: str, state: str, ops: str, name: str, said: str) -> bytes:
    encoded = base64.b64encode(said.encode()).decode()
    return f"end {number} {state} {ops} {name} {encoded}".encode()


def test_each_object_has_its_trial() -> None:
    lines = [
        b"begin 000",
        end("000", "enabled", "fifo", "fifo", "all is well"),
        b"begin 001",
        end("001", "disabled", "-", "vtime", "EXIT: runtime ERROR"),
        None,
    ]
    found = dict(read_trials(lines, NAMES))
    assert (found["bad/first"].by_error, found["bad/first"].by_state) == (False, False)
    assert (found["bad/second"].by_error, found["bad/second"].by_state) == (True, True)
    assert found["bad/second"].said == "EXIT: runtime ERROR"


def test_another_schedulers_name_is_not_ones_own() -> None:
    lines = [b"begin 000", end("000", "enabled", "other", "fifo", "")]
    ((_, trial),) = read_trials(lines, NAMES)
    assert trial.by_state


def test_a_guest_that_dies_counts_against_what_it_ran() -> None:
    lines = [b"begin 000", end("000", "enabled", "a", "a", ""), b"begin 001", None]
    found = dict(read_trials(lines, NAMES))
    assert not found["bad/first"].crashed
    assert found["bad/second"].crashed


@pytest.mark.parametrize(
    "noise",
    [b"", b"begin", b"end 000 enabled", b"end 001 enabled a a ", b"\xff\xfe", b"hello world"],
)
def test_noise_is_no_trial(noise: bytes) -> None:
    assert list(read_trials([b"begin 000", noise], NAMES)) == []


def test_what_cannot_be_decoded_says_nothing() -> None:
    ((_, trial),) = read_trials([b"begin 000", b"end 000 enabled a a %%%"], NAMES)
    assert not trial.by_error
    assert not trial.by_state
