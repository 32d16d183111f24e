"""Profiles for the operator's tests: a service beside hogs, ready made."""

from schedcp_api.profiles import Distribution, GroupProfile, WorkloadProfile

from .operator_nouns import KERNEL, NOW

_MS = 1_000_000


def distribution(count: int, p50_ns: int, p90_ns: int, *, p99_ns: int = 0) -> Distribution:
    """A distribution with those quantiles."""
    top = max(p99_ns, p90_ns)
    return Distribution(
        count=count,
        mean_ns=p50_ns,
        p10_ns=p50_ns // 2,
        p25_ns=p50_ns // 2,
        p50_ns=p50_ns,
        p75_ns=p50_ns,
        p90_ns=p90_ns,
        p99_ns=top,
        p999_ns=top,
        max_ns=2 * top,
    )


NONE = distribution(0, 0, 0)


def group(
    *,
    cpu_milli: int,
    burst: Distribution = NONE,
    sleep: Distribution = NONE,
    latency: Distribution = NONE,
    pressure: int = 0,
) -> GroupProfile:
    """One side of a profile."""
    return GroupProfile(
        pods=1,
        cpu_milli=cpu_milli,
        wakeup_latency=latency,
        burst=burst,
        sleep=sleep,
        cpu_pressure_permille=pressure,
    )


LATENCY_TARGET = group(
    cpu_milli=300,
    burst=distribution(20_000, 400_000, 800_000),
    sleep=distribution(20_000, 8 * _MS, 10 * _MS),
    latency=distribution(20_000, 1 * _MS, 3 * _MS, p99_ns=8 * _MS),
)
HOGS = group(cpu_milli=3000, burst=distribution(50, 40 * _MS, 80 * _MS), pressure=990)


def profile(
    target: GroupProfile = LATENCY_TARGET, *, node: str = "node-1", cpus: int = 4
) -> WorkloadProfile:
    """A profile of `target` beside hogs."""
    return WorkloadProfile(
        node=node,
        workload="Deployment/shop/checkout",
        kernel_digest=KERNEL.content_digest(),
        cpus=cpus,
        started_at=NOW,
        duration_ms=20_000,
        target=target,
        neighbours=HOGS,
    )
