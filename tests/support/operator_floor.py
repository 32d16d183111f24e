"""The operator's loops over an API server in memory, with a policy, two nodes and their agents."""

from typing import Any

from schedcp_api.policies import Trigger
from schedcp_api.runs import RunStage
from schedcp_operator.cluster import Cluster
from schedcp_operator.kube import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    POLICIES,
    RUNS,
    STATES,
    Json,
    Resource,
)
from schedcp_operator.leader import Leader, LeaseSettings
from schedcp_operator.loop import Desk, PolicyLoop
from schedcp_operator.views import Run

from .operator_desk import desk_over
from .operator_doubles import MemoryFigures, MemoryKube, MemoryStore, MemoryVerifier
from .operator_driver import Driver
from .operator_nodes import POD_UID, node
from .operator_nouns import NOW, policy_spec, run

TRIGGER = Trigger(stabilization_seconds=0, cooldown_seconds=0)
LABELS = {"app": "checkout"}


class Floor:
    """A cluster with one policy, two nodes and their agents, and the loops over it."""

    def __init__(self, kube: MemoryKube | None = None) -> None:
        self.kube = kube or MemoryKube()
        self.store = MemoryStore()
        self.verifier = MemoryVerifier()
        self.figures = MemoryFigures()
        self.cluster = Cluster(clock=lambda: NOW)
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
        return desk_over(
            self.kube,
            self.cluster,
            leader,
            store=self.store,
            verifier=self.verifier,
            figures=self.figures,
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
