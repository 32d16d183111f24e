"""Who is whose neighbour: pods to sides, and each side's use of the CPU. Pure.

Every policy on the node has a side of its own for its target pods; all other pods share one. A
policy's neighbours are all pods but its own targets. The agent's own pod is on no side.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from schedcp_api.nodestates import TrackedWorkload

from .cgroups import PodCgroup, Usage
from .probes.port import FIRST_TARGET, NOBODY, OTHER_PODS, SIDES


class Role(StrEnum):
    """A pod's part in one policy's measurements; the metrics' label `role`."""

    TARGET = "target"
    NEIGHBOUR = "neighbour"


@dataclass(frozen=True)
class SideUsage:
    """What one policy's targets or neighbours have used and waited, and how hard they wait now."""

    cpu_usec: int = 0
    pressure_usec: int = 0
    """Time in which the pod that waited most had a thread waiting."""
    average_some_permille: int = 0
    """PSI `some` over ten seconds, of the pod that waits most. The next two are since last time."""
    some_permille: int = 0
    full_permille: int = 0
    pods: int = 0


@dataclass(frozen=True)
class Ledger:
    """Sides and their accounts, from one tick to the next."""

    sides: Mapping[str, int] = field(default_factory=dict)
    """Each policy's side; it stays the same while the policy has pods to be measured here."""
    last: Mapping[str, Usage] = field(default_factory=dict)
    accounts: Mapping[tuple[str, Role], SideUsage] = field(default_factory=dict)


def allot(ledger: Ledger, workloads: Iterable[TrackedWorkload]) -> dict[str, int]:
    """Return each policy's side, keeping those that it has; beyond the last there are none."""
    policies = [workload.policy for workload in workloads]
    sides = {policy: side for policy, side in ledger.sides.items() if policy in policies}
    free = iter(side for side in range(FIRST_TARGET, SIDES) if side not in sides.values())
    for policy in policies:
        if policy not in sides:
            side = next(free, None)
            if side is not None:
                sides[policy] = side
    return sides


def sides_of_pods(
    pods: Iterable[PodCgroup],
    workloads: Iterable[TrackedWorkload],
    sides: Mapping[str, int],
    *,
    own_pod: str,
) -> dict[str, int]:
    """Return each pod's side by its UID; where two policies want a pod, the first has it."""
    wanted: dict[str, int] = {}
    for workload in workloads:
        for pod in workload.pods:
            wanted.setdefault(pod.uid, sides.get(workload.policy, OTHER_PODS))
    return {
        pod.uid: NOBODY if pod.uid == own_pod else wanted.get(pod.uid, OTHER_PODS) for pod in pods
    }


def sides_of_cgroups(pods: Iterable[PodCgroup], pod_sides: Mapping[str, int]) -> dict[int, int]:
    """Return each cgroup's side by its id, for the probes."""
    return {cgroup: pod_sides[pod.uid] for pod in pods if pod_sides[pod.uid] for cgroup in pod.ids}


def account(
    ledger: Ledger,
    sides: Mapping[str, int],
    pod_sides: Mapping[str, int],
    usages: Mapping[str, Usage],
    *,
    elapsed_usec: int,
) -> Ledger:
    """Return the ledger after one reading, `elapsed_usec` after the one before.

    A pod's use before it was first seen is nobody's.
    """
    accounts: dict[tuple[str, Role], SideUsage] = {}
    for policy, side in sides.items():
        for role in Role:
            members = [
                uid
                for uid, pod_side in pod_sides.items()
                if pod_side and (pod_side == side) == (role is Role.TARGET)
            ]
            before = ledger.accounts.get((policy, role), SideUsage())
            pairs = [(ledger.last.get(u, usages[u]), usages[u]) for u in members if u in usages]
            accounts[policy, role] = _charged(before, pairs, elapsed_usec=elapsed_usec)
    return Ledger(sides=sides, last=dict(usages), accounts=accounts)


def _charged(
    before: SideUsage, pairs: Sequence[tuple[Usage, Usage]], *, elapsed_usec: int
) -> SideUsage:
    used = sum(max(0, now.cpu_usec - then.cpu_usec) for then, now in pairs)
    some = max((now.some_usec - then.some_usec for then, now in pairs), default=0)
    full = max((now.full_usec - then.full_usec for then, now in pairs), default=0)
    return SideUsage(
        cpu_usec=before.cpu_usec + used,
        pressure_usec=before.pressure_usec + max(0, some),
        average_some_permille=max((now.some_permille for _, now in pairs), default=0),
        some_permille=_permille(some, elapsed_usec),
        full_permille=_permille(full, elapsed_usec),
        pods=len(pairs),
    )


def _permille(part: int, whole: int) -> int:
    return max(0, min(1000, part * 1000 // whole)) if whole > 0 else 0
