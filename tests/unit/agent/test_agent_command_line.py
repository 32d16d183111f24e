"""The command line: exit codes, what can be profiled, and the way back by hand."""

import json
import os
import signal
from pathlib import Path

import pytest

from schedcp_agent import cli, restore
from schedcp_agent.command_profile import find_cgroup, find_pod, find_process, take_profile
from schedcp_agent.errors import NotRestored, TargetNotFound
from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.probes.port import FIRST_TARGET, OTHER_PODS
from support.agent import IDLE, KERNEL, OTHER_UID, POD_UID, FakeProbes, group, wish

ENABLED = SchedExt(supported=True, state="enabled", ops="schedcp_x", enable_seq=3)


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr("sys.argv", ["schedcp-agent", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("profile",),
        ("profile", "--pid", "1", "--pod", "a/b"),
        ("profile", "--pid", "zero"),
        ("profile", "--seconds", "0", "--pid", "1"),
        ("restore", "--cluster", "--operator", "no-slash"),
        ("run",),
    ],
)
def test_wrong_usage_exits_with_64(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("SCHEDCP_AGENT_NODE_NAME", raising=False)
    assert exit_code(monkeypatch, *arguments) == 64


def test_what_is_not_there_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "profile", "--pod", "shop/gone") == 1
    assert "error: no running pod shop/gone" in capsys.readouterr().err


def test_status_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SCHEDCP_AGENT_SYS_ROOT", str(tmp_path))
    assert exit_code(monkeypatch, "status", "--json") == 1
    assert "nobody knows what runs here" in capsys.readouterr().err
    (tmp_path / "kernel").mkdir()
    assert exit_code(monkeypatch, "status", "--json") in (0, None)
    found = json.loads(capsys.readouterr().out)
    assert (found["supported"], found["onDefaultScheduler"]) == (False, True)


class TestTargets:
    """What `profile` can be asked for."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "cgroup"
        for uid in (POD_UID, OTHER_UID):
            folder = root / "kubepods" / f"pod{uid}"
            folder.mkdir(parents=True)
            (folder / "cgroup.procs").touch()
        (root / "cgroup.controllers").touch()
        return root

    def test_a_pod_that_the_operator_tracks(self, root: Path, tmp_path: Path) -> None:
        found = find_pod(
            "shop/checkout-x",
            cgroup_root=root,
            pod_logs_dir=tmp_path / "none",
            workloads=wish().workloads,
        )
        assert found.cgroup == root / "kubepods" / f"pod{POD_UID}"

    def test_a_pod_by_its_log_folder(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "logs" / f"batch_hog_{OTHER_UID}").mkdir(parents=True)
        found = find_pod("batch/hog", cgroup_root=root, pod_logs_dir=tmp_path / "logs")
        assert found.cgroup == root / "kubepods" / f"pod{OTHER_UID}"

    @pytest.mark.parametrize("name", ["hog", "/hog", "batch/", "batch/other"])
    def test_a_pod_that_is_not_here(self, root: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(TargetNotFound):
            find_pod(name, cgroup_root=root, pod_logs_dir=tmp_path)

    def test_a_cgroup(self, root: Path) -> None:
        relative = Path("kubepods") / f"pod{POD_UID}"
        assert find_cgroup(relative, cgroup_root=root).cgroup == root / relative
        assert find_cgroup(root / relative, cgroup_root=root).cgroup == root / relative
        with pytest.raises(TargetNotFound, match="not a cgroup2 directory"):
            find_cgroup(Path("gone"), cgroup_root=root)

    def test_a_process(self, tmp_path: Path) -> None:
        (tmp_path / "7").mkdir()
        assert find_process(7, proc_root=tmp_path).pid == 7
        with pytest.raises(TargetNotFound):
            find_process(8, proc_root=tmp_path)

    def test_the_other_pods_are_neighbours(self, root: Path) -> None:
        probes = FakeProbes(groups=(group(FIRST_TARGET, 7, "checkout"),))
        target = find_cgroup(Path("kubepods") / f"pod{POD_UID}", cgroup_root=root)
        found = take_profile(
            target,
            probes,
            node="n",
            kernel_digest=KERNEL.content_digest(),
            seconds=0.0,
            cgroup_root=root,
        )
        assert set(probes.tracked.cgroups.values()) == {FIRST_TARGET, OTHER_PODS}
        assert (found.target.pods, found.neighbours.pods) == (1, 1)
        assert found.target.thread_groups[0].label == "checkout"
        assert f"Cgroup/kubepods/pod{POD_UID} on n" in cli.render(found)


class TestRestore:
    """Back to the kernel's own scheduler, by hand."""

    @pytest.fixture
    def signals(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """Processes that were sent a signal, instead of sending it."""
        sent: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
        return sent

    def process(self, root: Path, pid: int, *, comm: str, command: bytes = b"") -> None:
        (root / str(pid)).mkdir()
        (root / str(pid) / "comm").write_text(f"{comm}\n")
        (root / str(pid) / "cmdline").write_bytes(command)

    def test_the_running_agent_is_asked(
        self, tmp_path: Path, signals: list[tuple[int, int]]
    ) -> None:
        self.process(tmp_path, 42, comm="python3", command=b"/x/schedcp-agent\0run\0")
        self.process(tmp_path, 43, comm="schedcp-loader")
        (tmp_path / "agent.pid").write_text("42")
        states = iter([ENABLED, ENABLED, IDLE])
        restore.restore_node(
            lambda: next(states), state_dir=tmp_path, timeout_seconds=5, proc_root=tmp_path
        )
        assert signals == [(42, signal.SIGUSR1)]

    def test_without_an_agent_the_loader_is_ended(
        self, tmp_path: Path, signals: list[tuple[int, int]]
    ) -> None:
        self.process(tmp_path, 42, comm="python3", command=b"something else")
        self.process(tmp_path, 43, comm="schedcp-loader")
        (tmp_path / "agent.pid").write_text("42")
        restore.restore_node(
            lambda: IDLE, state_dir=tmp_path, timeout_seconds=5, proc_root=tmp_path
        )
        assert signals == [(43, signal.SIGTERM)]

    def test_what_stays_is_said(self, tmp_path: Path, signals: list[tuple[int, int]]) -> None:
        with pytest.raises(NotRestored, match=r"still enabled \(schedcp_x\)"):
            restore.restore_node(
                lambda: ENABLED, state_dir=tmp_path, timeout_seconds=0, proc_root=tmp_path
            )
