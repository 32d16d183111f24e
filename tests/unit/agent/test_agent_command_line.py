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
from support.certificates import issue

ENABLED = SchedExt(supported=True, state="enabled", ops="schedcp_x", enable_seq=3)


class Clock:
    """A clock on which nothing but a sleep takes time: always one tick, whatever was asked for."""

    tick = 1.0

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _seconds: float) -> None:
        self.now += self.tick


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
        ("restore", "--cluster", "--agents", "no-slash"),
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


@pytest.mark.parametrize("command", [("run",), ("status",), ("restore",), ("probe-kernel",)])
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SCHEDCP_AGENT_HEARTBEAT_SECONDS", "5s")
    assert exit_code(monkeypatch, *command) == 1
    said = capsys.readouterr().err
    assert "error: SCHEDCP_AGENT_HEARTBEAT_SECONDS is '5s': Input should be a valid number" in said
    assert "agent.settings" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("files", "why"),
    [((), "No such file or directory: '{}/tls.crt'"), (("tls.crt", "tls.key"), "[SSL]")],
)
def test_certificate_files_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    files: tuple[str, ...],
    why: str,
) -> None:
    for name in files:
        (tmp_path / name).write_text("rubbish")
    monkeypatch.setenv("SCHEDCP_AGENT_NODE_NAME", "node-1")
    monkeypatch.setenv("SCHEDCP_AGENT_METRICS_CERTIFICATE_FILE", str(tmp_path / "tls.crt"))
    monkeypatch.setenv("SCHEDCP_AGENT_METRICS_KEY_FILE", str(tmp_path / "tls.key"))
    assert exit_code(monkeypatch, "run") == 1
    said = capsys.readouterr().err
    start = f"error: cannot serve with the certificate {tmp_path}/tls.crt and the key {tmp_path}/"
    assert start in said
    assert why.format(tmp_path) in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    issue(tmp_path, "schedcp-agent")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCHEDCP_AGENT_NODE_NAME", "node-1")
    monkeypatch.setenv("SCHEDCP_AGENT_METRICS_CERTIFICATE_FILE", str(tmp_path / "tls.crt"))
    monkeypatch.setenv("SCHEDCP_AGENT_METRICS_KEY_FILE", str(tmp_path / "tls.key"))
    monkeypatch.setenv("SCHEDCP_AGENT_STATE_DIR", str(tmp_path / "file" / "state"))
    assert exit_code(monkeypatch, "run") == 1
    assert f"error: cannot write to {tmp_path}/file/state" in capsys.readouterr().err


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

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> restore.Place:
        """A node whose processes are folders, all of which are to be seen."""
        namespace = tmp_path / "self" / "ns"
        namespace.mkdir(parents=True)
        (namespace / "pid").touch()
        inode = (namespace / "pid").stat().st_ino
        monkeypatch.setattr(restore, "_INITIAL_PID_NAMESPACE", inode)
        return restore.Place(tmp_path, tmp_path, tmp_path / "bpf")

    def process(self, place: restore.Place, pid: int, *, comm: str, command: bytes = b"") -> None:
        (place.proc_root / str(pid)).mkdir()
        (place.proc_root / str(pid) / "comm").write_text(f"{comm}\n")
        (place.proc_root / str(pid) / "cmdline").write_bytes(command)

    def attempt(
        self, place: restore.Place, *states: SchedExt, quiet: float = 0.0, seconds: float = 5.0
    ) -> int:
        """Restore; return how often the kernel was looked at. The last state stays."""
        looks = 0

        def read() -> SchedExt:
            nonlocal looks
            looks += 1
            return states[min(looks, len(states)) - 1]

        restore.restore_node(read, place=place, timeout_seconds=seconds, quiet_seconds=quiet)
        return looks

    def test_the_running_agent_is_asked(
        self, place: restore.Place, signals: list[tuple[int, int]]
    ) -> None:
        self.process(place, 42, comm="python3", command=b"/x/schedcp-agent\0run\0")
        (place.state_dir / "agent.pid").write_text("42")
        assert self.attempt(place, ENABLED, ENABLED, IDLE) == 3
        assert signals == [(42, signal.SIGUSR1)]

    @pytest.mark.parametrize("pid_file", ["", "41", "rubbish"])
    def test_an_agent_is_found_without_its_pid_file(
        self, place: restore.Place, signals: list[tuple[int, int]], pid_file: str
    ) -> None:
        self.process(place, 41, comm="python3", command=b"schedcp-agent\0restore\0")
        self.process(place, 42, comm="python3", command=b"/x/schedcp-agent\0run\0")
        if pid_file:
            (place.state_dir / "agent.pid").write_text(pid_file)
        self.attempt(place, IDLE)
        assert signals == [(42, signal.SIGUSR1)]

    def test_without_an_agent_the_loader_is_ended(
        self, place: restore.Place, signals: list[tuple[int, int]]
    ) -> None:
        self.process(place, 42, comm="python3", command=b"something else")
        self.process(place, 43, comm="schedcp-loader")
        with pytest.raises(NotRestored, match="a loader runs: process 43"):
            self.attempt(place, IDLE, seconds=0)
        assert signals == [(43, signal.SIGTERM)]

    def test_one_quiet_look_while_a_loader_starts_proves_nothing(
        self,
        place: restore.Place,
        signals: list[tuple[int, int]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(restore, "time", clock := Clock())
        assert self.attempt(place, IDLE, ENABLED, IDLE, quiet=5 * Clock.tick, seconds=60) == 8
        assert clock.now == 7 * Clock.tick
        assert signals == []

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            (ENABLED, r"still enabled \(schedcp_x\)"),
            (SchedExt(problem="no descriptors left"), "nobody knows what runs here"),
        ],
    )
    def test_what_stays_is_said(self, place: restore.Place, state: SchedExt, said: str) -> None:
        with pytest.raises(NotRestored, match=said):
            self.attempt(place, state, seconds=0)

    def test_a_pin_of_ours_is_not_restored(self, place: restore.Place) -> None:
        (place.bpf_root / "somebody").mkdir(parents=True)
        (place.bpf_root / "somebody" / "else").touch()
        self.attempt(place, IDLE)
        (place.bpf_root / "somebody" / "schedcp_link").touch()
        with pytest.raises(NotRestored, match=r"a pin is left, remove it: .*schedcp_link"):
            self.attempt(place, IDLE, seconds=0)

    def test_where_not_all_processes_are_seen_it_cannot_tell(
        self, place: restore.Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(restore, "_INITIAL_PID_NAMESPACE", -1)
        with pytest.raises(NotRestored, match="cannot be told"):
            self.attempt(place, IDLE)
