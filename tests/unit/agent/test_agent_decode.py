"""Decoding the kernel's maps."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.histograms import SLOTS, Histogram
from schedcp_agent.probes.bcc_probes import Walker
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


class _Table(dict[int, str]):
    """A map that can be read at once, or can not, and from which keys vanish while it is walked."""

    def __init__(self, content: dict[int, str], *, fails: bool = False) -> None:
        super().__init__(content)
        self.fails, self.batches, self.gone = fails, 0, frozenset[int]()

    def items_lookup_batch(self) -> Iterator[tuple[int, str]]:
        self.batches += 1
        if self.fails:
            raise Exception("BPF_MAP_LOOKUP_BATCH has failed")
        yield from self.items()

    def __getitem__(self, key: int) -> str:
        if key in self.gone:
            raise KeyError(key)
        return super().__getitem__(key)


class TestWalker:
    """How whole maps are read."""

    def test_at_once(self) -> None:
        table = _Table({1: "a", 2: "b"})
        table.gone = frozenset({1, 2})
        assert Walker().items(table) == [(1, "a"), (2, "b")]

    def test_key_by_key_where_the_kernel_cannot(self) -> None:
        table, walker = _Table({1: "a", 2: "b", 3: "c"}, fails=True), Walker()
        table.gone = frozenset({2})
        for _ in range(3):
            assert walker.items(table) == [(1, "a"), (3, "c")]
        assert table.batches == 1, "it is not tried again"

    def test_key_by_key_with_an_old_bcc(self) -> None:
        assert Walker().items({1: "a"}) == [(1, "a")]
