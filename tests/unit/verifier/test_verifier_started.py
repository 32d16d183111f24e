"""A program with its command line: what it is called, how it reaches a guest, how it is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import schedcp_verifier.__main__ as command_line
from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.tokens import TokenClaims, open_signed
from schedcp_api.verdicts import EvaluationContract, Phase, ReplayMode, Stage, VerificationRequest
from schedcp_verifier.errors import KernelUnavailable, UsageError
from schedcp_verifier.executables import Executable
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.payloads import StartedProgram
from schedcp_verifier.proving import Proof, judge_proof
from schedcp_verifier.records import parse_report
from schedcp_verifier.remembering import VerdictStore, subject_digest
from schedcp_verifier.separating import contradiction
from schedcp_verifier.signer import Signer
from schedcp_verifier.subjects import stages_missing
from schedcp_verifier.targets import program_of, request_of
from schedcp_verifier.verifying import Verified, Verifier
from support.elf import BPF, RELOCATABLE, elf
from support.verifier import (
    NOW,
    make_bundle,
    proof_lines,
    record,
    state_record,
    text_record,
    verdict_of,
)

PROGRAM = Executable("/opt/scx", elf())
KMSG = 'sched_ext: BPF scheduler "tried" '
BY_USER = f"{KMSG}disabled (unregistered from user space)"
BY_KERNEL = f"{KMSG}disabled (unregistered from the main kernel)"
STALL = f"{KMSG}disabled (runnable task stall)"
END = b'{"from":"end"}'
CONTRACT = EvaluationContract(replay=ReplayMode.ADVISORY)


def candidate(*words: str, **changes: object) -> Candidate:
    values = {"program_digest": PROGRAM.digest, "command_line": words, **changes}
    return Candidate.model_validate({"kind": PlanKind.CONFIGURE, "scheduler": "scx", **values})


@pytest.mark.parametrize("words", [("--slice-us", "5000", "-k"), (), ("--set=a,b:c/d@e%f+g",)])
def test_words_of_a_command_line_keep_their_order(words: tuple[str, ...]) -> None:
    assert candidate(*words).command_line == words
    assert candidate(*words) == Candidate.model_validate_json(candidate(*words).model_dump_json())


@pytest.mark.parametrize("word", ["", "a b", "'", '"', "$x", "`x`", "a;b", "a\nb", "*", "\\", "é"])
def test_no_word_means_anything_to_a_shell(word: str) -> None:
    with pytest.raises(ValidationError):
        candidate(word)


@pytest.mark.parametrize(
    "changes",
    [
        {"program_digest": None},
        {"kind": PlanKind.GENERATE},
        {"source_digest": digest_of(b"")},
        {"arguments": (Argument(name="a", value="1"),)},
        {"command_line": ("-v",) * 33},
        {"command_line": ("x" * 129,)},
    ],
)
def test_the_kinds_of_candidates_are_kept_apart(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        candidate("-v", **changes)


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBundle:
    return KernelBundle.open(make_bundle(tmp_path / "kernel"))


def request(kernel: KernelBundle, *words: str) -> VerificationRequest:
    return VerificationRequest(
        candidate=candidate(*words),
        kernel_digest=kernel.profile.content_digest(),
        contract=CONTRACT,
    )


def test_a_path_of_a_program_names_it_with_what_stands_behind(
    tmp_path: Path, kernel: KernelBundle
) -> None:
    path = tmp_path / "scx_Band.2"
    path.write_bytes(elf())
    program = program_of(str(path), Library(tmp_path))
    assert program is not None
    asked = request_of(
        str(path), ["-k", "--a=1"], kernel, contract=CONTRACT, profile=None, program=program
    )
    assert asked.source is None
    assert asked.candidate == Candidate(
        kind=PlanKind.CONFIGURE,
        scheduler="scx_band_2",
        program_digest=program.digest,
        command_line=("-k", "--a=1"),
    )
    with pytest.raises(UsageError, match="command line"):
        request_of(str(path), ["a b"], kernel, contract=CONTRACT, profile=None, program=program)


def test_what_is_no_program_is_another_target(tmp_path: Path) -> None:
    (tmp_path / "x.bpf.c").write_text("int x;")
    assert program_of(str(tmp_path / "x.bpf.c"), Library(tmp_path)) is None
    assert program_of("simple_fifo", Library(tmp_path)) is None


@pytest.mark.parametrize("verb", [["analyze"], ["replay", "profile.json", "--scheduler"]])
def test_other_verbs_take_no_program(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p").write_bytes(elf())
    assert command_line.run_command([*verb, str(tmp_path / "p")]) == command_line.USAGE
    assert "is a program" in capsys.readouterr().err


def test_an_object_is_a_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p").write_bytes(elf(kind=RELOCATABLE, machine=BPF))
    assert command_line.run_command(["verify", str(tmp_path / "p")]) == command_line.USAGE
    assert "BPF object" in capsys.readouterr().err


def verifier(folder: Path, *programs: Executable) -> Verifier:
    made = Verifier(Library(folder), None, None)  # type: ignore[arg-type]
    for program in programs:
        made = made.having(program)
    return made


def test_a_request_carries_no_program(tmp_path: Path, kernel: KernelBundle) -> None:
    with pytest.raises(UsageError, match="schedcp-verifier verify"):
        verifier(tmp_path).subject(request(kernel))
    assert verifier(tmp_path, PROGRAM).subject(request(kernel)).executable == PROGRAM
    with pytest.raises(UsageError, match="one of the two"):
        verifier(tmp_path, PROGRAM).subject(request(kernel).replace(source="int x;"))


def test_nothing_of_a_program_is_said_to_be_analysed(tmp_path: Path, kernel: KernelBundle) -> None:
    made = verifier(tmp_path, PROGRAM)
    found = made.analyse(made.subject(request(kernel)), request(kernel), kernel)
    phases = {check.id: (check.stage, check.phase) for check in found.checks}
    assert phases == {
        "source": (Stage.SOURCE, Phase.SKIPPED),
        "program": (Stage.SOURCE, Phase.WARNING),
        "build": (Stage.BUILD, Phase.SKIPPED),
        "bytecode": (Stage.BYTECODE, Phase.SKIPPED),
    }
    (told,) = [check for check in found.checks if check.id == "program"]
    assert told.evidence["files"] == [f"/opt/scx {PROGRAM.digest}"]
    assert stages_missing(candidate(), found.checks) == (
        Stage.ATTACH,
        Stage.DYNAMIC,
        Stage.CONTRACT,
    )


def test_words_reach_the_guest_in_a_file(kernel: KernelBundle) -> None:
    payload = StartedProgram(PROGRAM, ("--slice-us", "5"))
    with pytest.raises(KernelUnavailable, match="config"):
        payload.entries(kernel)
    (kernel.folder / "config").write_bytes(b"CONFIG_X=y\n")
    members = {entry.path: entry.data for entry in payload.entries(kernel)}
    assert members == {
        "opt/scx": PROGRAM.data,
        "guest/command": b"/opt/scx\n--slice-us\n5\n",
        "boot/config-7.0.0-test": b"CONFIG_X=y\n",
    }
    assert "5" not in "".join(payload.settings().values())


def started(
    *changes: bytes, without: tuple[bytes, ...] = (), code: int = 0, log: str = BY_USER
) -> list[bytes]:
    """Return what a guest says of a program that lives through everything, with changes."""
    loaders = (b'"from": "loader"', b"schedcp-loader", b'"kmsg"')
    kept = [line for line in proof_lines() if not any(w in line for w in (*loaders, *without))]
    added = [
        state_record("again"),
        record("status", "proof", program="program", code=code),
        text_record("kmsg", "proof", f"{KMSG}enabled\n{log}"),
    ]
    states = {line.split(b'"data"')[0] for line in changes if b'"from": "state"' in line}
    kept = [line for line in (*kept, *added) if line.split(b'"data"')[0] not in states]
    return sorted([*kept, *changes], key=END.__eq__)


def judged(lines: list[bytes]) -> Proof:
    return judge_proof(parse_report(lines), "", CONTRACT)


def departed(code: int, step: str = "proof") -> bytes:
    return record("status", step, program="departed", code=code)


def test_a_program_that_lives_through_everything_passes() -> None:
    proof = judged(started())
    assert {check.phase for check in proof.checks} == {Phase.PASSED}, proof.checks
    assert proof.ops_name == "tried"
    assert not stages_missing(candidate(), proof.checks)
    assert {c.id: c.message for c in proof.checks}["loader-killed"].endswith("its program")


GONE = state_record("trials", "disabled", "")
NEVER = (b'"attached"', b'"settled"', b'"trials"')


@pytest.mark.parametrize(
    ("lines", "id_", "phase", "words"),
    [
        (started(GONE, departed(0)), "trials", Phase.FAILED, "ended by itself with exit code 0"),
        (started(GONE, departed(1), log=STALL), "trials", Phase.FAILED, "runnable task stall"),
        (started(GONE, log=BY_USER), "trials", Phase.FAILED, "its program went on"),
        (started(GONE, departed(137)), "trials", Phase.ERROR, "was killed"),
        (started(GONE, log=""), "trials", Phase.ERROR, "did not end"),
        (
            started(state_record("settled", enableSeq=2), departed(3)),
            "attach",
            Phase.FAILED,
            "exit code 3",
        ),
        (started(departed(2), without=NEVER), "attach", Phase.FAILED, "ended with 2 before"),
        (started(departed(127), without=NEVER), "attach", Phase.ERROR, "was not found"),
        (started(without=NEVER), "attach", Phase.ERROR, "did not end"),
        (
            started(
                departed(1),
                text_record("program", "proof", "Cannot allocate memory"),
                without=NEVER,
            ),
            "attach",
            Phase.ERROR,
            "did not come to attach",
        ),
        (
            started(record("status", "proof", program="attach", code=1), without=NEVER),
            "attach-time",
            Phase.FAILED,
            "180 s",
        ),
        (
            started(state_record("soak", enableSeq=2, uptime="9999.0"), departed(0)),
            "soak",
            Phase.FAILED,
            "by itself",
        ),
        (
            started(state_record("contract", "disabled", ""), departed(0)),
            "trials",
            Phase.FAILED,
            "by itself",
        ),
        (
            started(state_record("killed", "enabled")),
            "loader-killed",
            Phase.FAILED,
            "outlived its program",
        ),
    ],
)
def test_what_goes_wrong_says_so(lines: list[bytes], id_: str, phase: Phase, words: str) -> None:
    found = {check.id: check for check in judged(lines).checks}
    assert found[id_].phase is phase, found
    assert words in found[id_].message


def unplugged(*again: bytes, log: str = BY_KERNEL) -> list[bytes]:
    more = again or (state_record("again", enableSeq=2), state_record("contract", enableSeq=2))
    return started(state_record("hotplug", "disabled", ""), *more, log=log)


@pytest.mark.parametrize(
    ("lines", "phase"),
    [
        (unplugged(), Phase.PASSED),
        (unplugged(log=f"{BY_KERNEL}\n{BY_USER}"), Phase.PASSED),
        (unplugged(log=f"{BY_KERNEL}\n{STALL}"), Phase.FAILED),
        (unplugged(state_record("again", "disabled", ""), departed(1)), Phase.FAILED),
        (unplugged(state_record("again", ops="another", enableSeq=2)), Phase.FAILED),
    ],
)
def test_after_a_cpu_that_went_it_may_attach_again(lines: list[bytes], phase: Phase) -> None:
    found = {check.id: check for check in judged(lines).checks}
    assert found["hotplug"].phase is phase, found["hotplug"]


def accepted(kernel: KernelBundle, *words: str) -> Verified:
    verdict = verdict_of(request(kernel, *words), kernel, accepted=True, phase=Phase.PASSED)
    stages = (Stage.ATTACH, Stage.DYNAMIC, Stage.CONTRACT)
    verdict = verdict.replace(
        checks=tuple(verdict.checks[0].replace(stage=stage) for stage in stages),
        program_digest=PROGRAM.digest,
        command_line=words,
        digest=PROGRAM.digest,
    )
    return Verified(verdict, None)


def test_a_token_claims_program_and_command_line(tmp_path: Path, kernel: KernelBundle) -> None:
    signer = Signer.open(tmp_path / "state")
    text = signer.token(
        signer.verdict(accepted(kernel, "-k").verdict),
        CONTRACT,
        TokenClaims(run="run-1", nodes=("node-1",)),
        now=NOW,
        backdate_seconds=0,
    )
    token = open_signed(text, signer.public_keys())
    assert (token.object_digest, token.program_digest) == (PROGRAM.digest, PROGRAM.digest)
    assert token.command_line == ("-k",)


def test_an_answer_about_another_program_or_line_is_a_contradiction(kernel: KernelBundle) -> None:
    asked, verdict = request(kernel, "-k"), accepted(kernel, "-k").verdict
    assert contradiction(asked, verdict, None) == ""
    for changes in (
        {"command_line": ()},
        {"program_digest": digest_of(b"x")},
        {"digest": digest_of(b"x")},
        {"checks": verdict.checks[1:]},
    ):
        assert contradiction(asked, verdict.replace(**changes), None)


def test_a_known_answer_holds_for_the_same_words_only(tmp_path: Path, kernel: KernelBundle) -> None:
    signer, mark = Signer.open(tmp_path / "state"), digest_of(b"fingerprint")
    store = VerdictStore(tmp_path / "state", signer.vouches)
    found = accepted(kernel, "-k")
    verdict = signer.verdict(found.verdict)
    store.keep(request(kernel, "-k"), mark, Verified(verdict, None))
    known = store.same(request(kernel, "-k"), mark)
    assert known is not None
    assert known.verdict == verdict
    assert store.same(request(kernel, "-k", "-v"), mark) is None
    assert store.same(request(kernel), mark) is None
    assert subject_digest(request(kernel, "-k"), mark) != subject_digest(request(kernel), mark)
