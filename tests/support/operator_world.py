"""A small cluster on a real API server: nodes, a rolled out service, and the operator's process."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schedcp_api.base import digest_of
from schedcp_api.services import MAX_BLOB_BYTES, TOKEN_AUDIENCE
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.logs import tail
from schedcp_lab.ports import free_ports
from schedcp_lab.processes import Process, ProcessSpec, Supervisor, environment

from .api_server import NAMESPACES, NODES, POLICIES, RUNS, STATES, Api, Json, api_client, wait_for
from .operator_fakes import Behaviour, FakeAgents, fake_verifier
from .operator_library import LIBRARY
from .operator_nouns import KEY
from .operator_prometheus import fake_prometheus

SYSTEM = "schedcp-system"
SHOP = "shop"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{SHOP}/deployments"
PODS = f"/api/v1/namespaces/{SHOP}/pods"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/schedcp-operator"
POLICY = "checkout"
SETTINGS = {
    "LEADER_LEASE_SECONDS": "3",
    "POLL_SECONDS": "0.3",
    "RESYNC_SECONDS": "0.5",
    "HEARTBEAT_SECONDS": "10",
    "PROFILE_SECONDS": "1",
    "SOAK_SECONDS": "1",
    "ATTACH_SECONDS": "30",
    "NODE_LEASE_RENEW_SECONDS": "2",
    "MAX_RETRIES": "1",
}


def policy(**spec: Any) -> Json:
    """A policy for the shop's checkout service, quick to trigger."""
    base: Json = {
        "mode": "Auto",
        "workload": {
            "namespaceSelector": {"matchLabels": {"team": "shop"}},
            "podSelector": {"matchLabels": {"app": "checkout"}},
        },
        "trigger": {"stabilizationSeconds": 0, "cooldownSeconds": 0},
        "canary": {"pairs": 5, "blockSeconds": 4, "washoutSeconds": 1},
    }
    return {
        "apiVersion": "schedcp.io/v1alpha1",
        "kind": "SchedulerPolicy",
        "metadata": {"name": POLICY},
        "spec": {**base, **spec},
    }


def probe_spec(spec: Json) -> Json:
    """The spec of a run that no policy stands behind."""
    return {
        "policy": "nobody",
        "policyUid": "none",
        "policyGeneration": 1,
        "policySpec": spec,
        "trigger": {
            "kind": "Rollout",
            "workload": "Deployment/shop/checkout",
            "revision": "0",
            "at": "2026-01-01T00:00:00Z",
        },
        "seed": 1,
    }


@dataclass
class World:
    """Everything a test of the operator's process touches."""

    api: Api
    behaviour: Behaviour
    agents: FakeAgents
    spec: ProcessSpec
    supervisor: Supervisor
    operator: Process | None = None

    def start(self, **settings: str) -> None:
        """Start the operator, with further settings."""
        more = {f"SCHEDCP_OPERATOR_{name}": value for name, value in settings.items()}
        spec = replace(self.spec, env={**self.spec.env, **more})
        self.operator = self.supervisor.start(spec)

    def start_another(self) -> None:
        """Start a second replica beside the first."""
        (port,) = free_ports(1)
        self.start(HTTP_PORT=str(port))

    def kill(self) -> None:
        """Kill the operator without warning."""
        assert self.operator is not None
        self.operator.kill()

    def log(self) -> str:
        """The end of the operator's log."""
        return tail(self.spec.log, size=6000)

    def wait(self, condition: Any, what: str, *, timeout_seconds: float = 90.0) -> Any:
        """Wait for something, or fail with the operator's log and the run."""
        return wait_for(condition, what=what, timeout_seconds=timeout_seconds, hint=self._hint)

    def _hint(self) -> str:
        shown = [
            {
                "stage": run.get("status", {}).get("stage"),
                "said": run.get("status", {}).get("message"),
            }
            for run in self.api.items(RUNS)
        ]
        return f"runs: {shown}\nagents: {self.agents.problems[-3:]}\n{self.log()}"

    def apply(self, body: Json) -> Json:
        """Create the policy, once every agent has reported: a run takes the nodes that it finds."""
        self.wait(self._all_reported, "every agent has reported")
        return self.api.create(POLICIES, body)

    def _all_reported(self) -> bool:
        reported = [name for name, status in self._states().items() if "heartbeatAt" in status]
        return len(reported) == len(self.api.items(NODES))

    def run(self) -> Json | None:
        """The only run; more than one is a failure."""
        runs = self.api.items(RUNS)
        assert len(runs) <= 1, [run["metadata"]["name"] for run in runs]
        return runs[0] if runs else None

    def stage(self) -> str:
        """The run's stage, or nothing."""
        return str(((self.run() or {}).get("status") or {}).get("stage", ""))

    def is_in(self, stage: str) -> bool:
        """Whether the run is in a stage; one without a status is in the first."""
        run = self.run()
        return run is not None and (self.stage() or "Pending") == stage

    def finished(self) -> Json:
        """The run's status once it is finished."""
        self.wait(lambda: self.stage() == "Finished", "the run is finished")
        status: Json = (self.run() or {})["status"]
        return status

    def status(self) -> Json:
        """The policy's status."""
        found: Json = (self.api.get(f"{POLICIES}/{POLICY}") or {}).get("status") or {}
        return found

    def condition(self, kind: str) -> Json:
        """One of the policy's conditions."""
        found = self.status().get("conditions", [])
        return next((c for c in found if c["type"] == kind), {})

    def assignments(self) -> dict[str, list[Json]]:
        """Every node's assignments."""
        return {
            state["metadata"]["name"]: state["spec"].get("assignments", [])
            for state in self.api.items(STATES)
        }

    def _states(self) -> dict[str, Json]:
        return {
            state["metadata"]["name"]: state.get("status") or {} for state in self.api.items(STATES)
        }

    def blocks(self) -> list[Json]:
        """The finished blocks of all switchbacks under way."""
        return [
            block
            for status in self._states().values()
            for block in (status.get("switchback") or {}).get("blocks", [])
        ]

    def said(self, state: str) -> bool:
        """Whether some agent says this of its assignment."""
        return any(
            said["state"] == state
            for status in self._states().values()
            for said in status.get("assignments", [])
        )

    def attached(self) -> dict[str, list[Json]]:
        """What every node runs, and since when."""
        return {name: status.get("attached", []) for name, status in self._states().items()}

    def epochs(self) -> list[int]:
        """The epochs that the agents follow."""
        return [status.get("observedEpoch", 0) for status in self._states().values()]

    def blob_requests(self) -> dict[str, tuple[int, str]]:
        """What the blob interface answers to good and bad requests."""
        data = b"some bytes"
        path, other = f"/v1/blobs/{digest_of(data)}", f"/v1/blobs/{digest_of(b'other')}"
        large = bytes(MAX_BLOB_BYTES + 1)
        good = agent_token(self.api)
        asked: dict[str, tuple[str, str, str | None, bytes | None]] = {
            "no token": ("PUT", path, None, data),
            "garbage": ("PUT", path, "garbage", data),
            "wrong audience": ("PUT", path, agent_token(self.api, audience="other"), data),
            "wrong user": ("PUT", path, agent_token(self.api, account="default"), data),
            "wrong digest": ("PUT", other, good, data),
            "good": ("PUT", path, good, data),
            "read back": ("GET", path, good, None),
            "missing": ("GET", other, good, None),
            "too large": ("PUT", f"/v1/blobs/{digest_of(large)}", good, large),
        }
        return {name: self.agents.ask(*request) for name, request in asked.items()}


def ready_node(api: Api, name: str, **labels: str) -> None:
    """A Node that is Ready, though nothing is behind it."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
    }
    api.ensure(NODES, node)
    condition = {"type": "Ready", "status": "True", "reason": "Test", "message": ""}
    api.merge(f"{NODES}/{name}/status", {"status": {"conditions": [condition]}})


def rolled_out(api: Api, *, image: str = "checkout:1", nodes: tuple[str, ...]) -> None:
    """A Deployment whose rollout is complete, with one running pod on each node."""
    template = {
        "metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "checkout"},
        "spec": {
            "replicas": len(nodes),
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": template,
        },
    }
    if api.get(f"{DEPLOYMENTS}/checkout") is None:
        api.create(DEPLOYMENTS, body)
    created = api.merge(f"{DEPLOYMENTS}/checkout", {"spec": body["spec"]})
    count = len(nodes)
    status = {
        "observedGeneration": created["metadata"]["generation"],
        "replicas": count,
        "updatedReplicas": count,
        "readyReplicas": count,
        "availableReplicas": count,
    }
    api.merge(f"{DEPLOYMENTS}/checkout/status", {"status": status})
    for name in nodes:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"checkout-{name}", "labels": {"app": "checkout"}},
            "spec": {"nodeName": name, "containers": [{"name": "main", "image": image}]},
        }
        api.ensure(PODS, pod)
        api.merge(f"{PODS}/checkout-{name}/status", {"status": {"phase": "Running"}})


def prepare(api: Api, crds: Path) -> None:
    """What every test needs: CRDs, namespaces, service accounts."""
    api.apply_crds(crds)
    for name, labels in ((SYSTEM, {}), (SHOP, {"team": "shop"})):
        namespace: Json = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        }
        api.ensure(NAMESPACES, namespace)
    for where, account in ((SYSTEM, "schedcp-agent"), (SYSTEM, "default"), (SHOP, "default")):
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        api.ensure(f"/api/v1/namespaces/{where}/serviceaccounts", body)


def clean(api: Api) -> None:
    """Remove what a test made, so that the next one starts from nothing."""
    for path in (POLICIES, RUNS, STATES, PODS, DEPLOYMENTS, NODES):
        for found in api.items(path):
            api.delete(f"{path}/{found['metadata']['name']}")
        wait_for(partial(_is_empty, api, path), what=f"{path} is empty")
    api.delete(LEASE)


def _is_empty(api: Api, path: str) -> bool:
    return not api.items(path)


def agent_token(api: Api, *, audience: str = TOKEN_AUDIENCE, account: str = "schedcp-agent") -> str:
    """A token of the agents' service account, as the kubelet would project it."""
    path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/{account}/token"
    spec = {"audiences": [audience], "expirationSeconds": 3600}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str(api.create(path, body)["status"]["token"])


def write_manifests(folder: Path) -> Path:
    """The test library's manifests as files."""
    folder.mkdir(parents=True)
    for name, entry in LIBRARY.entries.items():
        (folder / f"{name}.yaml").write_text(entry.manifest.model_dump_json(by_alias=True))
    return folder


@contextmanager
def operator_world(
    plane: ControlPlane, api: Api, folder: Path, *, nodes: tuple[str, ...] = ("node-1", "node-2")
) -> Iterator[World]:
    """A cluster with agents, Prometheus and verifier; the operator is not started yet."""
    behaviour = Behaviour()
    clean(api)
    for name in nodes:
        ready_node(api, name)
    rolled_out(api, nodes=nodes)
    (port,) = free_ports(1)
    with ExitStack() as stack:
        stack.callback(clean, api)  # the last thing: other tests use the same API server
        prometheus = stack.enter_context(fake_prometheus(behaviour))
        socket = folder / "verifier.sock"
        stack.enter_context(fake_verifier(behaviour, socket))
        authority = plane.pki.product
        env = _environment(plane, folder, port, prometheus=prometheus, socket=socket)
        agents = FakeAgents(
            stack.enter_context(api_client(plane.kubeconfig, folder / "agents")),
            behaviour,
            operator_url=f"https://127.0.0.1:{port}",
            authority=authority.pem,
            token=agent_token(api),
        )
        stack.enter_context(agents)
        supervisor = stack.enter_context(Supervisor())
        spec = ProcessSpec(
            name="schedcp-operator",
            argv=(sys.executable, "-m", "schedcp_operator", "run"),
            log=folder / "operator.log",
            env=environment(env),
        )
        try:
            yield World(api, behaviour, agents, spec, supervisor)
        finally:
            supervisor.close()


def _environment(
    plane: ControlPlane, folder: Path, port: int, *, prometheus: str, socket: Path
) -> dict[str, str]:
    server = plane.pki.product_server("schedcp-operator", "127.0.0.1")
    cert, key = server.write(folder, "operator")
    trusted = folder / "trusted.pem"
    trusted.write_bytes(
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    settings = {
        **SETTINGS,
        "KUBECONFIG": str(plane.kubeconfig),
        "MANIFESTS_DIR": str(write_manifests(folder / "manifests")),
        "STORE_PATH": str(folder / "store.sqlite"),
        "TRUSTED_KEYS_FILE": str(trusted),
        "VERIFIER_SOCKET": str(socket),
        "PROMETHEUS_URL": prometheus,
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "TLS_CERT_FILE": str(cert),
        "TLS_KEY_FILE": str(key),
    }
    return {f"SCHEDCP_OPERATOR_{name}": value for name, value in settings.items()}
