"""How a run ends early: rolled back with proof, stopped by its policy, out of time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.nodestates import AttachedScheduler
from schedcp_api.policies import Approval, ApprovalRequired, Mode
from schedcp_api.runs import RunStage
from schedcp_operator.events import Observed
from schedcp_operator.views import World
from support.operator_driver import Driver, at, pending
from support.operator_nodes import node, world
from support.operator_nouns import NOW, policy_spec, run

BAD = [(1.0, 0.5)] * 5


def test_rolling_back_waits_for_proof() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    clear = driver.nodes[name]
    for unproven in (
        clear.status.replace(sched_ext_state="enabled"),
        clear.status.replace(observed_generation=0),
        clear.status.replace(
            attached=(AttachedScheduler(ops_name="x", enable_seq=1, run="r", since=NOW),)
        ),
    ):
        driver.nodes[name] = replace(
            clear, status=unproven, spec=clear.spec.replace(assignments=())
        )
        assert driver.observe().status.stage is RunStage.ROLLING_BACK
    driver.nodes[name] = replace(
        clear,
        status=clear.status.replace(observed_generation=9),
        spec=clear.spec.replace(assignments=()),
    )
    moved = driver.observe().status
    assert moved.stage is RunStage.PLANNING
    assert moved.nodes[0].restored_at == driver.now


def test_a_node_whose_kernel_cannot_be_read_is_not_proven_restored() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    view = driver.nodes[name]
    unread = with_condition(
        view.status.conditions,
        "OnDefaultScheduler",
        ConditionStatus.UNKNOWN,
        reason="Unreadable",
        message="",
        now=NOW,
    )
    driver.nodes[name] = replace(
        view,
        status=view.status.replace(observed_generation=9, sched_ext_state="", conditions=unread),
        spec=view.spec.replace(assignments=()),
    )
    assert driver.observe().status.stage is RunStage.ROLLING_BACK


def test_a_node_that_cannot_be_proven_restored_is_said_so() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    stuck = driver.nodes[name]
    driver.nodes[name] = replace(stuck, status=stuck.status.replace(sched_ext_state="enabled"))
    driver.observe()
    driver.now += timedelta(hours=1)
    ended = driver.observe().status
    assert pending(ended) == (RunStage.LEARNING, "NodesNotRestored")
    assert name in ended.pending_outcome.message


def test_a_node_that_left_the_cluster_is_not_waited_for_and_not_called_proven() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    del driver.nodes[name]
    status = driver.observe().status
    assert status.stage is RunStage.PLANNING
    (restored,) = (c for c in status.conditions if c.type == "Restored")
    assert (restored.status, restored.reason) == (ConditionStatus.UNKNOWN, "NodesGone")
    assert restored.message.startswith("0 nodes show the kernel's own scheduler; ")
    assert f"{name} left the cluster" in restored.message
    assert status.nodes[0].restored_at is None
    assert status.nodes[0].gone_at == driver.now


def test_a_node_that_leaves_after_it_was_proven_restored_stays_proven() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD], nodes=2)
    first = driver.run.status.nodes[0].replace(restored_at=driver.now)
    (other,) = driver.nodes.keys() - {first.name}
    second = first.replace(name=other, restored_at=None)
    driver.run = replace(driver.run, status=driver.run.status.replace(nodes=(first, second)))
    del driver.nodes[first.name]
    status = driver.observe().status
    assert status.stage is RunStage.PLANNING
    assert [c.reason for c in status.conditions if c.type == "Restored"] == ["Proven"]


INTERRUPTED = [
    (World(nodes=()), "PolicyDeleted"),
    (world(spec=policy_spec(suspend=True)), "Suspended"),
]


@pytest.mark.parametrize("stage", list(RunStage)[1:9])
@pytest.mark.parametrize(("seen", "reason"), INTERRUPTED)
def test_a_policy_that_goes_away_stops_the_run(stage: RunStage, seen: World, reason: str) -> None:
    approval = Approval(required=ApprovalRequired.BEFORE_CANARY)
    spec = {"approval": approval} if stage is RunStage.AWAITING_APPROVAL else {}
    driver = Driver(run(**spec))
    driver.until(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    moved = driver.tell(Observed(seen)).status
    touched = bool(driver.run.status.nodes)
    assert moved.stage is (RunStage.ROLLING_BACK if touched else RunStage.LEARNING)
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == reason


def test_a_lowered_mode_stops_the_promotion() -> None:
    driver = at(RunStage.PROMOTING)
    seen = world(*driver.nodes.values(), spec=policy_spec(mode=Mode.RECOMMEND))
    moved = driver.tell(Observed(seen)).status
    assert pending(moved) == (RunStage.ROLLING_BACK, "ModeChanged")


TIMED_OUT = [
    (RunStage.PROFILING, "ProfilingTimedOut"),
    (RunStage.PLANNING, "PlanningTimedOut"),
    (RunStage.VERIFYING, "VerificationTimedOut"),
    (RunStage.SIGNING, "SigningTimedOut"),
    (RunStage.JUDGING, "PrometheusUnavailable"),
]


@pytest.mark.parametrize(("stage", "reason"), TIMED_OUT)
def test_every_stage_has_a_deadline(stage: RunStage, reason: str) -> None:
    driver = at(stage)
    driver.now += timedelta(hours=5)
    if stage is RunStage.PROFILING:
        driver.nodes = {name: node(name, now=driver.now) for name in driver.nodes}
    driver.refresh()
    moved = driver.observe().status
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == reason
