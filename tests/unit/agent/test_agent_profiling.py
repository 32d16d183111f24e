"""From probes to a WorkloadProfile, and the answer to a request for one."""

from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest

from schedcp_agent.answering import Answering
from schedcp_agent.errors import ProbesUnavailable, RequestFailed
from schedcp_agent.histograms import Histogram
from schedcp_agent.measuring import Measuring
from schedcp_agent.probes.port import FIRST_TARGET, OTHER_PODS, Probes, SideReading
from schedcp_agent.profiler import GROUPS_MAX, Mark, Subject, build_profile
from schedcp_agent.sides import Role, SideUsage
from schedcp_api.nodestates import ProfilePhase, ProfileRequest, ProfileResult
from schedcp_api.profiles import WorkloadProfile
from support.agent import (
    KERNEL,
    NODE,
    NOW,
    OTHER_UID,
    POD_UID,
    FakeProbes,
    ImmediateExecutor,
    MemoryBlobs,
    group,
    wish,
)

SUBJECT = Subject(NODE, "Deployment/shop/checkout", KERNEL.content_digest(), 2, FIRST_TARGET)
REQUEST = ProfileRequest(id="checkout-1-0", policy="checkout", seconds=10)


def test_sides_and_processes_of_a_profile() -> None:
    early = SideReading(latency=Histogram.of([1_000]))
    late = SideReading(latency=Histogram.of([1_000, 50_000, 60_000]))
    begin = Mark(NOW, 0, sides={FIRST_TARGET: early}, usage={Role.TARGET: SideUsage(100, 10)})
    end = Mark(
        NOW + timedelta(seconds=10),
        10_000_000_000,
        sides={FIRST_TARGET: late, OTHER_PODS: SideReading(burst=Histogram.of([5]))},
        usage={Role.TARGET: SideUsage(5_000_100, 2_500_010, pods=1)},
        lost=3,
    )
    found = build_profile(
        SUBJECT, begin, end, [group(FIRST_TARGET, 7, "checkout"), group(OTHER_PODS, 8, "batch")]
    )
    assert found.duration_ms == 10_000
    assert found.target.cpu_milli == 500
    assert found.target.cpu_pressure_permille == 250
    assert found.target.wakeup_latency.count == 2
    assert found.target.wakeup_latency.max_ns == 50_000
    assert [g.label for g in found.target.thread_groups] == ["checkout"]
    assert [g.label for g in found.neighbours.thread_groups] == ["batch"]
    assert found.neighbours.burst.count == 1
    assert found.lost_samples == 3


def test_the_busiest_processes_are_kept() -> None:
    groups = [group(OTHER_PODS, pid, f"p{pid}", cpu_ns=pid) for pid in range(1, GROUPS_MAX + 11)]
    mark = Mark(NOW, 0)
    found = build_profile(SUBJECT, mark, Mark(NOW, 10**9), groups).neighbours
    assert len(found.thread_groups) == GROUPS_MAX
    assert found.dropped_groups == 10
    assert found.thread_groups[0].label == f"p{GROUPS_MAX + 10}"


class Node:
    """A node with one target pod and one neighbour, and probes that are ready."""

    def __init__(self, root: Path, *, probes: bool = True) -> None:
        (root / "cgroup.controllers").touch()
        for uid in (POD_UID, OTHER_UID):
            (root / "kubepods" / f"pod{uid}").mkdir(parents=True)
        self.probes = FakeProbes(groups=(group(FIRST_TARGET, 7, "checkout"),))
        self.opening: Future[Probes] = Future()
        if probes:
            self.opening.set_result(self.probes)
        self.measuring = Measuring(self.opening, cgroup_root=root, own_pod="", clock_ns=lambda: 0)
        self.blobs = MemoryBlobs()
        self.answering = Answering(
            self.measuring, self.blobs, ImmediateExecutor(), node=NODE, cpus=2
        )
        self.result: ProfileResult | None = None
        self.spec = wish(profile_request=REQUEST)

    def tick(self, seconds: int) -> ProfileResult | None:
        now = NOW + timedelta(seconds=seconds)
        self.measuring.refresh(self.spec.workloads, now=now)
        self.result = self.answering.tick(
            self.result,
            self.spec,
            kernel_digest=KERNEL.content_digest(),
            now=now,
        )
        return self.result

    def phases(self, *seconds: int) -> list[ProfilePhase | None]:
        return [found.phase if (found := self.tick(s)) else None for s in seconds]


RUNNING, DONE, FAILED = ProfilePhase.RUNNING, ProfilePhase.DONE, ProfilePhase.FAILED


def test_a_request_is_answered_once(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.phases(0, 5, 10, 11) == [RUNNING, RUNNING, RUNNING, DONE]
    assert node.result is not None
    assert node.result.digest is not None
    profile = WorkloadProfile.model_validate_json(node.blobs.blobs[node.result.digest])
    assert profile.workload == "Deployment/shop/checkout"
    assert profile.target.pods == 1
    assert profile.neighbours.pods == 1
    assert node.phases(12, 30) == [DONE, DONE]
    assert len(node.blobs.blobs) == 1


@pytest.mark.parametrize("failure", [None, ProbesUnavailable("no headers")])
def test_probes_are_opening_until_they_are_there_or_cannot_be(
    tmp_path: Path, failure: ProbesUnavailable | None
) -> None:
    node = Node(tmp_path, probes=False)
    node.tick(0)
    assert node.measuring.opening
    if failure is None:
        node.opening.set_result(node.probes)
    else:
        node.opening.set_exception(failure)
    assert node.measuring.opening, "nothing was read yet"
    node.tick(1)
    assert not node.measuring.opening
    assert node.measuring.ready == (failure is None)


def test_the_targets_cgroups_are_tracked(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.tick(0)
    inode = (tmp_path / "kubepods" / f"pod{POD_UID}").stat().st_ino
    other = (tmp_path / "kubepods" / f"pod{OTHER_UID}").stat().st_ino
    assert node.probes.tracked.cgroups == {inode: FIRST_TARGET, other: OTHER_PODS}


def test_no_pod_of_the_workload_here(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (tmp_path / "kubepods" / f"pod{POD_UID}").rmdir()
    assert node.phases(0) == [FAILED]
    assert node.result is not None
    assert "no pod of Deployment/shop/checkout runs on this node" in node.result.message


def test_a_policy_that_has_no_pod_here(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (entry,) = node.spec.workloads
    node.spec = node.spec.replace(workloads=(entry.replace(pods=()),))
    assert node.phases(0) == [FAILED]
    assert node.result is not None
    assert "no pod of Deployment/shop/checkout runs on this node" in node.result.message


def test_a_policy_that_is_not_tracked_here(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.spec = wish(workloads=(), profile_request=REQUEST)
    assert node.phases(0) == [FAILED]


def test_probes_that_are_still_being_compiled(tmp_path: Path) -> None:
    node = Node(tmp_path, probes=False)
    assert node.phases(0, 60) == [RUNNING, RUNNING]
    node.opening.set_result(node.probes)
    assert node.phases(61, 71, 72) == [RUNNING, RUNNING, DONE]


def test_probes_that_never_come(tmp_path: Path) -> None:
    node = Node(tmp_path, probes=False)
    node.opening.set_exception(ProbesUnavailable("no headers"))
    assert node.phases(0, 121) == [RUNNING, FAILED]
    assert node.result is not None
    assert "no headers" in node.result.message


def test_an_upload_is_tried_again(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.phases(0) == [RUNNING]
    node.blobs.failures = [RequestFailed("no answer"), RequestFailed("no answer")]
    assert node.phases(10, 11, 12, 13, 14, 15, 16) == [*[RUNNING] * 6, DONE]


def test_an_upload_that_never_succeeds(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.phases(0)
    node.blobs.failures = [RequestFailed("no answer")] * 50
    assert node.phases(*range(10, 100))[-1] is FAILED


@pytest.mark.parametrize("identity", ["checkout-1-1", "checkout-2-0"])
def test_a_new_request_replaces_the_old_one(tmp_path: Path, identity: str) -> None:
    node = Node(tmp_path)
    node.phases(0, 5)
    node.spec = wish(profile_request=REQUEST.replace(id=identity))
    assert node.phases(6, 10, 16, 17) == [RUNNING, RUNNING, RUNNING, DONE]
    assert node.result is not None
    assert node.result.id == identity
