"""The agent's series for Prometheus. The only module that imports prometheus_client.

What is measured carries the time of its tick. A scrape comes up to a tick later, and more on a node
that is short of CPU time; in a block of a few seconds that would be most of the noise. And a block
begins and ends with a tick, so that however rare ticks are, it has a reading at each end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from schedcp_api import metrics as names

from .histograms import Histogram, lower_bound, slot_of
from .sides import Role, SideUsage

_WRITE_FAILURES = "schedcp_agent_status_write_failures"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = tuple(
    (repr(seconds), slot_of(round(seconds * 1e9)))
    for seconds in names.WAKEUP_LATENCY_BUCKETS_SECONDS
)
"""Each bucket's label, and the histogram slot at which it ends."""

if any(
    lower_bound(slot) != round(float(label) * 1e9) for label, slot in _BUCKETS
):  # pragma: no cover
    raise RuntimeError("the metric's buckets are not bucket boundaries of the probes")


@dataclass(frozen=True)
class Snapshot:
    """Everything that is exported, as it was at one tick."""

    node: str = ""
    tick_at: float | None = None
    """The tick in which `latency` and `usage` were read, in seconds since the epoch."""
    latency: Mapping[tuple[str, Role], Histogram] = field(default_factory=dict)
    usage: Mapping[tuple[str, Role], SideUsage] = field(default_factory=dict)
    ops: str = ""
    object_digest: str = ""
    enable_seq: int = 0
    ejections: Mapping[str, int] = field(default_factory=dict)
    reverts: Mapping[str, int] = field(default_factory=dict)
    write_failures: int = 0
    statistics: Mapping[str, float] = field(default_factory=dict)
    """Of the attached scheduler, by its own program."""


class Exporter(Collector):
    """Renders the latest snapshot; the agent replaces it, the server reads it."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def publish(self, snapshot: Snapshot) -> None:
        """Replace what is exported."""
        self._snapshot = snapshot

    def render(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families of one snapshot."""
        snapshot = self._snapshot
        if not snapshot.node:
            return
        yield _latency(snapshot)
        yield from _usage(snapshot)
        yield from _scheduler(snapshot)


def _latency(snapshot: Snapshot) -> Metric:
    family = HistogramMetricFamily(
        names.WAKEUP_LATENCY,
        "Time from a thread's wakeup to its running.",
        labels=("node", "policy", "role"),
    )
    for (policy, role), histogram in snapshot.latency.items():
        family.add_metric(
            (snapshot.node, policy, role),
            _cumulative(histogram),
            histogram.total_ns / 1e9,
            timestamp=snapshot.tick_at,
        )
    return family


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    seen, start = 0, 0
    for label, end in _BUCKETS:
        seen += sum(histogram.slots[start:end])
        buckets.append((label, seen))
        start = end
    buckets.append(("+Inf", histogram.count))
    return buckets


def _usage(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("node", "policy", "role")
    cpu = CounterMetricFamily(names.CPU_TIME, "CPU time used by the side's pods.", labels=labels)
    pressure = CounterMetricFamily(
        names.CPU_PRESSURE,
        "Time in which a thread of the side's pod that waited most waited for a CPU.",
        labels=labels,
    )
    for (policy, role), usage in snapshot.usage.items():
        for family, usec in ((cpu, usage.cpu_usec), (pressure, usage.pressure_usec)):
            family.add_metric((snapshot.node, policy, role), usec / 1e6, timestamp=snapshot.tick_at)
    yield cpu
    yield pressure


def _scheduler(snapshot: Snapshot) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        names.SCHEDULER_INFO,
        "1 while a sched_ext scheduler is attached.",
        labels=("node", "ops", "object_digest"),
    )
    if snapshot.ops:
        info.add_metric((snapshot.node, snapshot.ops, snapshot.object_digest), 1)
    yield info
    statistic = GaugeMetricFamily(
        names.STATISTIC, "What a scheduler's program says of it.", labels=("node", "ops", "name")
    )
    for name, figure in snapshot.statistics.items():
        statistic.add_metric((snapshot.node, snapshot.ops, name), figure)
    yield statistic
    sequence = GaugeMetricFamily(
        names.ENABLE_SEQ, "How often a sched_ext scheduler was enabled.", labels=("node",)
    )
    sequence.add_metric((snapshot.node,), snapshot.enable_seq)
    yield sequence
    failures = CounterMetricFamily(
        _WRITE_FAILURES, "Statuses that the API server did not take.", labels=("node",)
    )
    failures.add_metric((snapshot.node,), snapshot.write_failures)
    yield failures
    for name, text, label, counts in (
        (names.EJECTIONS, "Schedulers that the kernel ejected.", "kind", snapshot.ejections),
        (names.REVERTS, "Reverts by the agent itself.", "reason", snapshot.reverts),
    ):
        family = CounterMetricFamily(name, text, labels=("node", label))
        for value, count in counts.items():
            family.add_metric((snapshot.node, value), count)
        yield family
