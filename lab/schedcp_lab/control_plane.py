"""A Kubernetes control plane on loopback: etcd, API server, controller manager and scheduler.

Real programs, real certificates, random ports, no privileges. The API server reaches nodes only
through the egress proxy, so it can never dial an address outside the lab; aggregated APIs and
in-cluster webhooks therefore do not work, by design. With `components=API_ONLY` just etcd and the
API server run: what tests of CRDs and of the operator need, ready in seconds.
"""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from schedcp_lab.control_plane_components import (
    APISERVER,
    CONTROLLER_MANAGER,
    ETCD,
    ORDER,
    SCHEDULER,
    Component,
    Layout,
    Ports,
    components_of,
)
from schedcp_lab.egress_proxy import read_routes, write_routes
from schedcp_lab.errors import LabError
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.node_config import KUBELET_PORT, NodeCredentials
from schedcp_lab.pki import ADMIN_USER, LOOPBACK, Pki
from schedcp_lab.ports import free_ports
from schedcp_lab.processes import Completed, Process, Supervisor, environment, run

__all__ = ["ALL_COMPONENTS", "API_ONLY", "ControlPlane", "Ports"]

API_ONLY = frozenset({ETCD, APISERVER})
ALL_COMPONENTS = frozenset(ORDER)

READY_TIMEOUT_SECONDS = 120.0
KUBECTL_TIMEOUT_SECONDS = 120.0


class ControlPlane:
    """A running control plane. As a context manager it stops everything when the block ends."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.pki = layout.pki
        self.ports = layout.ports
        self.kubeconfig = layout.pki.client_kubeconfig(
            ADMIN_USER, "system:masters", port=layout.ports.apiserver
        )
        self._supervisor = Supervisor()
        self._components: dict[str, Component] = {}
        self._processes: dict[str, Process] = {}

    @classmethod
    def start(
        cls,
        state_dir: Path,
        *,
        binaries: KubeBinaries,
        components: frozenset[str] = ALL_COMPONENTS,
        now: datetime.datetime | None = None,
    ) -> Self:
        """Start the components in order and return when each is ready.

        `state_dir/control-plane` is emptied first: a control plane never outlives its program.
        """
        folder = state_dir.resolve() / "control-plane"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
        started = datetime.datetime.now(datetime.UTC) if now is None else now
        pki = Pki.create(folder / "pki", now=started)
        plane = cls(Layout(folder, binaries, Ports(*free_ports(5)), pki))
        try:
            plane._start(components)
        except BaseException:
            plane.stop()
            raise
        return plane

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def server(self) -> str:
        """The API server's address on the host."""
        return f"https://{LOOPBACK}:{self.ports.apiserver}"

    @property
    def authority_pem(self) -> str:
        """The certificate of the cluster's authority."""
        return self.pki.cluster.pem

    def stop(self) -> None:
        """Stop every component, the last started first."""
        self._supervisor.close()

    def node_kubeconfig(self, name: str) -> str:
        """Return the kubeconfig of a node, for use inside its guest."""
        return self.pki.node_kubeconfig(name, port=self.ports.apiserver)

    def node_credentials(self, name: str, address: str) -> NodeCredentials:
        """Return what a node with this internal address is given at its start."""
        return self.pki.node_credentials(name, address, port=self.ports.apiserver)

    def add_route(self, node_address: str, host: str, port: int) -> None:
        """Let the API server reach a node's kubelet through a forward on loopback."""
        routes = read_routes(self.layout.routes)
        write_routes(
            self.layout.routes, {**routes, f"{node_address}:{KUBELET_PORT}": f"{host}:{port}"}
        )

    def remove_route(self, node_address: str) -> None:
        """Take a node's route away."""
        routes = read_routes(self.layout.routes)
        routes.pop(f"{node_address}:{KUBELET_PORT}", None)
        write_routes(self.layout.routes, routes)

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> Completed:
        """Run kubectl as the administrator."""
        return run(
            [self.layout.binaries.kubectl, "--kubeconfig", self.kubeconfig, *arguments],
            timeout_seconds=KUBECTL_TIMEOUT_SECONDS,
            stdin=stdin,
            env=environment({"KUBECACHEDIR": str(self.layout.folder / "kubectl-cache")}),
        )

    def kill(self, name: str) -> None:
        """Kill a component at once, as a crash would; `restart` brings it back."""
        self._process(name).kill()

    def restart(self, name: str) -> float:
        """Start a component again (stopping it first if it runs); return the seconds to ready."""
        component = self._components[name]
        process = self._supervisor.restart(self._process(name))
        self._processes[name] = process
        return process.wait_ready(component.ready, timeout_seconds=READY_TIMEOUT_SECONDS)

    def restart_apiserver(self) -> float:
        """Start the API server again on the same port; return the seconds to ready."""
        return self.restart(APISERVER)

    def revive(self) -> list[str]:
        """Start every component that has ended again, as its machine would; name them."""
        ended = [name for name, process in self._processes.items() if not process.alive]
        for name in ended:
            self.restart(name)
        return ended

    def require_alive(self) -> None:
        """Raise ProcessLost when a component has ended."""
        for process in self._processes.values():
            process.require_alive()

    def pid(self, name: str) -> int:
        """Return the process id of a component."""
        return self._process(name).pid

    def _process(self, name: str) -> Process:
        if name not in self._processes:
            running = ", ".join(sorted(self._processes))
            raise LabError(f"this control plane has no component {name!r}, only {running}")
        return self._processes[name]

    def _start(self, components: frozenset[str]) -> None:
        unknown = components - ALL_COMPONENTS
        if unknown or not components >= API_ONLY:
            raise LabError(
                f"a control plane needs {sorted(API_ONLY)} and knows {sorted(ALL_COMPONENTS)}; "
                f"asked for {sorted(components)}"
            )
        write_routes(self.layout.routes, {})
        self._components = components_of(self.layout, components)
        for name, component in self._components.items():
            process = self._supervisor.start(component.spec)
            self._processes[name] = process
            if name not in {CONTROLLER_MANAGER, SCHEDULER}:
                process.wait_ready(component.ready, timeout_seconds=READY_TIMEOUT_SECONDS)
        for name, process in self._processes.items():
            ready = self._components[name].ready
            process.wait_ready(ready, timeout_seconds=READY_TIMEOUT_SECONDS)
