"""The operator's own metrics, read from the watched world when they are asked for."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .cluster import Cluster
from .leader import Leader

__all__ = ["metrics_registry"]


class _World(Collector):
    """Gauges over the watched world."""

    def __init__(self, cluster: Cluster, leader: Leader) -> None:
        self._cluster = cluster
        self._leader = leader

    def collect(self) -> Iterable[Metric]:
        """Return the gauges as of now."""
        leader = GaugeMetricFamily("schedcp_operator_leader", "1 while this replica leads")
        leader.add_metric([], float(self._leader.is_leader))
        yield leader
        stages = Counter(str(known.run.status.stage) for known in self._cluster.runs.values())
        runs = GaugeMetricFamily("schedcp_operator_runs", "Runs by stage", labels=["stage"])
        for stage, count in sorted(stages.items()):
            runs.add_metric([stage], count)
        yield runs
        outcomes = Counter(
            str(known.run.status.outcome.kind)
            for known in self._cluster.runs.values()
            if known.run.status.outcome is not None
        )
        ended = GaugeMetricFamily(
            "schedcp_operator_run_outcomes",
            "Finished runs that are kept, by outcome",
            labels=["outcome"],
        )
        for kind, count in sorted(outcomes.items()):
            ended.add_metric([kind], count)
        yield ended
        assigned = GaugeMetricFamily(
            "schedcp_operator_assigned_nodes",
            "Nodes with a scheduler of ours",
            labels=["scheduler"],
        )
        names = Counter(
            assignment.scheduler
            for state in self._cluster.states.values()
            for assignment in state.spec.assignments
        )
        for name, count in sorted(names.items()):
            assigned.add_metric([name], count)
        yield assigned


def metrics_registry(cluster: Cluster, leader: Leader) -> CollectorRegistry:
    """Return a registry with the operator's and the process' metrics."""
    registry = CollectorRegistry()
    registry.register(_World(cluster, leader))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
