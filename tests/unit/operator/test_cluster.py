"""The watched world: listed, followed, and read."""

import asyncio
from typing import Any

import pytest

from schedcp_operator.kube import DEPLOYMENTS, NODES, PODS, POLICIES, RUNS, Json
from schedcp_operator.objects import Unreadable, expected_runtime, is_complete, policy_object
from support.operator_doubles import MemoryKube
from support.operator_nouns import policy_spec
from support.operator_objects import filled, primed, raw_node


async def test_priming_makes_the_views() -> None:
    cluster = await primed(filled(MemoryKube()))
    (policy,) = cluster.policies.values()
    assert [pod.name for pod in cluster.target_pods(policy.spec)] == ["pod-1"]
    first, second = cluster.node_views(policy.spec, policy="checkout")
    assert (first.name, len(first.target_pods), first.ready) == ("node-1", 1, True)
    assert (second.name, second.target_pods) == ("node-2", ())


async def test_an_older_version_never_replaces_a_newer_one() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    stale = {**raw_node("node-1", ready=False)}
    stale["metadata"] = {**stale["metadata"], "resourceVersion": "0"}
    cluster.put(NODES, stale)
    assert cluster.nodes["node-1"].ready
    kube.put(NODES, raw_node("node-1", ready=False))
    cluster.put(NODES, await kube.get(NODES, "node-1"))
    assert not cluster.nodes["node-1"].ready


async def test_deletion_of_an_object_that_was_made_anew_is_old_news() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    old = {"metadata": {"name": "node-1", "uid": "another", "resourceVersion": "1"}}
    cluster.drop(NODES, old)
    assert "node-1" in cluster.nodes
    cluster.drop(NODES, await kube.get(NODES, "node-1"))
    assert "node-1" not in cluster.nodes


async def test_listing_again_forgets_what_is_gone() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    await kube.delete(NODES, "node-2")
    await cluster.prime(kube)
    assert sorted(cluster.nodes) == ["node-1"]


async def test_an_unreadable_object_is_left_out_and_others_stay() -> None:
    cluster = await primed(filled(MemoryKube()))
    body = {"metadata": {"name": "odd", "uid": "u", "resourceVersion": "99"}, "spec": {"mode": 1}}
    cluster.put(POLICIES, body)
    assert sorted(cluster.policies) == ["checkout"]
    with pytest.raises(Unreadable, match="odd: workload: Field required"):
        policy_object({**body, "spec": {}})


async def test_a_wait_that_is_cancelled_as_it_ends_is_cancelled() -> None:
    cluster = await primed(filled(MemoryKube()))
    waiting = asyncio.create_task(cluster.wait(30))
    await cluster.wait(30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_waiting_ends_with_a_change() -> None:
    cluster = await primed(filled(MemoryKube()))
    cluster.put(NODES, {**raw_node("node-3")})
    await cluster.wait(30)
    assert "node-3" in cluster.nodes


ROLLOUTS: list[tuple[str, Json, Json, bool]] = [
    ("Deployment", {"replicas": 2}, {"replicas": 2, "updatedReplicas": 2}, False),
    (
        "Deployment",
        {"replicas": 2},
        {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
        True,
    ),
    (
        "Deployment",
        {"replicas": 2},
        {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 2},
        False,
    ),
    ("Deployment", {"replicas": 0}, {}, False),
    ("Deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True),
    (
        "StatefulSet",
        {"replicas": 1},
        {
            "replicas": 1,
            "availableReplicas": 1,
            "updateRevision": "b",
            "currentRevision": "b",
        },
        True,
    ),
    (
        "StatefulSet",
        {"replicas": 2},
        {
            "replicas": 2,
            "availableReplicas": 2,
            "updatedReplicas": 1,
            "updateRevision": "b",
            "currentRevision": "a",
        },
        False,
    ),
    (
        "DaemonSet",
        {},
        {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3},
        True,
    ),
    (
        "DaemonSet",
        {},
        {"desiredNumberScheduled": 3, "updatedNumberScheduled": 2, "numberAvailable": 3},
        False,
    ),
]


@pytest.mark.parametrize(("kind", "spec", "status", "complete"), ROLLOUTS)
def test_rollouts(kind: str, spec: Json, status: Json, complete: bool) -> None:
    raw = {
        "metadata": {"generation": 2},
        "spec": spec,
        "status": {"observedGeneration": 2, **status},
    }
    assert is_complete(raw, kind) is complete
    raw["status"] = {**status, "observedGeneration": 1}
    assert not is_complete(raw, kind)


async def test_the_revision_is_the_pod_template_and_nothing_else() -> None:
    cluster = await primed(filled(MemoryKube()))
    template = {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": []}}

    def deployment(version: int, **spec: Any) -> Json:
        return {
            "metadata": {
                "name": "checkout",
                "namespace": "shop",
                "uid": "d",
                "resourceVersion": str(version),
            },
            "spec": {"template": template, **spec},
        }

    revisions = []
    other = {**template, "spec": {"containers": [{"image": "2"}]}}
    for version, body in enumerate(
        (
            deployment(100, replicas=1),
            deployment(101, replicas=5),
            deployment(102, template=other),
        )
    ):
        cluster.put(DEPLOYMENTS, body)
        (found,) = cluster.workloads(policy_spec())
        revisions.append(found.revision)
        assert found.key == "Deployment/shop/checkout", version
    assert revisions[0] == revisions[1] != revisions[2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1),
        ("2000000", 2_000_000),
        *(
            (text, None)
            for text in (
                "",
                "0",
                "-1",
                "2000001",
                "99999999",
                "1.5",
                "1e3",
                " 1",
                "1\n",
                "1_0",
                "١",
            )
        ),
    ],
)
def test_an_expected_run_time_is_a_plain_positive_integer(text: str, seconds: int | None) -> None:
    assert expected_runtime(text) == seconds


async def test_pods_belong_to_the_older_of_two_policies() -> None:
    kube = filled(MemoryKube())
    first = kube.objects["SchedulerPolicy", "", "checkout"]
    first["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    for name, uid, created in (("a", "uid-a", "2026-01-03"), ("z", "uid-z", "2026-01-01")):
        metadata = {**first["metadata"], "name": name, "uid": uid}
        kube.put(POLICIES, {**first, "metadata": {**metadata, "creationTimestamp": created}})
    cluster = await primed(kube)
    found = {name: cluster.overlap(policy) for name, policy in cluster.policies.items()}
    assert found == {"z": "", "checkout": "z", "a": "z"}


def test_paths() -> None:
    assert NODES.path("a") == "/api/v1/nodes/a"
    assert PODS.path(namespace="shop") == "/api/v1/namespaces/shop/pods"
    assert PODS.path() == "/api/v1/pods"
    assert RUNS.path("x", subresource="status").endswith("/optimizationruns/x/status")
