"""A cluster on this machine: control plane, Prometheus, and nodes in micro-VMs.

Everything lives in one state directory and ends with the `with` block. What runs *on* the cluster
(the product, the demo's workload) is not known here.
"""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from schedcp_lab.accelerators import Accelerator, choose_accelerator
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.errors import KernelBroken
from schedcp_lab.faults import Faults
from schedcp_lab.node_config import NodeSettings
from schedcp_lab.node_vm import Forwards, Hardware, NodeVm
from schedcp_lab.ports import free_ports
from schedcp_lab.processes import Supervisor, wait_until
from schedcp_lab.prometheus import Prometheus, Target
from schedcp_lab.workshop import Workshop

__all__ = ["AGENT_SERVER_NAME", "Cluster"]

AGENT_SERVER_NAME = "schedcp-agent"
"""The name in the agents' serving certificates."""

POOL_LABEL = "schedcp.io/pool"
NODES_READY_SECONDS = 240.0
Report = Callable[[str], None]


@dataclass(frozen=True)
class _Timer:
    """Collects how long each part of the start took."""

    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds.append((name, time.monotonic() - start))


class Cluster:
    """A running cluster; stops everything it started, the last first."""

    def __init__(self, workshop: Workshop, folder: Path, accelerator: Accelerator) -> None:
        self.workshop = workshop
        self.folder = folder
        self.accelerator = accelerator
        self.nodes: dict[str, NodeVm] = {}
        self.faults = Faults(self.nodes, accelerator)
        self.timer = _Timer()
        self._stack = ExitStack()
        self.supervisor = self._stack.enter_context(Supervisor())
        self._nodes_started = 0

    @classmethod
    def start(
        cls, workshop: Workshop, folder: Path, *, nodes: int = 2, report: Report = print
    ) -> Self:
        """Start with `nodes` nodes, and return when all are Ready. `folder` is emptied first."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
        accelerator = choose_accelerator(workshop.kernel)
        cluster = cls(workshop, folder, accelerator)
        try:
            cluster._start(nodes, report)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def private_folder(self) -> Path:
        """Return a new folder with a short path, for sockets; it goes when the cluster stops."""
        return Path(self._stack.enter_context(TemporaryDirectory(prefix="schedcp-")))

    def stop(self) -> None:
        """Stop everything. May be called again."""
        self._stack.close()

    def add_node(self, *, labels: Mapping[str, str] | None = None) -> NodeVm:
        """Start one more node; `wait_nodes_ready` waits for it."""
        self._nodes_started += 1
        index = self._nodes_started
        name = f"node-{index}"
        address = f"127.0.76.{10 + index}"
        kubelet_port, metrics_port = free_ports(2, address=address)
        settings = NodeSettings(
            name=name,
            index=index,
            api_port=self.plane.ports.apiserver,
            labels={POOL_LABEL: "general", **(labels or {})},
        )
        forwards = Forwards(address, kubelet_port, metrics_port)
        node = NodeVm.start(
            self.supervisor,
            self.folder / name,
            image=self.workshop.node_image,
            settings=settings,
            credentials=self.plane.node_credentials(name, settings.address),
            forwards=forwards,
            hardware=Hardware(self.accelerator),
        )
        self._stack.callback(node.stop)
        self.plane.add_route(settings.address, address, kubelet_port)
        self.nodes[name] = node
        self.prometheus.set_targets(
            [Target(f"{n.forwards.address}:{n.forwards.metrics_port}") for n in self.nodes.values()]
        )
        return node

    def revive(self) -> list[str]:
        """Start again what has ended, as a machine's own supervision would; name what it was.

        A node comes back as a machine does after a power cut whose disk was replaced: with its
        name and credentials, and nothing of what ran on it.
        """
        revived = self.plane.revive()
        if not self.prometheus.alive:
            self.prometheus.restart()
            revived.append("prometheus")
        for name, node in self.nodes.items():
            if not node.alive:
                node.restart()
                revived.append(name)
        return revived

    def recover(self, broken: KernelBroken) -> None:
        """Start the node again whose kernel was broken, and all that has ended."""
        self.nodes[broken.node].restart()
        self.revive()

    def require_alive(self) -> None:
        """Raise ProcessLost when something that should run has ended."""
        self.plane.require_alive()
        for node in self.nodes.values():
            node.require_alive()

    def wait_nodes_ready(self) -> float:
        """Wait until every node is Ready; return the seconds that took."""

        def all_ready() -> bool:
            ready = self._ready_nodes()
            for name, node in self.nodes.items():
                if name in ready:
                    node.require_alive()
                else:
                    node.keep_booting()
            return ready >= set(self.nodes)

        return wait_until(
            all_ready,
            what=f"nodes {', '.join(self.nodes)} are Ready",
            timeout_seconds=NODES_READY_SECONDS,
            interval_seconds=1.0,
            hint=lambda: f"Ready are {sorted(self._ready_nodes())}; consoles: {self.folder}",
        )

    def _start(self, nodes: int, report: Report) -> None:
        now = datetime.datetime.now(datetime.UTC)
        with self.timer.part("control plane"):
            report("cluster: starting the control plane")
            self.plane = self._stack.enter_context(
                ControlPlane.start(self.folder, binaries=self.workshop.kube, now=now)
            )
        with self.timer.part("Prometheus"):
            self.prometheus = self._stack.enter_context(
                Prometheus.start(
                    self.folder,
                    authority_pem=self.plane.pki.product.pem,
                    server_name=AGENT_SERVER_NAME,
                )
            )
        with self.timer.part("nodes Ready"):
            report(
                f"cluster: starting {nodes} nodes ({self.accelerator.value},"
                f" kernel {self.workshop.node_image.release})"
            )
            for _ in range(nodes):
                self.add_node()
            self.wait_nodes_ready()

    def _ready_nodes(self) -> set[str]:
        listed = json.loads(self.plane.kubectl("get", "nodes", "-o", "json").stdout)
        return {
            item["metadata"]["name"]
            for item in listed["items"]
            for condition in item.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        }
