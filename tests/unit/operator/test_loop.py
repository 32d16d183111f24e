"""The loops over an API server in memory: what is created, written and kept apart."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from schedcp_api.candidates import PlanKind
from schedcp_api.nodestates import AssignmentStatus, RunState
from schedcp_api.policies import PinnedCandidate, Search
from schedcp_operator.cluster import Cluster
from schedcp_operator.errors import (
    Conflict,
    KubeUnavailable,
    NotLeader,
    OperatorError,
    PrometheusUnavailable,
    StoreUnavailable,
)
from schedcp_operator.kube import (
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    POLICIES,
    RUNS,
    STATEFUL_SETS,
    STATES,
    Json,
    Resource,
)
from schedcp_operator.loop import PolicyLoop, RunLoops
from schedcp_operator.repository import imported_manifest
from schedcp_operator.views import Run
from support.operator_doubles import MemoryKube
from support.operator_floor import Floor, ended, kept
from support.operator_library import LIBRARY
from support.operator_nouns import NOW, run

SOURCE = (
    'char _license[] SEC("license") = "GPL";\nstruct sched_ext_ops ops = {.name = "imported"};\n'
)


@pytest.mark.parametrize("resource", [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS])
async def test_every_kind_of_workload_starts_a_run(resource: Resource) -> None:
    floor = Floor()
    floor.rolled_out(resource)
    await floor.look()
    (name,) = floor.runs()
    created = floor.kube.objects["OptimizationRun", "", name]
    assert created["spec"]["trigger"]["workload"] == f"{resource.kind}/shop/checkout"
    assert floor.status()["activeRun"] == name


@pytest.mark.parametrize("missing", ["verifier", "figures"])
async def test_a_rollout_waits_for_what_its_run_needs(missing: str) -> None:
    floor = Floor()
    floor.rolled_out()
    double = floor.verifier if missing == "verifier" else floor.figures
    double.problem = PrometheusUnavailable("nobody answers")
    await floor.look(2)
    assert floor.runs() == []
    assert "nobody answers" in floor.status()["summary"]
    double.problem = None
    await floor.look()
    assert len(floor.runs()) == 1


async def test_a_rollout_waits_until_what_is_pinned_is_there() -> None:
    floor = Floor()
    pinned = (PinnedCandidate(scheduler="imported"),)
    floor.policy(search=Search(pinned=pinned))
    floor.rolled_out()
    await floor.look(2)
    assert floor.runs() == []
    known = ", ".join(sorted(LIBRARY.entries))
    assert (
        f"there is no scheduler 'imported'; there are: {known}"[:200] in floor.status()["summary"]
    )
    await floor.store.add_source(imported_manifest("imported.bpf.c", SOURCE), SOURCE)
    await floor.look()
    assert len(floor.runs()) == 1


async def test_a_policy_that_allows_nothing_that_there_is_starts_no_run() -> None:
    floor = Floor()
    floor.policy(search=Search(allow=(PlanKind.GENERATE, PlanKind.PATCH)))
    floor.rolled_out()
    await floor.look(2)
    assert floor.runs() == []
    assert "NothingAllowed: search.allow is Generate, Patch, and" in floor.status()["summary"]


async def test_a_pinned_scheduler_waits_for_the_repository() -> None:
    floor = Floor()
    floor.policy(search=Search(pinned=(PinnedCandidate(scheduler="latency_class"),)))
    floor.rolled_out()
    floor.store.problem = StoreUnavailable("nobody answers")
    await floor.look(2)
    assert floor.runs() == []
    assert "RepositoryUnavailable: nobody answers" in floor.status()["summary"]
    floor.store.problem = None
    await floor.look()
    assert len(floor.runs()) == 1


async def test_before_anybody_has_looked_at_the_needs_no_run_starts() -> None:
    floor = Floor()
    floor.rolled_out()
    policies = PolicyLoop(await floor.desk())
    await policies.look_at_all()
    assert floor.runs() == []


async def test_names_of_any_length_start_runs() -> None:
    floor = Floor()
    floor.rolled_out(STATEFUL_SETS, name="x" * 253)
    await floor.look()
    assert len(floor.runs()) == 1
    assert len(floor.status()["workloads"][0]["workload"]) == 256


async def test_a_finished_run_of_the_same_name_is_not_taken_for_a_new_one() -> None:
    first = Floor()
    first.rolled_out()
    await first.look()
    (name,) = first.runs()
    floor = Floor()
    floor.rolled_out()
    floor.ran(ended(), name=name)
    await floor.look(times=2)
    assert len(floor.runs()) == 2
    assert floor.status()["activeRun"] in set(floor.runs()) - {name}
    assert "promoted" not in floor.status()


async def test_a_run_that_was_created_before_a_crash_is_gone_on_with() -> None:
    floor = Floor()
    floor.rolled_out()
    await floor.look()
    (name,) = floor.runs()
    floor.kube.objects["SchedulerPolicy", "", "checkout"]["status"] = {}
    await floor.look(times=2)
    assert floor.runs() == [name]
    assert floor.status()["activeRun"] == name
    done = ended().status
    floor.ran(Run(name, floor.cluster.runs[name].run.spec, done), name=name)
    await floor.look(times=2)
    assert floor.runs() == [name], "the rollout has had its run"


class Forgetful(MemoryKube):
    """An API server that fails the first write of a policy."""

    def __init__(self, problem: OperatorError | None) -> None:
        super().__init__()
        self.problem = problem

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace, or fail."""
        if resource is POLICIES and self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        return await super().replace(resource, body, status=status)


async def rolled_out_again(problem: OperatorError | None) -> Floor:
    """A policy that keeps a scheduler while two workloads are rolled out."""
    found = ended()
    floor = Floor(Forgetful(problem))
    floor.ran(found)
    floor.policy(status=kept(found))
    await (await floor.desk()).keeper.sync()
    assert all(state.spec.assignments for state in floor.cluster.states.values())
    for name in ("checkout", "payment"):
        floor.rolled_out(name=name)
    await floor.look(times=3)
    await (await floor.desk()).keeper.sync()
    return floor


@pytest.mark.parametrize("problem", [KubeUnavailable("refused"), Conflict("another version")])
async def test_a_new_run_takes_the_kept_ones_place_also_after_a_crash(
    problem: OperatorError,
) -> None:
    floor = await rolled_out_again(problem)
    assert len(floor.runs()) == 2
    assert "promoted" not in floor.status()
    assert not any(state.spec.assignments for state in floor.cluster.states.values())
    calm = await rolled_out_again(None)
    assert floor.status() == calm.status()


async def test_a_failed_scheduler_leaves_the_nodes_with_or_without_a_store() -> None:
    found = ended()
    floor = Floor()
    floor.ran(found)
    floor.policy(status=kept(found))
    said = AssignmentStatus(
        run=found.name,
        object_digest=found.attempt.object_digest or "",
        state=RunState.EJECTED,
        reason="stall",
        since=NOW,
    )
    floor.says("node-1", assignments=(said,))
    floor.store.problem = StoreUnavailable("disk")
    await floor.look()
    assert "promoted" not in floor.status()
    assert floor.status()["lastOutcome"] == "Withdrawn: Ejected: stall"


async def abandoned() -> Floor:
    """A policy that keeps a scheduler on the nodes, and whose workload went an hour ago."""
    found = ended()
    floor = Floor()
    floor.ran(found)
    floor.policy(status={**kept(found), "workloadGoneSince": "2026-01-01T11:00:00Z"})
    for name in ("pod-1", "pod-2"):
        await floor.kube.delete(PODS, name, namespace="shop")
    await (await floor.desk()).keeper.sync()
    assert all(state.spec.assignments for state in floor.cluster.states.values())
    return floor


async def test_a_scheduler_whose_workload_is_gone_leaves_the_nodes() -> None:
    floor = await abandoned()
    await floor.look()
    assert floor.status()["lastOutcome"].startswith("Withdrawn: WorkloadGone: ")
    await (await floor.desk()).keeper.sync()
    assert not any(state.spec.assignments for state in floor.cluster.states.values())


async def test_an_operator_that_has_not_listed_the_workloads_misses_none() -> None:
    floor = await abandoned()
    cluster = Cluster()
    for resource in (POLICIES, RUNS):
        for raw in (await floor.kube.list(resource)).items:
            cluster.put(resource, raw)
    desk = replace(await floor.desk(), cluster=cluster)
    await PolicyLoop(desk).look_at_all()
    assert floor.status()["promoted"]
    await cluster.prime(floor.kube)
    await PolicyLoop(desk).look_at_all()
    assert "promoted" not in floor.status()


class Broken(MemoryKube):
    """An API server on whose policy `broken` every write is a defect."""

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace, or break."""
        if body["metadata"]["name"] == "broken":
            raise RuntimeError("a defect")
        return await super().replace(resource, body, status=status)


async def test_a_policys_defect_stays_its_own() -> None:
    floor = Floor(Broken())
    floor.policy("broken")
    await floor.look()
    assert floor.status("broken") == {}
    assert floor.status()["observedGeneration"] == 1


async def test_a_policy_that_cannot_be_read_says_so_and_keeps_what_it_has() -> None:
    found = ended()
    floor = Floor()
    floor.ran(found)
    body = floor.policy(status=kept(found))
    await (await floor.desk()).keeper.sync()
    state = floor.kube.objects["SchedulerNodeState", "", "node-1"]
    assert state["spec"]["assignments"]
    body["spec"]["aNewerField"] = 1
    floor.kube.put(POLICIES, body)
    desk = await floor.desk()
    policies = PolicyLoop(desk)
    await policies.look_at_all()
    (ready,) = floor.status()["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "Unreadable")
    assert "aNewerField" in ready["message"]
    assert floor.status()["promoted"]["run"] == found.name
    version = floor.kube.version
    await policies.look_at_all()
    assert floor.kube.version == version
    await desk.keeper.sync()
    state = floor.kube.objects["SchedulerNodeState", "", "node-1"]
    assert state["spec"]["assignments"][0]["run"] == found.name


async def test_a_leader_stands_down_for_an_epoch_that_only_an_agent_remembers() -> None:
    floor = Floor()
    found = ended()
    floor.ran(found)
    floor.policy(status=kept(found))
    await (await floor.desk()).keeper.sync()
    state = floor.kube.objects["SchedulerNodeState", "", "node-1"]
    floor.kube.put(STATES, {**state, "status": {"observedEpoch": 99}})
    desk = await floor.desk()
    with pytest.raises(NotLeader, match="node-1 was shown epoch 99"):
        await desk.keeper.sync()
    assert not desk.leader.is_leader


class Slow(MemoryKube):
    """An API server that lets others go on before it has written."""

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace, later."""
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().replace(resource, body, status=status)


async def test_two_runs_never_choose_the_same_nodes() -> None:
    floor = Floor(Slow())
    for name in ("first", "second"):
        floor.policy(name)
        body = run().spec.replace(policy=name, policy_uid=f"uid-{name}").to_json()
        floor.kube.put(RUNS, {"metadata": {"name": name, "uid": name}, "spec": body})
    loops = asyncio.create_task(RunLoops(await floor.desk()).run())

    def chosen() -> list[tuple[str, ...]]:
        return [known.run.status.eligible_nodes for known in floor.cluster.runs.values()]

    async with asyncio.timeout(30):
        while not any(chosen()) or not all(k.run.status.message for k in waiting(floor.cluster)):
            await floor.cluster.wait(1)
    loops.cancel()
    await asyncio.gather(loops, return_exceptions=True)
    assert sorted(len(nodes) for nodes in chosen()) == [0, 2]
    assert "in use by run" in next(iter(waiting(floor.cluster))).run.status.message


def waiting(cluster: Cluster) -> list[Any]:
    """The runs that have no nodes."""
    return [known for known in cluster.runs.values() if not known.run.status.eligible_nodes]
