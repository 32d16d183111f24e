"""What a scheduler is told of its policy's pods."""

import logging
from pathlib import Path

import pytest

from schedcp_agent.cgroups import PodCgroup
from schedcp_agent.inputs import ENTRIES_MAX, InputFiles, Inputs, inputs_of
from schedcp_agent.load_requests import LoadRequest, ObjectFile, load_options
from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument
from schedcp_api.nodestates import SchedulerNodeStateSpec, TrackedPod, TrackedWorkload
from support.agent import OBJECT, OTHER_UID, POD_UID, assignment, wish
from support.agent_bench import AgentBench

ABSENT_UID = "99999999-9999-9999-9999-999999999999"
PODS = (
    PodCgroup(POD_UID, Path("/a"), (30, 32, 31)),
    PodCgroup(OTHER_UID, Path("/b"), (20, 21)),
)
TOLD = Inputs((20, 30, 21), ((30, 60_000_000_000),))


def tracked(uid: str, seconds: int | None = None) -> TrackedPod:
    return TrackedPod(namespace="shop", name="job", uid=uid, expected_runtime_seconds=seconds)


def workload(policy: str, *pods: TrackedPod) -> TrackedWorkload:
    return TrackedWorkload(policy=policy, workload="Deployment/shop/x", pods=pods)


@pytest.mark.parametrize(
    ("workloads", "expected"),
    [
        ((), Inputs()),
        ((workload("other", tracked(POD_UID, 60)),), Inputs()),
        ((workload("checkout", tracked(ABSENT_UID, 60)),), Inputs()),
        ((workload("checkout", tracked(POD_UID)),), Inputs((30, 31, 32))),
        (
            (
                workload("other", tracked(POD_UID, 7)),
                workload("checkout", tracked(POD_UID, 60), tracked(OTHER_UID)),
            ),
            Inputs(
                (20, 30, 21, 31, 32),
                ((30, 60_000_000_000), (31, 60_000_000_000), (32, 60_000_000_000)),
            ),
        ),
        (
            (workload("checkout", tracked(OTHER_UID, 2_000_000), tracked(OTHER_UID)),),
            Inputs((20, 20, 21, 21), ((20, 2 * 10**15), (21, 2 * 10**15))),
        ),
    ],
)
def test_what_a_policys_scheduler_is_told(
    workloads: tuple[TrackedWorkload, ...], expected: Inputs
) -> None:
    assert inputs_of("checkout", workloads, PODS) == expected


def test_what_exceeds_the_maps_is_what_lies_below() -> None:
    crowded = (
        PodCgroup(POD_UID, Path("/a"), (50_000, *range(1, ENTRIES_MAX + 1))),
        PodCgroup(OTHER_UID, Path("/b"), (60_000,)),
    )
    told = inputs_of("p", [workload("p", tracked(POD_UID, 1), tracked(OTHER_UID, 1))], crowded)
    assert len(told.target_cgroups) == len(told.expected_runtime_ns) == ENTRIES_MAX
    assert told.target_cgroups[:3] == (50_000, 60_000, 1)


class TestFiles:
    """The files that the loader reads."""

    def test_their_content(self, tmp_path: Path) -> None:
        files = InputFiles(tmp_path)
        files.write(TOLD)
        assert files.target_cgroups.read_text() == "20\n30\n21\n"
        assert files.expected_runtime.read_text() == "30 60000000000\n"
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o7777 == 0o600, path
        assert len(list(tmp_path.iterdir())) == 2

    def test_only_a_change_is_to_be_read_again(self, tmp_path: Path) -> None:
        files = InputFiles(tmp_path)
        files.write(TOLD)
        before = files.target_cgroups.stat().st_ino
        assert not files.changed(TOLD)
        assert files.target_cgroups.stat().st_ino == before
        assert files.changed(Inputs())
        assert (files.target_cgroups.read_text(), files.expected_runtime.read_text()) == ("", "")
        assert not files.changed(Inputs())

    def test_what_a_former_agent_left_is_replaced(self, tmp_path: Path) -> None:
        left = InputFiles(tmp_path)
        left.write(TOLD)
        (tmp_path / "target-cgroups.new").write_text("half")
        InputFiles(tmp_path).write(Inputs((5,)))
        assert left.target_cgroups.read_text() == "5\n"
        assert left.expected_runtime.read_text() == ""

    def test_what_cannot_be_written_is_said_once_and_tried_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        files = InputFiles(tmp_path / "gone")
        with pytest.raises(FileNotFoundError):
            files.write(TOLD)
        with caplog.at_level(logging.WARNING):
            assert not files.changed(TOLD)
            assert not files.changed(TOLD)
        assert len(caplog.records) == 1
        (tmp_path / "gone").mkdir()
        assert files.changed(TOLD)


def test_the_loader_is_given_both_files() -> None:
    payload = ObjectFile(Path("/o"), (Argument(name="slice_us", value="3000"),))
    request = LoadRequest(payload, "sha256:00", "run-1", "ops", 10_000)
    assert load_options(request, InputFiles(Path("/run/schedcp"))) == [
        "--object=/o",
        "--digest=sha256:00",
        "--timeout-ms=10000",
        "--target-cgroups-file=/run/schedcp/target-cgroups",
        "--expected-file=/run/schedcp/expected-runtime",
        "--knob=slice_us=3000",
    ]


def job(seconds: int | None) -> SchedulerNodeStateSpec:
    return wish(assignment(), workloads=(workload("checkout", tracked(POD_UID, seconds)),))


def test_a_running_scheduler_is_told_of_every_change_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    pod = tmp_path / f"kubepods/pod{POD_UID}"
    pod.mkdir(parents=True)
    bench = AgentBench(tmp_path)
    bench.see(job(None))
    bench.tick(5)
    cgroup = pod.stat().st_ino
    assert [request.object_digest for request in bench.loader.starts] == [digest_of(OBJECT)]
    assert bench.loader.told == [Inputs((cgroup,))]
    (pod / "container").mkdir()
    below = (pod / "container").stat().st_ino
    bench.tick(5)
    assert bench.loader.told[1:] == [Inputs((cgroup, below))]
    bench.see(job(60), generation=2)
    bench.tick(5)
    known = ((cgroup, 60_000_000_000), (below, 60_000_000_000))
    assert bench.loader.told[2:] == [Inputs((cgroup, below), known)]
    assert len(bench.loader.starts) == 1
