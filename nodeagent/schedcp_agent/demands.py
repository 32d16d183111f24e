"""Which parts of Kubernetes' CPU contract the pods of this node ask for, as their cgroups say.

What the kubelet wrote is what counts: also a limit that was changed while the pod runs is there.
"""

from __future__ import annotations

from pathlib import Path

from schedcp_api.verdicts import ContractLoss

from .cgroups import PodCgroup, folders_below, read_text

__all__ = ["ALWAYS", "demands_of"]

ALWAYS = frozenset({ContractLoss.NICE})
"""A thread sets its own nice value whenever it likes, and no cgroup tells."""
_NO_REQUEST = "1"
"""The weight of a pod or container without a CPU request."""


def demands_of(pods: tuple[PodCgroup, ...]) -> frozenset[ContractLoss]:
    """Return what some pod, or a container of one, asks for; pods that are gone ask nothing."""
    found = set(ALWAYS)
    for pod in pods:
        for folder in folders_below(pod.path):
            found |= _demands_at(folder)
    return frozenset(found)


def _demands_at(folder: Path) -> set[ContractLoss]:
    found = set()
    if read_text(folder / "cpu.max").partition(" ")[0] not in ("", "max"):
        found.add(ContractLoss.CPU_MAX)
    if read_text(folder / "cpuset.cpus").strip():
        found.add(ContractLoss.CPUSET)
    if read_text(folder / "cpu.idle").strip() == "1":
        found.add(ContractLoss.CGROUP_IDLE)
    elif read_text(folder / "cpu.weight").strip() not in ("", _NO_REQUEST):
        found.add(ContractLoss.CPU_WEIGHT)
    return found
