"""Other machines, a CPU that goes, a long rest, an end: each is judged by itself."""

from __future__ import annotations

import pytest

from schedcp_api.verdicts import Phase
from schedcp_verifier.microvm import Topology
from schedcp_verifier.proving import judge_course
from schedcp_verifier.records import parse_report
from schedcp_verifier.troubles import OTHER_COURSES, Course, hearts_of
from support.proofs import END, ejected, heart_changed, judged, phases, replaced, without
from support.verifier import proof_lines, record, state_record, trial_record


def course_lines(course: Course, *, gap_ms: int = 300) -> list[bytes]:
    """Return what a guest says of a candidate that lives through a course."""
    return proof_lines(gap_ms=gap_ms, trials=course.trials, hearts=hearts_of(course.topology))


@pytest.mark.parametrize("course", OTHER_COURSES, ids=lambda course: str(course.topology))
def test_each_machine_has_one_check_of_its_own_or_says_what_is_wrong_there(course: Course) -> None:
    def judged_there(lines: list[bytes]) -> dict[str, Phase]:
        checks = judge_course(parse_report(sorted(lines, key=END.__eq__)), "tried", course)
        assert all(str(course.topology) in check.message for check in checks)
        return {check.id: check.phase for check in checks}

    name = str(course.topology)
    good = course_lines(course)
    last = hearts_of(course.topology)[-1]
    assert judged_there(good) == {f"trials-on-{name}": Phase.PASSED}
    assert judged_there(course_lines(course, gap_ms=3501)) == {
        f"starvation-on-{name}": Phase.FAILED
    }
    assert judged_there(ejected(good, "settled")) == {f"attach-on-{name}": Phase.FAILED}
    assert judged_there(ejected(good, "trials")) == {f"trials-on-{name}": Phase.FAILED}
    assert judged_there(heart_changed(good, last, None)) == {f"starvation-on-{name}": Phase.ERROR}
    assert judged_there(without(good, b'"kmsg"')) == {f"kernel-log-on-{name}": Phase.ERROR}


def test_no_two_machines_are_alike() -> None:
    machines = {str(course.topology): course.topology.cpus for course in OTHER_COURSES}
    assert machines == {"8-cpus-2-nodes": 8, "2-cpus": 2, "1-cpu": 1}


def test_sockets_are_memory_nodes() -> None:
    words = " ".join(Topology(8, sockets=2).arguments(1024))
    assert "sockets=2,cores=4" in words
    assert "nodeid=0,memdev=memory0,cpus=0-3" in words
    assert "nodeid=1,memdev=memory1,cpus=4-7" in words
    assert words.count("size=512M") == 2
    assert "-numa" not in Topology(4).arguments(1024)


def unplugged(kind: int = 66, **again: str) -> list[bytes]:
    """Return what a guest says of a scheduler that the kernel ended when a CPU went."""
    lines = replaced(proof_lines(), "hotplug", state_record("hotplug", "disabled", ""))
    lines = replaced(lines, "contract", state_record("contract", enableSeq=2))
    exit_ = record("loader", "proof", event="exit", kind=kind, code=1 << 48)
    ended = without(lines, b'"status"', b"schedcp-loader")
    return [
        *ended,
        exit_,
        record("status", "proof", program="schedcp-loader", code=20),
        record("status", "again", program="schedcp-loader", code=0),
        state_record("again", **{"enableSeq": 2, **again}),
    ]


def test_a_scheduler_without_callbacks_for_hotplug_is_attached_again() -> None:
    assert set(phases(judged(unplugged())).values()) == {Phase.PASSED}


@pytest.mark.parametrize(
    ("lines", "phase", "words"),
    [
        (unplugged(kind=1025), Phase.FAILED, "did not live through"),
        (unplugged(kind=65), Phase.FAILED, "did not live through"),
        (unplugged(ops="another"), Phase.ERROR, "not attached again"),
        (without(unplugged(), b'"again"', b'"state"'), Phase.ERROR, "not attached again"),
        (
            [
                *without(unplugged(), b'"again"'),
                record("status", "again", program="schedcp-loader", code=18),
                record("loader", "again", event="error", exitCode=18, message="init: -17"),
            ],
            Phase.FAILED,
            "init: -17",
        ),
        (without(proof_lines(), b'"trial": "hotplug"'), Phase.ERROR, "did not go off line"),
        (
            [
                *without(proof_lines(), b'"trial": "hotplug"'),
                trial_record("hotplug", step="hotplug", offlined=1),
            ],
            Phase.ERROR,
            "did not go off line",
        ),
        (
            [
                *without(proof_lines(), b'"trial": "hotplug"'),
                trial_record("hotplug", step="hotplug", offlined=1, onlined=1, gap_ms=3501),
            ],
            Phase.FAILED,
            "empty that CPU's queue",
        ),
    ],
)
def test_what_a_cpu_that_goes_may_bring_about(lines: list[bytes], phase: Phase, words: str) -> None:
    (check,) = [check for check in judged(lines).checks if check.id == "hotplug"]
    assert check.phase is phase
    assert words in check.message


@pytest.mark.parametrize(
    ("lines", "phase", "words"),
    [
        (ejected(proof_lines(), "soak"), Phase.FAILED, "of idleness"),
        (
            [
                *without(proof_lines(), b'"step": "soak"', b'"trials"'),
                trial_record("saturated-briefly", step="soak", gap_ms=3501),
            ],
            Phase.FAILED,
            "how long it has been there",
        ),
        (without(proof_lines(), b'"step": "soak"', b'"trials"'), Phase.ERROR, "did not idle"),
        (without(proof_lines(), b'"step": "soak"', b'"state"'), Phase.ERROR, "did not idle"),
        (replaced(proof_lines(), "soak", state_record("soak")), Phase.ERROR, "did not idle"),
        (
            replaced(proof_lines(), "soak", state_record("soak", uptime="for ever")),
            Phase.ERROR,
            "did not idle",
        ),
    ],
)
def test_after_a_long_rest_there_is_work_again(
    lines: list[bytes], phase: Phase, words: str
) -> None:
    (check,) = [check for check in judged(lines).checks if check.id == "soak"]
    assert check.phase is phase
    assert words in check.message


@pytest.mark.parametrize(
    ("code", "words"),
    [(1 << 48, "asked to be attached again"), (7, "left by itself"), ("7", "left by itself")],
)
def test_who_leaves_by_itself_is_told_what_that_means(code: int | str, words: str) -> None:
    for step in ("settled", "trials", "soak"):
        lines = without(ejected(proof_lines(), step), b'"event": "exit"')
        exit_ = record(
            "loader", "proof", event="exit", kind=65, code=code, reason="unregistered from BPF"
        )
        failed = [c for c in judged([*lines, exit_]).checks if c.phase is Phase.FAILED]
        assert [words in check.message for check in failed] == [True]


@pytest.mark.parametrize(
    ("lines", "phase"),
    [
        (proof_lines(), Phase.PASSED),
        (replaced(proof_lines(), "killed", state_record("killed")), Phase.FAILED),
        (replaced(proof_lines(), "killed", state_record("killed", "disabling")), Phase.FAILED),
        (without(proof_lines(), b'"killed"'), Phase.ERROR),
    ],
)
def test_a_scheduler_goes_with_its_loader(lines: list[bytes], phase: Phase) -> None:
    assert phases(judged(lines))["loader-killed"] is phase
