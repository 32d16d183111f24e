"""The verifier as its users meet it: the command line and the socket."""

from __future__ import annotations

import json
import signal
import socket as socketlib
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from schedcp_api.services import Kernels, Verification, VerificationState
from schedcp_api.verdicts import Verdict
from schedcp_lab.processes import wait_until
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from support.laboratory import CONTRACT
from support.verifier import source_request

DEADLINE_SECONDS = 120.0


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch, verifier_settings: Settings, tmp_path: Path) -> None:
    monkeypatch.setenv("SCHEDCP_VERIFIER_SCHEDULERS_DIR", str(verifier_settings.schedulers_dir))
    monkeypatch.setenv("SCHEDCP_VERIFIER_KERNELS_DIR", str(verifier_settings.kernels_dir))
    monkeypatch.setenv("SCHEDCP_VERIFIER_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.usefixtures("at_home")
def test_a_rejection_is_one_verdict_on_standard_output(
    capsys: pytest.CaptureFixture[str], repository: Path, kernel: KernelBundle, tmp_path: Path
) -> None:
    path = repository / "tests/data/schedulers/bad/M01-extra-program.bpf.c"
    code = run_command(
        ["verify", str(path), "--kernel", str(kernel.folder), "--json", "--output", str(tmp_path)]
    )
    verdict = Verdict.model_validate_json(capsys.readouterr().out)
    assert (code, verdict.accepted) == (1, False)
    assert Verdict.model_validate_json((tmp_path / "verdict.json").read_bytes()) == verdict


@pytest.mark.usefixtures("at_home")
def test_an_analysis_of_a_good_source_finds_nothing(
    capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    path = repository / "tests/data/schedulers/good/minimal_fifo.bpf.c"
    assert run_command(["analyze", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {check["phase"] for check in found["checks"]} == {"Passed"}
    assert found["digest"].startswith("sha256:")


def await_state(http: httpx.Client, id_: str) -> Verification:
    """Return the verification once it no longer runs."""

    def asked() -> Verification:
        return Verification.model_validate_json(http.get(f"/v1/verifications/{id_}").content)

    wait_until(
        lambda: asked().state is not VerificationState.RUNNING,
        what="the verification is over",
        timeout_seconds=DEADLINE_SECONDS,
    )
    return asked()


def listens(path: Path) -> bool:
    """Whether somebody accepts connections there."""
    with socketlib.socket(socketlib.AF_UNIX, socketlib.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.mark.usefixtures("at_home")
def test_the_server_answers_on_a_socket_of_its_owner_and_leaves_nothing(
    repository: Path, kernel: KernelBundle, tmp_path: Path
) -> None:
    socket = tmp_path / "verifier.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "schedcp_verifier", "serve", "--socket", str(socket)]
    )
    try:
        wait_until(
            lambda: process.poll() is not None or listens(socket),
            what="the server listens",
            timeout_seconds=DEADLINE_SECONDS,
        )
        assert process.poll() is None
        assert socket.stat().st_mode & 0o077 == 0
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, base_url="http://verifier", timeout=60) as http:
            kernels = Kernels.model_validate_json(http.get("/v1/kernels").content)
            assert kernel.profile in kernels.kernels
            path = repository / "tests/data/schedulers/bad/L09-truncated-local.bpf.c"
            request = source_request(path, kernel, CONTRACT)
            asked = http.post("/v1/verifications", json=request.to_json())
            assert asked.status_code == 202
            done = await_state(http, request.content_digest())
            assert done.verdict is not None
            assert not done.verdict.accepted
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(DEADLINE_SECONDS)
    assert code == 0
    assert not socket.exists()
