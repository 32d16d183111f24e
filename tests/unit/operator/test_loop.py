"""The loops over an API server in memory: what is created, written and kept apart."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from schedcp_api.candidates import PlanKind
from schedcp_api.nodestates import AssignmentStatus, RunState
from schedcp_api.policies import PinnedCandidate, Search, Trigger
from schedcp_api.runs import RunStage
from schedcp_operator.cluster import Cluster
from schedcp_operator.errors import NotLeader, PrometheusUnavailable, StoreUnavailable
from schedcp_operator.keeper import KeeperSettings, NodeKeeper
from schedcp_operator.kube import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    POLICIES,
    RUNS,
    STATEFUL_SETS,
    STATES,
    Json,
    Resource,
)
from schedcp_operator.leader import Leader, LeaseSettings
from schedcp_operator.loop import Desk, PolicyLoop, RunLoops
from schedcp_operator.perform import Performer
from schedcp_operator.repository import imported_manifest
from schedcp_operator.trust import TrustedKeys
from schedcp_operator.views import Run
from support.operator_doubles import MemoryFigures, MemoryKube, MemoryStore, MemoryVerifier
from support.operator_driver import Driver
from support.operator_library import LIBRARY
from support.operator_nodes import POD_UID, node
from support.operator_nouns import NOW, RULES, policy_spec, run

TRIGGER = Trigger(stabilization_seconds=0, cooldown_seconds=0)
LABELS = {"app": "checkout"}
SOURCE = (
    'char _license[] SEC("license") = "GPL";\nstruct sched_ext_ops ops = {.name = "imported"};\n'
)


class Floor:
    """A cluster with one policy, two nodes and their agents, and the loops over it."""

    def __init__(self, kube: MemoryKube | None = None) -> None:
        self.kube = kube or MemoryKube()
        self.store = MemoryStore()
        self.verifier = MemoryVerifier()
        self.figures = MemoryFigures()
        self.cluster = Cluster()
        self._desk: Desk | None = None
        for number, name in enumerate(("node-1", "node-2"), start=1):
            self._node(name, number)
        self.kube.put(NAMESPACES, {"metadata": {"name": "shop"}})
        self.policy()

    def _node(self, name: str, number: int) -> None:
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.kube.put(NODES, {"metadata": {"name": name}, "status": ready})
        pod = {
            "metadata": {"name": f"pod-{number}", "uid": POD_UID.format(number), "labels": LABELS},
            "spec": {"nodeName": name},
            "status": {"phase": "Running"},
        }
        self.kube.put(PODS, pod, namespace="shop")
        self.says(name)

    def says(self, name: str, **status: Any) -> None:
        """What a node's agent reports."""
        seen = node(name, **status).status
        known = self.kube.objects.get(("SchedulerNodeState", "", name), {"spec": {}})
        body = {**known, "metadata": {"name": name, "generation": 1}, "status": seen.to_json()}
        self.kube.put(STATES, body)

    def policy(self, name: str = "checkout", *, status: Json | None = None, **spec: Any) -> Json:
        """A policy that starts runs at once."""
        body = {
            "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1},
            "spec": policy_spec(**{"trigger": TRIGGER, **spec}).to_json(),
            "status": status or {},
        }
        return self.kube.put(POLICIES, body)

    def rolled_out(self, resource: Resource = DEPLOYMENTS, *, name: str = "checkout") -> None:
        """A workload of that kind whose rollout is complete."""
        daemons = resource is DAEMON_SETS
        count = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}
        replicas = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
        body = {
            "metadata": {"name": name, "generation": 1},
            "spec": {"replicas": 2, "template": {"metadata": {"labels": LABELS}}},
            "status": {"observedGeneration": 1, **(count if daemons else replicas)},
        }
        self.kube.put(resource, body, namespace="shop")

    def ran(self, found: Run, *, name: str | None = None) -> None:
        """A run as the API server has it, of this policy."""
        spec = found.spec.replace(policy_uid="uid-checkout").to_json()
        metadata = {"name": name or found.name, "uid": "uid-run"}
        self.kube.put(RUNS, {"metadata": metadata, "spec": spec, "status": found.status.to_json()})

    async def desk(self) -> Desk:
        """Everything that the loops work with, leading, and with the world listed anew."""
        if self._desk is None:
            self._desk = await self._made()
        await self.cluster.prime(self.kube)
        return self._desk

    async def _made(self) -> Desk:
        async def floor() -> int:
            return 0

        lease = LeaseSettings(name="l", namespace="n", identity="me", seconds=10)
        leader = Leader(self.kube, lease, epoch_floor=floor, clock=lambda: 100.0)
        await leader.contend()
        settings = KeeperSettings(lease_seconds=60, renew=timedelta(seconds=10), profile_seconds=1)
        keeper = NodeKeeper(
            self.kube,
            self.cluster,
            leader,
            settings=settings,
            expected=lambda _: None,
            clock=lambda: NOW,
        )
        performer = Performer(
            store=self.store,
            verifier=self.verifier,
            figures=self.figures,
            manifests=dict(LIBRARY.entries),
            sync_nodes=keeper.sync,
            trust=TrustedKeys(None, self.verifier),
            soak=timedelta(seconds=10),
            clock=lambda: NOW,
        )
        return Desk(
            kube=self.kube,
            cluster=self.cluster,
            leader=leader,
            keeper=keeper,
            performer=performer,
            figures=performer.figures,
            rules=lambda: RULES,
            poll_seconds=0.01,
            resync_seconds=0.01,
            clock=lambda: NOW,
        )

    async def look(self, times: int = 1) -> None:
        """Let the policies be looked at."""
        policies = PolicyLoop(await self.desk())
        await policies.look_at_needs()
        for _ in range(times):
            await policies.look_at_all()

    def status(self, name: str = "checkout") -> Json:
        """A policy's status."""
        found: Json = self.kube.objects["SchedulerPolicy", "", name]["status"]
        return found

    def runs(self) -> list[str]:
        """The names of all runs."""
        return sorted(name for kind, _, name in self.kube.objects if kind == RUNS.kind)


def ended() -> Run:
    """A run that was promoted."""
    driver = Driver(run())
    driver.until(RunStage.FINISHED)
    return driver.run


def kept(found: Run) -> Json:
    """A policy's status that keeps the run's scheduler."""
    return {
        "observedGeneration": 1,
        "lastRun": found.name,
        "promoted": {
            "run": found.name,
            "scheduler": "latency_class",
            "effect": "40%",
            "promotedAt": "2026-01-01T00:00:00Z",
        },
    }


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
