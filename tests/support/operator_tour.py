"""A whole cluster in memory: the operator's own loops, agents that obey, and a clock of its own.

Any write of the operator's can go wrong, and it can be killed there, before or after the API server
has it; it is then begun anew. The API server, the store, the verifier and the agents go on.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Never

from schedcp_api.base import canonical_json
from schedcp_api.nodestates import Arm, RunState
from schedcp_api.policies import MetricSource, Trigger
from schedcp_api.runs import Lesson, RunStage
from schedcp_operator.cluster import Cluster
from schedcp_operator.errors import KubeUnavailable
from schedcp_operator.kube import DEPLOYMENTS, LEASES, POLICIES, RUNS, STATES, Json, Resource
from schedcp_operator.leader import Leader, LeaseSettings, highest_epoch
from schedcp_operator.loop import Desk, PolicyLoop, RunLoops
from schedcp_operator.objects import state_object
from schedcp_operator.views import NodeView

from .operator_desk import desk_over
from .operator_doubles import MemoryFigures, MemoryKube, MemoryStore, MemoryVerifier
from .operator_nodes import Agent, node
from .operator_nouns import NOW
from .operator_objects import filled
from .operator_profiles import profile

__all__ = ["Mishap", "MortalKube", "Tour"]

_TURN = timedelta(seconds=5)
_MOST_TURNS = 200
_LEASE_SECONDS = 20.0
_POLICY = "checkout"


class Dead(BaseException):
    """The operator was killed."""


class Mishap(StrEnum):
    """What becomes of one write."""

    KILLED_BEFORE = "killed before it"
    KILLED_AFTER = "killed when the API server had it"
    REFUSED = "not taken"
    UNANSWERED = "taken, and the answer lost"


_DEATHS = (Mishap.KILLED_BEFORE, Mishap.KILLED_AFTER)
_BEFORE = (Mishap.KILLED_BEFORE, Mishap.REFUSED)


class MortalKube(MemoryKube):
    """An API server with which one write goes wrong."""

    def __init__(self, at: int = 0, mishap: Mishap = Mishap.REFUSED) -> None:
        """`at` says which write of the operator's, counted from 1; 0: none.

        Those of its Lease do not count.
        """
        super().__init__()
        self.writes = 0
        self.mishaps = 0
        self._at = at
        self._mishap = mishap

    async def create(self, resource: Resource, body: Json, *, namespace: str = "") -> Json:
        """Create, unless it goes wrong."""
        doomed = self._counted(resource)
        made = await super().create(resource, body, namespace=namespace)
        return self._given(made, doomed=doomed)

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace, unless it goes wrong."""
        doomed = self._counted(resource)
        made = await super().replace(resource, body, status=status)
        return self._given(made, doomed=doomed)

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "", version: str = ""
    ) -> None:
        """Delete, unless it goes wrong."""
        doomed = self._counted(resource)
        await super().delete(resource, name, namespace=namespace, version=version)
        self._given({}, doomed=doomed)

    def _counted(self, resource: Resource) -> bool:
        if resource is LEASES:
            return False
        self.writes += 1
        doomed = self.writes == self._at
        if doomed and self._mishap in _BEFORE:
            self._goes_wrong()
        return doomed

    def _given(self, made: Json, *, doomed: bool) -> Json:
        if doomed:
            self._goes_wrong()
        return made

    def _goes_wrong(self) -> Never:
        self.mishaps += 1
        raise Dead if self._mishap in _DEATHS else KubeUnavailable("no answer")


class _Figures(MemoryFigures):
    """What a candidate makes of the objective, which is 1 without."""

    def __init__(self, tour: "Tour") -> None:
        super().__init__()
        self._tour = tour

    async def value(
        self, metric: MetricSource, *, policy: str, node: str, start: datetime, end: datetime
    ) -> float | None:
        """Another one while the node ran a candidate."""
        await super().value(metric, policy=policy, node=node, start=start, end=end)
        return self._tour.under_candidate if self._tour.candidate_ran(node, start) else 1.0


@dataclass
class _Operator:
    """One life of the operator."""

    desk: Desk
    policies: PolicyLoop
    runs: RunLoops


@dataclass
class Tour:
    """A cluster with one policy and two nodes, and what happens in it, turn by turn."""

    kube: MortalKube = field(default_factory=MortalKube)
    now: datetime = NOW
    under_candidate: float = 0.5
    """The objective under a candidate; it is to be small."""
    skew: timedelta = timedelta(0)
    """How far the nodes' clocks are ahead of everybody else's."""
    writes_before: list[int] = field(default_factory=list)
    """How many writes of the operator's there were before each rollout."""
    made: list[str] = field(default_factory=list)
    """All runs that there ever were."""
    deaths: int = 0
    outages: int = 0
    """How often a look at the world was broken off for want of an answer."""
    _operator: _Operator | None = None
    _since: dict[tuple[str, ...], datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trigger = Trigger(stabilization_seconds=0, cooldown_seconds=0)
        filled(self.kube, trigger=trigger, run_history_limit=1)
        self.store = MemoryStore()
        self.verifier = MemoryVerifier()
        self.figures = _Figures(self)
        self.profile = ""

    def roll_out(self, revision: str) -> None:
        """Have a workload whose rollout is complete."""
        self.writes_before.append(self.kube.writes)
        counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
        template = {"metadata": {"labels": {"app": "checkout", "revision": revision}}}
        body = {
            "metadata": {"name": "checkout", "generation": 1},
            "spec": {"replicas": 1, "template": template},
            "status": {"observedGeneration": 1, **counts},
        }
        self.kube.put(DEPLOYMENTS, body, namespace="shop")

    async def until_said(self, number: int) -> None:
        """Go on until the policy says what its run of that number came to."""
        for _ in range(_MOST_TURNS):
            if len(self.made) == number and self.status().get("lastRun") == self.made[-1]:
                return
            await self.turn()
        raise AssertionError(f"after {self.kube.writes} writes: {self.status()}, {self.runs()}")

    async def turn(self) -> None:
        """Let the operator look at the world once, and everybody else go on."""
        try:
            await self._act()
        except Dead:
            self.deaths += 1
            self._operator = None
        except KubeUnavailable:
            self.outages += 1
        self.made += [name for name in self.runs() if name not in self.made]
        await self._agents()
        self.now += _TURN

    async def _act(self) -> None:
        operator = self._operator or await self._begun()
        self._operator = operator
        desk = operator.desk
        await desk.leader.contend()
        if not desk.leader.is_leader:
            return
        await desk.cluster.prime(self.kube)
        await operator.policies.look_at_needs()
        await operator.policies.look_at_all()
        for name, known in sorted(desk.cluster.runs.items()):
            if known.run.status.stage is not RunStage.FINISHED:
                await operator.runs.step(name)
        await desk.keeper.sync()

    async def _begun(self) -> _Operator:
        self.profile = self.profile or await self.store.put_blob(
            canonical_json(profile().to_json())
        )

        async def floor() -> int:
            return highest_epoch((await self.kube.list(STATES)).items)

        lease = LeaseSettings("l", "n", identity=f"life-{self.deaths}", seconds=_LEASE_SECONDS)
        cluster = Cluster(clock=self._clock)
        leader = Leader(self.kube, lease, epoch_floor=floor, clock=self._seconds)
        desk = desk_over(
            self.kube,
            cluster,
            leader,
            store=self.store,
            verifier=self.verifier,
            figures=self.figures,
            clock=self._clock,
        )
        return _Operator(desk, PolicyLoop(desk), RunLoops(desk))

    def _clock(self) -> datetime:
        return self.now

    def _seconds(self) -> float:
        return (self.now - NOW).total_seconds()

    async def _agents(self) -> None:
        for raw in (await self.kube.list(STATES)).items:
            state = state_object(raw)
            known = node(state.name, now=self.now)
            before = state.status if raw.get("status") else known.status
            view = NodeView(state.name, state.generation, known.target_pods, status=before)
            there = self.now + self.skew
            told = Agent(view).obeys(state.spec, now=there, since=self._begin(raw) + self.skew)
            status = told.status.replace(
                observed_generation=state.generation, observed_epoch=state.spec.lease_epoch
            )
            if status.profile is not None:
                status = status.replace(profile=status.profile.replace(digest=self.profile))
            written = self.kube.put(STATES, {**raw, "status": status.to_json()})
            if self._operator is not None:  # whose watch tells it at once
                self._operator.desk.cluster.put(STATES, written, live=True)

    def _begin(self, raw: Json) -> datetime:
        """Return when a node was first asked for what it is asked for now."""
        wanted = state_object(raw).spec.assignments
        asked = tuple(f"{one.run} {one.object_digest} {one.switchback is None}" for one in wanted)
        return self._since.setdefault((raw["metadata"]["name"], *asked), self.now)

    def candidate_ran(self, name: str, start: datetime) -> bool:
        """Whether a node ran a candidate then, by everybody else's clock."""
        start += self.skew
        status = state_object(self.kube.objects[STATES.kind, "", name]).status
        if status.switchback is not None:
            blocks = status.switchback.blocks
            return any(b.arm is Arm.ON and b.started_at <= start < b.ended_at for b in blocks)
        return any(attached.since <= start for attached in status.attached)

    def status(self) -> Json:
        """The policy's status."""
        found: Json = self.kube.objects[POLICIES.kind, "", _POLICY].get("status", {})
        return found

    def runs(self) -> list[str]:
        """The runs that there are, in the order in which they were made."""
        runs = [body for (kind, _, _), body in self.kube.objects.items() if kind == RUNS.kind]
        return [run["metadata"]["name"] for run in sorted(runs, key=_uid)]

    def kept(self) -> tuple[Lesson, ...]:
        """The lessons in the store."""
        return tuple(self.store.kept.values())

    def held(self) -> dict[str, list[tuple[str, RunState]]]:
        """What each node's agent says that it runs."""
        states = (b for (kind, _, _), b in self.kube.objects.items() if kind == STATES.kind)
        return {
            raw["metadata"]["name"]: [
                (one.run, one.state) for one in state_object(raw).status.assignments
            ]
            for raw in states
        }


def _uid(body: Json) -> int:
    return int(body["metadata"]["uid"].removeprefix("uid-"))
