"""Finished runs that a policy has no room for: which they are, and how they go."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.nodestates import Assignment, AttachedScheduler, SchedulerNodeStateSpec
from schedcp_api.policies import PromotedScheduler, SchedulerPolicyStatus
from schedcp_api.runs import NodeRole, OptimizationRunStatus, RunNode, RunStage
from schedcp_operator.errors import NotLeader, StoreUnavailable
from schedcp_operator.history import has_left, surplus
from schedcp_operator.kube import NODES, RUNS, STATES
from schedcp_operator.loop import PolicyLoop
from schedcp_operator.views import NodeView, Run
from support.operator_floor import Floor, ended
from support.operator_nodes import node, world
from support.operator_nouns import NOW, run
from support.operator_policies import view


def old_run(number: int, *, stage: RunStage = RunStage.FINISHED, **status: Any) -> Run:
    """One of many runs, a minute after the one before."""
    at = NOW + timedelta(minutes=number)
    found = OptimizationRunStatus(stage=stage, finished_at=at, **status)
    return Run(f"run-{number}", run().spec, found)


def names(*runs: Run, limit: int = 2, **status: Any) -> list[str]:
    """The runs that are too many."""
    known = SchedulerPolicyStatus(**status)
    policy = view(status=known, run_history_limit=limit).policy
    return [found.name for found in surplus(policy, runs)]


def test_the_oldest_finished_runs_are_too_many() -> None:
    runs = [old_run(number) for number in (3, 0, 2, 1)]
    assert names(*runs) == ["run-0", "run-1"]
    assert names(*runs, limit=4) == []


def test_a_run_under_way_is_none_too_many_and_takes_no_place() -> None:
    runs = (old_run(0, stage=RunStage.CANARY), *(old_run(number) for number in (1, 2, 3)))
    assert names(*runs) == ["run-1"]


def test_what_the_policy_names_is_never_too_old() -> None:
    kept = PromotedScheduler(run="run-1", scheduler="latency_class", effect="40%", promoted_at=NOW)
    runs = [old_run(number) for number in range(6)]
    named = {"active_run": "run-0", "last_run": "run-2", "promoted": kept}
    assert names(*runs, **named) == ["run-3"]


def touched(**entry: Any) -> Run:
    """A run that touched node-1."""
    known = RunNode(name="node-1", role=NodeRole.REVERTED, since=NOW, **entry)
    return old_run(1, nodes=(known,))


def attached(name: str) -> AttachedScheduler:
    """A run's scheduler, as an agent shows it."""
    return AttachedScheduler(ops_name="x", enable_seq=1, run=name, since=NOW)


def holding(name: str) -> NodeView:
    """A node that is to run a run's scheduler, and does not yet."""
    assignment = Assignment(
        run=name,
        policy="checkout",
        scheduler="x",
        ops_name="x",
        object_digest=digest_of(b"x"),
        token="t",
    )
    return replace(node(), spec=SchedulerNodeStateSpec(assignments=(assignment,)))


@pytest.mark.parametrize(
    ("entry", "seen", "left"),
    [
        ({}, node(), True),
        ({}, None, True),
        ({}, node(attached=(attached("run-2"),), sched_ext_state="enabled"), True),
        ({}, node(attached=(attached("run-1"),), sched_ext_state="enabled"), False),
        ({}, node(sched_ext_state="enabled"), False),
        ({}, node(observed_generation=0), False),
        ({}, node(heartbeat_at=None), False),
        ({}, holding("run-1"), False),
        ({}, holding("run-2"), False),
        ({"restored_at": NOW}, node(heartbeat_at=None), True),
        ({"gone_at": NOW}, node(attached=(attached("run-1"),), sched_ext_state="enabled"), False),
    ],
)
def test_a_run_has_left_a_node_that_shows_it(
    entry: dict[str, Any], seen: NodeView | None, left: bool
) -> None:
    assert has_left(touched(**entry), world(*([seen] if seen else []))) is left


def full(count: int = 4, **status: Any) -> Floor:
    """A cluster with so many finished runs of a policy that keeps one."""
    floor = Floor()
    floor.policy(run_history_limit=1)
    for number in range(count):
        floor.ran(old_run(number, **status))
    return floor


async def test_the_loop_deletes_them() -> None:
    floor = full()
    await floor.look()
    assert floor.runs() == ["run-3"]
    assert sorted(floor.cluster.runs) == ["run-3"]


async def test_what_the_same_look_comes_to_name_stays() -> None:
    floor = full()
    floor.policy(run_history_limit=1, status={"activeRun": "run-0", "lastRun": "run-1"})
    await floor.look()
    assert floor.runs() == ["run-0", "run-3"]
    assert floor.status()["lastRun"] == "run-0"


async def test_only_some_go_in_one_look() -> None:
    floor = full(12)
    await floor.look()
    assert len(floor.runs()) == 4
    await floor.look()
    assert floor.runs() == ["run-11"]


async def test_a_run_whose_node_was_not_proven_restored_stays_until_it_is() -> None:
    entry = RunNode(name="node-1", role=NodeRole.PROMOTED, since=NOW)
    floor = full(nodes=(entry,))
    floor.says("node-1", attached=(attached("run-0"),), sched_ext_state="enabled")
    await floor.look()
    assert floor.runs() == ["run-0", "run-3"]
    floor.says("node-1")
    await floor.look()
    assert floor.runs() == ["run-3"]


async def test_a_node_that_left_the_cluster_is_not_waited_for() -> None:
    entry = RunNode(name="node-1", role=NodeRole.PROMOTED, since=NOW)
    floor = full(nodes=(entry,))
    floor.says("node-1", heartbeat_at=None)
    await floor.look()
    assert len(floor.runs()) == 4
    for resource in (NODES, STATES):
        await floor.kube.delete(resource, "node-1")
    await floor.look()
    assert floor.runs() == ["run-3"]


async def test_lessons_are_kept_before_their_only_trace_goes() -> None:
    floor = full()
    untold = ended()
    status = untold.status.replace(
        finished_at=NOW,
        lesson_digest=None,
        nodes=tuple(entry.replace(restored_at=NOW) for entry in untold.status.nodes),
    )
    floor.ran(replace(untold, status=status))
    floor.store.problem = StoreUnavailable("disk")
    await floor.look()
    assert untold.name in floor.runs()
    floor.store.problem = None
    await floor.look()
    assert floor.runs() == ["run-3"]
    assert {lesson.run for lesson in floor.store.kept.values()} == {untold.name}


async def test_a_run_that_was_changed_is_looked_at_again_first() -> None:
    floor = full()
    policies = PolicyLoop(await floor.desk())
    changed = floor.kube.objects["OptimizationRun", "", "run-0"]
    changed["metadata"]["annotations"] = {"a": "b"}
    floor.kube.put(RUNS, changed)
    await policies.look_at_all()
    assert floor.runs() == ["run-0", "run-3"]
    await policies.look_at_all()
    assert floor.runs() == ["run-3"]


async def test_a_run_that_somebody_deleted_is_gone() -> None:
    floor = full()
    policies = PolicyLoop(await floor.desk())
    await floor.kube.delete(RUNS, "run-0")
    await policies.look_at_all()
    assert floor.runs() == ["run-3"]
    assert sorted(floor.cluster.runs) == ["run-3"]


async def test_who_does_not_lead_deletes_nothing() -> None:
    floor = Floor()
    floor.policy(run_history_limit=100)
    for number in range(4):
        floor.ran(old_run(number))
    await floor.look()
    before = floor.status()
    floor.policy(run_history_limit=1, status=before)
    desk = await floor.desk()
    policies = PolicyLoop(desk)
    await policies.look_at_needs()
    await desk.leader.release()
    with pytest.raises(NotLeader):
        await policies.look_at_all()
    assert len(floor.runs()) == 4
    await desk.leader.contend()
    await policies.look_at_all()
    assert floor.runs() == ["run-3"]
    assert floor.status() == before, "there was nothing else to write"
