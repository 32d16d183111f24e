"""What a node is told: what to measure, what to run, and for how long it may."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from schedcp_api.nodestates import SchedulerNodeStateSpec
from schedcp_api.policies import Mode, WorkloadSelector
from schedcp_api.runs import RunStage
from schedcp_api.selectors import LabelSelector, SelectorOperator, SelectorRequirement
from schedcp_operator.cluster import Cluster
from schedcp_operator.errors import NotLeader
from schedcp_operator.keeper import KeeperSettings, NodeKeeper, desired_spec, tracked_workloads
from schedcp_operator.kube import PODS, POLICIES, STATES
from schedcp_operator.leader import Leader, LeaseSettings
from schedcp_operator.views import Run
from support.operator_doubles import MemoryKube
from support.operator_driver import Driver, finished
from support.operator_nouns import NOW, run
from support.operator_objects import annotated, filled, primed, raw_pod, raw_policy

EXISTS = SelectorOperator.EXISTS
SETTINGS = KeeperSettings(lease_seconds=30, renew=timedelta(seconds=10), profile_seconds=20)


def wanted(cluster: Cluster, node: str, *, now: datetime = NOW, epoch: int = 3) -> Any:
    """What the node's state shall say."""
    return desired_spec(
        cluster,
        node,
        workloads=tracked_workloads(cluster, lambda _: None).get(node, ()),
        epoch=epoch,
        now=now,
        settings=SETTINGS,
    )


def keeper_of(kube: MemoryKube, cluster: Cluster, leader: Leader) -> NodeKeeper:
    """A keeper that has learned nothing of jobs."""
    return NodeKeeper(
        kube, cluster, leader, settings=SETTINGS, expected=lambda _: None, clock=lambda: NOW
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
    (begins,) = wanted(cluster, "node-2").workloads
    assert [pod.name for pod in begins.pods] == ["pod-3"]
    assert wanted(cluster, "node-1").lease_renewed_at is None


async def test_a_node_is_told_what_a_pods_job_is_expected_to_take() -> None:
    cluster = await primed(filled(MemoryKube()))
    cluster.put(PODS, annotated("3600", version=98))
    (tracked,) = wanted(cluster, "node-1").workloads
    assert [pod.expected_runtime_seconds for pod in tracked.pods] == [3600]
    cluster.put(PODS, annotated(None, version=99))
    (tracked,) = wanted(cluster, "node-1").workloads
    assert "expectedRuntimeSeconds" not in tracked.pods[0].to_json()


@pytest.mark.parametrize(("annotation", "told"), [("3600", 3600), (None, 7), ("1h", 7)])
async def test_what_was_learned_is_told_where_nobody_says_better(
    annotation: str | None, told: int
) -> None:
    cluster = await primed(filled(MemoryKube()))
    cluster.put(PODS, annotated(annotation, version=98))
    (tracked,) = tracked_workloads(cluster, lambda _: 7)["node-1"]
    assert [pod.expected_runtime_seconds for pod in tracked.pods] == [told]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_of_which_nothing_runs_is_no_target(phase: str) -> None:
    kube = filled(MemoryKube())
    kube.put(PODS, raw_pod("pod-1", "node-1", phase=phase), namespace="shop")
    assert "node-1" not in tracked_workloads(await primed(kube), lambda _: 7)


@pytest.mark.parametrize(
    ("phase", "deleted"), [("Pending", None), ("Running", "2026-01-01T00:00:00Z")]
)
async def test_a_pod_that_begins_or_ends_is_no_neighbour_and_does_not_count(
    phase: str, deleted: str | None
) -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    kube = filled(MemoryKube(), found=found)
    await kube.delete(PODS, "pod-3", namespace="shop")
    pod = raw_pod("pod-1", name, phase=phase)
    if deleted is not None:
        pod["metadata"]["deletionTimestamp"] = deleted
    kube.put(PODS, pod, namespace="shop")
    cluster = await primed(kube)
    (entry,) = wanted(cluster, name).workloads
    assert [pod.name for pod in entry.pods] == ["pod-1"]
    policy = cluster.policies["checkout"]
    assert cluster.target_pods(policy.spec) == []
    assert not any(view.target_pods for view in cluster.node_views(policy.spec, policy="checkout"))
    await kube.delete(PODS, "pod-1", namespace="shop")
    assert wanted(await primed(kube), name).workloads[0].pods == ()


async def test_a_bad_annotation_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = await primed(filled(MemoryKube()))
    for version in (97, 98):
        cluster.put(PODS, annotated("1h", version=version))
    assert wanted(cluster, "node-1").workloads[0].pods[0].expected_runtime_seconds is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Pod shop/pod-1: annotation schedcp.io/expected-runtime-seconds: '1h'" in caplog.text
    cluster.put(PODS, annotated("0", version=99))
    assert len(caplog.records) == 2, "another problem is another word"


async def test_a_canary_node_is_assigned_and_leased() -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    cluster = await primed(filled(MemoryKube(), found=found))
    spec = wanted(cluster, name)
    (assignment,) = spec.assignments
    assert assignment.switchback is not None
    assert (spec.lease_epoch, spec.lease_renewed_at, spec.lease_seconds) == (3, NOW, 30)


def aged(name: str, created: str, **spec: Any) -> dict[str, Any]:
    """A policy as the API server has it, with the day on which it was made."""
    policy = raw_policy(**spec)
    policy["metadata"] |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}
    return policy


@pytest.mark.parametrize(
    "spec", [{}, {"suspend": True}, {"mode": Mode.OBSERVE}], ids=["alike", "suspended", "observing"]
)
async def test_a_newer_policy_takes_no_pod_from_an_older_one(spec: dict[str, Any]) -> None:
    kube = filled(MemoryKube())
    await kube.delete(POLICIES, "checkout")
    kube.put(POLICIES, aged("b-old", "2026-01-01T00:00:00Z"))
    everything = LabelSelector(match_expressions=(SelectorRequirement(key="app", operator=EXISTS),))
    wide = WorkloadSelector(pod_selector=everything)
    kube.put(POLICIES, aged("a-new", "2026-01-02T00:00:00Z", workload=wide, **spec))
    tracked = wanted(await primed(kube), "node-1").workloads
    assert {entry.policy: [pod.name for pod in entry.pods] for entry in tracked} == {
        "b-old": ["pod-1"],
        "a-new": ["pod-2"],
    }
    kube.put(POLICIES, aged("a-new", "2026-01-02T00:00:00Z", **spec))
    tracked = wanted(await primed(kube), "node-1").workloads
    assert [entry.policy for entry in tracked] == ["b-old"]


async def test_where_the_older_policy_selects_no_node_the_newer_one_has_the_pod() -> None:
    kube = filled(MemoryKube())
    await kube.delete(POLICIES, "checkout")
    elsewhere = LabelSelector(match_labels={"pool": "fast"})
    kube.put(POLICIES, aged("b-old", "2026-01-01T00:00:00Z", nodes=elsewhere))
    kube.put(POLICIES, aged("a-new", "2026-01-02T00:00:00Z"))
    tracked = wanted(await primed(kube), "node-1").workloads
    assert [entry.policy for entry in tracked] == ["a-new"]


@pytest.mark.parametrize("stage", [RunStage.CANARY, RunStage.FINISHED])
async def test_an_assignments_policy_is_measured_also_without_a_pod(stage: RunStage) -> None:
    found = at(stage) if stage is not RunStage.FINISHED else finished()
    name = found.status.nodes[0].name
    kube = filled(MemoryKube(), found=found)
    kube.put(POLICIES, {**raw_policy(), "status": {"activeRun": found.name}})
    for pod in [key for key in kube.objects if key[0] == PODS.kind]:
        await kube.delete(PODS, pod[2], namespace="shop")
    spec = wanted(await primed(kube), name)
    assert spec.assignments
    (entry,) = spec.workloads
    assert (entry.policy, entry.workload, entry.pods) == (
        "checkout",
        "Deployment/shop/checkout",
        (),
    )
    assert SchedulerNodeStateSpec.model_validate(spec.to_json()) == spec


async def test_an_assignments_policy_is_measured_however_many_others_there_are() -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    kube = filled(MemoryKube(), found=found)
    checkout = raw_policy()
    checkout["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    kube.put(POLICIES, checkout)
    for number in range(10, 50):
        app = {"match_labels": {"app": f"app-{number}"}}
        spec = {"workload": WorkloadSelector(pod_selector=LabelSelector(**app))}
        kube.put(POLICIES, aged(f"other-{number}", "2026-01-01T00:00:00Z", **spec))
        pod = raw_pod(f"other-{number}", name, app=f"app-{number}")
        kube.put(PODS, pod, namespace="shop")
    tracked = wanted(await primed(kube), name).workloads
    assert len(tracked) == 32
    assert tracked[0].policy == "checkout"


async def test_a_policy_that_cannot_be_read_keeps_its_targets() -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    kube = filled(MemoryKube(), found=found)
    kube.put(PODS, raw_pod("pod-1", name), namespace="shop")
    await kube.delete(PODS, "pod-3", namespace="shop")
    first = wanted(await primed(kube), name)
    assert [pod.name for pod in first.workloads[0].pods] == ["pod-1"]
    kube.put(STATES, {"metadata": {"name": name}, "spec": first.to_json()})
    policy = raw_policy()
    kube.put(POLICIES, {**policy, "spec": {**policy["spec"], "mode": "FromTheFuture"}})
    assert wanted(await primed(kube), name).workloads == first.workloads


GONE: list[dict[str, Any]] = [
    {"policy": None},
    {"uid": "another"},
]


@pytest.mark.parametrize("stage", [RunStage.CANARY, RunStage.PROMOTING, RunStage.FINISHED])
@pytest.mark.parametrize("how", GONE)
async def test_without_its_policy_a_run_wants_nothing(stage: RunStage, how: dict[str, Any]) -> None:
    kube = filled(MemoryKube(), found=at(stage) if stage is not RunStage.FINISHED else finished())
    if "uid" in how:
        policy = raw_policy()
        policy["metadata"]["uid"] = how["uid"]
        kube.put(POLICIES, policy)
    else:
        await kube.delete(POLICIES, "checkout")
    cluster = await primed(kube)
    assert all(not wanted(cluster, name).assignments for name in ("node-1", "node-2"))


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
        kube = filled(MemoryKube(), found=finished())
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


async def test_a_stamp_that_lies_ahead_is_renewed_at_once_and_then_as_ever() -> None:
    found = at(RunStage.CANARY)
    name = found.status.nodes[0].name
    kube = filled(MemoryKube(), found=found)
    ahead = wanted(await primed(kube), name, now=NOW + timedelta(hours=1))
    kube.put(STATES, {"metadata": {"name": name}, "spec": ahead.to_json()})
    present = wanted(await primed(kube), name)
    assert present.lease_renewed_at == NOW
    kube.put(STATES, {"metadata": {"name": name}, "spec": present.to_json()})
    cluster = await primed(kube)
    assert wanted(cluster, name, now=NOW + timedelta(seconds=9)) == present
    late = NOW + timedelta(seconds=10)
    assert wanted(cluster, name, now=late).lease_renewed_at == late


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


async def test_the_keeper_makes_and_mends_states() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    clock = Clock()
    leader = await leading(kube, clock)
    keeper = keeper_of(kube, cluster, leader)
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
    await keeper_of(kube, cluster, leader).sync()
    assert (await kube.get(STATES, "node-2"))["spec"]["leaseEpoch"] == 1


async def test_a_status_of_a_newer_agent_is_read_as_far_as_it_goes() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    leader = await leading(kube, Clock())
    keeper = keeper_of(kube, cluster, leader)
    await keeper.sync()
    state = await kube.get(STATES, "node-1")
    kube.put(STATES, {**state, "status": {"observedGeneration": 5, "fromTheFuture": {"a": 1}}})
    await cluster.prime(kube)
    assert cluster.states["node-1"].status.observed_generation == 5


async def test_a_state_of_a_higher_epoch_ends_the_leadership() -> None:
    kube = filled(MemoryKube())
    cluster = await primed(kube)
    leader = await leading(kube, Clock())
    keeper = keeper_of(kube, cluster, leader)
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
    keeper = keeper_of(kube, cluster, leader)
    version = kube.version
    with pytest.raises(NotLeader):
        await keeper.sync()
    assert kube.version == version
