"""The watched world: what was last heard of every object, and the views made from it.

Written by the watch handlers and by our own writes; never by a decision. An older version of an
object never replaces a newer one, so a slow watch cannot undo what a write has returned.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from schedcp_api.policies import SchedulerPolicySpec
from schedcp_api.selectors import LabelSelector

from .assignments import touches
from .clocks import Clocks
from .kube import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    POLICIES,
    RUNS,
    STATEFUL_SETS,
    STATES,
    WATCHED,
    Json,
    KubeApi,
    Resource,
)
from .objects import (
    NodeObject,
    PodObject,
    PolicyObject,
    RunObject,
    StateObject,
    Unreadable,
    UnreadableObject,
    WorkloadObject,
    node_object,
    pod_object,
    policy_object,
    run_object,
    state_object,
    workload_object,
)
from .views import LivePolicy, NodeView, Run, World

__all__ = ["Cluster"]

_log = logging.getLogger(__name__)
_SETTLE_SECONDS = 0.1
"""Changes within this are told of together."""

_PARSERS: Mapping[str, Callable[[Json], Any]] = {
    POLICIES.kind: policy_object,
    RUNS.kind: run_object,
    STATES.kind: state_object,
    NODES.kind: node_object,
    NAMESPACES.kind: lambda raw: raw["metadata"].get("labels") or {},
    PODS.kind: pod_object,
    DEPLOYMENTS.kind: lambda raw: workload_object(raw, "Deployment"),
    STATEFUL_SETS.kind: lambda raw: workload_object(raw, "StatefulSet"),
    DAEMON_SETS.kind: lambda raw: workload_object(raw, "DaemonSet"),
}
_PROBLEMS: Mapping[type, Mapping[str, int]] = {
    StateObject: {"spec_problem": logging.ERROR, "status_problem": logging.ERROR},
    PodObject: {"annotation_problem": logging.WARNING},
}
"""What an object says is wrong with it, and how loudly to say so: once for each problem."""
_WORKLOADS = (DEPLOYMENTS.kind, STATEFUL_SETS.kind, DAEMON_SETS.kind)


def _now() -> datetime:
    return datetime.now(UTC)


class Cluster:
    """Every watched object by kind and name, and how far the nodes' clocks are from ours."""

    def __init__(self, *, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._clocks = Clocks()
        self._objects: dict[str, dict[str, Any]] = {kind: {} for kind in _PARSERS}
        self._unreadable: dict[str, dict[str, UnreadableObject]] = {kind: {} for kind in _PARSERS}
        self._versions: dict[tuple[str, str], tuple[str, int]] = {}
        self._changed = asyncio.Event()
        self._primed = False
        self._telling: asyncio.TimerHandle | None = None

    async def prime(self, kube: KubeApi) -> None:
        """List everything once, so that decisions never start from half of the world."""
        for resource in WATCHED:
            listing = await kube.list(resource)
            keys = {_key(raw) for raw in listing.items}
            known = {key for kind, key in self._versions if kind == resource.kind}
            for key in known - keys:
                if self._versions[resource.kind, key][1] <= listing.version:
                    self._forget(resource.kind, key)
            for raw in listing.items:
                self.put(resource, raw)
        self._primed = True

    @property
    def primed(self) -> bool:
        """Return whether everything has been listed once."""
        return self._primed

    def put(self, resource: Resource, raw: Json, *, live: bool = False) -> None:
        """Take in a version of an object, unless a newer one is known.

        `live`: it was written a moment ago, and was not just come across.
        """
        kind, key = resource.kind, _key(raw)
        uid = str(raw["metadata"].get("uid", ""))
        version = int(raw["metadata"].get("resourceVersion") or 0)
        known_uid, known_version = self._versions.get((kind, key), ("", -1))
        if known_uid == uid and version < known_version:
            return
        self._versions[kind, key] = (uid, version)
        before = self._objects[kind].pop(key, None)
        self._unreadable[kind].pop(key, None)
        try:
            parsed = _PARSERS[kind](raw)
        except Unreadable as err:
            _log.error("left as it is: %s", err)
            self._unreadable[kind][key] = UnreadableObject(raw, key, uid, str(err))
        else:
            if parsed is not None:
                self._objects[kind][key] = parsed
            _told(parsed, before)
            comparable = isinstance(before, StateObject) or known_uid != uid
            if live and isinstance(parsed, StateObject) and comparable:
                self._compare_clocks(parsed, before)
        self._tell()

    def _compare_clocks(self, state: StateObject, before: StateObject | None) -> None:
        """Take in the heartbeat of a version that was written a moment ago, if it is a new one.

        `before`: the version that was known; None of an object that has just been made.
        """
        said = state.status.heartbeat_at
        known = before.status.heartbeat_at if before is not None else None
        if said is not None and said != known:
            self._clocks.heard(state.name, said, before=known, now=self._clock())

    def drop(self, resource: Resource, raw: Json) -> None:
        """Take in that an object is gone, unless it was made anew since."""
        key = _key(raw)
        known_uid, _ = self._versions.get((resource.kind, key), ("", -1))
        if known_uid in ("", str(raw["metadata"].get("uid", ""))):
            self._forget(resource.kind, key)

    def _forget(self, kind: str, key: str) -> None:
        self._objects[kind].pop(key, None)
        self._unreadable[kind].pop(key, None)
        self._versions.pop((kind, key), None)
        if kind == STATES.kind:
            self._clocks.forget(key)
        self._tell()

    def _tell(self) -> None:
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(_SETTLE_SECONDS, self._tell_now)

    def _tell_now(self) -> None:
        self._telling = None
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Return when something changed, or after `timeout_seconds`."""
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes with the event.
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    @property
    def policies(self) -> Mapping[str, PolicyObject]:
        """Return the policies by name."""
        return self._objects[POLICIES.kind]

    def by_age(self) -> list[PolicyObject]:
        """Return the policies, the oldest first: of two that select a pod the older has it."""
        return sorted(self.policies.values(), key=_age)

    @property
    def runs(self) -> Mapping[str, RunObject]:
        """Return the runs by name."""
        return self._objects[RUNS.kind]

    @property
    def states(self) -> Mapping[str, StateObject]:
        """Return the SchedulerNodeStates by name."""
        return self._objects[STATES.kind]

    def unreadable(self, resource: Resource) -> Mapping[str, UnreadableObject]:
        """Return the objects of a kind that are there but cannot be read, by name.

        They are not gone: what was decided for them before stays until they can be read again.
        """
        return self._unreadable[resource.kind]

    @property
    def nodes(self) -> Mapping[str, NodeObject]:
        """Return the Nodes by name."""
        return self._objects[NODES.kind]

    def target_pods(self, spec: SchedulerPolicySpec) -> list[PodObject]:
        """Return the running pods that a policy is about."""
        return [pod for pod in self.pods_on_nodes(spec) if pod.running]

    def pods_on_nodes(self, spec: SchedulerPolicySpec) -> list[PodObject]:
        """Return these and those that begin or end: they use the CPU, too, and at full load."""
        selector = spec.workload
        namespaces = self._matching_namespaces(spec)
        pods: Mapping[str, PodObject] = self._objects[PODS.kind]
        return sorted(
            (
                pod
                for pod in pods.values()
                if not pod.succeeded
                and pod.namespace in namespaces
                and selector.pod_selector.matches(pod.labels)
            ),
            key=lambda pod: (pod.namespace, pod.name),
        )

    def succeeded_pods(self) -> Mapping[str, PodObject]:
        """Return the pods whose work is done, by UID."""
        pods: Mapping[str, PodObject] = self._objects[PODS.kind]
        return {pod.uid: pod for pod in pods.values() if pod.succeeded}

    def workloads(self, spec: SchedulerPolicySpec) -> list[WorkloadObject]:
        """Return the workloads whose pods a policy is about."""
        namespaces = self._matching_namespaces(spec)
        selector = spec.workload.pod_selector
        found = [
            workload
            for kind in _WORKLOADS
            for workload in self._objects[kind].values()
            if workload.namespace in namespaces and selector.matches(workload.labels)
        ]
        return sorted(found, key=lambda workload: workload.key)

    def _matching_namespaces(self, spec: SchedulerPolicySpec) -> set[str]:
        selector = spec.workload.namespace_selector
        namespaces: Mapping[str, dict[str, str]] = self._objects[NAMESPACES.kind]
        return {name for name, labels in namespaces.items() if selector.matches(labels)}

    def node_views(
        self,
        spec: SchedulerPolicySpec,
        *,
        policy: str,
        run: str = "",
        also: Collection[str] = (),
        now: LabelSelector | None = None,
    ) -> tuple[NodeView, ...]:
        """Return the nodes that a policy selects, and `also` these, as `run` may see them.

        Where `now` is given, which is the policy's selector now, a node must fit that, too.
        """
        pods: dict[str, list[PodObject]] = {}
        for pod in self.target_pods(spec):
            pods.setdefault(pod.node, []).append(pod)
        views: list[NodeView] = []
        for node in sorted(self.nodes.values(), key=lambda node: node.name):
            selected = (now or spec.nodes).matches(node.labels)
            if (selected and spec.nodes.matches(node.labels)) or node.name in also:
                claim = self._claim(node.name, policy, run)
                view = self._view(node, pods.get(node.name, []), claim=claim)
                views.append(replace(view, selected=selected))
        return tuple(views)

    def world(self, run: Run) -> World:
        """Return what the next step of `run` depends on."""
        policy = self.policies.get(run.spec.policy)
        if policy is not None and policy.uid != run.spec.policy_uid:
            policy = None
        hidden = self.unreadable(POLICIES).get(run.spec.policy)
        unreadable = hidden is not None and hidden.uid == run.spec.policy_uid
        known = self.runs.get(run.name)
        return World(
            nodes=self.node_views(
                run.policy,
                policy=run.spec.policy,
                run=run.name,
                also=touches(run),
                now=policy.spec.nodes if policy is not None else None,
            ),
            policy=LivePolicy(policy.spec) if policy is not None else None,
            policy_problem=hidden.problem if hidden is not None and unreadable else "",
            approved=known.approved if known is not None else "",
        )

    def overlap(self, policy: PolicyObject) -> str:
        """Return an older policy that selects some of the same pods; empty when there is none."""
        pods = {pod.uid for pod in self.target_pods(policy.spec)}
        for other in self.by_age():
            if _age(other) >= _age(policy):
                break
            if pods & {pod.uid for pod in self.target_pods(other.spec)}:
                return other.name
        return ""

    def _view(self, node: NodeObject, pods: list[PodObject], *, claim: str) -> NodeView:
        state = self.states.get(node.name)
        observed: dict[str, Any] = (
            {"generation": state.generation, "spec": state.spec, "status": state.status}
            if state is not None
            else {}
        )
        return NodeView(
            name=node.name,
            zone=node.zone,
            ready=node.ready,
            target_pods=tuple(pod.tracked() for pod in pods[:256]),
            claimed_by=claim,
            clock_skew=self._clocks.skew(node.name),
            heard_at=self._clocks.heard_at(node.name),
            **observed,
        )

    def _claim(self, node: str, policy: str, run: str) -> str:
        """Return who else has the node: a run that goes on there, or another policy's scheduler."""
        for other in self.runs.values():
            status = other.run.status
            taken = node in status.eligible_nodes and status.finished_at is None
            if taken and other.name != run:
                return f"run {other.name}"
        state = self.states.get(node)
        for assignment in state.spec.assignments if state is not None else ():
            if assignment.policy != policy:
                return f"policy {assignment.policy}"
        return ""


def _age(policy: PolicyObject) -> tuple[str, str]:
    return str(policy.raw["metadata"].get("creationTimestamp", "")), policy.name


def _told(parsed: Any, before: Any) -> None:
    for field, level in _PROBLEMS.get(type(parsed), {}).items():
        problem = getattr(parsed, field)
        if problem and problem != getattr(before, field, ""):
            _log.log(level, "left out: %s", problem)


def _key(raw: Json) -> str:
    metadata = raw["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
