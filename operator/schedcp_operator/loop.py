"""The loops: one task for each run under way, one for the policies.

A step is: look at the world, `advance`, write the status, perform the effects, and take what came
of them as the next events. The status is written before anything else happens, so whoever comes
after a crash knows at least as much as was done.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from schedcp_api.base import API_VERSION
from schedcp_api.runs import OptimizationRunStatus, RunStage

from .advance import advance
from .cluster import Cluster
from .errors import Conflict, NotFound, NotLeader, OperatorError
from .events import Event, Observed, PlanningFailed
from .history import has_left, surplus
from .keeper import NodeKeeper
from .kube import POLICIES, RUNS, Json, KubeApi
from .leader import Leader
from .objects import PolicyObject, RunObject, UnreadableObject
from .perform import Performer
from .policies import NewRun, decide
from .policy_conditions import unreadable_status
from .policy_view import PolicyView
from .prometheus import Figures
from .search import search_problem
from .stages.common import NO_KEYS
from .stages.learning import lessons_of
from .views import Rules

__all__ = ["Desk", "PolicyLoop", "RunLoops"]

_log = logging.getLogger(__name__)
_DELETED_AT_ONCE = 8
"""So many old runs of a policy go in one look: other policies wait for no more."""


@dataclass(frozen=True)
class Desk:
    """What every loop works with."""

    kube: KubeApi
    cluster: Cluster
    leader: Leader
    keeper: NodeKeeper
    performer: Performer
    figures: Figures
    rules: Callable[[], Rules]
    poll_seconds: float
    resync_seconds: float
    clock: Callable[[], datetime]


@contextmanager
def _contained(what: str) -> Iterator[None]:
    """Keep an object's trouble its own: it stops no other, nor the renewal of leases.

    It is said, and the object is looked at again. Losing the Lease is everybody's trouble.
    """
    try:
        yield
    except NotLeader:
        raise
    except OperatorError as err:
        _log.warning("%s: %s", what, err)
    except Exception:  # noqa: BLE001
        _log.exception("%s: a defect; it will be tried again", what)


class RunLoops:
    """Keeps one task going for each run that is not finished."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._entry = asyncio.Lock()
        """Held while a run takes its nodes: two that looked at once would take the same."""

    async def run(self) -> None:
        """Drive every run until cancelled; a run's trouble stays its own."""
        tasks: dict[str, asyncio.Task[None]] = {}
        cluster = self._desk.cluster
        async with asyncio.TaskGroup() as group:
            while True:
                tasks = {name: task for name, task in tasks.items() if not task.done()}
                for name, known in cluster.runs.items():
                    if name not in tasks and known.run.status.stage is not RunStage.FINISHED:
                        tasks[name] = group.create_task(self._drive(name), name=f"run {name}")
                await cluster.wait(self._desk.resync_seconds)

    async def _drive(self, name: str) -> None:
        desk = self._desk
        while True:
            known = desk.cluster.runs.get(name)
            if known is None or known.run.status.stage is RunStage.FINISHED:
                return
            moved = False
            with _contained(f"run {name}"):
                if known.run.status.stage is RunStage.PENDING:
                    async with self._entry:
                        moved = await self.step(name)
                else:
                    moved = await self.step(name)
            if not moved:
                await desk.cluster.wait(desk.poll_seconds)

    async def step(self, name: str) -> bool:
        """Look at the world once and follow where that leads; return whether the run moved on."""
        desk = self._desk
        start = desk.cluster.runs[name].run
        waiting: deque[Event] = deque([Observed(desk.cluster.world(start))])
        while waiting:
            known = desk.cluster.runs[name]
            event = waiting.popleft()
            transition = advance(known.run, event, now=desk.clock(), rules=desk.rules())
            if transition.status != known.run.status:
                known = await self._write(known, transition.status)
            for effect in transition.effects:
                desk.leader.require()
                came = await desk.performer.perform(known.run, effect)
                if came is not None:
                    waiting.append(came)
        return _moved(start.status, desk.cluster.runs[name].run.status)

    async def _write(self, known: RunObject, status: OptimizationRunStatus) -> RunObject:
        desk = self._desk
        epoch = desk.leader.epoch
        if known.run.status.lease_epoch > epoch:
            desk.leader.stand_down()
            raise NotLeader(f"run {known.name} was written by epoch {known.run.status.lease_epoch}")
        stage, before = status.stage, known.run.status.stage
        body = {**known.raw, "status": status.replace(lease_epoch=epoch).to_json()}
        try:
            written = await desk.kube.replace(RUNS, body, status=True)
        except Conflict:
            desk.cluster.put(RUNS, await desk.kube.get(RUNS, known.name))
            raise
        except NotFound:
            desk.cluster.drop(RUNS, known.raw)
            raise
        desk.cluster.put(RUNS, written)
        if stage is not before:
            _log.info("run %s: %s -> %s %s", known.name, before, stage, status.message)
        return desk.cluster.runs[known.name]


def _moved(before: OptimizationRunStatus, after: OptimizationRunStatus) -> bool:
    fields = ("stage", "nodes", "step", "retries", "attempts", "verification")
    return any(getattr(before, field) != getattr(after, field) for field in fields)


class PolicyLoop:
    """Keeps every policy's status true, and starts runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._prometheus_problem: str | None = None
        self._keys_problem: str | None = None

    async def run(self) -> None:
        """Look at every policy whenever something changes, until cancelled."""
        desk = self._desk
        await self.look_at_needs()
        while True:
            await self.look_at_all()
            await desk.cluster.wait(desk.resync_seconds)

    async def look_at_all(self) -> None:
        """Look at every policy once; one's trouble stays its own."""
        cluster = self._desk.cluster
        for name in sorted({*cluster.policies, *cluster.unreadable(POLICIES)}):
            policy = cluster.policies.get(name)  # it may be gone by now
            hidden = cluster.unreadable(POLICIES).get(name)
            with _contained(f"policy {name}"):
                if policy is not None:
                    await self._look(policy)
                elif hidden is not None:
                    await self._say_unreadable(hidden)

    async def watch_needs(self) -> None:
        """Look again at what runs need, now and then, until cancelled."""
        while True:
            await asyncio.sleep(self._desk.resync_seconds)
            await self.look_at_needs()

    async def look_at_needs(self) -> None:
        """Look whether any signer is trusted, and whether Prometheus is there."""
        trust = self._desk.performer.trust
        unread = await _problem(trust.refresh())
        self._keys_problem = unread or ("" if trust.keys else NO_KEYS)
        self._prometheus_problem = await _problem(self._desk.figures.ping())

    async def _look(self, policy: PolicyObject) -> None:
        desk = self._desk
        cluster = desk.cluster
        view = PolicyView(
            policy=policy,
            nodes=cluster.node_views(
                policy.spec, policy=policy.name, run=policy.status.active_run or ""
            ),
            workloads=tuple(cluster.workloads(policy.spec)),
            pods=len(cluster.target_pods(policy.spec)),
            runs=tuple(
                known.run
                for known in cluster.runs.values()
                if known.run.spec.policy_uid == policy.uid
            ),
            prometheus_problem=self._prometheus_problem,
            keys_problem=self._keys_problem,
            search_problem=await self._search_problem(policy),
            overlap=cluster.overlap(policy),
            seed=random.SystemRandom().getrandbits(31),
            listed=cluster.primed,
            unreadable_runs=frozenset(cluster.unreadable(RUNS)),
        )
        decision = decide(view, now=desk.clock(), rules=desk.rules())
        status = decision.status
        if decision.start is not None and not await self._create(policy, decision.start):
            # A finished run has that name and proves nothing now: the next look, which knows of
            # it, comes to another name.
            status = policy.status.replace(last_run=decision.start.name)
        if status != policy.status:
            # The status first: it takes a failed scheduler off the nodes, with or without a store.
            await self._write(policy.raw, status.to_json())
        if decision.lesson is not None:
            _log.warning("policy %s: %s", policy.name, decision.lesson.antipattern)
            await desk.performer.store.add_lessons((decision.lesson,))
        await self._forget_old_runs(policy.name)

    async def _forget_old_runs(self, name: str) -> None:
        """Delete the runs that the policy has no room for any more, a few at a time.

        What its status named when it was last written decides, and not what is about to be.
        """
        cluster = self._desk.cluster
        policy = cluster.policies.get(name)
        if policy is None:
            return
        runs = (known.run for known in cluster.runs.values())
        own = tuple(run for run in runs if run.spec.policy_uid == policy.uid)
        old = (run for run in surplus(policy, own) if has_left(run, cluster.world(run)))
        for run in tuple(islice(old, _DELETED_AT_ONCE)):
            known = cluster.runs.get(run.name)  # it may be gone by now
            if known is not None:
                await self._delete(known)

    async def _delete(self, known: RunObject) -> None:
        """Delete a finished run, unless it was changed since it was looked at.

        Lessons that the store did not take in time are kept there first.
        """
        desk = self._desk
        if known.run.status.attempts and known.run.status.lesson_digest is None:
            await desk.performer.store.add_lessons(lessons_of(known.run))
        desk.leader.require()
        try:
            await desk.kube.delete(
                RUNS, known.name, version=str(known.raw["metadata"]["resourceVersion"])
            )
        except Conflict:
            await self._reread(known)
        else:
            desk.cluster.drop(RUNS, known.raw)
            _log.info("run %s: deleted, the policy keeps newer ones", known.name)

    async def _reread(self, known: RunObject) -> None:
        try:
            self._desk.cluster.put(RUNS, await self._desk.kube.get(RUNS, known.name))
        except NotFound:
            self._desk.cluster.drop(RUNS, known.raw)

    async def _search_problem(self, policy: PolicyObject) -> PlanningFailed | None:
        try:
            library = await self._desk.performer.library()
        except OperatorError as err:
            return PlanningFailed("RepositoryUnavailable", str(err))
        return search_problem(policy.spec.search, library)

    async def _say_unreadable(self, hidden: UnreadableObject) -> None:
        status = hidden.raw.get("status") or {}
        told = unreadable_status(status, hidden.problem, now=self._desk.clock())
        if told != status:
            await self._write(hidden.raw, told)

    async def _create(self, policy: PolicyObject, new: NewRun) -> bool:
        """Create the run; return whether it is there and not finished, made now or before."""
        desk = self._desk
        desk.leader.require()
        body = {
            "apiVersion": API_VERSION,
            "kind": RUNS.kind,
            "metadata": {
                "name": new.name,
                "labels": {"schedcp.io/policy": policy.name[:63].rstrip("-.")},
                "ownerReferences": [_owner(policy)],
            },
            "spec": new.spec.to_json(),
        }
        try:
            created = await desk.kube.create(RUNS, body)
            _log.info("run %s: %s was rolled out", new.name, new.spec.trigger.workload)
        except Conflict:
            created = await desk.kube.get(RUNS, new.name)
        desk.cluster.put(RUNS, created)
        known = desk.cluster.runs.get(new.name)
        return known is not None and known.run.status.stage is not RunStage.FINISHED

    async def _write(self, raw: Json, status: Json) -> None:
        desk = self._desk
        desk.leader.require()
        try:
            written = await desk.kube.replace(POLICIES, {**raw, "status": status}, status=True)
        except Conflict:
            written = await desk.kube.get(POLICIES, raw["metadata"]["name"])
        except NotFound:
            desk.cluster.drop(POLICIES, raw)
            return
        desk.cluster.put(POLICIES, written)


async def _problem(asked: Awaitable[None]) -> str:
    """Return what went wrong with what was asked, or nothing."""
    try:
        await asked
    except OperatorError as err:
        return str(err)
    return ""


def _owner(policy: PolicyObject) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": POLICIES.kind,
        "name": policy.name,
        "uid": policy.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
