"""What makes one node different from another: its names, addresses, keys and kubelet settings.

Pure: settings in, the content of the node's configuration disk out.
"""

from __future__ import annotations

import io
import ipaddress
import json
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "AGENT_METRICS_PORT",
    "API_HOST",
    "API_SERVICE_ADDRESS",
    "KUBELET_PORT",
    "NodeCredentials",
    "NodeSettings",
    "Taint",
    "config_disk",
    "config_files",
]

API_HOST = "10.0.2.2"
"""The host, as a guest sees it on QEMU's user network."""

API_SERVICE_ADDRESS = "10.96.0.1"
KUBELET_PORT = 10250
AGENT_METRICS_PORT = 9464
CONFIG_FOLDER = "/etc/schedcp-node/config"
NODE_NETWORK = ipaddress.IPv4Network("10.76.0.0/24")
POD_NETWORK = ipaddress.IPv4Network("10.244.0.0/16")
LAST_INDEX = 254


@dataclass(frozen=True)
class Taint:
    """A taint that a node registers with."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class NodeCredentials:
    """PEM texts and the kubeconfig that a node is given."""

    kubeconfig: str = field(repr=False)
    client_ca: str
    serving_certificate: str
    serving_key: str = field(repr=False)


@dataclass(frozen=True)
class NodeSettings:
    """One node of the lab; `index` (1 to 254) gives it its addresses."""

    name: str
    index: int
    api_port: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.index <= LAST_INDEX:
            raise ValueError(f"node {self.name}: index {self.index} is not in 1..{LAST_INDEX}")

    @property
    def address(self) -> str:
        """The node's InternalIP, an address inside the guest."""
        return str(NODE_NETWORK[self.index])

    @property
    def pod_cidr(self) -> str:
        """The node's share of the pod network."""
        return str(list(POD_NETWORK.subnets(new_prefix=24))[self.index])


def config_files(settings: NodeSettings, credentials: NodeCredentials) -> dict[str, str]:
    """The files of a node's configuration disk, by name."""
    variables = {
        "NODE_NAME": settings.name,
        "NODE_IP": settings.address,
        "NODE_LABELS": ",".join(f"{key}={value}" for key, value in sorted(settings.labels.items())),
        "POD_CIDR": settings.pod_cidr,
        "API_SERVICE_IP": API_SERVICE_ADDRESS,
        "API_PORT": str(settings.api_port),
    }
    return {
        "node.env": "".join(f"{key}={shlex.quote(text)}\n" for key, text in variables.items()),
        "kubelet.yaml": json.dumps(kubelet_configuration(settings), indent=1),
        "kubeconfig": credentials.kubeconfig,
        "client-ca.crt": credentials.client_ca,
        "kubelet.crt": credentials.serving_certificate,
        "kubelet.key": credentials.serving_key,
    }


def kubelet_configuration(
    settings: NodeSettings, *, folder: str = CONFIG_FOLDER
) -> dict[str, object]:
    """The kubelet's configuration object (JSON is YAML); its certificates are in `folder`."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "port": KUBELET_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{folder}/client-ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{folder}/kubelet.crt",
        "tlsPrivateKeyFile": f"{folder}/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "resolvConf": "",
        "failSwapOn": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 40,
        "registerWithTaints": [
            {"key": taint.key, "value": taint.value, "effect": taint.effect}
            for taint in settings.taints
        ],
    }


def config_disk(files: Mapping[str, str]) -> bytes:
    """Pack the files as the raw tar that the guest reads; only root may read them there."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o600
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
