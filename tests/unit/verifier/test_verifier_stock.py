"""Programs of the library: their parameters, their pins, and how a name becomes a request."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.manifests import Measured, Parameter, SchedulerManifest
from schedcp_api.verdicts import EvaluationContract, Phase, Stage, VerificationRequest
from schedcp_verifier.errors import LibraryInvalid, ToolMissing, UsageError
from schedcp_verifier.executables import executable_at
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.targets import program_of, request_of
from schedcp_verifier.verifying import Verifier
from support.elf import elf
from support.stock import MANIFEST, manifest, stock_library
from support.verifier import make_bundle

LIBRARY = Library(Path(__file__).parents[3] / "schedulers")
STOCK = ("scx_bpfland", "scx_lavd", "scx_layered", "scx_rusty")


def problems(*words: str) -> tuple[str, ...]:
    program = manifest().program
    assert program is not None
    return program.problems(words)


@pytest.mark.parametrize(
    "words",
    [
        ("--run",),
        ("--run", "--slice-us", "100"),
        ("--slice-us=20000", "--run", "-f"),
        ("-s", "5000", "--run", "--share", "0.25"),
        ("--mode=all", "--run", "--slow"),
    ],
)
def test_what_fits_has_no_problems(words: tuple[str, ...]) -> None:
    assert problems(*words) == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--run must be given"),
        (("--run", "--slice-us", "99"), "--slice-us 99 is outside 100..20000 us"),
        (("--run", "-s", "20001"), "--slice-us 20001 is outside 100..20000 us"),
        (("--run", "--slice-us", "1.5"), "a number of type Integer"),
        (("--run", "--slice-us", "1e3"), "a number of type Integer"),
        (("--run", "--slice-us="), "a number of type Integer"),
        (("--run", "--share=0.6"), "--share 0.6 is outside 0.1..0.5"),
        (("--run", "--share=nan"), "a number of type Decimal"),
        (("--run", "--slice-us"), "--slice-us needs a value behind it"),
        (("--run", "--mode", "most"), "--mode most: it is one of auto, all"),
        (("--run=yes",), "--run takes no value"),
        (("--run", "--fast", "-f"), "--fast is given twice"),
        (("--run", "-f", "--slow"), "--fast and --slow exclude each other"),
        (("--run", "--partial", "x"), "scx_tried has no parameter --partial, x; it has: --run,"),
    ],
)
def test_what_does_not_fit_is_said_once_and_clearly(words: tuple[str, ...], said: str) -> None:
    found = problems(*words)
    assert len(found) == 1, found
    assert said in found[0]


@given(st.lists(st.text(alphabet="-=abcfrus0123456789.", max_size=12), max_size=8))
def test_any_words_are_judged_and_none_unknown_fits(words: list[str]) -> None:
    found = problems(*words)
    flags = [word.partition("=")[0] for word in words]
    known = ("--run", "--fast", "-f", "--slow", "--slice-us", "-s", "--share", "--mode")
    if not set(flags) & set(known):
        assert "--run must be given" in found


@pytest.mark.parametrize(
    "changes",
    [
        {"always": ["--slice-us"]},
        {"always": ["--gone"]},
        {"exclusive": [["--mode", "--fast"]]},
        {"parameters": [MANIFEST["program"]["parameters"][0]] * 2},
        {"crateDigest": "sha256:0"},
        {"version": "^1"},
    ],
)
def test_a_manifest_contradicts_itself_nowhere(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        manifest(**changes)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Integer"},
        {"type": "Integer", "minimum": "5"},
        {"type": "Integer", "minimum": "5", "maximum": "4"},
        {"type": "Flag", "minimum": "1", "maximum": "2"},
        {"type": "Choice"},
        {"type": "Flag", "choices": ["a"]},
    ],
)
def test_a_type_has_its_own_limits(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Parameter.model_validate({"flag": "--x-y", "summary": "s", **fields})


@pytest.mark.parametrize(
    "changes", [{"source": "a.bpf.c"}, {"program": None}, {"knobs": [{"name": "x"}]}]
)
def test_a_scheduler_is_a_source_or_a_program(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SchedulerManifest.model_validate({**MANIFEST, **changes})


def test_a_refusal_has_a_reason() -> None:
    with pytest.raises(ValidationError):
        Measured(kernels="7.3", accepted=False, contract_losses=())
    with pytest.raises(ValidationError):
        Measured(kernels="7.3", accepted=True, refused_for=("trials: stalled",), contract_losses=())


@pytest.mark.parametrize(
    ("name", "it_is"),
    [("tried", True), ("tried_1.2.3_x86_64", True), ("tried2", False), ("tri", False), ("", False)],
)
def test_what_a_program_calls_its_scheduler_begins_as_the_manifest_says(
    name: str, it_is: bool
) -> None:
    assert manifest().calls_itself(name) is it_is


def test_a_name_is_the_program_as_it_was_built(tmp_path: Path) -> None:
    library = stock_library(tmp_path)
    found = library.program("scx_tried")
    assert found is not None
    assert found.executable.digest == digest_of(elf())
    assert found.manifest == manifest()
    assert library.program("another") is None
    with pytest.raises(UsageError, match="is a program"):
        library.scheduler("scx_tried")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": digest_of(b"another")}, "its catalogue says"),
        ({"version": "1.2.4"}, "was not built from the scx_tried 1.2.3"),
        ({"crate_digest": digest_of(b"another")}, "was not built from the scx_tried 1.2.3"),
    ],
)
def test_what_is_not_what_was_pinned_or_built_is_not_used(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(LibraryInvalid, match=words):
        stock_library(tmp_path, **changes).program("scx_tried")


def test_what_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    library = stock_library(tmp_path)
    for unbuilt in (Library(tmp_path), Library(tmp_path, tmp_path / "nowhere")):
        with pytest.raises(ToolMissing, match="setup --only stock"):
            unbuilt.program("scx_tried")
    (tmp_path / "programs/catalogue.json").write_text("{]")
    with pytest.raises(LibraryInvalid, match=r"catalogue\.json"):
        library.program("scx_tried")


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBundle:
    return KernelBundle.open(make_bundle(tmp_path / "kernel"))


def request_for(library: Library, kernel: KernelBundle, *words: str) -> VerificationRequest:
    return request_of(
        "scx_tried",
        list(words),
        kernel,
        contract=EvaluationContract(),
        profile=None,
        program=program_of("scx_tried", library),
    )


def test_a_name_with_words_is_a_candidate_with_the_built_digest(
    tmp_path: Path, kernel: KernelBundle
) -> None:
    asked = request_for(stock_library(tmp_path), kernel, "--run", "-s", "5000")
    assert asked.candidate == Candidate(
        kind=PlanKind.CONFIGURE,
        scheduler="scx_tried",
        program_digest=digest_of(elf()),
        command_line=("--run", "-s", "5000"),
    )


def verifier(library: Library) -> Verifier:
    return Verifier(library, None, None)  # type: ignore[arg-type]


def test_a_request_for_a_program_of_the_library_needs_no_path(
    tmp_path: Path, kernel: KernelBundle
) -> None:
    library = stock_library(tmp_path)
    subject = verifier(library).subject(request_for(library, kernel))
    assert subject.manifest == manifest()
    assert subject.executable is not None


def test_another_program_of_the_same_name_has_no_manifest(
    tmp_path: Path, kernel: KernelBundle
) -> None:
    library = stock_library(tmp_path)
    path = tmp_path / "own" / "scx_tried"
    path.parent.mkdir()
    path.write_bytes(elf(flags=1))
    own = executable_at(path)
    asked = request_for(library, kernel)
    asked = asked.replace(candidate=asked.candidate.replace(program_digest=own.digest))
    with pytest.raises(UsageError, match="is not here"):
        verifier(library).subject(asked)
    subject = verifier(library).having(own).subject(asked)
    assert (subject.manifest, subject.executable) == (None, own)


def test_words_that_do_not_fit_end_it_before_a_guest_is_booted(
    tmp_path: Path, kernel: KernelBundle
) -> None:
    library = stock_library(tmp_path)
    asked = request_for(library, kernel, "--run", "--slice-us=1")
    verdict = verifier(library).verify(asked, kernel).verdict
    failed = [check for check in verdict.checks if check.phase is Phase.FAILED]
    assert [(check.id, check.stage) for check in failed] == [("arguments", Stage.SOURCE)]
    assert "outside 100..20000 us" in failed[0].message
    assert not verdict.accepted


def test_the_pin_is_told(tmp_path: Path, kernel: KernelBundle) -> None:
    library = stock_library(tmp_path)
    asked = request_for(library, kernel, "--run")
    made = verifier(library)
    found = {check.id: check for check in made.analyse(made.subject(asked), asked, kernel).checks}
    assert found["arguments"].phase is Phase.PASSED
    assert "scx_tried 1.2.3" in found["pinned"].message


@pytest.mark.parametrize("name", STOCK)
def test_the_stock_schedulers_are_pinned_and_described(name: str) -> None:
    found = LIBRARY.manifest(name)
    program = found.program
    assert program is not None
    assert program.problems(program.always) == ()
    for parameter in program.parameters:
        if parameter.minimum is not None:
            assert parameter.problem(parameter.default) == ""
    assert program.statistics_socket
    assert found.statistics
