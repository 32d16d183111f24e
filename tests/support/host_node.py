"""This machine as a node of a cluster: containerd and a kubelet, for as long as a block lasts.

Works only under `apart.sh`, whose namespaces hold what these programs do to a machine, and end
their containers and mounts. It is fast where a node in an emulated guest is not: a pod here can run
guests of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_lab.certificates import write_private
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.images import PAUSE_IMAGE
from schedcp_lab.node_config import KUBELET_PORT, NodeSettings, kubelet_configuration
from schedcp_lab.pki import LOOPBACK
from schedcp_lab.processes import ProcessSpec, Supervisor, run, wait_until

__all__ = ["host_node", "require_apart"]

MARK = Path("/run/schedcp-apart")
GROUP = "/schedcp-node"
CNI = Path("/run/cni")
CONTAINERD = f"""
version = 2
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # A profile stays in the kernel when its containers are gone.
  disable_apparmor = true
  # Root may lack CAP_SYS_RESOURCE: then no process is spared by the OOM killer more than this one.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{CNI}"
"""
READY_SECONDS = 120.0
IMPORT_SECONDS = 600.0
COMMAND_SECONDS = 30.0


def require_apart() -> None:
    """Fail the test unless what a node does to its machine stays in namespaces of this run."""
    if not MARK.exists():
        pytest.fail("this would make your machine a node; run `make test-verifier-job` instead")


@contextmanager
def host_node(
    plane: ControlPlane, folder: Path, *, name: str, images: Sequence[Path]
) -> Iterator[None]:
    """A node that is Ready and has `images`, docker archives; no pod of it reaches another."""
    settings = NodeSettings(name, 1, api_port=plane.ports.apiserver)
    folder.mkdir(mode=0o700)
    with Supervisor() as supervisor:
        _start_containerd(supervisor, folder, settings)
        for image in images:
            _ctr("images", "import", str(image), timeout_seconds=IMPORT_SECONDS)
        _start_kubelet(supervisor, plane, folder, settings)
        wait_until(
            lambda: _is_ready(plane, name),
            what=f"node {name} is Ready",
            timeout_seconds=READY_SECONDS,
            interval_seconds=0.5,
            hint=lambda: f"logs of containerd and the kubelet: {folder}",
        )
        yield


def _start_containerd(supervisor: Supervisor, folder: Path, settings: NodeSettings) -> None:
    CNI.mkdir()
    ipam = {"type": "host-local", "ranges": [[{"subnet": settings.pod_cidr}]]}
    network = {
        "cniVersion": "1.0.0",
        "name": "node",
        "plugins": [{"type": "ptp", "ipam": {**ipam, "dataDir": "/run/cni-addresses"}}],
    }
    (CNI / "10-node.conflist").write_text(json.dumps(network))
    configuration = folder / "containerd.toml"
    configuration.write_text(CONTAINERD)
    argv = ("containerd", "--config", str(configuration))
    process = supervisor.start(ProcessSpec("containerd", argv, folder / "containerd.log"))
    process.wait_ready(_containerd_answers, timeout_seconds=READY_SECONDS)


def _containerd_answers() -> bool:
    return run(["ctr", "version"], timeout_seconds=COMMAND_SECONDS, check=False).returncode == 0


def _ctr(*arguments: str, timeout_seconds: float = COMMAND_SECONDS) -> None:
    run(["ctr", "--namespace", "k8s.io", *arguments], timeout_seconds=timeout_seconds)


def _start_kubelet(
    supervisor: Supervisor, plane: ControlPlane, folder: Path, settings: NodeSettings
) -> None:
    address = settings.address
    run(["ip", "address", "add", f"{address}/32", "dev", "lo"], timeout_seconds=COMMAND_SECONDS)
    plane.add_route(address, LOOPBACK, KUBELET_PORT)
    credentials = plane.node_credentials(settings.name, address)
    (folder / "client-ca.crt").write_text(credentials.client_ca)
    (folder / "kubelet.crt").write_text(credentials.serving_certificate)
    write_private(folder / "kubelet.key", credentials.serving_key)
    kubeconfig = plane.pki.client_kubeconfig(
        f"system:node:{settings.name}", "system:nodes", port=plane.ports.apiserver
    )
    configuration = {
        **kubelet_configuration(settings, folder=str(folder)),
        "cgroupRoot": GROUP,
        "failCgroupV1": False,
        "makeIPTablesUtilChains": False,
        "volumePluginDir": "/run/kubelet-plugins",
    }
    (folder / "kubelet.json").write_text(json.dumps(configuration, indent=1))
    argv = (
        *(str(plane.layout.binaries.kubelet), f"--config={folder / 'kubelet.json'}"),
        *(f"--kubeconfig={kubeconfig}", f"--hostname-override={settings.name}"),
        *(f"--node-ip={address}", "--v=1"),
    )
    supervisor.start(ProcessSpec("kubelet", argv, folder / "kubelet.log"))


def _is_ready(plane: ControlPlane, name: str) -> bool:
    condition = '{.status.conditions[?(@.type=="Ready")].status}'
    asked = plane.kubectl("get", "node", "--ignore-not-found", name, "-o", f"jsonpath={condition}")
    return asked.stdout == "True"
