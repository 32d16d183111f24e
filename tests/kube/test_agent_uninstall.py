"""The chart's pre-delete hook: its own command under its own account, on a real API server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schedcp_agent.errors import RequestFailed
from schedcp_lab.control_plane import API_ONLY, ControlPlane
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.processes import environment, wait_until
from support.agent import assignment, token, wish
from support.agent_installation import (
    NAMESPACE,
    STATES,
    account_token,
    add_node,
    apply,
    install,
    read_status,
    render,
    running_agent,
    set_spec,
    web,
)
from support.control_planes import control_plane

OPERATOR = "schedcp-operator"
HOOK = "schedcp-uninstall"


@pytest.fixture(scope="module")
def plane(
    kube_binaries: KubeBinaries, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """An API server with the chart's accounts and rules; nobody else scales or deletes."""
    with control_plane(tmp_path_factory.mktemp("uninstall"), kube_binaries, API_ONLY) as started:
        install(started, repository)
        yield started


@pytest.fixture(scope="module")
def hook(repository: Path) -> dict[str, Any]:
    """The hook's container."""
    job = next(f for f in render(repository) if (f["kind"], f["metadata"]["name"]) == ("Job", HOOK))
    container: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == HOOK
    return container


class Uninstallation:
    """The hook's command as a process, with the hook's own token."""

    def __init__(
        self, plane: ControlPlane, hook: dict[str, Any], folder: Path, *, seconds: int
    ) -> None:
        folder.mkdir()
        (folder / "ca.crt").write_text(plane.authority_pem)
        (folder / "token").write_text(account_token(plane, HOOK))
        given = [word for word in hook["args"] if not word.startswith("--timeout-seconds")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "schedcp_agent", *given, f"--timeout-seconds={seconds}"],
            env=environment(
                {
                    "SCHEDCP_AGENT_KUBE_URL": plane.server,
                    "SCHEDCP_AGENT_KUBE_CA_FILE": str(folder / "ca.crt"),
                    "SCHEDCP_AGENT_KUBE_TOKEN_FILE": str(folder / "token"),
                }
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return status and output."""
        said, _ = self._process.communicate(timeout=120)
        return self._process.returncode, said


def pod(name: str, component: str, *, node: str | None = None) -> dict[str, Any]:
    """Return a pod of the chart's."""
    spec: dict[str, Any] = {
        "serviceAccountName": f"schedcp-{component}",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": component, "image": f"localhost/{component}"}],
    }
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/component": component},
        },
        "spec": spec,
    }


def deployment() -> dict[str, Any]:
    """Return an operator that nobody keeps but the test."""
    labels = {"app.kubernetes.io/component": "operator"}
    template = pod("", "operator")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OPERATOR, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }


def replicas(plane: ControlPlane) -> int:
    found = plane.kubectl("-n", NAMESPACE, "get", "deployment", OPERATOR, "-o", "json").stdout
    return int(json.loads(found)["spec"]["replicas"])


def set_ready(plane: ControlPlane, node: str, *, ready: bool) -> None:
    condition = {"type": "Ready", "status": str(ready), "reason": "Test"}
    body = json.dumps({"status": {"conditions": [condition]}})
    plane.kubectl("patch", "node", node, "--subresource=status", "-p", body)


def set_container(plane: ControlPlane, name: str, state: dict[str, Any]) -> None:
    """Say what a kubelet says of an agent's container."""
    told = {
        "name": "agent",
        "image": "localhost/agent",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }
    body = json.dumps({"status": {"containerStatuses": [told]}})
    plane.kubectl("-n", NAMESPACE, "patch", "pod", name, "--subresource=status", "-p", body)


def add_ready_node(plane: ControlPlane, node: str) -> None:
    add_node(plane, node)
    set_ready(plane, node, ready=True)


def drop_node(plane: ControlPlane, node: str) -> None:
    plane.kubectl("delete", STATES, node, "--ignore-not-found")
    plane.kubectl("delete", "node", node)


def test_the_operator_goes_first_and_every_node_is_proven(
    plane: ControlPlane, hook: dict[str, Any], tmp_path: Path
) -> None:
    assert f"--operator={NAMESPACE}/{OPERATOR}" in hook["args"]
    add_ready_node(plane, "node-a")
    apply(plane, deployment())
    apply(plane, pod(f"{OPERATOR}-x", "operator"))
    now = datetime.now(UTC)
    signed = token(
        nodes=("node-a",),
        not_before=now - timedelta(minutes=1),
        expires_at=now + timedelta(hours=1),
    )
    spec = wish(assignment(token=signed), lease_renewed_at=now, lease_seconds=600)
    set_spec(plane, "node-a", spec)
    with running_agent(plane, tmp_path / "agent", "node-a") as node:
        node.wait(lambda s: bool(s.attached), what="the scheduler is attached")
        uninstallation = Uninstallation(plane, hook, tmp_path / "hook", seconds=100)
        wait_until(lambda: replicas(plane) == 0, what="it is scaled to zero", timeout_seconds=60.0)
        assert not node.kernel.state.idle, "an operator that is ending may still assign"
        plane.kubectl("-n", NAMESPACE, "delete", "pod", f"{OPERATOR}-x", "--force")
        status, said = uninstallation.finish()
        assert (status, node.kernel.state.idle) == (0, True), said
    assert "the operator is stopped\nnode-a: on the kernel's own scheduler\nrestored" in said
    plane.kubectl("-n", NAMESPACE, "delete", "deployment", OPERATOR)
    drop_node(plane, "node-a")


def test_an_operator_that_stays_is_no_proof(
    plane: ControlPlane, hook: dict[str, Any], tmp_path: Path
) -> None:
    apply(plane, deployment())
    apply(plane, pod(f"{OPERATOR}-x", "operator"))
    status, said = Uninstallation(plane, hook, tmp_path / "hook", seconds=3).finish()
    assert status == 1
    assert f"the pods of the operator {OPERATOR} do not go away" in said
    plane.kubectl("-n", NAMESPACE, "delete", "pod", f"{OPERATOR}-x", "--force")
    plane.kubectl("-n", NAMESPACE, "delete", "deployment", OPERATOR)


def test_a_node_where_no_agent_has_started_needs_no_proof(
    plane: ControlPlane, hook: dict[str, Any], tmp_path: Path
) -> None:
    add_ready_node(plane, "node-b")
    status, said = Uninstallation(plane, hook, tmp_path / "none", seconds=10).finish()
    assert (status, "node-b: no agent has started there" in said) == (0, True), said
    apply(plane, pod("schedcp-agent-b", "agent", node="node-b"))
    set_container(plane, "schedcp-agent-b", {"waiting": {"reason": "ImagePullBackOff"}})
    status, said = Uninstallation(plane, hook, tmp_path / "pulling", seconds=10).finish()
    assert (status, "node-b: no agent has started there" in said) == (0, True), said
    plane.kubectl("-n", NAMESPACE, "delete", "pod", "schedcp-agent-b", "--force")
    drop_node(plane, "node-b")


def test_an_agent_that_says_nothing_is_no_proof_unless_its_node_is_gone(
    plane: ControlPlane, hook: dict[str, Any], tmp_path: Path
) -> None:
    add_ready_node(plane, "node-b")
    apply(plane, pod("schedcp-agent-b", "agent", node="node-b"))
    set_container(plane, "schedcp-agent-b", {"running": {}})
    status, said = Uninstallation(plane, hook, tmp_path / "live", seconds=3).finish()
    assert status == 1
    assert "node-b: it is ready, but its agent has not said what runs there" in said
    set_ready(plane, "node-b", ready=False)
    assert Uninstallation(plane, hook, tmp_path / "gone", seconds=10).finish()[0] == 0
    age = '{"status":{"heartbeatAt":"2020-01-01T00:00:00Z"}}'
    plane.kubectl("patch", STATES, "node-b", "--subresource=status", "--type=merge", "-p", age)
    status, said = Uninstallation(plane, hook, tmp_path / "silent", seconds=3).finish()
    assert (status, "node-b: its agent has not been heard of since 2020" in said) == (1, True), said
    plane.kubectl("-n", NAMESPACE, "delete", "pod", "schedcp-agent-b", "--force")
    drop_node(plane, "node-b")


def test_an_agent_without_an_object_is_asked_too(
    plane: ControlPlane, hook: dict[str, Any], tmp_path: Path
) -> None:
    add_ready_node(plane, "node-c")
    plane.kubectl("delete", STATES, "node-c")
    apply(plane, pod("schedcp-agent-c", "agent", node="node-c"))
    with running_agent(plane, tmp_path / "agent", "node-c"):
        status, said = Uninstallation(plane, hook, tmp_path / "hook", seconds=60).finish()
    assert (status, "node-c: on the kernel's own scheduler" in said) == (0, True), said
    assert read_status(plane, "node-c").heartbeat_at is not None
    plane.kubectl("-n", NAMESPACE, "delete", "pod", "schedcp-agent-c", "--force")
    drop_node(plane, "node-c")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/schedcp-system/secrets"),
        ("GET", "/api/v1/pods"),
        ("DELETE", "/apis/schedcp.io/v1alpha1/schedulernodestates/node-a"),
        ("PATCH", "/apis/apps/v1/namespaces/schedcp-system/deployments/another/scale"),
    ],
)
def test_the_hook_may_do_nothing_else(
    plane: ControlPlane, tmp_path: Path, method: str, path: str
) -> None:
    with (
        web(plane, tmp_path, account_token(plane, HOOK)) as connection,
        pytest.raises(RequestFailed) as refused,
    ):
        connection.send(method, path, body=b"{}", content_type="application/merge-patch+json")
    assert refused.value.status == 403
