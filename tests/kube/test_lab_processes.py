import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from schedcp_lab.errors import CommandFailed, NotReady, ProcessLost
from schedcp_lab.processes import ProcessSpec, Supervisor, environment, run, run_as_root, wait_until

DEADLINE_SECONDS = 30.0


def spec(folder: Path, name: str, *argv: str) -> ProcessSpec:
    return ProcessSpec(name, argv, folder / f"{name}.log")


def exists(pid: int) -> bool:
    """Say whether a process runs; one that waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def is_up(log: Path) -> bool:
    return log.read_text() == "up\n"


def gone(pid: int) -> None:
    wait_until(
        lambda: not exists(pid), what=f"process {pid} is gone", timeout_seconds=DEADLINE_SECONDS
    )


def test_a_failing_command_is_shown_with_what_it_said() -> None:
    with pytest.raises(CommandFailed, match=r"ls '/no such place'\nended with status 2\n.*No such"):
        run(["ls", "/no such place"], timeout_seconds=DEADLINE_SECONDS)


def test_an_absent_program_is_named() -> None:
    with pytest.raises(CommandFailed, match="cannot start no-such-program"):
        run(["no-such-program"], timeout_seconds=DEADLINE_SECONDS)


def test_time_is_bounded() -> None:
    with pytest.raises(CommandFailed, match="ran out of time"):
        run(["sleep", "1000"], timeout_seconds=0.2)


def test_a_child_sees_only_the_environment_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "SECRET_TOKEN")
    monkeypatch.setenv("PIP_INDEX_URL", "mirror")
    seen = run(["env"], timeout_seconds=DEADLINE_SECONDS).stdout
    assert "SECRET_TOKEN" not in seen
    assert "PIP_INDEX_URL=mirror" in seen
    only = run(["/usr/bin/env"], timeout_seconds=DEADLINE_SECONDS, env={"ONE": "1"}).stdout
    assert only == "ONE=1\n"


def test_a_supervisor_stops_the_last_started_first(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = 'trap \'echo "$1" >>"$2"; exit 0\' TERM; echo up; while :; do sleep 0.1; done'
    with Supervisor() as supervisor:
        for name in ("first", "second"):
            process = supervisor.start(
                spec(tmp_path, name, "sh", "-c", script, "sh", name, str(trace))
            )
            process.wait_ready(partial(is_up, process.spec.log), timeout_seconds=DEADLINE_SECONDS)
    assert trace.read_text().split() == ["second", "first"]


def test_a_process_that_stands_back(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        argv = ("sh", "-c", "echo up; sleep 1000")
        process = supervisor.start(
            ProcessSpec("nice", argv, tmp_path / "nice.log", niceness=5),
        )
        process.wait_ready(partial(is_up, process.spec.log), timeout_seconds=DEADLINE_SECONDS)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(own + 5, 19)
        session = Path(f"/proc/{process.pid}/autogroup")
        if session.exists():
            assert session.read_text().endswith("nice 5\n")


def test_the_whole_group_goes(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        process = supervisor.start(
            spec(tmp_path, "parent", "sh", "-c", "sleep 1000 & echo $!; wait")
        )
        process.wait_ready(
            lambda: process.spec.log.read_text().strip().isdigit(),
            timeout_seconds=DEADLINE_SECONDS,
        )
        child = int(process.spec.log.read_text())
        process.kill()
        gone(child)
        assert not process.alive


def test_what_ends_before_it_is_ready_fails_at_once_with_its_log(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        process = supervisor.start(spec(tmp_path, "bad", "sh", "-c", "echo the reason; exit 3"))
        with pytest.raises(ProcessLost, match=r"bad ended with status 3(?s:.*)the reason"):
            process.wait_ready(lambda: False, timeout_seconds=DEADLINE_SECONDS)


def test_what_is_never_ready_has_a_deadline(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        process = supervisor.start(spec(tmp_path, "slow", "sleep", "1000"))
        with pytest.raises(NotReady, match="slow is ready: not so after"):
            process.wait_ready(lambda: False, timeout_seconds=0.2)


def test_a_restart_is_a_new_process_of_the_same_specification(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        first = supervisor.start(spec(tmp_path, "one", "sleep", "1000"))
        first.kill()
        second = supervisor.restart(first)
        assert second.alive
        assert second.pid != first.pid
    assert not exists(second.pid)


@pytest.mark.parametrize(("sent", "aborted"), [("ABRT", True), ("KILL", False)])
def test_a_program_that_aborts_is_told_from_one_that_was_killed(
    tmp_path: Path, sent: str, aborted: bool
) -> None:
    with Supervisor() as supervisor:
        process = supervisor.start(spec(tmp_path, "ends", "sh", "-c", f"kill -{sent} $$"))
        wait_until(lambda: not process.alive, what="its end", timeout_seconds=DEADLINE_SECONDS)
        assert process.aborted is aborted
        restarted = supervisor.restart(process)
        assert restarted.pid != process.pid


LAB = """
import sys, time
from pathlib import Path
from schedcp_lab.processes import ProcessSpec, Supervisor
supervisor = Supervisor()
process = supervisor.start(ProcessSpec("one", ("sleep", "1000"), Path(sys.argv[1])))
print(process.pid, flush=True)
time.sleep(1000)
"""


def test_nothing_survives_a_lab_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LAB, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as lab:
        assert lab.stdout is not None
        child = int(lab.stdout.readline())
        assert exists(child)
        os.kill(lab.pid, signal.SIGKILL)
        lab.wait(timeout=DEADLINE_SECONDS)
    gone(child)


def read_pid(path: Path) -> int:
    """Wait until a child has written its number."""
    wait_until(
        lambda: path.exists() and path.read_text().strip().isdigit(),
        what=f"{path} holds a process id",
        timeout_seconds=DEADLINE_SECONDS,
    )
    return int(path.read_text())


def test_what_a_child_started_goes_with_it_when_time_runs_out(tmp_path: Path) -> None:
    script = 'trap "exit 1" TERM; (trap "" TERM; exec sleep 1000) & echo $! >"$1"; wait'
    with pytest.raises(CommandFailed, match="ran out of time"):
        run(["sh", "-c", script, "sh", str(tmp_path / "pid")], timeout_seconds=1.0)
    gone(read_pid(tmp_path / "pid"))


RUNNING = """
import signal, sys
from schedcp_lab.processes import run
# Whoever runs the tests in the background has it ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
run(["sh", "-c", 'echo $$ >"$1"; exec sleep 1000', "sh", sys.argv[1]], timeout_seconds=1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_runs_to_its_end_does_not_outlive_who_waits_for_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", RUNNING, str(tmp_path / "pid")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment()) as waiting:
        try:
            child = read_pid(tmp_path / "pid")
            os.kill(waiting.pid, number)
            waiting.wait(timeout=DEADLINE_SECONDS)
        finally:
            waiting.kill()
    gone(child)


def test_what_needs_root_is_bounded_under_sudo_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -v ] || echo "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = run_as_root(["rm", "-r", "a b"], timeout_seconds=60).stdout
    assert said == "-- timeout --kill-after=15 60 rm -r a b\n"
    sudo.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(CommandFailed, match=r"rm -r 'a b'\nneeds root"):
        run_as_root(["rm", "-r", "a b"], timeout_seconds=60)
