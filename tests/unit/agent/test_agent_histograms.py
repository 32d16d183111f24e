"""Histograms: the kernel side's arithmetic, and what is read out of it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.histograms import HISTOGRAM_BYTES, SLOTS, Histogram, lower_bound, slot_of, total
from schedcp_api.metrics import WAKEUP_LATENCY_BUCKETS_SECONDS

DURATIONS = st.integers(min_value=0, max_value=2**39)


@given(DURATIONS)
def test_a_duration_lies_in_its_slot(value: int) -> None:
    slot = slot_of(value)
    assert lower_bound(slot) <= value < lower_bound(slot + 1)


@pytest.mark.parametrize(
    ("value", "slot"), [(0, 0), (3, 3), (4, 4), (7, 7), (8, 8), (9, 8), (10, 9), (2**63, SLOTS - 1)]
)
def test_slots(value: int, slot: int) -> None:
    assert slot_of(value) == slot


@given(st.lists(DURATIONS, min_size=1, max_size=200), st.integers(min_value=1, max_value=999))
def test_a_quantile_is_within_its_slot(values: list[int], permille: int) -> None:
    exact = sorted(values)[max(0, -(-len(values) * permille // 1000) - 1)]
    found = Histogram.of(values).quantile(permille)
    assert lower_bound(slot_of(exact)) <= found <= lower_bound(slot_of(exact) + 1)


@given(st.lists(DURATIONS, max_size=50), st.lists(DURATIONS, max_size=50))
def test_what_was_counted_since(before: list[int], after: list[int]) -> None:
    first, both = Histogram.of(before), Histogram.of(before + after)
    assert both.since(first).slots == Histogram.of(after).slots
    assert both.since(first).total_ns == sum(after)
    assert total([first, Histogram.of(after)]) == both


def test_nothing_counted_is_all_zeros() -> None:
    summary = Histogram().distribution()
    assert (summary.count, summary.p99_ns, summary.max_ns) == (0, 0, 0)


def test_decoding_what_the_kernel_holds() -> None:
    expected = Histogram.of([5, 1_000_000, 1_000_001])
    raw = struct.pack(f"={SLOTS}QQQ", *expected.slots, expected.total_ns, expected.max_ns)
    assert Histogram.from_bytes(raw) == expected


@given(st.binary(max_size=2 * HISTOGRAM_BYTES))
def test_any_bytes_decode_or_are_refused(raw: bytes) -> None:
    if len(raw) == HISTOGRAM_BYTES:
        assert len(Histogram.from_bytes(raw).slots) == SLOTS
    else:
        with pytest.raises(ValueError, match="bytes"):
            Histogram.from_bytes(raw)


def test_the_exported_buckets_are_the_probes_buckets() -> None:
    for seconds in WAKEUP_LATENCY_BUCKETS_SECONDS:
        ns = round(seconds * 1e9)
        assert lower_bound(slot_of(ns)) == ns
