"""One lab in a checkout's run folder: who has it, and where it is found."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schedcp_lab.errors import LabError
from schedcp_lab.session import (
    occupied,
    read_session,
    session_file,
    start_detached,
    start_of,
    stop,
)


def write_session(folder: Path, pid: int, started: str) -> None:
    """A session file of a process."""
    session = {"pid": pid, "started": started, "kubeconfig": "k", "prometheus": "p", "folder": "f"}
    session_file(folder).write_text(json.dumps(session))


def test_a_second_lab_is_refused_and_the_first_keeps_the_folder(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from schedcp_lab.session import occupied\n"
        "with occupied(pathlib.Path(sys.argv[1])): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        session_file(tmp_path).write_text("the first one's")
        with pytest.raises(LabError, match="running already"), occupied(tmp_path):
            pass
        with pytest.raises(LabError, match="running already"):
            start_detached(tmp_path, nodes=1)
        assert session_file(tmp_path).read_text() == "the first one's"
        other.communicate(b"\n", timeout=30)
    with occupied(tmp_path):
        pass


def test_a_session_of_a_living_process_is_found(tmp_path: Path) -> None:
    write_session(tmp_path, os.getpid(), start_of(os.getpid()))
    assert read_session(tmp_path).kubeconfig == "k"


def test_a_session_of_a_dead_process_is_cleared_away(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        started = start_of(ended.pid)
        ended.wait(30)
    write_session(tmp_path, ended.pid, started)
    with pytest.raises(LabError, match="no lab is up"):
        read_session(tmp_path)
    assert not session_file(tmp_path).exists()


def test_another_process_with_the_number_of_a_dead_lab_is_no_lab(tmp_path: Path) -> None:
    write_session(tmp_path, os.getpid(), "1")
    with pytest.raises(LabError, match="no lab is up"):
        read_session(tmp_path)


def test_a_session_of_another_version_says_what_to_do(tmp_path: Path) -> None:
    session_file(tmp_path).write_text('{"pid": 1}')
    with pytest.raises(LabError, match=r"another version of the lab(.*); remove it"):
        read_session(tmp_path)


SLOW_TO_STOP = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
print("stopping", flush=True)
sys.stdin.readline()
"""


def test_down_returns_when_the_process_is_gone_and_not_before(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_TO_STOP]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lab,
        ThreadPoolExecutor(1) as pool,
    ):
        assert lab.stdout is not None
        assert lab.stdin is not None
        assert lab.stdout.readline() == b"up\n"
        write_session(tmp_path, lab.pid, start_of(lab.pid))
        stopping = pool.submit(stop, tmp_path)
        assert lab.stdout.readline() == b"stopping\n"
        session_file(tmp_path).unlink()
        with pytest.raises(TimeoutError):
            stopping.result(timeout=1)
        lab.stdin.write(b"\n")
        lab.stdin.flush()
        stopping.result(timeout=30)
        assert lab.poll() == 0
