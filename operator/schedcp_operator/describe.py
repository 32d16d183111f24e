"""The Observation agent, by rule: what kind of work a profile shows. Pure.

Behaviour only: bursts, sleeps, wakeups, load. Names are for people and never looked at.
"""

from dataclasses import dataclass

from schedcp_api.candidates import Confidence, WorkloadClass, WorkloadDescription
from schedcp_api.policies import Objective
from schedcp_api.profiles import GroupProfile, WorkloadProfile

_MS = 1_000_000
SHORT_BURST_NS = 10 * _MS
"""Work that ends within this answers to somebody; longer work computes."""
_LONG_BURST_NS = 5 * _MS
_SKEW = 4
"""How many times the median the 99th percentile of bursts is in work with a long tail."""


@dataclass(frozen=True)
class Reading:
    """The figures of a profile that the rules look at."""

    cpu_share: float
    """CPU that the target used, of all CPUs of the node."""
    total_share: float
    wakeups_per_second: float
    burst_p50_ns: int
    burst_p90_ns: int
    burst_p99_ns: int
    sleep_p50_ns: int
    latency_p99_ns: int
    duty: float
    """Share of a thread's time between two sleeps that it spends on a CPU."""

    @classmethod
    def of(cls, profile: WorkloadProfile) -> "Reading":
        """Return the figures of `profile`."""
        target = profile.target
        capacity = 1000 * profile.cpus
        seconds = profile.duration_ms / 1000
        busy = target.burst.mean_ns
        return cls(
            cpu_share=target.cpu_milli / capacity,
            total_share=(target.cpu_milli + profile.neighbours.cpu_milli) / capacity,
            wakeups_per_second=target.wakeup_latency.count / seconds,
            burst_p50_ns=target.burst.p50_ns,
            burst_p90_ns=target.burst.p90_ns,
            burst_p99_ns=target.burst.p99_ns,
            sleep_p50_ns=target.sleep.p50_ns,
            latency_p99_ns=target.wakeup_latency.p99_ns,
            duty=busy / max(1, busy + target.sleep.mean_ns) if busy else 0.0,
        )


def describe(profile: WorkloadProfile, objective: Objective) -> WorkloadDescription:
    """Return what kind of work the profile's target is, with the figures that say so."""
    reading = Reading.of(profile)
    kind = classify(profile.target, reading)
    return WorkloadDescription(
        workload_class=kind,
        goal=objective.description or f"{objective.direction} {objective.metric.name}",
        summary=_summary(kind, reading),
        confidence=_confidence(profile),
        facts=_facts(profile, reading),
    )


def classify(target: GroupProfile, reading: Reading) -> WorkloadClass:
    """Return the class; the rules are tried in order and the first that holds wins."""
    if reading.cpu_share < 0.01 and reading.wakeups_per_second < 10:
        return WorkloadClass.IDLE
    if _is_long_tail(target, reading):
        return WorkloadClass.LONG_TAIL_BATCH
    sleeper = reading.sleep_p50_ns >= reading.burst_p50_ns
    if (
        reading.wakeups_per_second >= 5
        and 0 < reading.burst_p90_ns <= SHORT_BURST_NS
        and (sleeper or reading.duty < 0.5)
    ):
        return WorkloadClass.LATENCY_SENSITIVE
    if reading.cpu_share >= 0.1 and (reading.duty >= 0.5 or target.burst.count == 0):
        return WorkloadClass.THROUGHPUT_BATCH
    return WorkloadClass.MIXED


def _is_long_tail(target: GroupProfile, reading: Reading) -> bool:
    return (
        reading.cpu_share >= 0.25
        and target.burst.count >= 5
        and reading.burst_p50_ns >= _LONG_BURST_NS
        and reading.burst_p99_ns >= _SKEW * reading.burst_p50_ns
        and reading.duty >= 0.5
    )


def _confidence(profile: WorkloadProfile) -> Confidence:
    samples = profile.target.wakeup_latency.count
    lost = profile.lost_samples / max(1, samples + profile.lost_samples)
    if samples >= 1000 and lost < 0.01:
        return Confidence.HIGH
    if samples >= 100 and lost < 0.1:
        return Confidence.MEDIUM
    return Confidence.LOW


def _summary(kind: WorkloadClass, reading: Reading) -> str:
    words = {
        WorkloadClass.IDLE: "next to no work: there is nothing to gain",
        WorkloadClass.LONG_TAIL_BATCH: "long computations of very unequal length",
        WorkloadClass.LATENCY_SENSITIVE: "short bursts between sleeps, woken often",
        WorkloadClass.THROUGHPUT_BATCH: "threads that compute and seldom sleep",
        WorkloadClass.MIXED: "neither short bursts nor steady computing",
    }[kind]
    return (
        f"{words}; bursts of {reading.burst_p50_ns / _MS:.2f} ms (p90"
        f" {reading.burst_p90_ns / _MS:.2f}), {reading.wakeups_per_second:.0f} wakeups a second,"
        f" waiting {reading.latency_p99_ns / _MS:.2f} ms at the 99th percentile"
    )


def _facts(profile: WorkloadProfile, reading: Reading) -> tuple[str, ...]:
    neighbours = profile.neighbours
    return (
        f"target uses {100 * reading.cpu_share:.0f} % of {profile.cpus} CPUs",
        f"all pods use {100 * reading.total_share:.0f} %",
        f"target burst p50 {reading.burst_p50_ns} ns, p90 {reading.burst_p90_ns} ns,"
        f" p99 {reading.burst_p99_ns} ns",
        f"target sleep p50 {reading.sleep_p50_ns} ns",
        f"target wakeups {reading.wakeups_per_second:.0f}/s",
        f"target wakeup latency p99 {reading.latency_p99_ns} ns",
        f"neighbour burst p50 {neighbours.burst.p50_ns} ns of {neighbours.burst.count}",
        f"neighbour pressure {neighbours.cpu_pressure_permille} permille",
    )
