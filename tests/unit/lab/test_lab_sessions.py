"""One lab in a checkout's run folder: who has it, and where it is found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schedcp_lab.errors import LabError
from schedcp_lab.session import occupied, read_session, session_file


def write_session(folder: Path, pid: int) -> None:
    """A session file of a process."""
    session = {"pid": pid, "kubeconfig": "k", "prometheus": "p", "folder": "f"}
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
        with pytest.raises(LabError, match="running already"), occupied(tmp_path):
            pass
        other.communicate(b"\n", timeout=30)
    with occupied(tmp_path):
        pass


def test_a_session_of_a_living_process_is_found(tmp_path: Path) -> None:
    write_session(tmp_path, os.getpid())
    assert read_session(tmp_path).kubeconfig == "k"


def test_a_session_of_a_dead_process_is_cleared_away(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(30)
    write_session(tmp_path, ended.pid)
    with pytest.raises(LabError, match="no lab is up"):
        read_session(tmp_path)
    assert not session_file(tmp_path).exists()
