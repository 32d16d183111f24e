"""The chart's part of the agent on a real API server, and agents that run in this process."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schedcp_agent.agent import Agent, Parts
from schedcp_agent.answering import Answering
from schedcp_agent.blobs import ObjectCache
from schedcp_agent.errors import RequestFailed
from schedcp_agent.keys import TrustedKeys
from schedcp_agent.kube import KubeNodeStates, SpecWatcher, StatusWriter
from schedcp_agent.measuring import Measuring
from schedcp_agent.metrics import Exporter
from schedcp_agent.probes.port import FIRST_TARGET, Probes
from schedcp_agent.records import RecordFile
from schedcp_agent.report import Facts
from schedcp_agent.web import Web
from schedcp_api.base import API_VERSION, digest_of
from schedcp_api.nodestates import SchedulerNodeStateSpec, SchedulerNodeStateStatus
from schedcp_lab.cache import Cache
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.errors import CommandFailed
from schedcp_lab.kube_binaries import ensure_helm
from schedcp_lab.processes import environment, run, wait_until
from support.agent import (
    KERNEL,
    OBJECT,
    OTHER_UID,
    POD_UID,
    SIGNER,
    FakeKernel,
    FakeLoader,
    FakeProbes,
    ImmediateExecutor,
    MemoryBlobs,
    group,
)

NAMESPACE = "schedcp-system"
IMAGES = ("operator", "verifier", "agent")
ACCOUNT = "schedcp-agent"
STATES = "schedulernodestates.schedcp.io"
DEADLINE_SECONDS = 60.0
Manifest = dict[str, Any]
_APPLIED = (
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)


def render(repository: Path, *options: str) -> list[Manifest]:
    """Return what the chart makes of its values, the hooks included."""
    helm = ensure_helm(Cache(repository / ".cache"))
    images = [f"--set={name}.image.repository=localhost/{name}" for name in IMAGES]
    rendered = run(
        [
            *(helm, "template", "schedcp", repository / "charts" / "schedcp"),
            *("--namespace", NAMESPACE, *images, *options),
        ],
        timeout_seconds=60.0,
        env=environment(),
    ).stdout
    return [found for found in yaml.safe_load_all(rendered) if found]


def find(rendered: list[Manifest], kind: str, name: str) -> Manifest:
    """Return one of the rendered objects."""
    return next(f for f in rendered if (f["kind"], f["metadata"]["name"]) == (kind, name))


def install(kube: ControlPlane, repository: Path) -> None:
    """Apply the chart's CRDs, accounts and rules, and wait until the agents' rule is in force."""
    wanted = [found for found in render(repository) if found["kind"] in _APPLIED]
    kube.kubectl("create", "namespace", NAMESPACE)
    kube.kubectl("apply", "--server-side", "-f", repository / "charts" / "schedcp" / "crds")
    kube.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    for path in sorted((repository / "charts" / "schedcp" / "crds").glob("*.yaml")):
        kind = yaml.safe_load(path.read_text())["metadata"]["name"]
        wait_until(
            partial(_is_served, kube, kind),
            what=f"{kind} is served",  # An established kind has no storage for a moment.
            timeout_seconds=DEADLINE_SECONDS,
        )
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(wanted))
    _wait_for_the_rule(kube)


def _is_served(kube: ControlPlane, kind: str) -> bool:
    try:
        kube.kubectl("get", kind)
    except CommandFailed:
        return False
    return True


def _wait_for_the_rule(kube: ControlPlane) -> None:
    """Try what the rule forbids until it is refused: it counts a moment after its creation."""
    apply_state(kube, "rule-probe")
    path = f"/apis/{API_VERSION}/schedulernodestates/rule-probe/status?dryRun=All"
    body = b'[{"op":"add","path":"/status","value":{}}]'

    def refused() -> bool:
        try:
            probe.send("PATCH", path, body=body, content_type="application/json-patch+json")
        except RequestFailed as err:
            return err.status == 403 and "own node only" in str(err)
        return False

    with (
        TemporaryDirectory() as folder,
        web(kube, Path(folder), node_token(kube, None)) as probe,
    ):
        wait_until(refused, what="the agents' rule is in force", timeout_seconds=DEADLINE_SECONDS)
    kube.kubectl("delete", STATES, "rule-probe")


def add_node(kube: ControlPlane, name: str) -> None:
    """Make a Node object and its SchedulerNodeState, as kubelet and operator would."""
    apply(kube, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    apply_state(kube, name)


def apply_state(kube: ControlPlane, name: str) -> None:
    """Make a SchedulerNodeState that wishes for nothing."""
    found = {"apiVersion": API_VERSION, "kind": "SchedulerNodeState", "metadata": {"name": name}}
    apply(kube, {**found, "spec": {}})


def apply(kube: ControlPlane, found: Manifest) -> None:
    """Make any object."""
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(found))


def account_token(kube: ControlPlane, account: str) -> str:
    """Return a token of one of the chart's accounts."""
    return kube.kubectl("-n", NAMESPACE, "create", "token", account).stdout.strip()


def node_token(kube: ControlPlane, node: str | None) -> str:
    """Return a token of the agents' account, bound to a node as the kubelet's are."""
    bound = ("--bound-object-kind=Node", f"--bound-object-name={node}") if node else ()
    command = ("-n", NAMESPACE, "create", "token", ACCOUNT, *bound)
    return kube.kubectl(*command).stdout.strip()


def web(kube: ControlPlane, folder: Path, token: str, *, timeout_seconds: float = 10.0) -> Web:
    """Return a connection with `token`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.crt").write_text(kube.authority_pem)
    (folder / "token").write_text(token)
    return Web(
        kube.server,
        ca_file=folder / "ca.crt",
        token_file=folder / "token",
        timeout_seconds=timeout_seconds,
    )


def set_spec(kube: ControlPlane, node: str, spec: SchedulerNodeStateSpec) -> None:
    """Write the whole spec, as the operator does."""
    body = json.dumps([{"op": "replace", "path": "/spec", "value": spec.to_json()}])
    kube.kubectl("patch", STATES, node, "--type=json", "-p", body)


def read_status(kube: ControlPlane, node: str) -> SchedulerNodeStateStatus:
    """Return the status as it stands."""
    found: Any = json.loads(kube.kubectl("get", STATES, node, "-o", "json").stdout)
    return SchedulerNodeStateStatus.model_validate(found.get("status") or {})


@dataclass
class RunningAgent:
    """The agent's own code over a real API server, with a fake kernel below."""

    kube: ControlPlane
    node: str
    agent: Agent
    kernel: FakeKernel
    loader: FakeLoader
    blobs: MemoryBlobs
    probes: FakeProbes
    restored: list[bool] = field(default_factory=list)

    def wait(
        self, condition: Callable[[SchedulerNodeStateStatus], bool], *, what: str
    ) -> SchedulerNodeStateStatus:
        """Wait until the status in the API server fulfils `condition`."""
        wait_until(
            lambda: condition(read_status(self.kube, self.node)),
            what=what,
            timeout_seconds=DEADLINE_SECONDS,
            interval_seconds=0.2,
            hint=lambda: read_status(self.kube, self.node).model_dump_json(indent=1),
        )
        return read_status(self.kube, self.node)


def _prepare(folder: Path) -> tuple[Path, Path]:
    """Make a cgroup tree with two pods and a file of trusted keys; return their paths."""
    cgroups = folder / "cgroup"
    for uid in (POD_UID, OTHER_UID):
        (cgroups / "kubepods" / f"pod{uid}").mkdir(parents=True, exist_ok=True)
    (cgroups / "cgroup.controllers").touch()
    keys = folder / "keys.pem"
    keys.write_bytes(
        SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return cgroups, keys


@contextmanager
def running_agent(kube: ControlPlane, folder: Path, node: str) -> Iterator[RunningAgent]:
    """Run an agent for as long as the block lasts; it winds up at the end."""
    cgroups, keys = _prepare(folder)
    kernel, probes = FakeKernel(), FakeProbes(groups=(group(FIRST_TARGET, 7, "checkout"),))
    loader, blobs = FakeLoader(kernel), MemoryBlobs({digest_of(OBJECT): OBJECT})
    opening: Future[Probes] = Future()
    opening.set_result(probes)
    measuring = Measuring(opening, cgroup_root=cgroups, own_pod="")
    executor = ImmediateExecutor()
    token = node_token(kube, node)

    def states(name: str) -> KubeNodeStates:
        return KubeNodeStates(web(kube, folder / name, token), node=node, watch_seconds=2)

    watcher, writer = SpecWatcher(states("watch")), StatusWriter(states("write"))
    agent = Agent(
        Parts(
            node=node,
            kernel=KERNEL,
            read_sched_ext=kernel.read,
            loader=loader,
            objects=ObjectCache(blobs, folder / "objects", executor),
            record=RecordFile(folder / "record.json"),
            keys=TrustedKeys(keys),
            watcher=watcher,
            writer=writer,
            measuring=measuring,
            answering=Answering(measuring, blobs, executor, node=node, cpus=2),
            exporter=Exporter(),
            facts=Facts(boot_id="boot", metrics_address="10.0.0.1:9464"),
            restart_limit=3,
            tick_seconds=0.1,
            heartbeat_seconds=1.0,
        )
    )
    running = RunningAgent(kube, node, agent, kernel, loader, blobs, probes)
    thread = threading.Thread(
        target=lambda: running.restored.append(agent.run(settle_timeout_seconds=20)), name="agent"
    )
    thread.start()
    try:
        yield running
    finally:
        agent.stop()
        thread.join(timeout=DEADLINE_SECONDS)
    ended = [watcher.join(DEADLINE_SECONDS), writer.join(DEADLINE_SECONDS)]
    if thread.is_alive() or not all(ended):
        raise AssertionError("the agent did not wind up")
