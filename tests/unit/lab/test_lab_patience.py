"""While another apt is at work, the lab waits; for how long, and whom it tells."""

import os
import subprocess
from itertools import count
from pathlib import Path

import pytest

from schedcp_lab.debian import Apt
from schedcp_lab.errors import CommandFailed
from schedcp_lab.patience import Patience

LISTS = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"
FRONT_END = (
    "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), "
    "is another process using it?"
)
NOT_ROOT = (
    "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\n"
    "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?"
)
WAITING = "another apt is running, waiting for up to 600 s"
APT_GET = """\
echo "$*" >>"$0.calls"
if [ "$(wc -l <"$0.calls")" -le {failures} ]; then
	echo "{complaint}" >&2
	exit 100
fi
"""


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH, where nobody sleeps and sudo asks nothing."""
    folder = tmp_path / "programs"
    folder.mkdir()
    program(folder, "sleep", "")
    program(folder, "sudo", '[ "$1" = -v ] || { shift; exec "$@"; }')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def apt_get(path: Path, *, failures: int, complaint: str) -> Path:
    """Put an apt-get on PATH that fails so many times; return the file of how it was called."""
    made = program(path, "apt-get", APT_GET.format(failures=failures, complaint=complaint))
    return made.with_name("apt-get.calls")


def impatient(said: list[str]) -> Patience:
    """Patience on a clock that moves by two minutes with each look."""
    clock = count(0.0, 120.0)
    return Patience(said.append, pause=lambda _: None, clock=lambda: next(clock))


@pytest.mark.parametrize("complaint", [LISTS, FRONT_END])
def test_a_lock_that_is_let_go_is_waited_for_and_told_once(
    tmp_path: Path, path: Path, complaint: str
) -> None:
    calls = apt_get(path, failures=2, complaint=complaint)
    said: list[str] = []
    apt = Apt(tmp_path / "apt", (), patience=impatient(said))
    apt.update()
    assert len(calls.read_text().splitlines()) == 3
    assert (apt.folder / "updated").exists()
    apt_get(path, failures=5, complaint=complaint)
    apt.install(["hello"])
    rows = calls.read_text().splitlines()[3:]
    assert len(rows) == 3
    assert all("-o DPkg::Lock::Timeout=15" in row and row.endswith("hello") for row in rows)
    assert said == [WAITING, WAITING]


def test_a_lock_that_is_never_let_go_is_an_error_with_a_way_out(tmp_path: Path, path: Path) -> None:
    calls = apt_get(path, failures=99, complaint=LISTS)
    said: list[str] = []
    apt = Apt(tmp_path / "apt", (), patience=impatient(said))
    with pytest.raises(CommandFailed, match=r"another apt has held its lock for 600 s; wait .*\n"):
        apt.update()
    assert not (apt.folder / "updated").exists()
    assert 1 < len(calls.read_text().splitlines()) < 10
    assert said == [WAITING]


@pytest.mark.parametrize("complaint", [NOT_ROOT, "E: Unable to locate package hello"])
def test_another_failure_is_told_at_once(tmp_path: Path, path: Path, complaint: str) -> None:
    calls = apt_get(path, failures=99, complaint=complaint)
    apt = Apt(tmp_path / "apt", (), patience=impatient([]))
    with pytest.raises(CommandFailed, match="ended with status 100"):
        apt.install(["hello"])
    assert len(calls.read_text().splitlines()) == 1


def bootstraps(repository: Path, seconds: int) -> "subprocess.CompletedProcess[str]":
    script = repository / "lab" / "patient-apt-get"
    command = ["bash", script, str(seconds), "-qq", "update"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_bootstrap_waits_as_well(repository: Path, path: Path) -> None:
    calls = apt_get(path, failures=2, complaint=LISTS)
    done = bootstraps(repository, 600)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"init: {WAITING}\n"
    assert calls.read_text().splitlines() == ["-o DPkg::Lock::Timeout=15 -qq update"] * 3


@pytest.mark.parametrize(
    ("complaint", "said"),
    [
        (LISTS, "error: another apt has held its lock for 0 s; wait"),
        (NOT_ROOT, "error: apt-get -qq update failed: E: Could not open lock file"),
    ],
)
def test_the_bootstrap_gives_up_with_the_reason(
    repository: Path, path: Path, complaint: str, said: str
) -> None:
    calls = apt_get(path, failures=99, complaint=complaint)
    done = bootstraps(repository, 0)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert complaint in done.stderr
    assert len(calls.read_text().splitlines()) == 1


def test_the_bootstrap_uses_it(repository: Path) -> None:
    text = (repository / "lab" / "bootstrap").read_text()
    assert text.count("lab/patient-apt-get 600 -qq") == text.count("apt-get") == 2
