"""Histograms with four buckets an octave, as the probes count them in the kernel.

Bucket boundaries are `2**k * (4 + quarter) / 4` nanoseconds, the same as in `probes/wakeups.c` and
as the metric's buckets in `schedcp_api.metrics`, so that nothing is ever resampled.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from schedcp_api.profiles import Distribution

SLOTS = 160
_LAYOUT = struct.Struct(f"={SLOTS}QQQ")
HISTOGRAM_BYTES = _LAYOUT.size


def slot_of(value_ns: int) -> int:
    """Return the bucket of a duration; the last one takes everything above."""
    if value_ns < 4:
        return max(value_ns, 0)
    octave = value_ns.bit_length() - 1
    return min((octave - 1) * 4 + ((value_ns >> (octave - 2)) & 3), SLOTS - 1)


def lower_bound(slot: int) -> int:
    """Return the smallest duration of a bucket, in nanoseconds."""
    if slot < 4:
        return slot
    octave, quarter = slot // 4 + 1, slot % 4
    return (4 + quarter) << (octave - 2)


@dataclass(frozen=True)
class Histogram:
    """Counts by bucket, the sum of all durations, and the longest (0 when not known)."""

    slots: tuple[int, ...] = (0,) * SLOTS
    total_ns: int = 0
    max_ns: int = 0

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Histogram":
        """Decode the kernel's `struct hist`; raise ValueError for another size."""
        if len(raw) != HISTOGRAM_BYTES:
            raise ValueError(f"a histogram has {HISTOGRAM_BYTES} bytes, not {len(raw)}")
        *slots, total, longest = _LAYOUT.unpack(raw)
        return cls(tuple(slots), total, longest)

    @classmethod
    def of(cls, values_ns: Iterable[int]) -> "Histogram":
        """Count durations, as the kernel side does."""
        slots, total, longest = [0] * SLOTS, 0, 0
        for value in values_ns:
            slots[slot_of(value)] += 1
            total += value
            longest = max(longest, value)
        return cls(tuple(slots), total, longest)

    @property
    def count(self) -> int:
        """Return how many durations were counted."""
        return sum(self.slots)

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(
            tuple(map(int.__add__, self.slots, other.slots)),
            self.total_ns + other.total_ns,
            max(self.max_ns, other.max_ns),
        )

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return what was counted after `earlier`; a counter that went back counts as 0."""
        slots = tuple(
            max(0, now - then) for now, then in zip(self.slots, earlier.slots, strict=True)
        )
        return Histogram(slots, max(0, self.total_ns - earlier.total_ns))

    def quantile(self, permille: int) -> int:
        """Return a quantile in nanoseconds, linear inside its bucket; 0 without samples."""
        count = self.count
        if not count:
            return 0
        wanted = count * permille / 1000
        seen = 0
        for slot, number in enumerate(self.slots):
            if number and seen + number >= wanted:
                low, high = lower_bound(slot), lower_bound(slot + 1)
                value = int(low + (high - low) * max(0.0, wanted - seen) / number)
                return min(value, self.longest())
            seen += number
        return self.longest()

    def longest(self) -> int:
        """Return the longest duration, or its bucket's upper end when only that is known."""
        if self.max_ns:
            return self.max_ns
        last = max((slot for slot, number in enumerate(self.slots) if number), default=None)
        return 0 if last is None else lower_bound(last + 1)

    def distribution(self) -> Distribution:
        """Return the summary that goes into a profile."""
        count = self.count
        return Distribution(
            count=count,
            mean_ns=self.total_ns // count if count else 0,
            p10_ns=self.quantile(100),
            p25_ns=self.quantile(250),
            p50_ns=self.quantile(500),
            p75_ns=self.quantile(750),
            p90_ns=self.quantile(900),
            p99_ns=self.quantile(990),
            p999_ns=self.quantile(999),
            max_ns=self.longest(),
        )


def total(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of histograms."""
    result = Histogram()
    for histogram in histograms:
        result = result + histogram
    return result
