"""What the demo looks at: the product's objects, read from the API server into the nouns.

Reads only. The lab learns nothing about a run that any user of kubectl could not see as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from schedcp_api.base import GROUP, VERSION
from schedcp_api.nodestates import RunState, SchedulerNodeStateSpec, SchedulerNodeStateStatus
from schedcp_api.policies import SchedulerPolicyStatus
from schedcp_api.runs import OptimizationRunSpec, OptimizationRunStatus
from schedcp_lab.errors import Unreachable

__all__ = ["Api", "NodeView", "PolicyView", "RunView"]

REQUEST_SECONDS = 20


@dataclass(frozen=True)
class RunView:
    """One OptimizationRun."""

    name: str
    spec: OptimizationRunSpec
    status: OptimizationRunStatus

    @property
    def finished(self) -> bool:
        """Say whether the run has ended."""
        return self.status.finished_at is not None


@dataclass(frozen=True)
class NodeView:
    """One SchedulerNodeState."""

    name: str
    status: SchedulerNodeStateStatus
    lease_until: datetime | None
    """When the operator's lease on the assignment runs out; None without one."""
    assigned: str
    """The ops name that the operator wants there; empty for none."""

    @property
    def ops_name(self) -> str:
        """Return the ops name of the attached scheduler; empty on the kernel's own."""
        return self.status.attached[0].ops_name if self.status.attached else ""

    @property
    def lease_holds(self) -> bool:
        """Say whether the operator's lease on the node is running now."""
        return self.lease_until is not None and self.lease_until > datetime.now(UTC)

    @property
    def on_default(self) -> bool:
        """Say whether the agent reports the kernel's own scheduler, with sched_ext disabled."""
        return not self.status.attached and self.status.sched_ext_state == "disabled"

    def holds(self, ops_name: str) -> bool:
        """Say whether the node runs `ops_name` as assigned, under a lease that is running."""
        active = any(entry.state is RunState.ACTIVE for entry in self.status.assignments)
        return active and self.lease_holds and self.ops_name == self.assigned == ops_name


@dataclass(frozen=True)
class PolicyView:
    """One SchedulerPolicy."""

    name: str
    status: SchedulerPolicyStatus


class Api:
    """Typed reads of the product's objects, and the few writes that a user would make."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(config_file=str(kubeconfig))
        self._objects = client.CustomObjectsApi(self._client)
        self.core = client.CoreV1Api(self._client)
        self.apps = client.AppsV1Api(self._client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def runs(self, policy: str | None = None) -> list[RunView]:
        """Return the runs (of one policy), oldest first. Like all here, raise Unreachable."""
        views = [
            RunView(
                name=item["metadata"]["name"],
                spec=OptimizationRunSpec.model_validate(item["spec"]),
                status=OptimizationRunStatus.model_validate(item.get("status", {})),
            )
            for item in self._list("optimizationruns")
        ]
        chosen = [view for view in views if policy is None or view.spec.policy == policy]
        return sorted(chosen, key=lambda view: view.spec.trigger.at)

    def nodes(self) -> list[NodeView]:
        """Return every node's state, by name."""
        views = []
        for item in self._list("schedulernodestates"):
            spec = SchedulerNodeStateSpec.model_validate(item.get("spec", {}))
            views.append(
                NodeView(
                    name=item["metadata"]["name"],
                    status=SchedulerNodeStateStatus.model_validate(item.get("status", {})),
                    lease_until=spec.lease_renewed_at + timedelta(seconds=spec.lease_seconds)
                    if spec.lease_renewed_at
                    else None,
                    assigned=spec.assignments[0].ops_name if spec.assignments else "",
                )
            )
        return sorted(views, key=lambda view: view.name)

    def policies(self) -> list[PolicyView]:
        """Return the policies, by name."""
        views = [
            PolicyView(
                name=item["metadata"]["name"],
                status=SchedulerPolicyStatus.model_validate(item.get("status", {})),
            )
            for item in self._list("schedulerpolicies")
        ]
        return sorted(views, key=lambda view: view.name)

    def _list(self, plural: str) -> list[dict[str, Any]]:
        try:
            answer: Any = self._objects.list_cluster_custom_object(
                GROUP, VERSION, plural, _request_timeout=REQUEST_SECONDS
            )
        except (client.ApiException, HTTPError) as error:
            raise Unreachable(f"the API server does not list {plural}: {error}") from error
        return cast("list[dict[str, Any]]", answer["items"])
