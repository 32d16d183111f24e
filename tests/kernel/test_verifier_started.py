"""A scheduler's own program is proven with its command line, or refused for what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedcp_api.verdicts import Phase, Stage, Verdict
from schedcp_verifier.executables import executable_at
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.targets import request_of
from schedcp_verifier.verifying import Verifier
from support.laboratory import CONTRACT, Laboratory, unfit


@pytest.fixture(scope="session")
def program_path(
    verifier_settings: Settings, kernel: KernelBundle, required_tiers: frozenset[str]
) -> Path:
    """The program with simple_fifo in it, for the newest kernel."""
    built = verifier_settings.schedulers_dir / ".output/bpf" / kernel.profile.release
    path = built / "standalone/simple_fifo"
    if not path.is_file():
        unfit(f"{path} is not built", required_tiers)
    return path


def verdict_on(laboratory: Laboratory, path: Path, *words: str) -> Verdict:
    """Return the verdict on a program with this command line."""
    program = executable_at(path)
    verifier: Verifier = laboratory.verifier.having(program)
    request = request_of(
        str(path), list(words), laboratory.kernel, contract=CONTRACT, profile=None, program=program
    )
    return verifier.verify(request, laboratory.kernel).verdict


def test_a_program_that_stays_is_accepted_with_its_words(
    laboratory: Laboratory, program_path: Path
) -> None:
    verdict = verdict_on(laboratory, program_path, "--slice-us", "5000")
    assert verdict.accepted, verdict.reasons()
    assert verdict.ops_name == "schedcp_simple_fifo"
    assert verdict.command_line == ("--slice-us", "5000")
    assert verdict.digest == verdict.program_digest == executable_at(program_path).digest
    assert {check.phase for check in verdict.checks if check.stage is Stage.BYTECODE} == {
        Phase.SKIPPED
    }


def test_a_program_that_leaves_quietly_is_refused(
    laboratory: Laboratory, program_path: Path
) -> None:
    verdict = verdict_on(laboratory, program_path, "--exit-after", "4")
    failed = [check for check in verdict.checks if check.phase is Phase.FAILED]
    assert not verdict.accepted
    assert [(check.id, check.stage) for check in failed] == [("trials", Stage.DYNAMIC)]
    assert "exit code 0" in failed[0].message


def test_words_that_it_does_not_know_are_its_own_refusal(
    laboratory: Laboratory, program_path: Path
) -> None:
    verdict = verdict_on(laboratory, program_path, "--no-such-option")
    failed = [check for check in verdict.checks if check.phase is Phase.FAILED]
    assert [(check.id, check.stage) for check in failed] == [("attach", Stage.ATTACH)]
    assert "ended with 64" in failed[0].message
