"""Whose neighbour is whose, and the accounts."""

from pathlib import Path

from schedcp_agent.cgroups import PodCgroup, Usage
from schedcp_agent.probes.port import FIRST_TARGET, NOBODY, OTHER_PODS, SIDES
from schedcp_agent.sides import (
    Ledger,
    Role,
    SideUsage,
    account,
    allot,
    sides_of_cgroups,
    sides_of_pods,
)
from schedcp_api.nodestates import TrackedPod, TrackedWorkload
from support.agent import OTHER_UID, POD_UID

AGENT_UID = "99999999-9999-9999-9999-999999999999"


def workload(policy: str, *uids: str) -> TrackedWorkload:
    pods = tuple(TrackedPod(namespace="shop", name=f"pod-{i}", uid=u) for i, u in enumerate(uids))
    return TrackedWorkload(policy=policy, workload="Deployment/shop/x", pods=pods)


def pods(*uids: str) -> list[PodCgroup]:
    return [PodCgroup(uid, Path("/") / uid, (10 * i, 10 * i + 1)) for i, uid in enumerate(uids)]


def test_a_policy_keeps_its_side() -> None:
    first = allot(Ledger(), [workload("a"), workload("b")])
    assert first == {"a": FIRST_TARGET, "b": FIRST_TARGET + 1}
    assert allot(Ledger(sides=first), [workload("b"), workload("c")]) == {
        "b": FIRST_TARGET + 1,
        "c": FIRST_TARGET,
    }


def test_more_policies_than_sides() -> None:
    sides = allot(Ledger(), [workload(f"p{i}") for i in range(SIDES)])
    assert len(sides) == SIDES - FIRST_TARGET
    assert len(set(sides.values())) == len(sides)


def test_targets_neighbours_and_the_agent_itself() -> None:
    workloads = [workload("a", POD_UID), workload("b", POD_UID)]
    found = sides_of_pods(
        pods(POD_UID, OTHER_UID, AGENT_UID), workloads, {"a": 2, "b": 3}, own_pod=AGENT_UID
    )
    assert found == {POD_UID: 2, OTHER_UID: OTHER_PODS, AGENT_UID: NOBODY}


def test_the_agents_cgroups_are_not_tracked() -> None:
    found = sides_of_cgroups(pods(POD_UID, AGENT_UID), {POD_UID: 2, AGENT_UID: NOBODY})
    assert found == {0: 2, 1: 2}


def test_accounts_grow_by_what_was_used_since() -> None:
    sides, pod_sides = {"a": 2}, {POD_UID: 2, OTHER_UID: OTHER_PODS}
    first = {POD_UID: Usage(1000), OTHER_UID: Usage(50)}
    ledger = account(Ledger(), sides, pod_sides, first, elapsed_usec=1000)
    assert ledger.accounts["a", Role.TARGET] == SideUsage(pods=1)
    later = {POD_UID: Usage(1300, 20, 10, 5), OTHER_UID: Usage(90, 1970, 500, 900)}
    ledger = account(ledger, sides, pod_sides, later, elapsed_usec=2000)
    assert ledger.accounts["a", Role.TARGET] == SideUsage(300, 20, 5, 10, 5, 1)
    assert ledger.accounts["a", Role.NEIGHBOUR] == SideUsage(40, 1970, 900, 985, 250, 1)
    gone = account(ledger, sides, {POD_UID: 2}, {POD_UID: Usage(1300, 20, 10)}, elapsed_usec=1000)
    assert gone.accounts["a", Role.NEIGHBOUR] == SideUsage(40, 1970)


def test_without_targets_every_pod_but_the_agents_is_a_neighbour() -> None:
    workloads = [workload("a"), workload("b", POD_UID)]
    sides = allot(Ledger(), workloads)
    here = pods(POD_UID, OTHER_UID, AGENT_UID)
    pod_sides = sides_of_pods(here, workloads, sides, own_pod=AGENT_UID)
    usages = {pod.uid: Usage(some_permille=700) for pod in here}
    accounts = account(Ledger(), sides, pod_sides, usages, elapsed_usec=1000).accounts
    assert accounts["a", Role.TARGET] == SideUsage()
    assert accounts["a", Role.NEIGHBOUR] == SideUsage(average_some_permille=700, pods=2)


def test_pressure_comes_at_once_and_stays_in_its_bounds() -> None:
    sides, pod_sides = {"a": 2}, {OTHER_UID: OTHER_PODS}
    ledger = account(Ledger(), sides, pod_sides, {OTHER_UID: Usage()}, elapsed_usec=0)
    waited = {OTHER_UID: Usage(0, 1_200_000, 1_100_000)}
    ledger = account(ledger, sides, pod_sides, waited, elapsed_usec=1_000_000)
    usage = ledger.accounts["a", Role.NEIGHBOUR]
    assert (usage.some_permille, usage.full_permille) == (1000, 1000)
