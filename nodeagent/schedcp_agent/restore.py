"""Get a node back to the kernel's own scheduler and prove it, by hand or when the chart goes.

`restore_node` works on this node, with or without a running agent. `restore_cluster` is what the
chart's pre-delete hook runs: it takes every assignment away and waits for each agent's proof.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from schedcp_api.base import API_VERSION, ConditionStatus
from schedcp_api.nodestates import SchedulerNodeStateStatus

from .errors import NotRestored, RequestFailed
from .kernel_probe import SchedExt
from .web import Web

PID_FILE = "agent.pid"
_POLL_SECONDS = 0.2
_STATES = f"/apis/{API_VERSION}/schedulernodestates"
_LIST_LIMIT = 64 * 1024 * 1024
_FRESH = timedelta(seconds=60)


def restore_node(
    read_sched_ext: Callable[[], SchedExt],
    *,
    state_dir: Path,
    timeout_seconds: float,
    proc_root: Path = Path("/proc"),
) -> None:
    """Have this node's agent (or, without one, its loader) let go; raise NotRestored."""
    agent = _running_agent(state_dir, proc_root)
    if agent is not None:
        os.kill(agent, signal.SIGUSR1)
    else:
        for loader in _loaders(proc_root):
            os.kill(loader, signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    while not (seen := read_sched_ext()).idle:
        if time.monotonic() > deadline:
            raise NotRestored(
                f"sched_ext is still {seen.state} ({seen.ops or 'no name'}) after "
                f"{timeout_seconds:g} s; if it is not SchedCP's, detach it with the program that "
                "attached it, or with SysRq-S"
            )
        time.sleep(_POLL_SECONDS)


def _running_agent(state_dir: Path, proc_root: Path) -> int | None:
    try:
        pid = int((state_dir / PID_FILE).read_text())
        command = (proc_root / str(pid) / "cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"schedcp-agent" in command or b"schedcp_agent" in command else None


def _loaders(proc_root: Path) -> Iterator[int]:
    for entry in proc_root.iterdir():
        if entry.name.isdigit() and _comm(entry) == "schedcp-loader":
            yield int(entry.name)


def _comm(entry: Path) -> str:
    try:
        return (entry / "comm").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class OperatorDeployment:
    """The operator that must be gone before its assignments can stay away."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Return its path in the API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"


def restore_cluster(
    web: Web,
    *,
    operator: OperatorDeployment | None,
    timeout_seconds: float,
    say: Callable[[str], None],
) -> None:
    """Take all assignments away and wait until each agent shows its node restored."""
    deadline = time.monotonic() + timeout_seconds
    if operator is not None:
        _scale_to_zero(web, operator, deadline=deadline, say=say)
    waiting = [name for name, _ in _node_states(web)]
    for name in waiting:
        body = json.dumps({"spec": {"assignments": []}}).encode()
        web.send(
            "PATCH", f"{_STATES}/{name}", body=body, content_type="application/merge-patch+json"
        )
    while waiting:
        states = dict(_node_states(web))
        left = {name: why for name in waiting if (why := _why_not(states.get(name)))}
        for name in set(waiting) - set(left):
            say(f"{name}: on the kernel's own scheduler")
        waiting = sorted(left)
        if waiting and time.monotonic() > deadline:
            reasons = "; ".join(f"{name}: {why}" for name, why in left.items())
            raise NotRestored(f"not proven restored after {timeout_seconds:g} s: {reasons}")
        if waiting:
            time.sleep(1.0)


def _scale_to_zero(
    web: Web, operator: OperatorDeployment, *, deadline: float, say: Callable[[str], None]
) -> None:
    body = json.dumps({"spec": {"replicas": 0}}).encode()
    try:
        web.send(
            "PATCH",
            f"{operator.path}/scale",
            body=body,
            content_type="application/merge-patch+json",
        )
    except RequestFailed as err:
        if err.status == 404:
            return
        raise
    while _replicas(web, operator):
        if time.monotonic() > deadline:
            raise NotRestored(f"the operator's pods of {operator.path} do not go away")
        time.sleep(1.0)
    say("the operator is stopped")


def _replicas(web: Web, operator: OperatorDeployment) -> int:
    found: Any = json.loads(web.get(operator.path, limit=_LIST_LIMIT))
    return int(found.get("status", {}).get("replicas", 0))


def _node_states(web: Web) -> list[tuple[str, dict[str, Any]]]:
    listed: Any = json.loads(web.get(_STATES, limit=_LIST_LIMIT))
    return [(item["metadata"]["name"], item) for item in listed.get("items") or []]


def _why_not(state: dict[str, Any] | None) -> str:
    """Return why a node is not proven restored; empty when it is, or when it is gone."""
    if state is None or "status" not in state:
        # Gone, or no agent has ever run there.
        return ""
    status = SchedulerNodeStateStatus.model_validate(state["status"])
    generation = int(state["metadata"].get("generation", 0))
    restored = next((c for c in status.conditions if c.type == "OnDefaultScheduler"), None)
    if status.heartbeat_at is None or datetime.now(UTC) - status.heartbeat_at > _FRESH:
        return f"its agent has not been heard of since {status.heartbeat_at}"
    if status.observed_generation < generation:
        return "its agent has not seen yet that nothing is assigned"
    if restored is None or restored.status is not ConditionStatus.TRUE:
        return restored.message if restored else "its agent says nothing of its scheduler"
    return ""
