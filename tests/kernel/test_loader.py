"""The real loader on a real kernel: whatever ends it, the kernel's own scheduler is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from support.loader_guest import Case, run_cases

OBJECTS = (
    "simple_fifo",
    "long_tail",
    *(f"faults/{name}" for name in ("extra_kprobe", "bad_map", "late_stall", "untold_stall")),
)
KILLED = 128 + 9
STALL = 1026


@pytest.fixture(scope="module")
def cases(
    verifier_settings: Settings,
    kernel: KernelBundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Case]:
    """Every case of the script, from one guest."""
    built = verifier_settings.programs.parent / "bpf" / kernel.profile.release
    return run_cases(
        "loader-trials.sh",
        {Path(name).name: (built / f"{name}.bpf.o").read_bytes() for name in OBJECTS},
        {"simple_fifo": (built / "standalone/simple_fifo").read_bytes()},
        kernel=kernel,
        settings=verifier_settings,
        folder=tmp_path_factory.mktemp("loader"),
    )


PROGRAM_ENDINGS = [
    ("program-terminated", 0, "Detached"),
    ("program-lease", 22, "LeaseExpired"),
    ("program-parent-gone", 23, "ParentGone"),
    ("program-shot", 24, "ProgramEnded"),
    ("program-left", 24, "ProgramEnded"),
]


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("lease", 22, "LeaseExpired"),
        ("parent-gone", 23, "ParentGone"),
        ("terminated", 0, "Detached"),
        ("first", 0, "Detached"),
        ("unneeded", 0, "Detached"),
        *PROGRAM_ENDINGS,
    ],
)
def test_what_ends_the_holding_gives_the_kernel_back(
    cases: dict[str, Case], name: str, status: int, reason: str
) -> None:
    case = cases[name]
    assert (case.status, case.state) == (status, "disabled")
    assert case.said("attached").ops == "schedcp_simple_fifo"
    assert case.said("detached").reason == reason


def test_a_killed_loader_leaves_nothing(cases: dict[str, Case]) -> None:
    assert (cases["killed"].status, cases["killed"].state) == (KILLED, "disabled")


def test_a_parent_that_is_late_is_lifted_and_lowered_again(cases: dict[str, Case]) -> None:
    fifo, ordinary = 1, 0
    assert cases["lease-attached"].state == "enabled"
    assert (cases["lease-late"].status, cases["lease-late"].state) == (fifo, "enabled")
    assert cases["lease-late"].said("warning").code == "ParentLate"
    assert cases["lease-started"].status == fifo, "what the parent starts meanwhile is lifted too"
    assert cases["lease-after"].status == ordinary
    assert (cases["renewed"].status, cases["renewed"].state) == (ordinary, "enabled")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("extra_kprobe", 12, "ProgramRefused"),
        ("bad_map", 13, "MapRefused"),
        ("knob", 15, "KnobRefused"),
        ("flipped", 10, "DigestMismatch"),
        ("malformed", 64, "Usage"),
    ],
)
def test_what_it_refuses_never_reaches_the_kernel(
    cases: dict[str, Case], name: str, status: int, code: str
) -> None:
    assert (cases[name].status, cases[name].state) == (status, "disabled")
    assert cases[name].said("error").code == code


def test_what_a_job_will_take_is_read_and_read_again(cases: dict[str, Case]) -> None:
    case = cases["expected"]
    assert (case.status, case.state) == (0, "disabled")
    assert case.said("attached").ops == "schedcp_long_tail"
    refused = [event.message for event in case.events if event.code == "InputRefused"]
    assert refused == [
        "/run/expected: entry 1 is not 'CGROUP_ID NANOSECONDS', or there are more than 4096"
    ]


def test_a_malformed_file_keeps_the_scheduler_from_being_enabled(cases: dict[str, Case]) -> None:
    assert cases["malformed-enabled"].status == 0


def test_a_second_loader_leaves_the_first_alone(cases: dict[str, Case]) -> None:
    foreign = 16
    assert (cases["second"].status, cases["second"].state) == (foreign, "enabled")


@pytest.mark.parametrize(
    ("name", "status", "reason"), [("unwanted", 23, "ParentGone"), ("stopped-early", 0, "Detached")]
)
def test_a_holding_that_is_no_longer_wanted_is_not_begun(
    cases: dict[str, Case], name: str, status: int, reason: str
) -> None:
    assert (cases[name].status, cases[name].state) == (status, "disabled")
    assert cases[name].said("detached").reason == reason
    assert cases[f"{name}-enabled"].status == 0


@pytest.mark.parametrize("name", ["stalled", "untold"])
def test_a_stall_is_told_with_the_kernels_reason(cases: dict[str, Case], name: str) -> None:
    ejected = 20
    assert (cases[name].status, cases[name].state) == (ejected, "disabled")
    said = cases[name].said("exit")
    assert (said.kind, said.reason) == (STALL, "runnable task stall")
    assert "runnable task stall" in said.log


@pytest.mark.parametrize("name", [name for name, _, _ in PROGRAM_ENDINGS])
def test_what_ends_the_holding_ends_the_program(cases: dict[str, Case], name: str) -> None:
    assert cases[f"{name}-program"].status == 0, "the program is still there"


def test_a_killed_loader_takes_its_program_along(cases: dict[str, Case]) -> None:
    assert (cases["program-killed"].status, cases["program-killed"].state) == (KILLED, "disabled")
    assert cases["program-killed-program"].status == 0


def test_a_program_is_ordinary_and_has_its_words_and_a_fixed_environment(
    cases: dict[str, Case],
) -> None:
    for name in ("program-policy", "program-environment", "program-words"):
        assert (cases[name].status, cases[name].state) == (0, "enabled"), name


@pytest.mark.parametrize(
    ("name", "status", "code", "words"),
    [
        ("program-words-refused", 24, "ProgramEnded", "ended with status 64 before"),
        ("program-name", 14, "StructOpsRefused", "calls itself 'schedcp_simple_fifo'"),
        ("program-flipped", 10, "DigestMismatch", "was approved"),
        ("program-nonsense", 11, "ObjectInvalid", "cannot be started"),
    ],
)
def test_a_program_that_is_not_what_was_approved_does_not_stay(
    cases: dict[str, Case], name: str, status: int, code: str, words: str
) -> None:
    assert (cases[name].status, cases[name].state) == (status, "disabled")
    assert cases[name].said("error").code == code
    assert words in cases[name].said("error").message


def test_the_kernels_word_counts_when_a_program_ends_before_it_is_seen_attached(
    cases: dict[str, Case],
) -> None:
    case, ejected, runtime_error = cases["program-ejected"], 20, 1024
    assert (case.status, case.state) == (ejected, "disabled")
    assert (case.said("exit").kind, case.said("exit").reason) == (runtime_error, "runtime error")
    assert case.said("error").code == "Ejected"


def test_a_foreign_scheduler_that_comes_first_is_neither_ended_nor_waited_for(
    cases: dict[str, Case],
) -> None:
    refused, settling_seconds = 14, 45
    case = cases["program-foreigner"]
    assert (case.status, case.state) == (refused, "enabled")
    assert cases["program-foreigner-seconds"].status < settling_seconds


def test_a_program_that_is_no_longer_wanted_is_not_started(cases: dict[str, Case]) -> None:
    assert (cases["program-unwanted"].status, cases["program-unwanted"].state) == (23, "disabled")
    assert not any(event.event == "attached" for event in cases["program-unwanted"].events)
