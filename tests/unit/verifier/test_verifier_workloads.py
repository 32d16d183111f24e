"""A profile becomes a bounded workload with the same rhythm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.profiles import ThreadGroup
from schedcp_verifier.workloads import (
    HOG_BURST_NS,
    SIDE_GROUPS_MAX,
    SIDE_THREADS_MAX,
    WorkloadSpec,
    workload_of,
)
from support.verifier import distribution, hog_group, steady, thread_group, workload_profile

COUNT = st.integers(min_value=0, max_value=10**7)
NS = st.integers(min_value=0, max_value=10**12)


@st.composite
def thread_groups(draw: st.DrawFn) -> ThreadGroup:
    def quantiles() -> dict[str, int]:
        values = sorted(draw(st.lists(NS, min_size=8, max_size=8)))
        names = ("p10", "p25", "p50", "p75", "p90", "p99", "p999", "max")
        return {"count": draw(COUNT), "mean": draw(NS), **dict(zip(names, values, strict=True))}

    return thread_group(
        draw(st.text(max_size=15)),
        threads=draw(COUNT),
        cpu_milli=draw(COUNT),
        wakeups_per_second=draw(COUNT),
        burst=distribution(**quantiles()),
        sleep=distribution(**quantiles()),
        wakeup_latency=distribution(**quantiles()),
    )


def by_side(spec: WorkloadSpec, side: str) -> list[tuple[int, tuple[int, ...]]]:
    return [(group.threads, group.burst_ns) for group in spec.groups if group.side == side]


def test_a_service_beside_hogs_keeps_its_rhythm() -> None:
    spec = workload_of(workload_profile())
    target, hogs = spec.groups
    assert (target.threads, target.burst_ns) == (4, (500_000,) * 7)
    assert target.sleep_ns == (8_500_000,) * 7
    assert (hogs.threads, hogs.burst_ns, hogs.sleep_ns) == (8, (HOG_BURST_NS,) * 7, ())


def test_littles_law_tells_active_threads_from_idle_ones() -> None:
    busy = thread_group(threads=200, wakeups_per_second=421)
    assert by_side(workload_of(workload_profile((busy,))), "target")[0][0] == 4


@pytest.mark.parametrize(("cpus", "threads"), [(4, 8), (8, 4), (16, 2), (64, 1), (2, 16)])
def test_counts_are_scaled_to_the_guests_cpus(cpus: int, threads: int) -> None:
    spec = workload_of(workload_profile(cpus=cpus))
    assert by_side(spec, "neighbours")[0][0] == threads


def test_what_is_too_small_is_left_out_and_named() -> None:
    small = thread_group("kubelet-ish", cpu_milli=1, wakeups_per_second=2)
    spec = workload_of(workload_profile(neighbours=(hog_group(), small)))
    assert len(by_side(spec, "neighbours")) == 1
    assert any("kubelet-ish" in words for words in spec.left_out)


def test_a_target_that_did_nothing_cannot_be_replayed() -> None:
    idle = thread_group(burst=steady(0, count=0), cpu_milli=0, wakeups_per_second=0)
    for target in ((), (idle,)):
        with pytest.raises(ValueError, match="nothing to replay"):
            workload_of(workload_profile(target))


def test_hogs_that_never_slept_are_neighbours_too() -> None:
    none = steady(0, count=0)
    hogs = thread_group(
        "batch", threads=4, cpu_milli=1206, wakeups_per_second=0, burst=none, sleep=none
    )
    spec = workload_of(workload_profile(neighbours=(hogs,), cpus=2))
    assert by_side(spec, "neighbours") == [(8, (HOG_BURST_NS,) * 7)]
    assert spec.left_out == ()


def test_arms_differ_in_their_seed_only_and_the_floor_has_no_neighbours() -> None:
    spec = workload_of(workload_profile())
    assert spec.text(1).replace("seed 1\n", "seed 2\n") == spec.text(2)
    assert "cgroup=neighbours" in spec.text(1)
    assert "cgroup=neighbours" not in spec.text(0, neighbours=False)


def test_labels_never_reach_the_guest() -> None:
    text = workload_of(workload_profile((thread_group("nasty name;\n"),))).text(1)
    assert "nasty" not in text


@given(
    st.lists(thread_groups(), max_size=12),
    st.lists(thread_groups(), max_size=12),
    st.integers(min_value=1, max_value=1024),
)
def test_no_profile_breaks_the_bounds(
    target: list[ThreadGroup], neighbours: list[ThreadGroup], cpus: int
) -> None:
    profile = workload_profile(tuple(target), tuple(neighbours), cpus)
    try:
        spec = workload_of(profile)
    except ValueError:
        assert all(group.burst.count == 0 for group in target)
        return
    for side in ("target", "neighbours"):
        groups = [group for group in spec.groups if group.side == side]
        assert len(groups) <= SIDE_GROUPS_MAX
        assert sum(group.threads for group in groups) <= SIDE_THREADS_MAX
    for group in spec.groups:
        assert group.threads >= 1
        assert list(group.burst_ns) == sorted(group.burst_ns)
        assert 1 <= group.burst_ns[0] <= group.burst_ns[-1] <= HOG_BURST_NS
        assert list(group.sleep_ns) == sorted(group.sleep_ns)
