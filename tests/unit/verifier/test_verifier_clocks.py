"""When an answer of the clock changes, and after which time it begins anew."""

from __future__ import annotations

import pytest

from schedcp_verifier.clocks import moments_of, periods_of
from schedcp_verifier.terms import Role, Term, Terms

SECOND = 10**9
STEPS = {
    "seconds": (("/", SECOND), ("%", 600)),
    "moved": (("/", SECOND), ("%", 600), ("+", -60)),
    "bits": ((">>", 35), ("&", 15)),
    "nanoseconds": (("%", 600 * SECOND),),
}


def clock(steps: tuple[tuple[str, int], ...], name: str = "bpf_ktime_get_ns") -> Term:
    """Return what is computed from the time by some steps."""
    terms = Terms()
    found = terms.make(Role.RESULT, (name,), sources={"time"})
    for operator, number in steps:
        found = terms.operation(operator, found, terms.of(number))
    return found


@pytest.mark.parametrize(
    ("steps", "period"),
    [
        ("seconds", 600 * SECOND),
        ("moved", 600 * SECOND),
        ("bits", 1 << 39),
        ("nanoseconds", 600 * SECOND),
    ],
)
def test_a_remainder_begins_anew(steps: str, period: int) -> None:
    assert periods_of(clock(STEPS[steps])) == {period}


@pytest.mark.parametrize(
    ("steps", "value", "moment"),
    [
        ("seconds", 40, 40 * SECOND),
        ("moved", 40, 100 * SECOND),
        ("bits", 7, 7 << 35),
        ("nanoseconds", 40 * SECOND, 40 * SECOND),
    ],
)
def test_an_answer_changes_when_the_value_comes_by(steps: str, value: int, moment: int) -> None:
    assert moment in moments_of(clock(STEPS[steps]), {value})


def test_a_jiffy_is_a_millisecond_at_least() -> None:
    assert moments_of(clock((), "bpf_jiffies64"), {500}) == {500 * 10**6}


def test_what_only_grows_has_no_period() -> None:
    assert periods_of(clock((("/", SECOND), ("+", 5)))) == set()
