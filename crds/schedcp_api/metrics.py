"""Names of the series that agents export and the judge reads: one place, so that both agree.

All series of an agent carry the label `node`. Those of a tracked workload carry `policy` and
`role` (`target` or `neighbour`) as well.
"""

WAKEUP_LATENCY = "schedcp_wakeup_latency_seconds"
"""Histogram: time from a thread's wakeup to its running."""
CPU_TIME = "schedcp_cpu_seconds_total"
"""Counter: CPU time used by the side's cgroups."""
CPU_PRESSURE = "schedcp_cpu_pressure_seconds_total"
"""Counter: time in which some thread of the side waited for a CPU (PSI `some`)."""
SCHEDULER_INFO = "schedcp_scheduler_info"
"""Gauge, 1 while it holds: labels `ops` and `object_digest`; no series on the default scheduler."""
ENABLE_SEQ = "schedcp_sched_ext_enable_seq"
"""Gauge: `/sys/kernel/sched_ext/enable_seq`."""
EJECTIONS = "schedcp_scheduler_ejections_total"
"""Counter: schedulers that the kernel ejected, by label `kind`."""
STATISTIC = "schedcp_scheduler_statistic"
"""Gauge: what a scheduler's own program says of it, by labels `ops` and `name`."""
REVERTS = "schedcp_agent_reverts_total"
"""Counter: reverts by the agent itself, by label `reason`."""

WAKEUP_LATENCY_BUCKETS_SECONDS = tuple(
    2**octave * (4 + quarter) / 4e9 for octave in range(13, 30) for quarter in range(4)
)
"""8 microseconds to 0.94 seconds, four buckets an octave: the very boundaries that the probes count
in, so that nothing is resampled."""
