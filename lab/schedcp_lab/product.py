"""The product on a lab's cluster: the chart by helm, operator and verifier as local processes.

The operator acts under the chart's own service account, so that the lab sees the rights that a real
installation has. In an emulated guest it would be slow; the chart can run it in the cluster too.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schedcp_lab.certificates import kubeconfig_with_token, write_private
from schedcp_lab.cluster import AGENT_SERVER_NAME, Cluster
from schedcp_lab.errors import CommandFailed, KernelBroken
from schedcp_lab.https_probe import https_ok
from schedcp_lab.node_config import API_HOST
from schedcp_lab.ports import free_ports
from schedcp_lab.processes import Process, ProcessSpec, environment, run
from schedcp_lab.workshop import AGENT_IMAGE

__all__ = ["NAMESPACE", "Product"]

NAMESPACE = "schedcp-system"
RELEASE = "schedcp"
SERVICE_ACCOUNT = "schedcp-operator"
TOKEN_HOURS = 24
HELM_TIMEOUT_SECONDS = 600.0
WAIT = ("--wait", "--timeout=9m")
READY_SECONDS = 60.0
TOOL_TIMEOUT_SECONDS = 60.0
ANALYSIS_SECONDS = 300.0
SOAK_SECONDS = 15.0
HEARTBEAT_SECONDS = 90.0
"""An emulated node needs more than half a minute to start an agent again that was killed."""
SIGHTED = ("schedcp_verifier", "serve")
BLIND = ("schedcp_lab.blind",)
Report = Callable[[str], None]


class Product:
    """The installed product; its processes belong to the cluster's supervisor."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._folder = cluster.folder / "product"
        self._folder.mkdir()
        (self._port,) = free_ports(1)
        self._socket = cluster.private_folder() / "verifier.sock"
        self.operator: Process
        self.verifier: Process

    @classmethod
    def install(cls, cluster: Cluster, *, report: Report = print) -> Product:
        """Start the verifier, install the chart, start the operator; return when all are ready."""
        product = cls(cluster)
        with cluster.timer.part("verifier"):
            report("product: starting the verifier")
            product._start_verifier()
        with cluster.timer.part("helm install"):
            report("product: helm install charts/schedcp")
            product._helm_install()
        with cluster.timer.part("operator"):
            report("product: starting the operator")
            product._start_operator()
        return product

    def helm(self, *arguments: str) -> str:
        """Run helm against the cluster; return what it printed."""
        done = run(
            [self._cluster.workshop.helm, *arguments, "--namespace", NAMESPACE],
            timeout_seconds=HELM_TIMEOUT_SECONDS,
            env=environment({"KUBECONFIG": str(self._cluster.plane.kubeconfig)}),
        )
        return done.stdout

    def import_source(self, source: Path) -> str:
        """Import a scheduler's source into the operator's repository, with its manifest."""
        manifest = source.with_name(source.name.removesuffix(".bpf.c") + ".yaml")
        command = ["-m", "schedcp_operator", "repository", "import", str(source)]
        command += ["--manifest", str(manifest)]
        done = run(
            [sys.executable, *command],
            timeout_seconds=TOOL_TIMEOUT_SECONDS,
            env=environment(self._operator_settings()),
        )
        return done.stdout.strip()

    def analysed(self, source: Path) -> tuple[str, ...]:
        """Return why the verifier's static stages refuse a source; nothing when they do not."""
        command = ["-m", "schedcp_verifier", "analyze", str(source), "--json"]
        command += ["--kernel", str(self._cluster.workshop.kernel)]
        done = run(
            [sys.executable, *command],
            timeout_seconds=ANALYSIS_SECONDS,
            env=self._verifier_environment("verifier"),
            check=False,
        )
        if done.returncode not in (0, 1):
            raise CommandFailed(f"the verifier could not analyse {source}: {done.stderr}")
        checks = json.loads(done.stdout)["checks"]
        return tuple(
            f"{check['stage']}/{check['id']}: {check['message']}"
            for check in checks
            if check["phase"] == "Failed"
        )

    @contextmanager
    def blind_verifier(self) -> Iterator[None]:
        """For as long as this lasts the operator is told that everything is safe."""
        sighted = self.verifier
        sighted.stop()
        shutil.copytree(self._folder / "verifier", self._folder / "blind", dirs_exist_ok=True)
        self.verifier = self._cluster.supervisor.start(self._verifier_spec("blind", BLIND))
        try:
            self._wait_verifier()
            yield
        finally:
            self.verifier.stop()
            self.verifier = self._cluster.supervisor.restart(sighted)
        self._wait_verifier()

    def revive(self) -> list[str]:
        """Start operator and verifier again if they have ended, as a Deployment would."""
        revived = []
        if not self.verifier.alive:
            self.verifier = self._cluster.supervisor.restart(self.verifier)
            self._wait_verifier()
            revived.append("verifier")
        if not self.operator.alive:
            self.operator = self._cluster.supervisor.restart(self.operator)
            self._wait_operator()
            revived.append("operator")
        return revived

    def recover(self, broken: KernelBroken) -> None:
        """Start the node again whose kernel was broken, and all of the lab that has ended."""
        self._cluster.recover(broken)
        self.revive()

    def uninstall(self) -> str:
        """Stop the operator and uninstall the chart, which proves every node restored first."""
        self.operator.stop()
        return self.helm("uninstall", RELEASE, *WAIT)

    def require_alive(self) -> None:
        """Raise ProcessLost when operator or verifier has ended."""
        self.operator.require_alive()
        self.verifier.require_alive()

    def _start_verifier(self) -> None:
        self._public_key = run(
            [sys.executable, "-m", "schedcp_verifier", "keygen"],
            timeout_seconds=TOOL_TIMEOUT_SECONDS,
            env=self._verifier_environment("verifier"),
        ).stdout
        self.verifier = self._cluster.supervisor.start(self._verifier_spec("verifier", SIGHTED))
        self._wait_verifier()

    def _verifier_spec(self, name: str, program: tuple[str, ...]) -> ProcessSpec:
        kernels = str(self._cluster.workshop.kernel.parent)
        return ProcessSpec(
            name,
            (sys.executable, "-m", *program, "--socket", str(self._socket), "--kernels", kernels),
            self._folder / f"{name}.log",
            env=self._verifier_environment(name),
        )

    def _verifier_environment(self, name: str) -> dict[str, str]:
        settings = {
            "SCHEDCP_VERIFIER_SCHEDULERS_DIR": str(self._cluster.workshop.root / "schedulers"),
            "SCHEDCP_VERIFIER_STATE_DIR": str(self._folder / name),
        }
        return environment(settings)

    def _wait_verifier(self) -> None:
        self.verifier.wait_ready(self._listens, timeout_seconds=READY_SECONDS)

    def _listens(self) -> bool:
        """Say whether somebody accepts connections on the verifier's socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def _helm_install(self) -> None:
        pki = self._cluster.plane.pki
        agent = pki.product_server(AGENT_SERVER_NAME)
        repository, tag = AGENT_IMAGE.rsplit(":", 1)
        values = {
            "trustedKeys": [self._public_key],
            "operator": {
                "enabled": False,
                "externalURL": f"https://{API_HOST}:{self._port}",
                "externalCA": pki.product.pem,
            },
            "agent": {
                "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
                "settings": {"HEARTBEAT_SECONDS": "5"},
            },
            "tls": {
                "agent": {"certificate": agent.certificate, "key": agent.key},
                "agentServerName": AGENT_SERVER_NAME,
            },
        }
        path = write_private(self._folder / "values.json", json.dumps(values, indent=1))
        chart = str(self._cluster.workshop.root / "charts" / "schedcp")
        self.helm("install", RELEASE, chart, "--create-namespace", "--values", str(path), *WAIT)

    def _start_operator(self) -> None:
        plane = self._cluster.plane
        token = plane.kubectl(
            *("-n", NAMESPACE, "create", "token", SERVICE_ACCOUNT, f"--duration={TOKEN_HOURS}h")
        ).stdout.strip()
        text = kubeconfig_with_token(
            plane.server, authority_pem=plane.authority_pem, user=SERVICE_ACCOUNT, token=token
        )
        write_private(self._folder / "operator.kubeconfig", text)
        server = plane.pki.product_server("schedcp-operator", API_HOST, "127.0.0.1", "localhost")
        server.write(self._folder, "operator")
        spec = ProcessSpec(
            "operator",
            (sys.executable, "-m", "schedcp_operator", "run"),
            self._folder / "operator.log",
            env=environment(self._operator_settings()),
        )
        self.operator = self._cluster.supervisor.start(spec)
        self._wait_operator()

    def _wait_operator(self) -> None:
        authority = self._cluster.plane.pki.product.pem
        self.operator.wait_ready(
            lambda: https_ok(self._port, "/readyz", authority_pem=authority),
            timeout_seconds=READY_SECONDS,
        )

    def _operator_settings(self) -> dict[str, str]:
        settings = {
            "KUBECONFIG": self._folder / "operator.kubeconfig",
            "NAMESPACE": NAMESPACE,
            "MANIFESTS_DIR": self._cluster.workshop.root / "schedulers" / "manifests",
            "STORE_PATH": self._folder / "store.sqlite",
            "VERIFIER_SOCKET": self._socket,
            "PROMETHEUS_URL": self._cluster.prometheus.url,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": self._port,
            "TLS_CERT_FILE": self._folder / "operator.crt",
            "TLS_KEY_FILE": self._folder / "operator.key",
            "SOAK_SECONDS": SOAK_SECONDS,
            "HEARTBEAT_SECONDS": HEARTBEAT_SECONDS,
        }
        return {f"SCHEDCP_OPERATOR_{name}": str(value) for name, value in settings.items()}
