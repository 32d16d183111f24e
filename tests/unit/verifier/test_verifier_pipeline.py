"""What the pipeline does when a guest dies, when a tool breaks, and when evidence grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

import schedcp_verifier.__main__ as command_line
from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.verdicts import (
    ContractLoss,
    EvaluationContract,
    Phase,
    ReplayMode,
    Stage,
    VerificationRequest,
)
from schedcp_verifier.checks import passed
from schedcp_verifier.errors import CommandFailed, VmError, VmLostError
from schedcp_verifier.guests import CpuPool, GuestPlan, GuestRun
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.microvm import MAIN
from schedcp_verifier.payloads import LoadedObject
from schedcp_verifier.processes import run
from schedcp_verifier.records import parse_report
from schedcp_verifier.verifying import Verified, Verifier
from support.verifier import OBJECT, make_bundle, proof_lines, verdict_of, workload_profile

USUAL_SECONDS = 30.0


@dataclass
class DyingGuests:
    """Loses guests with the candidate as told, and those without it when `machine` is broken."""

    lost: VmError
    machine: VmError | None = None
    plans: list[GuestPlan] = field(default_factory=list)
    cpus: CpuPool = field(default_factory=CpuPool.of_process)

    def run(self, plan: GuestPlan, *_: object, **__: object) -> GuestRun:
        """Return a report, or raise what was set."""
        self.plans.append(plan)
        trouble = self.machine if plan.settings.get("CONTROL") else self.lost
        if trouble is not None:
            raise trouble
        return GuestRun(parse_report(proof_lines()), "", 1.0, USUAL_SECONDS)


def verifier(folder: Path, guests: DyingGuests) -> tuple[Verifier, VerificationRequest, object]:
    kernel = KernelBundle.open(make_bundle(folder / "k"))
    request = VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler="x"),
        kernel_digest=kernel.profile.content_digest(),
        profile=workload_profile(),
    )
    return Verifier(Library(folder), None, guests), request, kernel  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lost", "machine", "phase", "boots"),
    [
        (VmLostError("hangs", under_candidate=True), None, Phase.FAILED, 2),
        (VmLostError("hangs", under_candidate=True), VmLostError("too"), Phase.ERROR, 2),
        (VmLostError("hangs"), None, Phase.ERROR, 1),
        (VmError("garbage"), None, Phase.ERROR, 1),
    ],
)
def test_a_guest_that_dies_under_the_candidate_is_tried_without_it(
    lost: VmError, machine: VmError | None, phase: Phase, boots: int, tmp_path: Path
) -> None:
    for stage in (Stage.DYNAMIC, Stage.REPLAY):
        guests = DyingGuests(lost, machine)
        subject, request, kernel = verifier(tmp_path, guests)
        act = subject.prove if stage is Stage.DYNAMIC else subject.replay
        found = act(request, kernel, payload=LoadedObject(b"", ()), ops_name="x")  # type: ignore[arg-type]
        assert [(check.stage, check.phase) for check in found.checks] == [(stage, phase)]
        assert len([plan for plan in guests.plans if plan.topology == MAIN]) == boots
        assert "hangs" in str(found.checks[0]) or "garbage" in str(found.checks[0])


@pytest.mark.parametrize(("late_after", "phase"), [(400, Phase.FAILED), (100, Phase.ERROR)])
def test_a_guest_that_is_late_must_have_had_its_time(
    late_after: float, phase: Phase, tmp_path: Path
) -> None:
    lost = VmLostError("had not ended", under_candidate=True, late_after=late_after)
    subject, request, kernel = verifier(tmp_path, DyingGuests(lost))
    found = subject.prove(request, kernel, payload=LoadedObject(b"", ()), ops_name="x")  # type: ignore[arg-type]
    assert [check.phase for check in found.checks] == [phase]
    assert ("too busy or too slow" in str(found.checks[0])) == (phase is Phase.ERROR)
    guests = DyingGuests(lost)
    subject, request, kernel = verifier(tmp_path, guests)
    found = subject.replay(request, kernel, payload=LoadedObject(b"", ()), ops_name="x")  # type: ignore[arg-type]
    assert [check.phase for check in found.checks] == [Phase.ERROR]
    assert "fewer seeds" in str(found.checks[0])


@pytest.mark.parametrize("broken", [RuntimeError("x"), OSError(28, "no space"), KeyError("x")])
def test_whatever_breaks_is_no_rejection(
    broken: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(*_: object, **__: object) -> int:
        raise broken

    monkeypatch.setattr(command_line, "app", app)
    assert command_line.run_command(["version"]) == 2
    assert "the verifier failed" in capsys.readouterr().err


def test_what_a_child_prints_is_bounded() -> None:
    done = run(["sh", "-c", "yes | head -c 3000000"], timeout_seconds=60)
    assert len(done.stdout) == 1024**2


@pytest.mark.parametrize("command", [["/"], ["sleep", "60"], ["no-such-program"]])
def test_a_child_that_cannot_run_or_end_is_a_failed_command(command: list[str]) -> None:
    with pytest.raises(CommandFailed):
        run(command, timeout_seconds=0.2)


def test_evidence_is_bounded_whatever_its_shape() -> None:
    check = passed("x", Stage.BUILD, "m", many=["y" * 9000] * 900, one="z" * 9000, number=3)
    assert len(check.evidence["many"]) == 65
    assert max(map(len, check.evidence["many"])) < 600
    assert len(check.evidence["one"]) < 5000
    assert check.evidence["number"] == 3


@pytest.mark.parametrize("dies", [False, True])
def test_of_what_was_proven_before_only_the_replay_runs(tmp_path: Path, *, dies: bool) -> None:
    guests = DyingGuests(VmLostError("hangs"))
    kernel = KernelBundle.open(make_bundle(tmp_path / "k"))
    text = "int x;"
    request = VerificationRequest(
        candidate=Candidate(
            kind=PlanKind.GENERATE, scheduler="x", source_digest=digest_of(text.encode())
        ),
        source=text,
        kernel_digest=kernel.profile.content_digest(),
        profile=workload_profile() if dies else None,
        contract=EvaluationContract(replay=ReplayMode.ADVISORY),
    )
    stages = (Stage.BUILD, Stage.BYTECODE, Stage.ATTACH, Stage.DYNAMIC, Stage.CONTRACT)
    old = passed("replay", Stage.REPLAY, "under another profile")
    earlier = verdict_of(request, kernel, accepted=True, phase=Phase.PASSED).replace(
        checks=(*(passed("c", stage, "") for stage in stages), old),
        contract_losses=(ContractLoss.NICE,),
    )
    subject = Verifier(Library(tmp_path), None, guests)  # type: ignore[arg-type]
    found = subject.verify(request, kernel, proven=Verified(earlier, OBJECT))
    assert [plan.steps for plan in guests.plans] == (["replay"] if dies else [])
    assert [c.stage for c in found.verdict.checks] == [*stages, Stage.REPLAY]
    assert old not in found.verdict.checks
    assert found.verdict.accepted is not dies
    assert found.verdict.undecided is dies
    assert found.verdict.contract_losses == (ContractLoss.NICE,)
    assert found.verdict.digest == digest_of(OBJECT)
    assert found.object == (None if dies else OBJECT)
