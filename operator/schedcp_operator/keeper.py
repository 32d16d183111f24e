"""The keeper of nodes: brings each SchedulerNodeState's spec in line, and renews its lease.

What a node shall do is derived anew each time from runs and policies, so nothing that a dead
operator left behind stays: an assignment without a living run and policy is withdrawn.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schedcp_api.base import API_VERSION
from schedcp_api.nodestates import (
    MOST_TRACKED_PODS,
    MOST_TRACKED_WORKLOADS,
    Assignment,
    ProfileRequest,
    SchedulerNodeStateSpec,
    TrackedPod,
    TrackedWorkload,
)
from schedcp_api.policies import Mode, SchedulerPolicySpec
from schedcp_api.runs import RunStage

from .assignments import desired_assignment, desired_profile_request
from .cluster import Cluster
from .errors import Conflict, NotFound, NotLeader, OperatorError
from .kube import POLICIES, RUNS, STATES, Json, KubeApi
from .leader import Leader
from .objects import NodeObject, PodObject, PolicyObject, RunObject, StateObject

__all__ = ["KeeperSettings", "NodeKeeper", "desired_spec", "is_alive", "tracked_workloads"]

_log = logging.getLogger(__name__)
_TRIES = 5


@dataclass(frozen=True)
class KeeperSettings:
    """The terms on which nodes hold what they are assigned."""

    lease_seconds: int
    renew: timedelta
    profile_seconds: int


def is_alive(cluster: Cluster, run: RunObject, node: str) -> bool:
    """Return whether a run may want anything of a node: its policy lives and knows of it.

    A finished run keeps a node only while its policy still selects the node.
    """
    name, uid = run.run.spec.policy, run.run.spec.policy_uid
    finished = run.run.status.stage is RunStage.FINISHED
    hidden = cluster.unreadable(POLICIES).get(name)
    if hidden is not None and hidden.uid == uid:
        return not finished or any(held.run == run.name for held in _held(cluster, node))
    policy = cluster.policies.get(name)
    if policy is None or policy.uid != uid:
        return False
    return not finished or _is_kept(policy, run, cluster.nodes.get(node))


def _is_kept(policy: PolicyObject, run: RunObject, node: NodeObject | None) -> bool:
    promoted = policy.status.promoted
    known = policy.status.active_run == run.name or (
        promoted is not None and promoted.run == run.name
    )
    selected = node is not None and policy.spec.nodes.matches(node.labels)
    return known and selected and policy.spec.mode is Mode.AUTO


def _held(cluster: Cluster, node: str) -> tuple[Assignment, ...]:
    state = cluster.states.get(node)
    return state.spec.assignments if state is not None else ()


def _left_as_it_is(cluster: Cluster, node: str) -> Assignment | None:
    """Return the node's assignment of a run that is there but cannot be read, if it has one."""
    policies = {*cluster.policies, *cluster.unreadable(POLICIES)}
    return next(
        (
            held
            for held in _held(cluster, node)
            if held.run in cluster.unreadable(RUNS) and held.policy in policies
        ),
        None,
    )


def desired_spec(
    cluster: Cluster,
    node: str,
    *,
    workloads: tuple[TrackedWorkload, ...],
    epoch: int,
    now: datetime,
    settings: KeeperSettings,
) -> SchedulerNodeStateSpec:
    """Return what the node's SchedulerNodeState shall say now, with `workloads` tracked there."""
    state = cluster.states.get(node)
    before = state.spec if state is not None else SchedulerNodeStateSpec()
    assignment = _left_as_it_is(cluster, node)
    request: ProfileRequest | None = None
    for name in sorted(cluster.runs):
        run = cluster.runs[name]
        if not is_alive(cluster, run, node):
            continue
        assignment = assignment or desired_assignment(run.run, node)
        request = request or desired_profile_request(
            run.run, node, seconds=settings.profile_seconds
        )
    assignments = (assignment,) if assignment is not None else ()
    renewed = before.lease_renewed_at
    moved = before.lease_epoch != epoch or before.assignments != assignments
    if not assignments:
        renewed = None
    elif renewed is None or moved or not timedelta(0) <= now - renewed < settings.renew:
        # A stamp that lies ahead was written before the clock was set back.
        renewed = now
    return SchedulerNodeStateSpec(
        lease_epoch=epoch,
        lease_renewed_at=renewed,
        lease_seconds=settings.lease_seconds,
        workloads=_measured(cluster, workloads, before.workloads, assignments),
        profile_request=request,
        assignments=assignments,
    )


def tracked_workloads(
    cluster: Cluster, expected: Callable[[PodObject], int | None]
) -> Mapping[str, tuple[TrackedWorkload, ...]]:
    """Return the policies' pods on each node, by node; of two that select one the older has it.

    Those that begin or end are among them: no policy's pod is ever its own neighbour.
    `expected` returns what was learned of a pod's job, in CPU seconds.
    """
    found: dict[str, list[TrackedWorkload]] = {}
    given: set[str] = set()
    for policy in cluster.by_age():
        spec = _spec_in_force(cluster, policy)
        pods: dict[str, list[TrackedPod]] = {}
        for pod in cluster.pods_on_nodes(spec):
            node = cluster.nodes.get(pod.node)
            if node is None or pod.uid in given:
                continue
            held = any(one.policy == policy.name for one in _held(cluster, node.name))
            if not (held or spec.nodes.matches(node.labels)):
                continue
            given.add(pod.uid)
            pods.setdefault(pod.node, []).append(pod.tracked(expected=expected(pod)))
        for node_name, tracked in pods.items():
            entry = TrackedWorkload(
                policy=policy.name,
                workload=_workload_name(cluster, policy),
                pods=tuple(tracked[:MOST_TRACKED_PODS]),
            )
            found.setdefault(node_name, []).append(entry)
    return {node: tuple(entries) for node, entries in found.items()}


def _spec_in_force(cluster: Cluster, policy: PolicyObject) -> SchedulerPolicySpec:
    """Return what the policy's run began with while it goes on: its figures are of one workload."""
    active = cluster.runs.get(policy.status.active_run or "")
    if active is None or active.run.status.stage is RunStage.FINISHED:
        return policy.spec
    return active.run.policy if active.run.spec.policy_uid == policy.uid else policy.spec


def _workload_name(cluster: Cluster, policy: PolicyObject) -> str:
    active = cluster.runs.get(policy.status.active_run or "")
    if active is not None:
        return active.run.spec.trigger.workload
    workloads = cluster.workloads(policy.spec)
    return (workloads[0].key if workloads else f"Policy//{policy.name}")[:256]


def _measured(
    cluster: Cluster,
    tracked: tuple[TrackedWorkload, ...],
    before: tuple[TrackedWorkload, ...],
    assignments: tuple[Assignment, ...],
) -> tuple[TrackedWorkload, ...]:
    """Return what the node's agent shall measure: the assignment's policy comes first.

    It has an entry also without a pod on the node: its guard rails watch the neighbours, and those
    are then all pods. One that cannot be read keeps the pods that it had.
    """
    for assignment in assignments:
        name = assignment.policy
        policy = cluster.policies.get(name)
        known = tracked if policy is not None else before
        workload = _workload_name(cluster, policy) if policy is not None else f"Policy//{name}"
        empty = TrackedWorkload(policy=name, workload=workload[:256])
        mine = next((entry for entry in known if entry.policy == name), empty)
        tracked = (mine, *(entry for entry in tracked if entry.policy != name))
    return tracked[:MOST_TRACKED_WORKLOADS]


class NodeKeeper:
    """Writes the specs of SchedulerNodeStates; nobody else does."""

    def __init__(
        self,
        kube: KubeApi,
        cluster: Cluster,
        leader: Leader,
        *,
        settings: KeeperSettings,
        expected: Callable[[PodObject], int | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._cluster = cluster
        self._leader = leader
        self._settings = settings
        self._expected = expected
        self._clock = clock
        self._lock = asyncio.Lock()

    async def sync(self, nodes: tuple[str, ...] = ()) -> None:
        """Bring these nodes in line; without names, all of them. One's trouble stays its own."""
        async with self._lock:
            tracked = tracked_workloads(self._cluster, self._expected)
            for name in nodes or tuple(sorted(self._cluster.nodes)):
                node = self._cluster.nodes.get(name)
                if node is None:
                    continue
                try:
                    await self._sync(node, tracked.get(name, ()))
                except NotLeader:
                    raise
                except OperatorError as err:
                    _log.warning("node %s: %s", name, err)

    async def _sync(self, node: NodeObject, workloads: tuple[TrackedWorkload, ...]) -> None:
        for _ in range(_TRIES):
            self._leader.require()
            try:
                await self._write(node, workloads)
            except (Conflict, NotFound):
                await self._reread(node.name)
            else:
                return
        raise Conflict(
            f"SchedulerNodeState {node.name} changed {_TRIES} times while it was written"
        )

    async def _write(self, node: NodeObject, workloads: tuple[TrackedWorkload, ...]) -> None:
        epoch = self._leader.epoch
        state = self._cluster.states.get(node.name)
        shown = max(state.spec.lease_epoch, state.status.observed_epoch) if state else 0
        if shown > epoch:
            self._leader.stand_down()
            raise NotLeader(f"{node.name} was shown epoch {shown}")
        wanted = desired_spec(
            self._cluster,
            node.name,
            workloads=workloads,
            epoch=epoch,
            now=self._clock(),
            settings=self._settings,
        )
        if state is None:
            body = _new_state(node, wanted)
            self._cluster.put(STATES, await self._kube.create(STATES, body))
        elif state.spec_problem or state.spec != wanted:
            body = {**state.raw, "spec": wanted.to_json()}
            self._cluster.put(STATES, await self._kube.replace(STATES, body))
            _told(state, wanted)

    async def _reread(self, name: str) -> None:
        try:
            self._cluster.put(STATES, await self._kube.get(STATES, name))
        except NotFound:
            gone = self._cluster.states.get(name)
            if gone is not None:
                self._cluster.drop(STATES, gone.raw)


def _told(state: StateObject, wanted: SchedulerNodeStateSpec) -> None:
    if state.spec.assignments != wanted.assignments:
        named = wanted.assignments[0].scheduler if wanted.assignments else "the kernel's own"
        _log.info("%s: scheduler %s", state.name, named)


def _new_state(node: NodeObject, spec: SchedulerNodeStateSpec) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "SchedulerNodeState",
        "metadata": {
            "name": node.name,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
            ],
        },
        "spec": spec.to_json(),
    }
