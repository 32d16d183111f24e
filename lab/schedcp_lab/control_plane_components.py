"""The command line of each component of a control plane, and how to know that it is ready."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.https_probe import https_ok
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.node_config import API_HOST, API_SERVICE_ADDRESS
from schedcp_lab.pki import LOOPBACK, Pki
from schedcp_lab.processes import ProcessSpec

__all__ = [
    "APISERVER",
    "CONTROLLER_MANAGER",
    "EGRESS",
    "ETCD",
    "ORDER",
    "SCHEDULER",
    "Component",
    "Layout",
    "Ports",
    "components_of",
]

ETCD = "etcd"
EGRESS = "egress-proxy"
APISERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
ORDER = (ETCD, EGRESS, APISERVER, CONTROLLER_MANAGER, SCHEDULER)
"""The order in which they start; each needs the ones before it."""

SERVICE_RANGE = f"{API_SERVICE_ADDRESS.rsplit('.', 1)[0]}.0/24"
EGRESS_SOCKET = "egress.sock"
"""Relative to the state directory, where the programs run: a socket's path must be short."""


@dataclass(frozen=True)
class Ports:
    """Where on loopback each component listens."""

    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True)
class Component:
    """How to start one component and how to know that it is ready."""

    spec: ProcessSpec
    ready: Callable[[], bool]


@dataclass(frozen=True)
class Layout:
    """What the command lines are made from."""

    folder: Path
    binaries: KubeBinaries
    ports: Ports
    pki: Pki

    @property
    def routes(self) -> Path:
        """The file of the egress proxy's routes."""
        return self.folder / "routes.json"


def components_of(layout: Layout, wanted: Iterable[str]) -> dict[str, Component]:
    """Return the wanted components by name, in the order in which they start."""
    names = frozenset(wanted)
    makers: dict[str, Callable[[Layout], Component]] = {
        ETCD: _etcd,
        EGRESS: _egress,
        APISERVER: _apiserver_behind_proxy if EGRESS in names else _apiserver,
        CONTROLLER_MANAGER: _controller_manager,
        SCHEDULER: _scheduler,
    }
    return {name: makers[name](layout) for name in ORDER if name in names}


def _etcd(layout: Layout) -> Component:
    client = f"https://{LOOPBACK}:{layout.ports.etcd}"
    peer = f"https://{LOOPBACK}:{layout.ports.etcd_peer}"
    pki = layout.pki
    tls = {
        "cert-file": pki.path("etcd.crt"),
        "key-file": pki.path("etcd.key"),
        "trusted-ca-file": pki.path("etcd-ca.crt"),
        "client-cert-auth": "true",
    }
    flags = {
        "name": "lab",
        "data-dir": str(layout.folder / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"lab={peer}",
        "logger": "zap",
        "log-level": "warn",
        **tls,
        **{f"peer-{name}": value for name, value in tls.items()},
    }
    identity = (Path(pki.path("apiserver-etcd.crt")), Path(pki.path("apiserver-etcd.key")))
    return _component(
        layout,
        ETCD,
        [str(layout.binaries.etcd), *_flags(flags)],
        lambda: https_ok(
            layout.ports.etcd, "/health", authority_pem=pki.etcd.pem, identity=identity
        ),
    )


def _egress(layout: Layout) -> Component:
    program = [sys.executable, "-P", "-m", "schedcp_lab.egress_proxy"]
    argv = [*program, "--socket", EGRESS_SOCKET, "--routes", str(layout.routes)]
    return _component(layout, EGRESS, argv, (layout.folder / EGRESS_SOCKET).exists)


def _apiserver_flags(layout: Layout) -> dict[str, str]:
    pki = layout.pki
    return {
        "bind-address": LOOPBACK,
        "secure-port": str(layout.ports.apiserver),
        "advertise-address": API_HOST,
        "etcd-servers": f"https://{LOOPBACK}:{layout.ports.etcd}",
        "etcd-cafile": pki.path("etcd-ca.crt"),
        "etcd-certfile": pki.path("apiserver-etcd.crt"),
        "etcd-keyfile": pki.path("apiserver-etcd.key"),
        "tls-cert-file": pki.path("apiserver.crt"),
        "tls-private-key-file": pki.path("apiserver.key"),
        "client-ca-file": pki.path("cluster-ca.crt"),
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki.path("service-account.pub"),
        "service-account-signing-key-file": pki.path("service-account.key"),
        "service-cluster-ip-range": SERVICE_RANGE,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "kubelet-certificate-authority": pki.path("cluster-ca.crt"),
        "kubelet-client-certificate": pki.path("apiserver-kubelet.crt"),
        "kubelet-client-key": pki.path("apiserver-kubelet.key"),
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": "false",
    }


def _apiserver(layout: Layout, extra: Mapping[str, str] | None = None) -> Component:
    flags = _apiserver_flags(layout) | dict(extra or {})
    return _component(
        layout,
        APISERVER,
        [str(layout.binaries.apiserver), *_flags(flags)],
        lambda: https_ok(layout.ports.apiserver, "/readyz", authority_pem=layout.pki.cluster.pem),
    )


def _apiserver_behind_proxy(layout: Layout) -> Component:
    path = layout.folder / "egress.json"
    path.write_text(json.dumps(_egress_configuration()))
    return _apiserver(layout, {"egress-selector-config-file": str(path)})


def _controller_manager(layout: Layout) -> Component:
    pki = layout.pki
    flags = _client_flags(layout, CONTROLLER_MANAGER, layout.ports.controller_manager) | {
        "service-account-private-key-file": pki.path("service-account.key"),
        "root-ca-file": pki.path("cluster-ca.crt"),
        "use-service-account-credentials": "true",
    }
    return _component(
        layout,
        CONTROLLER_MANAGER,
        [str(layout.binaries.controller_manager), *_flags(flags)],
        lambda: _healthy(layout, layout.ports.controller_manager),
    )


def _scheduler(layout: Layout) -> Component:
    flags = _client_flags(layout, SCHEDULER, layout.ports.scheduler)
    return _component(
        layout,
        SCHEDULER,
        [str(layout.binaries.scheduler), *_flags(flags)],
        lambda: _healthy(layout, layout.ports.scheduler),
    )


def _client_flags(layout: Layout, name: str, port: int) -> dict[str, str]:
    """Return the flags that the API server's own two clients share."""
    config = layout.pki.client_kubeconfig(f"system:{name}", port=layout.ports.apiserver)
    return {
        "kubeconfig": str(config),
        "authentication-kubeconfig": str(config),
        "authorization-kubeconfig": str(config),
        "bind-address": LOOPBACK,
        "secure-port": str(port),
        "tls-cert-file": layout.pki.path("local.crt"),
        "tls-private-key-file": layout.pki.path("local.key"),
        "leader-elect": "false",
        "profiling": "false",
    }


def _component(
    layout: Layout, name: str, argv: Sequence[str], ready: Callable[[], bool]
) -> Component:
    log = layout.folder / f"{name}.log"
    return Component(ProcessSpec(name, tuple(argv), log, cwd=layout.folder), ready)


def _healthy(layout: Layout, port: int) -> bool:
    return https_ok(port, "/healthz", authority_pem=layout.pki.cluster.pem)


def _flags(values: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _egress_configuration() -> dict[str, object]:
    connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": EGRESS_SOCKET}}}
    return {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    }
