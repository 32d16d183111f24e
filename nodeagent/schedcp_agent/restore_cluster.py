"""The pre-delete hook: take every assignment away, and wait for each agent's proof.

A node where no agent of ours has ever started holds nothing of ours, and needs no proof: the
operator has an object for every node, and the agents run on those that the chart selects.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from schedcp_api.base import API_VERSION, ConditionStatus

from .errors import NotRestored, RequestFailed
from .kube import read_status
from .web import Web

_STATES = f"/apis/{API_VERSION}/schedulernodestates"
_LIST_LIMIT = 64 * 1024 * 1024
_FRESH = timedelta(seconds=60)
_POLL_SECONDS = 1.0
_Object = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A Deployment or DaemonSet of the chart, and how its pods are found."""

    namespace: str
    name: str
    component: str

    @property
    def scale_path(self) -> str:
        """Return the path of a Deployment's scale."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}/scale"

    def pods(self, web: Web) -> list[_Object]:
        """Return its pods, those that are ending included."""
        labels = f"app.kubernetes.io/component={self.component}"
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found = _listed(web, path, {"labelSelector": labels})
        return [pod for pod in found if pod["metadata"]["name"].startswith(f"{self.name}-")]


def operator_of(namespace: str, name: str) -> Workload:
    """Return the operator, which must be gone before its assignments can stay away."""
    return Workload(namespace, name, "operator")


def agents_of(namespace: str, name: str) -> Workload:
    """Return the agents, whose nodes must be proven restored even without an object."""
    return Workload(namespace, name, "agent")


@dataclass(frozen=True)
class _World:
    """One look at the cluster."""

    states: dict[str, _Object]
    ready_nodes: frozenset[str]
    agents: frozenset[str] | None
    """Nodes on which an agent may have started; None when nobody can tell."""

    def is_untouched(self, name: str) -> bool:
        """Return whether no agent has begun on a node, or ever said a word there.

        One that starts after this look finds nothing assigned.
        """
        state = self.states.get(name) or {}
        if state.get("status") or (state.get("spec") or {}).get("assignments"):
            return False
        return self.agents is not None and name not in self.agents


def restore_cluster(
    web: Web,
    *,
    operator: Workload | None,
    agents: Workload | None,
    timeout_seconds: float,
    say: Callable[[str], None],
) -> None:
    """Take all assignments away and wait until each agent shows its node restored."""
    deadline = time.monotonic() + timeout_seconds
    if operator is not None:
        _stop_operator(web, operator, deadline=deadline, say=say)
    waiting = _nodes(web, agents)
    while waiting:
        world = _look(web, agents)
        for name in waiting:
            can_report = name in world.ready_nodes and not world.is_untouched(name)
            _take_away(web, name, world.states.get(name), live=can_report)
        left = {name: why for name in waiting if (why := _why_not(name, world))}
        for name in sorted(set(waiting) - set(left)):
            untouched = world.is_untouched(name)
            found = "no agent has started there" if untouched else "on the kernel's own scheduler"
            say(f"{name}: {found}")
        waiting = sorted(left)
        if waiting and time.monotonic() > deadline:
            reasons = "; ".join(f"{name}: {why}" for name, why in left.items())
            raise NotRestored(f"not proven restored after {timeout_seconds:g} s: {reasons}")
        if waiting:
            time.sleep(_POLL_SECONDS)


def _nodes(web: Web, agents: Workload | None) -> list[str]:
    """Return every node that has an object or an agent."""
    found = {item["metadata"]["name"] for item in _listed(web, _STATES)}
    for pod in agents.pods(web) if agents is not None else ():
        node = pod["spec"].get("nodeName")
        if node:
            found.add(node)
    return sorted(found)


def _look(web: Web, agents: Workload | None) -> _World:
    """Look at the cluster: at the pods last, so that none begins before the objects were read."""
    states = {item["metadata"]["name"]: item for item in _listed(web, _STATES)}
    nodes = _listed(web, "/api/v1/nodes")
    ready = frozenset(n["metadata"]["name"] for n in nodes if _is_ready(n))
    if agents is None:
        return _World(states, ready, None)
    pods = agents.pods(web)
    begun = frozenset(pod["spec"].get("nodeName") or "" for pod in pods if _may_have_begun(pod))
    return _World(states, ready, begun)


def _may_have_begun(pod: _Object) -> bool:
    """Return whether a pod's container may ever have started; only its kubelet can deny that."""
    told = (pod.get("status") or {}).get("containerStatuses") or []
    return not told or any(
        "waiting" not in (one.get("state") or {}) or one.get("lastState") or one.get("restartCount")
        for one in told
    )


def _is_ready(node: _Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _take_away(web: Web, name: str, state: _Object | None, *, live: bool) -> None:
    """Wish for nothing on a node; where its agent can report on no object, make one."""
    if state is None:
        if live:
            _send(web, "POST", _STATES, _empty_state(name))
        return
    spec = state.get("spec") or {}
    # An agent does not follow a wish whose epoch is below the highest it has seen.
    seen = read_status(state.get("status") or {}).observed_epoch
    epoch = max(int(spec.get("leaseEpoch") or 0), seen)
    if spec.get("assignments") or epoch != int(spec.get("leaseEpoch") or 0):
        changes = {"spec": {"assignments": [], "leaseEpoch": epoch}}
        _send(web, "PATCH", f"{_STATES}/{name}", changes)


def _empty_state(name: str) -> _Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "SchedulerNodeState",
        "metadata": {"name": name},
        "spec": {},
    }


def _why_not(name: str, world: _World) -> str:
    """Return why a node is not proven restored; empty when it is, or when it is gone."""
    state, live = world.states.get(name), name in world.ready_nodes
    if world.is_untouched(name):
        return ""
    if state is None or not state.get("status"):
        # Without a word from it, only a node that is not there is no danger.
        problem = "it is ready, but its agent has not said what runs there: see the agent's log"
        return problem if live else ""
    status = read_status(state["status"])
    generation = int(state["metadata"].get("generation", 0))
    restored = next((c for c in status.conditions if c.type == "OnDefaultScheduler"), None)
    if status.heartbeat_at is None or datetime.now(UTC) - status.heartbeat_at > _FRESH:
        return f"its agent has not been heard of since {status.heartbeat_at}"
    if status.observed_generation < generation:
        return "its agent has not seen yet that nothing is assigned"
    if restored is None or restored.status is not ConditionStatus.TRUE:
        return restored.message if restored else "its agent says nothing of its scheduler"
    return ""


def _stop_operator(
    web: Web, operator: Workload, *, deadline: float, say: Callable[[str], None]
) -> None:
    """Scale it to zero, and wait for the end of its pods: one that is ending may still assign."""
    try:
        _send(web, "PATCH", operator.scale_path, {"spec": {"replicas": 0}})
    except RequestFailed as err:
        if err.status == 404:
            return
        raise
    while operator.pods(web):
        if time.monotonic() > deadline:
            raise NotRestored(f"the pods of the operator {operator.name} do not go away")
        time.sleep(_POLL_SECONDS)
    say("the operator is stopped")


def _send(web: Web, method: str, path: str, body: _Object) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    web.send(method, path, body=json.dumps(body).encode(), content_type=kind)


def _listed(web: Web, path: str, params: dict[str, str] | None = None) -> list[_Object]:
    found: _Object = json.loads(web.get(path, limit=_LIST_LIMIT, params=params))
    items: list[_Object] = found.get("items") or []
    return items
