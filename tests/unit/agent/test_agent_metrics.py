"""The exposition that Prometheus reads."""

from prometheus_client.parser import text_string_to_metric_families

from schedcp_agent.histograms import Histogram
from schedcp_agent.metrics import Exporter, Snapshot
from schedcp_agent.sides import Role, SideUsage
from schedcp_api import metrics as names


def samples(snapshot: Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    exporter = Exporter()
    exporter.publish(snapshot)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exporter.render().decode())
        for sample in family.samples
    }


def test_nothing_before_the_first_tick() -> None:
    assert samples(Snapshot()) == {}


def test_latency_as_a_histogram() -> None:
    histogram = Histogram.of([1_000, 8_192, 100_000, 2_000_000_000])
    found = samples(Snapshot(node="n", latency={("p", Role.TARGET): histogram}))
    labels = (("node", "n"), ("policy", "p"), ("role", "target"))
    buckets = {
        float(dict(key[1])["le"]): value
        for key, value in found.items()
        if key[0] == f"{names.WAKEUP_LATENCY}_bucket"
    }
    assert len(buckets) == len(names.WAKEUP_LATENCY_BUCKETS_SECONDS) + 1
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets[names.WAKEUP_LATENCY_BUCKETS_SECONDS[0]] == 1
    assert buckets[names.WAKEUP_LATENCY_BUCKETS_SECONDS[1]] == 2
    assert buckets[float("inf")] == 4
    assert found[f"{names.WAKEUP_LATENCY}_count", labels] == 4
    assert found[f"{names.WAKEUP_LATENCY}_sum", labels] == histogram.total_ns / 1e9


def test_use_pressure_and_scheduler() -> None:
    found = samples(
        Snapshot(
            node="n",
            usage={("p", Role.NEIGHBOUR): SideUsage(2_500_000, 500_000)},
            ops="schedcp_long_tail",
            object_digest="sha256:1",
            enable_seq=9,
            ejections={"Stall": 2},
            reverts={"LeaseExpired": 1},
        )
    )
    labels = (("node", "n"), ("policy", "p"), ("role", "neighbour"))
    assert found[names.CPU_TIME, labels] == 2.5
    assert found[names.CPU_PRESSURE, labels] == 0.5
    info = (("node", "n"), ("object_digest", "sha256:1"), ("ops", "schedcp_long_tail"))
    assert found[names.SCHEDULER_INFO, info] == 1
    assert found[names.ENABLE_SEQ, (("node", "n"),)] == 9
    assert found[names.EJECTIONS, (("kind", "Stall"), ("node", "n"))] == 2
    assert found[names.REVERTS, (("node", "n"), ("reason", "LeaseExpired"))] == 1


def test_what_is_measured_carries_its_time() -> None:
    exporter = Exporter()
    exporter.publish(
        Snapshot(
            node="n",
            tick_at=1_700_000_000.25,
            latency={("p", Role.TARGET): Histogram.of([1_000])},
            usage={("p", Role.TARGET): SideUsage(2_500_000, 500_000)},
        )
    )
    lines = exporter.render().decode().splitlines()
    measured = [line for line in lines if 'role="target"' in line]
    assert measured
    assert all(line.endswith(" 1700000000250") for line in measured)


def test_no_scheduler_no_info() -> None:
    assert not [key for key in samples(Snapshot(node="n")) if key[0] == names.SCHEDULER_INFO]
