"""An API server in memory, as far as an uninstallation asks: objects, nodes, the agents' pods."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schedcp_agent.restore_cluster import Workload, agents_of, restore_cluster
from schedcp_agent.web import Web
from schedcp_api.base import API_VERSION
from schedcp_api.nodestates import SchedulerNodeStateSpec, SchedulerNodeStateStatus

AGENTS = agents_of("schedcp-system", "schedcp-agent")
_STATES = f"/apis/{API_VERSION}/schedulernodestates"
_MERGE = "application/merge-patch+json"
_Object = dict[str, Any]


@dataclass
class MemoryCluster:
    """What there is, and `uninstall`, which looks at it once."""

    states: dict[str, _Object] = field(default_factory=dict)
    nodes: dict[str, _Object] = field(default_factory=dict)
    pods: list[_Object] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def add_node(self, name: str) -> None:
        """Add a Ready node with the object that the operator makes for every node."""
        ready = {"type": "Ready", "status": "True"}
        self.nodes[name] = {"metadata": {"name": name}, "status": {"conditions": [ready]}}
        self.wish(name, SchedulerNodeStateSpec())

    def wish(self, name: str, spec: SchedulerNodeStateSpec) -> None:
        """Write a spec."""
        metadata = {"name": name, "generation": 1}
        self.states[name] = {"metadata": metadata, "spec": spec.to_json()}

    def report(self, name: str, status: SchedulerNodeStateStatus) -> None:
        """Write a status."""
        self.states[name]["status"] = status.to_json()

    def add_agent(self, node: str, *containers: _Object) -> None:
        """Bind an agent's pod to a node; `containers` are what the kubelet says of it."""
        self.pods.append(
            {
                "metadata": {"name": f"{AGENTS.name}-{len(self.pods)}"},
                "spec": {"nodeName": node},
                "status": {"containerStatuses": list(containers)},
            }
        )

    def uninstall(self, *, agents: Workload | None = AGENTS) -> None:
        """Restore the cluster, or raise NotRestored after the first look."""
        web = _MemoryWeb(self)
        restore_cluster(web, operator=None, agents=agents, timeout_seconds=0, say=self.said.append)


class _MemoryWeb(Web):
    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__("", ca_file=Path(), token_file=Path(), timeout_seconds=0)
        self._cluster = cluster

    def get(self, path: str, *, limit: int, params: Mapping[str, str] | None = None) -> bytes:
        """List."""
        found: dict[str, list[_Object]] = {
            _STATES: list(self._cluster.states.values()),
            "/api/v1/nodes": list(self._cluster.nodes.values()),
            f"/api/v1/namespaces/{AGENTS.namespace}/pods": self._cluster.pods,
        }
        body = json.dumps({"items": found[path]}).encode()
        assert len(body) <= limit
        return body

    def send(self, method: str, path: str, *, body: bytes, content_type: str) -> bytes:
        """Create an object, or merge into its spec."""
        assert content_type == ("application/json" if method == "POST" else _MERGE)
        change: _Object = json.loads(body)
        if method == "POST":
            self._cluster.states[change["metadata"]["name"]] = change
        else:
            state = self._cluster.states[path.removeprefix(f"{_STATES}/")]
            state["spec"] |= change["spec"]
            state["metadata"]["generation"] += 1
        return b"{}"
