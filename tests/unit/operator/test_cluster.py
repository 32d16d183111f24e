"""The watched world, and what is derived from it for a node."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from schedcp_api.policies import Mode
from schedcp_api.runs import RunStage
from schedcp_operator.cluster import Cluster
from schedcp_operator.errors import NotLeader
from schedcp_operator.keeper import KeeperSettings, NodeKeeper, desired_spec, tracked_workloads
from schedcp_operator.kube import (
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    POLICIES,
    RUNS,
    STATES,
    Json,
)
from schedcp_operator.leader import Leader, LeaseSettings
from schedcp_operator.objects import (
    EXPECTED_RUNTIME,
    Unreadable,
    expected_runtime,
    is_complete,
    policy_object,
)
from schedcp_operator.views import Run
from support.operator_doubles import MemoryKube
from support.operator_driver import Driver
from support.operator_nouns import NOW, POD_UID, policy_spec, run

SETTINGS = KeeperSettings(lease_seconds=30, renew=timedelta(seconds=10), profile_seconds=20)


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


def wanted(cluster: Cluster, node: str, *, now: datetime = NOW, epoch: int = 3) -> Any:
    """What the node's state shall say."""
    return desired_spec(
        cluster,
        node,
        workloads=tracked_workloads(cluster).get(node, ()),
        epoch=epoch,
        now=now,
        settings=SETTINGS,
    )


def at(stage: RunStage) -> Run:
    """A run in a stage, with its nodes chosen."""
    driver = Driver(run())
    driver.until(stage)
    driver.observe()
    return driver.run


async def test_a_node_is_told_what_to_measure() -> None:
    cluster = await primed(filled(MemoryKube()))
    (tracked,) = wanted(cluster, "node-1").workloads
    assert (tracked.policy, [pod.name for pod in tracked.pods]) == ("checkout", ["pod-1"])
    assert wanted(cluster, "node-2").workloads == ()
    assert wanted(cluster, "node-1").lease_renewed_at is None


async def test_a_node_is_told_what_a_pods_job_is_expected_to_take() -> None:
    cluster = await primed(filled(MemoryKube()))
    cluster.put(PODS, annotated("3600", version=98))
    (tracked,) = wanted(cluster, "node-1").workloads
    assert [pod.expected_runtime_seconds for pod in tracked.pods] == [3600]
    cluster.put(PODS, annotated(None, version=99))
    (tracked,) = wanted(cluster, "node-1").workloads
    assert "expectedRuntimeSeconds" not in tracked.pods[0].to_json()


async def test_a_bad_annotation_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = await primed(filled(MemoryKube()))
    for version in (97, 98):
        cluster.put(PODS, annotated("1h", version=version))
    assert wanted(cluster, "node-1").workloads[0].pods[0].expected_runtime_seconds is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Pod shop/pod-1: annotation schedcp.io/expected-runtime-seconds: '1h'" in caplog.text
    cluster.put(PODS, annotated("0", version=99))
    assert len(caplog.records) == 2, "another problem is another word"


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


async def test_a_canary_node_is_assigned_and_leased() -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    cluster = await primed(filled(MemoryKube(), found=found))
    spec = wanted(cluster, name)
    (assignment,) = spec.assignments
    assert assignment.switchback is not None
    assert (spec.lease_epoch, spec.lease_renewed_at, spec.lease_seconds) == (3, NOW, 30)


GONE: list[dict[str, Any]] = [
    {"policy": None},
    {"uid": "another"},
]


@pytest.mark.parametrize("stage", [RunStage.CANARY, RunStage.PROMOTING, RunStage.FINISHED])
@pytest.mark.parametrize("how", GONE)
async def test_without_its_policy_a_run_wants_nothing(stage: RunStage, how: dict[str, Any]) -> None:
    kube = filled(MemoryKube(), found=at(stage) if stage is not RunStage.FINISHED else ended())
    if "uid" in how:
        policy = raw_policy()
        policy["metadata"]["uid"] = how["uid"]
        kube.put(POLICIES, policy)
    else:
        await kube.delete(POLICIES, "checkout")
    cluster = await primed(kube)
    assert all(not wanted(cluster, name).assignments for name in ("node-1", "node-2"))


def ended() -> Run:
    """A run that was promoted."""
    driver = Driver(run())
    driver.until(RunStage.FINISHED)
    return driver.run


async def test_a_finished_run_holds_only_while_the_policy_keeps_it() -> None:
    kept = {
        "run": "checkout-1",
        "scheduler": "latency_class",
        "effect": "40%",
        "promotedAt": "2026-01-01T00:00:00Z",
    }
    for status, mode, holds in (
        ({}, Mode.AUTO, False),
        ({"activeRun": "checkout-1"}, Mode.AUTO, True),
        ({"promoted": kept}, Mode.AUTO, True),
        ({"promoted": kept}, Mode.CANARY, False),
        ({"promoted": {**kept, "run": "checkout-2"}}, Mode.AUTO, False),
    ):
        kube = filled(MemoryKube(), found=ended())
        kube.put(POLICIES, {**raw_policy(mode=mode), "status": status})
        cluster = await primed(kube)
        assert bool(wanted(cluster, "node-1").assignments) is holds, (status, mode)


async def test_leases_are_renewed_in_time_and_not_more_often() -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    kube = filled(MemoryKube(), found=found)
    first = wanted(await primed(kube), name)
    kube.put(STATES, {"metadata": {"name": name}, "spec": first.to_json()})
    cluster = await primed(kube)
    early, late = NOW + timedelta(seconds=9), NOW + timedelta(seconds=10)
    assert wanted(cluster, name, now=early) == first
    assert wanted(cluster, name, now=late).lease_renewed_at == late
    assert wanted(cluster, name, now=early, epoch=4).lease_renewed_at == early


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def leading(kube: MemoryKube, clock: Clock) -> Leader:
    """A leader that holds the Lease."""

    async def floor() -> int:
        return 0

    lease = LeaseSettings(name="l", namespace="n", identity="me", seconds=10)
    leader = Leader(kube, lease, epoch_floor=floor, clock=clock)
    await leader.contend()
    return leader


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


async def test_the_keeper_makes_and_mends_states() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    clock = Clock()
    leader = await leading(kube, clock)
    keeper = NodeKeeper(kube, cluster, leader, settings=SETTINGS, clock=lambda: NOW)
    await keeper.sync()
    state = await kube.get(STATES, "node-1")
    assert state["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert state["spec"]["leaseEpoch"] == 1
    version = kube.version
    await keeper.sync()
    assert kube.version == version
    meddled = {**state, "spec": {**state["spec"], "leaseSeconds": 3600}}
    kube.put(STATES, meddled)
    kube.put(STATES, {**meddled, "status": {"observedGeneration": 5}})
    await keeper.sync()
    await cluster.prime(kube)
    await keeper.sync()
    mended = await kube.get(STATES, "node-1")
    assert mended["spec"]["leaseSeconds"] == 30
    assert mended["status"] == {"observedGeneration": 5}


async def test_a_node_in_trouble_keeps_no_other_from_its_lease() -> None:
    kube = filled(MemoryKube())
    kube.refuse(STATES, "node-1")
    cluster = await primed(kube)
    leader = await leading(kube, Clock())
    await NodeKeeper(kube, cluster, leader, settings=SETTINGS, clock=lambda: NOW).sync()
    assert (await kube.get(STATES, "node-2"))["spec"]["leaseEpoch"] == 1


async def test_a_status_of_a_newer_agent_is_read_as_far_as_it_goes() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    leader = await leading(kube, Clock())
    keeper = NodeKeeper(kube, cluster, leader, settings=SETTINGS, clock=lambda: NOW)
    await keeper.sync()
    state = await kube.get(STATES, "node-1")
    kube.put(STATES, {**state, "status": {"observedGeneration": 5, "fromTheFuture": {"a": 1}}})
    await cluster.prime(kube)
    assert cluster.states["node-1"].status.observed_generation == 5


async def test_a_state_of_a_higher_epoch_ends_the_leadership() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    leader = await leading(kube, Clock())
    keeper = NodeKeeper(kube, cluster, leader, settings=SETTINGS, clock=lambda: NOW)
    await keeper.sync()
    state = await kube.get(STATES, "node-1")
    kube.put(STATES, {**state, "spec": {**state["spec"], "leaseEpoch": 9}})
    await cluster.prime(kube)
    with pytest.raises(NotLeader, match="epoch 9"):
        await keeper.sync()
    assert not leader.is_leader


async def test_a_keeper_that_does_not_lead_writes_nothing() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    clock = Clock()
    leader = await leading(kube, clock)
    clock.seconds += 8
    keeper = NodeKeeper(kube, cluster, leader, settings=SETTINGS, clock=lambda: NOW)
    version = kube.version
    with pytest.raises(NotLeader):
        await keeper.sync()
    assert kube.version == version


def test_paths() -> None:
    assert NODES.path("a") == "/api/v1/nodes/a"
    assert PODS.path(namespace="shop") == "/api/v1/namespaces/shop/pods"
    assert PODS.path() == "/api/v1/pods"
    assert RUNS.path("x", subresource="status").endswith("/optimizationruns/x/status")
