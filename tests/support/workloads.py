"""Workloads as profiles show them, one of each class that is no service."""

from support.operator_profiles import distribution, group

_MS = 1_000_000
LONG_TAIL = group(
    cpu_milli=3900,
    burst=distribution(40, 30 * _MS, 40 * _MS, p99_ns=300 * _MS),
    sleep=distribution(40, 1 * _MS, 2 * _MS),
    latency=distribution(40, 5 * _MS, 20 * _MS),
)
COMPUTING = group(cpu_milli=3900)
IDLE = group(cpu_milli=2, latency=distribution(10, 1, 1))
UNSURE = group(
    cpu_milli=500,
    burst=distribution(100, 20 * _MS, 40 * _MS),
    sleep=distribution(100, 60 * _MS, 90 * _MS),
    latency=distribution(100, 1 * _MS, 2 * _MS),
)
