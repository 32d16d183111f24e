"""What people read of a verdict: why, where, what to do; and nothing that moves their terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schedcp_verifier.__main__ as command_line
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.verdicts import Check, ContractLoss, Phase, Stage, Verdict, VerificationRequest
from schedcp_verifier.errors import VmLostError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.rendering import Console, SourceText, plain, show_checks, show_verdict
from support.verifier import make_bundle, verdict_of

SOURCE = SourceText("dir/my.bpf.c", "one\n\tinsert(p, 0);\nthree\n")
WELL = Check(id="build", stage=Stage.BUILD, phase=Phase.PASSED, message="compiled")


def check(phase: Phase, stage: Stage = Stage.BYTECODE, **evidence: object) -> Check:
    return Check(id="slices", stage=stage, phase=phase, message="a slice of 0", evidence=evidence)


def shown(verdict: Verdict, *, every: bool = False, color: bool = False) -> str:
    """What a person sees."""
    file = io.StringIO()
    system = "standard" if color else None
    console = Console(file=file, width=100, force_terminal=color, color_system=system)  # type: ignore[arg-type]
    show_verdict(console, verdict, SOURCE, every=every)
    return file.getvalue()


@pytest.fixture
def accepted(tmp_path: Path) -> Verdict:
    kernel = KernelBundle.open(make_bundle(tmp_path))
    request = VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler="fifo"),
        kernel_digest=kernel.profile.content_digest(),
    )
    verdict = verdict_of(request, kernel, accepted=True, phase=Phase.PASSED)
    return verdict.replace(checks=(WELL,))


def test_an_acceptance_is_short_and_says_where_it_holds(accepted: Verdict) -> None:
    text = shown(accepted.replace(contract_losses=(ContractLoss.NICE,)))
    assert "fifo: ACCEPTED on 7.0.0-test after 1 s" in text
    assert "lose: Nice (waived)" in text
    assert "Build  1 passed" in text
    assert "compiled" not in text
    assert "not signed" in text
    assert "compiled" in shown(accepted, every=True)


def test_a_key_is_named(accepted: Verdict) -> None:
    signed = accepted.replace(signature="A" * 86, key_id="0123456789abcdef")
    assert "signed by key 0123456789abcdef" in shown(signed)


@pytest.mark.parametrize("lines", [[2], ["enqueue at my.bpf.c:2"], [2, 2]])
def test_a_refusal_says_why_where_and_what_to_do(accepted: Verdict, lines: list[object]) -> None:
    refused = accepted.replace(accepted=False, checks=(WELL, check(Phase.FAILED, lines=lines)))
    text = shown(refused)
    assert "FAILED  Bytecode/slices" in text
    assert "a slice of 0" in text
    assert text.count("dir/my.bpf.c:2  insert(p, 0);") == 1
    assert "fifo: REJECTED" in text
    assert "verify again" in text


def test_a_place_in_the_message_is_enough(accepted: Verdict) -> None:
    told = check(Phase.FAILED).replace(message="my.bpf.c:2: use of undeclared identifier")
    assert "dir/my.bpf.c:2  insert(p, 0);" in shown(accepted.replace(checks=(told,)))


def test_lines_that_are_not_there_are_harmless(accepted: Verdict) -> None:
    strange = check(Phase.FAILED, lines=[0, 99, -1, "x", None, "q.bpf.c:0"])
    assert "dir/my.bpf.c:99" in shown(accepted.replace(checks=(strange,)))


@pytest.mark.parametrize(
    ("stage", "words"),
    [(Stage.REPLAY, "its gain is not shown"), (Stage.CONTRACT, "limits from pods")],
)
def test_what_to_do_depends_on_what_failed(accepted: Verdict, stage: Stage, words: str) -> None:
    refused = accepted.replace(accepted=False, checks=(WELL, check(Phase.FAILED, stage)))
    assert words in shown(refused)


def test_what_could_not_be_told_is_no_word_about_the_scheduler(accepted: Verdict) -> None:
    unknown = accepted.replace(accepted=False, checks=(WELL, check(Phase.ERROR, Stage.DYNAMIC)))
    text = shown(unknown)
    assert "COULD NOT TELL  Dynamic/slices" in text
    assert "fifo: COULD NOT TELL" in text
    assert "says nothing about the scheduler" in text
    assert "REJECTED" not in text


@pytest.mark.parametrize("as_list", [True, False])
def test_of_a_log_the_end_is_shown(accepted: Verdict, *, as_list: bool) -> None:
    lines = [f"line {n}" for n in range(40)]
    log = lines if as_list else "\n".join(lines)
    text = shown(accepted.replace(checks=(check(Phase.FAILED, log=log),)))
    assert "line 39" in text
    assert "line 24" not in text
    assert "the last 15 of 40" in text


def test_colour_only_where_it_is_seen(accepted: Verdict) -> None:
    refused = accepted.replace(accepted=False, checks=(check(Phase.FAILED),))
    assert "\x1b[" not in shown(refused)
    assert "\x1b[1;31mFAILED" in shown(refused, color=True)


@given(st.text(), st.text(alphabet="\x1b\x9b\r\b\u202e\u2066[]31mJ;\x07\n"))
def test_nothing_that_others_wrote_moves_a_terminal(words: str, codes: str) -> None:
    file = io.StringIO()
    found = check(Phase.FAILED, log=codes + words, lines=[1]).replace(
        message=(codes + words)[:900], id=(words + codes)[:200]
    )
    source = SourceText(codes, codes + words)
    show_checks(Console(file=file, width=100), [found], source)
    assert all(c.isprintable() or c == "\n" for c in file.getvalue())


@given(st.text())
def test_plain_text_stays(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    if text.isprintable():
        assert plain(text) == text


def test_an_error_that_quotes_a_guest_is_plain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(*_: object, **__: object) -> int:
        raise VmLostError("its console ends:\n\x1b[2J\x1b]0;pwned\x07")

    monkeypatch.setattr(command_line, "app", app)
    assert command_line.run_command(["version"]) == 2
    assert "\x1b" not in capsys.readouterr().err
