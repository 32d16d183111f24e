"""Every key of one lab: made once when it starts, gone when its state directory goes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from schedcp_lab.certificates import (
    Authority,
    Credential,
    key_pair,
    kubeconfig,
    write_private,
)
from schedcp_lab.node_config import API_HOST, API_SERVICE_ADDRESS, NodeCredentials

__all__ = ["ADMIN_USER", "Pki"]

LOOPBACK = "127.0.0.1"
ADMIN_USER = "lab-admin"
APISERVER_NAMES = (
    LOOPBACK,
    API_HOST,
    API_SERVICE_ADDRESS,
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Pki:
    """The authorities of a lab, and the directory where its servers find their files."""

    folder: Path
    now: datetime.datetime
    cluster: Authority
    etcd: Authority
    product: Authority
    service_account_key: str = field(repr=False)

    @classmethod
    def create(cls, folder: Path, *, now: datetime.datetime) -> Self:
        """Make all authorities and write what etcd and the control plane read."""
        folder.mkdir(parents=True, mode=0o700)
        private, public = key_pair()
        pki = cls(
            folder=folder,
            now=now,
            cluster=Authority.create("schedcp-lab-cluster", now=now),
            etcd=Authority.create("schedcp-lab-etcd", now=now),
            product=Authority.create("schedcp-lab-product", now=now),
            service_account_key=private,
        )
        write_private(folder / "service-account.key", private)
        (folder / "service-account.pub").write_text(public)
        for name, authority in (("cluster", pki.cluster), ("etcd", pki.etcd)):
            (folder / f"{name}-ca.crt").write_text(authority.pem)
        (folder / "product-ca.crt").write_text(pki.product.pem)
        pki._write_servers()
        return pki

    def _write_servers(self) -> None:
        local = (LOOPBACK, "localhost")
        apiserver = self.cluster.issue_server("kube-apiserver", APISERVER_NAMES, now=self.now)
        for credential, name in (
            (self.etcd.issue_server("etcd", local, now=self.now), "etcd"),
            (self.etcd.issue_client("kube-apiserver", now=self.now), "apiserver-etcd"),
            (apiserver, "apiserver"),
            (self._client("kube-apiserver-kubelet-client", "system:masters"), "apiserver-kubelet"),
            (self.cluster.issue_server("control-plane", local, now=self.now), "local"),
        ):
            credential.write(self.folder, name)

    def path(self, name: str) -> str:
        """Return the path of one of the files, as a program's flag takes it."""
        return str(self.folder / name)

    def client_kubeconfig(self, user: str, *groups: str, port: int) -> Path:
        """Write a kubeconfig for a client on the host; return its path."""
        text = kubeconfig(
            f"https://{LOOPBACK}:{port}",
            authority_pem=self.cluster.pem,
            user=user,
            credential=self._client(user, *groups),
        )
        return write_private(self.folder / f"{user.replace(':', '-')}.kubeconfig", text)

    def node_kubeconfig(self, name: str, *, port: int) -> str:
        """Return the kubeconfig of a node, which reaches the API server from inside its guest."""
        user = f"system:node:{name}"
        return kubeconfig(
            f"https://{API_HOST}:{port}",
            authority_pem=self.cluster.pem,
            user=user,
            credential=self._client(user, "system:nodes"),
        )

    def node_credentials(self, name: str, address: str, *, port: int) -> NodeCredentials:
        """Return everything secret that a node is given at its start."""
        user = f"system:node:{name}"
        serving = self.cluster.issue_server(user, (name, address), now=self.now)
        return NodeCredentials(
            kubeconfig=self.node_kubeconfig(name, port=port),
            client_ca=self.cluster.pem,
            serving_certificate=serving.certificate,
            serving_key=serving.key,
        )

    def product_server(self, common_name: str, *names: str) -> Credential:
        """Issue a certificate of the product's authority: operator HTTPS, agent metrics."""
        return self.product.issue_server(common_name, names or (common_name,), now=self.now)

    def product_client(self, common_name: str) -> Credential:
        """Issue a client certificate of the product's authority."""
        return self.product.issue_client(common_name, now=self.now)

    def _client(self, user: str, *groups: str) -> Credential:
        return self.cluster.issue_client(user, organizations=groups, now=self.now)
