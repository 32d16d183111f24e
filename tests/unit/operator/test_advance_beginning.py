"""How a run begins: nodes that fit, queries that can be asked, a profile, plans."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_api.base import Condition, ConditionStatus
from schedcp_api.nodestates import AttachedScheduler, ProfilePhase, ProfileResult
from schedcp_api.policies import MetricSource, Objective, PinnedCandidate, PrometheusQuery, Search
from schedcp_api.runs import OutcomeKind, RunStage
from schedcp_api.verdicts import ContractLoss
from schedcp_operator.advance import advance
from schedcp_operator.assignments import desired_profile_request
from schedcp_operator.eligibility import select
from schedcp_operator.events import (
    Observed,
    PlanningFailed,
    PlansMade,
    QueriesRefused,
    QueriesTried,
    SyncNodes,
    TryQueries,
)
from schedcp_operator.stages.verifying import contract_of
from schedcp_operator.views import Run
from support.operator_driver import Driver, at, pending
from support.operator_nodes import node, world
from support.operator_nouns import KERNEL, NOW, OLD_KERNEL, RULES, run

REFUSING = [
    (lambda: node(now=NOW - timedelta(minutes=5)), "AgentStale"),
    (lambda: node(kernel=OLD_KERNEL), "NoSchedExt"),
    (lambda: replace(node(), ready=False), "NotReady"),
    (lambda: replace(node(), claimed_by="run other"), "Claimed"),
    (lambda: node(heartbeat_at=None), "NoAgent"),
    (
        lambda: node(
            conditions=(
                Condition(
                    type="ForeignScheduler",
                    status=ConditionStatus.TRUE,
                    reason="Attached",
                    message="scx_other",
                    last_transition_time=NOW,
                ),
            )
        ),
        "ForeignScheduler",
    ),
    (
        lambda: node(attached=(AttachedScheduler(ops_name="scx_x", enable_seq=1, since=NOW),)),
        "ForeignScheduler",
    ),
    (lambda: node(pods=0), "NoPods"),
]


@pytest.mark.parametrize(("refused", "reason"), REFUSING)
def test_pending_waits_for_an_eligible_node(refused: object, reason: str) -> None:
    assert callable(refused)
    begun = advance(run(), Observed(world(refused())), now=NOW, rules=RULES)
    assert begun.status.stage is RunStage.PENDING
    assert begun.status.message.startswith(f"{reason}: ")
    waited = Run("checkout-1", run().spec, begun.status)
    late = NOW + timedelta(hours=1)
    ended = advance(waited, Observed(world(refused())), now=late, rules=RULES)
    assert ended.status.pending_outcome is not None
    assert ended.status.pending_outcome.reason == "NoEligibleNodes"


def test_pending_leaves_out_nodes_with_another_kernel() -> None:
    other = KERNEL.replace(release="6.18.15-test")
    seen = world(node("node-1"), node("node-2", kernel=other, pods=0), node("node-3", pods=0))
    begun = advance(run(), Observed(seen), now=NOW, rules=RULES)
    assert begun.status.eligible_nodes == ("node-1", "node-3")
    assert begun.status.kernel_digest == KERNEL.content_digest()
    (eligible,) = (c for c in begun.status.conditions if c.type == "NodesEligible")
    assert eligible.message == (
        "2 of 3 nodes are eligible; 1 runs another kernel (6.18.15-test: node-2), and a run is for"
        " one kernel"
    )


def test_nodes_with_other_kernels_are_named_while_they_are_few() -> None:
    first, second = (KERNEL.replace(release=release) for release in ("6.18-a", "6.18-b"))
    others = [node(f"node-{n}", kernel=second if n == 3 else first, pods=0) for n in range(2, 9)]
    refused = replace(node("node-9"), ready=False)
    seen = (node("node-1"), *others, refused)
    message = select(seen, run().policy.canary, now=NOW, rules=RULES).message
    assert message == (
        "1 of 9 nodes are eligible; 7 run another kernel (6.18-a: node-2, node-4, node-5;"
        " 6.18-b: node-3; and 3 more), and a run is for one kernel; node-9: the node is not Ready"
    )


NOBODY_LIMITS = (ContractLoss.CPU_WEIGHT, ContractLoss.NICE)


@pytest.mark.parametrize(
    ("second", "unneeded"),
    [
        (NOBODY_LIMITS, {ContractLoss.CPU_MAX, ContractLoss.CPUSET, ContractLoss.CGROUP_IDLE}),
        ((ContractLoss.CPU_MAX,), {ContractLoss.CPUSET, ContractLoss.CGROUP_IDLE}),
        (None, set()),
    ],
)
def test_what_no_pod_on_the_nodes_asks_for_may_be_lost(
    second: tuple[ContractLoss, ...] | None, unneeded: set[ContractLoss]
) -> None:
    first = node(cpu_demands=NOBODY_LIMITS)
    begun = advance(
        run(),
        Observed(world(first, node("node-2", pods=0, cpu_demands=second))),
        now=NOW,
        rules=RULES,
    )
    assert set(begun.status.unneeded_losses) == unneeded
    contract = contract_of(Run("checkout-1", run().spec, begun.status))
    assert set(contract.unneeded_losses) == unneeded
    assert contract.waived_losses == run().policy.search.waived_losses


def test_pending_waits_until_an_earlier_scheduler_is_gone() -> None:
    ours = AttachedScheduler(ops_name="schedcp_x", enable_seq=1, run="before", since=NOW)
    busy = node("node-2", attached=(ours,), sched_ext_state="enabled")
    begun = advance(run(), Observed(world(node(), busy)), now=NOW, rules=RULES)
    assert begun.status.stage is RunStage.PENDING
    assert begun.effects == (SyncNodes(("node-2",)),)


QUERY = MetricSource(prometheus=PrometheusQuery(query='x{node="$node"}'))


def test_own_queries_are_tried_once_before_anything_else() -> None:
    driver = Driver(run(objective=Objective(metric=QUERY)))
    assert driver.observe().effects == (TryQueries("node-1"),)
    for answer in (QueriesTried(), QueriesTried("connection refused")):
        told_so = advance(driver.run, answer, now=NOW, rules=RULES).status
        tried = Run(driver.run.name, driver.run.spec, told_so)
        gone_on = advance(tried, Observed(driver.world()), now=NOW, rules=RULES)
        assert gone_on.status.stage is RunStage.PROFILING
    refused = advance(driver.run, QueriesRefused("parse error"), now=NOW, rules=RULES).status
    assert refused.stage is RunStage.LEARNING
    assert refused.pending_outcome is not None
    assert (refused.pending_outcome.kind, refused.pending_outcome.reason) == (
        OutcomeKind.ERROR,
        "BadQuery",
    )


@pytest.mark.parametrize("stage", [RunStage.JUDGING, RunStage.PROMOTING])
def test_a_query_that_is_refused_later_ends_the_run(stage: RunStage) -> None:
    driver = at(stage)
    moved = driver.tell(QueriesRefused("gives 2 series")).status
    assert pending(moved) == (RunStage.ROLLING_BACK, "BadQuery")


def test_profiling_asks_and_asks_again_elsewhere() -> None:
    driver = at(RunStage.PROFILING)
    asked = desired_profile_request(driver.run, "node-1", seconds=20)
    assert asked is not None
    assert asked.id == "checkout-1/0"
    result = ProfileResult(id=asked.id, phase=ProfilePhase.FAILED, message="no probes")
    driver.nodes["node-1"] = node("node-1", profile=result)
    driver.observe()
    status = driver.run.status
    assert (status.stage, status.retries) == (RunStage.PROFILING, 1)
    assert status.profile_node == "node-2"
    assert desired_profile_request(driver.run, "node-1", seconds=20) is None


def test_profiling_gives_up() -> None:
    driver = at(RunStage.PROFILING)
    for _ in range(3):
        request = driver.run.status.profile_request
        result = ProfileResult(id=request, phase=ProfilePhase.FAILED, message="no probes")
        for name in driver.nodes:
            driver.nodes[name] = node(name, profile=result)
        driver.observe()
    assert driver.run.status.stage is RunStage.LEARNING
    assert driver.run.status.pending_outcome is not None
    assert driver.run.status.pending_outcome.reason == "ProfilingFailed"


def test_planning_can_fail() -> None:
    driver = at(RunStage.PLANNING)
    moved = driver.tell(PlanningFailed("UnknownScheduler", "there is none"))
    assert moved.status.stage is RunStage.LEARNING
    assert moved.status.pending_outcome is not None
    assert moved.status.pending_outcome.kind is OutcomeKind.ERROR


def test_pinned_candidates_bypass_the_planner() -> None:
    pinned = (PinnedCandidate(scheduler="long_tail"),)
    driver = Driver(run(search=Search(pinned=pinned)))
    driver.until(RunStage.FINISHED)
    assert [a.candidate.scheduler for a in driver.run.status.attempts] == ["long_tail"]


def test_set_aside_plans_are_named() -> None:
    driver = at(RunStage.PLANNING)
    made = driver.plans()
    assert isinstance(made, PlansMade)
    moved = driver.tell(replace(made, proposals=(), set_aside=("do not use x",))).status
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "KnownNotToHelp"
