"""Decoding the kernel's maps."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.histograms import SLOTS, Histogram
from schedcp_agent.probes.decode import (
    GROUP_BYTES,
    TASK_BYTES,
    TaskRow,
    decode_group,
    decode_sum,
    decode_task,
    longest_waits,
)


def raw_histogram(histogram: Histogram) -> bytes:
    return struct.pack(f"={SLOTS}QQQ", *histogram.slots, histogram.total_ns, histogram.max_ns)


def test_a_task() -> None:
    raw = struct.pack("=QQQQII", 11, 12, 13, 14, 2, 77)
    assert decode_task(raw) == TaskRow(woken_ns=11, side=2, tgid=77)


def test_a_group() -> None:
    latency, burst, sleep = Histogram.of([10]), Histogram.of([20, 30]), Histogram.of([])
    raw = b"".join(map(raw_histogram, (latency, burst, sleep)))
    raw += struct.pack("=QQQ16s", 50, 3, 2, b"checkout\0rubbish")
    found = decode_group(struct.pack("=II", 2, 77), raw, threads=5)
    assert (found.side, found.tgid, found.comm, found.threads) == (2, 77, "checkout", 5)
    assert (found.cpu_ns, found.switches, found.wakeups) == (50, 3, 2)
    assert (found.latency, found.burst, found.sleep) == (latency, burst, sleep)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_wrong_sizes_are_refused(key: bytes, raw: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        decode_group(key, raw, threads=1)
    if len(raw) != TASK_BYTES:
        with pytest.raises(ValueError, match="bytes"):
            decode_task(raw)


@given(st.binary(min_size=GROUP_BYTES, max_size=GROUP_BYTES))
def test_any_group_of_the_right_size_decodes(raw: bytes) -> None:
    found = decode_group(b"\x02\0\0\0\x07\0\0\0", raw, threads=1)
    assert (found.side, found.tgid) == (2, 7)
    assert "\0" not in found.comm


def test_per_cpu_histograms_add_up() -> None:
    parts = [Histogram.of([1, 2]), Histogram.of([1_000])]
    assert decode_sum(map(raw_histogram, parts)) == Histogram.of([1, 2, 1_000])


def test_the_longest_wait_is_the_one_that_still_goes_on() -> None:
    rows = [TaskRow(0, 2, 1), TaskRow(400, 2, 1), TaskRow(900, 2, 2), TaskRow(999, 3, 3)]
    assert longest_waits(rows, now_ns=1000) == {2: 600, 3: 1}
