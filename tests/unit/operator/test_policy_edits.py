"""A policy that is edited during a run: it can stop the run, and changes nothing else of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schedcp_api.nodestates import SchedulerNodeStateSpec
from schedcp_api.policies import (
    Approval,
    ApprovalRequired,
    Objective,
    SchedulerPolicySpec,
    Search,
    Trigger,
    WorkloadSelector,
)
from schedcp_api.runs import NodeRole, OutcomeKind, RunStage
from schedcp_api.selectors import LabelSelector
from schedcp_operator.assignments import desired_assignment
from schedcp_operator.cluster import Cluster
from schedcp_operator.events import Observed, Transition
from schedcp_operator.keeper import tracked_workloads
from schedcp_operator.kube import NODES, PODS, POLICIES, STATES, Json
from schedcp_operator.views import Run, World
from support.operator_doubles import MemoryKube
from support.operator_driver import Driver, at, finished, pending
from support.operator_nodes import world
from support.operator_nouns import policy_spec, run
from support.operator_objects import filled, primed, raw_node, raw_pod, raw_policy

POOL = LabelSelector(match_labels={"pool": "ours"})
OTHER = WorkloadSelector(pod_selector=LabelSelector(match_labels={"app": "other"}))
HOLDING = [
    RunStage.CANARY,
    RunStage.JUDGING,
    RunStage.AWAITING_APPROVAL,
    RunStage.PROMOTING,
]


def holding(stage: RunStage) -> Driver:
    """A driver whose run is in `stage` and holds a node."""
    approval = Approval(required=ApprovalRequired.BEFORE_PROMOTION)
    driver = Driver(run(**({"approval": approval} if stage is RunStage.AWAITING_APPROVAL else {})))
    driver.until(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    driver.obey()
    return driver


def deselect(driver: Driver, *names: str) -> None:
    """Have the policy select these nodes no more."""
    for name in names:
        driver.nodes[name] = replace(driver.nodes[name], selected=False)


def edited(driver: Driver, **spec: Any) -> Transition:
    """Look at the world with another policy."""
    seen = world(*driver.nodes.values(), spec=driver.run.policy.replace(**spec))
    return driver.tell(Observed(seen))


@pytest.mark.parametrize("stage", HOLDING)
def test_a_node_that_is_deselected_is_given_back(stage: RunStage) -> None:
    driver = holding(stage)
    name = driver.run.status.nodes[0].name
    deselect(driver, name)
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "NodeDeselected")
    assert name in moved.message
    assert desired_assignment(driver.run, name) is None
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert status.outcome is not None
    assert (status.outcome.kind, status.outcome.reason) == (
        OutcomeKind.INCONCLUSIVE,
        "NodeDeselected",
    )
    assert all(entry.restored_at is not None for entry in status.nodes)
    assert len(status.attempts) == 1, "no other candidate is tried"


@pytest.mark.parametrize("stage", list(RunStage)[:9])
def test_another_workload_ends_the_run(stage: RunStage) -> None:
    driver = holding(stage) if stage in HOLDING else at(stage)
    moved = edited(driver, workload=OTHER).status
    ending = RunStage.ROLLING_BACK if stage in HOLDING else RunStage.LEARNING
    assert pending(moved) == (ending, "PolicyChanged")
    assert "spec.workload" in moved.message


OTHER_FIELDS: list[dict[str, Any]] = [
    {"nodes": POOL},
    {"objective": Objective(description="another")},
    {"guardrails": ()},
    {"trigger": Trigger(on_rollout=False)},
    {"search": Search(max_candidates=1)},
    {"canary": policy_spec().canary.replace(pairs=9)},
    {"approval": Approval(required=ApprovalRequired.BEFORE_CANARY)},
    {"run_history_limit": 3},
]


@pytest.mark.parametrize("stage", HOLDING)
@pytest.mark.parametrize("spec", OTHER_FIELDS, ids=lambda spec: next(iter(spec)))
def test_other_fields_are_for_the_next_run(stage: RunStage, spec: dict[str, Any]) -> None:
    driver, as_ever = holding(stage), holding(stage)
    assert edited(driver, **spec).status == as_ever.observe().status


def test_a_node_that_was_given_back_before_ends_nothing() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[[(1.0, 0.5)] * 5])
    driver.until(RunStage.VERIFYING)
    (entry,) = driver.run.status.nodes
    assert entry.role is NodeRole.REVERTED
    deselect(driver, entry.name)
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert status.outcome is not None
    assert status.outcome.kind is OutcomeKind.IMPROVED
    held = {one.name for one in status.nodes if one.role is NodeRole.PROMOTED}
    assert held == set(driver.nodes) - {entry.name}


def test_a_canary_takes_no_node_that_is_deselected() -> None:
    driver = at(RunStage.CANARY)
    deselect(driver, "node-1", "node-3")
    driver.observe()
    assert [entry.name for entry in driver.run.status.nodes] == ["node-2"]


def test_a_profile_is_taken_elsewhere() -> None:
    driver = at(RunStage.PROFILING)
    first = driver.run.status.profile_node or ""
    deselect(driver, first)
    moved = driver.observe().status
    assert moved.stage is RunStage.PROFILING
    assert moved.profile_node not in (None, first)
    assert "does not select the node any more" in moved.message


def test_harm_is_told_although_the_workload_is_another_one_by_now() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[[(1.0, 0.5)] * 5])
    driver.obey()
    moved = edited(driver, workload=OTHER).status
    assert moved.stage is RunStage.LEARNING
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.kind is OutcomeKind.WORSE


class TestWorld:
    """What a run sees of the nodes."""

    async def seen(self, found: Run, *, labels: dict[str, dict[str, str]], **spec: Any) -> World:
        """The run's world; the policy is now what `spec` says, and nodes are labelled."""
        kube = filled(MemoryKube(), found=found, **{"nodes": POOL, **spec})
        for name, labelled in labels.items():
            kube.put(NODES, raw_node(name, labels=labelled))
        return (await primed(kube)).world(found)

    def canary(self) -> Run:
        """A run that has touched one of two nodes."""
        driver = Driver(run(nodes=POOL), nodes=2)
        driver.until(RunStage.CANARY)
        driver.observe()
        return replace(driver.run, status=driver.run.status.replace(profile_node=None))

    async def test_a_label_that_is_taken_off(self) -> None:
        found = self.canary()
        (name,) = (entry.name for entry in found.status.nodes)
        (other,) = {"node-1", "node-2"} - {name}
        ours = {"pool": "ours"}
        for labels, selected in (
            ({name: ours, other: ours}, {name: True, other: True}),
            ({name: {}, other: ours}, {name: False, other: True}),
            ({name: ours, other: {}}, {name: True}),
        ):
            view = await self.seen(found, labels=labels)
            assert {node.name: node.selected for node in view.nodes} == selected

    async def test_a_selector_that_is_narrowed_or_widened(self) -> None:
        found = self.canary()
        (name,) = (entry.name for entry in found.status.nodes)
        (other,) = {"node-1", "node-2"} - {name}
        labels = {name: {"pool": "ours"}, other: {"pool": "ours", "zone": "a"}}
        narrow = LabelSelector(match_labels={"zone": "a"})
        view = await self.seen(found, labels=labels, nodes=narrow)
        assert {node.name: node.selected for node in view.nodes} == {name: False, other: True}
        labels = {name: {"pool": "ours"}, other: {}}
        view = await self.seen(found, labels=labels, nodes=LabelSelector())
        assert {node.name: node.selected for node in view.nodes} == {name: True}

    async def test_without_a_policy_the_runs_own_selector_counts(self) -> None:
        found = self.canary()
        kube = filled(MemoryKube(), found=found, nodes=POOL)
        await kube.delete(POLICIES, "checkout")
        (view,) = (await primed(kube)).world(found).nodes
        assert (view.name, view.selected) == (found.status.nodes[0].name, False)


class TestWhatAgentsMeasure:
    """The pods that are tracked while a changed policy ends its run."""

    def apps(self, cluster: Cluster, node: str) -> list[str]:
        tracked = tracked_workloads(cluster, lambda _: None).get(node, ())
        return [pod.name for entry in tracked for pod in entry.pods]

    def policy(self, found: Run, spec: SchedulerPolicySpec) -> Json:
        policy = {**raw_policy(), "spec": spec.to_json()}
        return {**policy, "status": {"activeRun": found.name}}

    @pytest.mark.parametrize(
        ("make", "pods"),
        [(lambda: at(RunStage.CANARY).run, ["pod-1"]), (finished, ["pod-2"])],
        ids=["under way", "finished"],
    )
    async def test_a_runs_workload_stays_until_its_end(
        self, make: Callable[[], Run], pods: list[str]
    ) -> None:
        found = make()
        kube = filled(MemoryKube(), found=found)
        kube.put(POLICIES, self.policy(found, policy_spec(workload=OTHER)))
        assert self.apps(await primed(kube), "node-1") == pods

    async def test_a_policy_of_another_uid_measures_what_it_says(self) -> None:
        found = at(RunStage.CANARY).run
        kube = filled(MemoryKube(), found=found)
        policy = self.policy(found, policy_spec(workload=OTHER))
        policy["metadata"]["uid"] = "another"
        kube.put(POLICIES, policy)
        assert self.apps(await primed(kube), "node-1") == ["pod-2"]

    async def test_targets_are_no_neighbours_while_a_deselected_node_has_the_candidate(
        self,
    ) -> None:
        driver = Driver(run(nodes=POOL), nodes=2)
        driver.until(RunStage.CANARY)
        driver.observe()
        found = driver.run
        name = found.status.nodes[0].name
        kube = filled(MemoryKube(), found=found, nodes=POOL)
        kube.put(PODS, raw_pod("pod-1", name), namespace="shop")
        await kube.delete(PODS, "pod-3", namespace="shop")
        assert self.apps(await primed(kube), name) == []
        held = desired_assignment(found, name)
        assert held is not None
        spec = SchedulerNodeStateSpec(assignments=(held,))
        kube.put(STATES, {"metadata": {"name": name}, "spec": spec.to_json()})
        assert self.apps(await primed(kube), name) == ["pod-1"]
