"""Objects as the API server has them, and a cluster of them."""

from typing import Any

from schedcp_api.nodestates import DepartedPod, SchedulerNodeStateStatus
from schedcp_operator.cluster import Cluster
from schedcp_operator.kube import NAMESPACES, NODES, PODS, POLICIES, RUNS, Json
from schedcp_operator.objects import EXPECTED_RUNTIME
from schedcp_operator.views import Run

from .operator_doubles import MemoryKube
from .operator_nodes import POD_UID
from .operator_nouns import policy_spec


def raw_policy(**spec: Any) -> Json:
    """A policy as the API server has it."""
    return {
        "metadata": {"name": "checkout", "uid": "uid-1", "generation": 1},
        "spec": policy_spec(**spec).to_json(),
    }


def raw_run(found: Run) -> Json:
    """A run as the API server has it."""
    return {
        "metadata": {"name": found.name, "uid": "uid-2"},
        "spec": found.spec.to_json(),
        "status": found.status.to_json(),
    }


def raw_node(name: str, *, ready: bool = True, labels: dict[str, str] | None = None) -> Json:
    """A Node as the API server has it."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels or {}},
        "status": {"conditions": [condition]},
    }


def raw_pod(name: str, node: str, *, app: str = "checkout", phase: str = "Running") -> Json:
    """A Pod as the API server has it."""
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": POD_UID.format(int(name.rpartition("-")[2])),
            "labels": {"app": app},
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase},
    }


def raw_node_state(name: str, *, departed: tuple[DepartedPod, ...]) -> Json:
    """A SchedulerNodeState whose agent says which pods went."""
    status = SchedulerNodeStateStatus(departed=departed)
    return {"metadata": {"name": name}, "spec": {}, "status": status.to_json()}


def annotated(expected: str | None, *, version: int) -> Json:
    """The target pod at a version, with what its job is expected to take."""
    raw = raw_pod("pod-1", "node-1")
    annotations = {} if expected is None else {EXPECTED_RUNTIME: expected}
    return {
        **raw,
        "metadata": {
            **raw["metadata"],
            "annotations": annotations,
            "resourceVersion": str(version),
        },
    }


def filled(kube: MemoryKube, *, found: Run | None = None, **spec: Any) -> MemoryKube:
    """An API server with a policy, two nodes and three pods."""
    kube.put(POLICIES, raw_policy(**spec))
    kube.put(NAMESPACES, {"metadata": {"name": "shop", "labels": {"team": "shop"}}})
    for name in ("node-1", "node-2"):
        kube.put(NODES, raw_node(name))
    kube.put(PODS, raw_pod("pod-1", "node-1"), namespace="shop")
    kube.put(PODS, raw_pod("pod-2", "node-1", app="other"), namespace="shop")
    kube.put(PODS, raw_pod("pod-3", "node-2", phase="Pending"), namespace="shop")
    if found is not None:
        kube.put(RUNS, raw_run(found))
    return kube


async def primed(kube: MemoryKube) -> Cluster:
    """A cluster that has listed everything."""
    cluster = Cluster()
    await cluster.prime(kube)
    return cluster
