"""A workload's facts: what its threads did on the CPU, and its neighbours'. No opinions."""

from typing import Annotated

from pydantic import Field

from .base import Digest, Noun, ObjectName, ShortText, Timestamp


class Distribution(Noun):
    """A summary of non-negative durations in nanoseconds, quantiles from a histogram.

    With no samples every figure is 0 and `count` says so.
    """

    count: int = Field(ge=0)
    mean_ns: int = Field(ge=0)
    p10_ns: int = Field(ge=0)
    p25_ns: int = Field(ge=0)
    p50_ns: int = Field(ge=0)
    p75_ns: int = Field(ge=0)
    p90_ns: int = Field(ge=0)
    p99_ns: int = Field(ge=0)
    p999_ns: int = Field(ge=0)
    max_ns: int = Field(ge=0)


class ThreadGroup(Noun):
    """The threads of one process (thread-group id) as one row."""

    label: ShortText
    """The executable's comm: shown to people, never an input to a rule or a policy."""
    threads: int = Field(ge=0)
    cpu_milli: int = Field(ge=0)
    """CPU used, in thousandths of one CPU."""
    switches_per_second: int = Field(ge=0)
    wakeups_per_second: int = Field(ge=0)
    burst: Distribution
    """Time on the CPU between a switch-in and going to sleep (preemptions are added up)."""
    sleep: Distribution
    """Time between going to sleep and being woken."""
    wakeup_latency: Distribution
    """Time between being woken and running."""


class GroupProfile(Noun):
    """One side of the profile: the target's pods, or everything else in the pods' hierarchy."""

    pods: int = Field(ge=0)
    cpu_milli: int = Field(ge=0)
    thread_groups: Annotated[tuple[ThreadGroup, ...], Field(max_length=64)] = ()
    """The 64 groups with most CPU or wakeups; the rest is counted in `dropped_groups`."""
    dropped_groups: int = Field(default=0, ge=0)
    wakeup_latency: Distribution
    burst: Distribution
    sleep: Distribution
    cpu_pressure_permille: int = Field(default=0, ge=0, le=1000)
    """Share of the time in which some thread waited for a CPU (PSI `some`)."""


class WorkloadProfile(Noun):
    """What the agent saw of one workload on one node during one window."""

    node: ObjectName
    workload: ShortText
    """`Kind/namespace/name`, or what a command-line profile was asked for."""
    kernel_digest: Digest
    cpus: int = Field(ge=1)
    started_at: Timestamp
    duration_ms: int = Field(ge=1)
    target: GroupProfile
    neighbours: GroupProfile
    lost_samples: int = Field(default=0, ge=0)
    """Samples that the probes dropped; more than a few make the profile unfit."""
