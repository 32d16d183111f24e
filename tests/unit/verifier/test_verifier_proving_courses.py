"""Other machines, a CPU that goes, a long rest, an end: each is judged by itself."""

from __future__ import annotations

import pytest

from schedcp_api.verdicts import Phase
from schedcp_verifier.microvm import Topology
from schedcp_verifier.proving import judge_course
from schedcp_verifier.records import parse_report
from schedcp_verifier.troubles import OTHER_COURSES, Course, hearts_of
from support.proofs import (
    END,
    ejected,
    heart_changed,
    judged,
    phases,
    replaced,
    trial_changed,
    without,
)
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


SMALL = next(course for course in OTHER_COURSES if course.topology == Topology(2))


@pytest.mark.parametrize(
    ("trial", "effects", "id_"),
    [
        ("brisk", {"idleMs": 400}, "work-conservation"),
        ("pod", {"idleMs": 400}, "work-conservation"),
        ("calms-down", {"speeds": 40, "speedsHigh": 37}, "speeds"),
        ("calms-down", {"speedsLeft": 1}, "speeds"),
        ("pod", {"sleeps": 0}, "trials"),
        ("pods-pass", {"sleeps": 237}, "pod-churn"),
        ("pods-pass", {"sleeps": 0}, "pod-churn"),
        ("pods-pass", {"cgroupsRefused": 1}, "trials"),
    ],
)
def test_what_only_the_small_machine_shows_is_told_of_it(
    trial: str, effects: dict[str, int], id_: str
) -> None:
    lines = trial_changed(course_lines(SMALL), trial, **effects)
    checks = judge_course(parse_report(lines), "tried", SMALL)
    assert {check.id: check.phase for check in checks} == {f"{id_}-on-2-cpus": Phase.FAILED}


@pytest.mark.parametrize(
    ("effects", "shown"),
    [
        ({}, "0 of 0"),
        ({"speeds": 3, "speedsHigh": 3}, "3 of 3"),
        ({"speeds": 40, "speedsHigh": 36}, "36 of 40"),
    ],
)
def test_whoever_asks_for_less_speed_of_idle_cpus_or_for_none_is_well(
    effects: dict[str, int], shown: str
) -> None:
    lines = trial_changed(course_lines(SMALL), "calms-down", **effects)
    (check,) = judge_course(parse_report(lines), "tried", SMALL)
    assert check.phase is Phase.PASSED
    assert f"of CPUs that idle, {shown} requests" in check.message


def test_where_nobody_could_look_which_speeds_are_asked_for_it_is_said() -> None:
    lines = trial_changed(course_lines(SMALL), "calms-down", speedsWatched=0)
    (check,) = judge_course(parse_report(lines), "tried", SMALL)
    assert (check.id, check.phase) == ("speeds-on-2-cpus", Phase.WARNING)
    assert "nobody looked" in check.message


LARGE = next(course for course in OTHER_COURSES if course.topology.sockets > 1)


@pytest.mark.parametrize(
    ("course", "trial", "effects", "words"),
    [
        (LARGE, "saturated-briefly", {"woken": 49, "wokenUs": 49_000}, "only 49 woke"),
        (LARGE, "saturated-briefly", {"nodes": 1}, "the kernel knows 1 memory nodes of 2"),
    ],
)
def test_what_too_few_woke_for_is_not_called_well(
    course: Course, trial: str, effects: dict[str, int], words: str
) -> None:
    lines = trial_changed(course_lines(course), trial, **effects)
    found = {c.id: c for c in judge_course(parse_report(lines), "tried", course)}
    told = found[f"waking-on-{course.topology}"]
    assert told.phase is Phase.WARNING
    assert f"it cannot be told: {trial}: {words}" in told.message


@pytest.mark.parametrize("trial", ["saturated-briefly", "spare"])
def test_who_wakes_far_from_where_it_slept_is_seen_where_there_are_two_nodes(trial: str) -> None:
    lines = trial_changed(course_lines(LARGE), trial, crossed=801)
    checks = judge_course(parse_report(lines), "tried", LARGE)
    assert {check.id: check.phase for check in checks} == {"waking-on-8-cpus-2-nodes": Phase.FAILED}
    assert "waking" not in phases(judged(trial_changed(proof_lines(), "saturated", crossed=801)))


def test_a_pod_may_lose_some_wakeups_while_others_come_and_go() -> None:
    lines = trial_changed(course_lines(SMALL), "pods-pass", sleeps=238)
    (check,) = judge_course(parse_report(lines), "tried", SMALL)
    assert check.phase is Phase.PASSED
    assert check.evidence["churn"] == [
        "238 bursts a second while pods came and went, 1900 while none did"
    ]


ALONE = next(course for course in OTHER_COURSES if course.topology == Topology(1))


def test_who_is_passed_over_for_whoever_is_new_has_starved() -> None:
    lines = [
        trial_record("generations", gap_ms=3501) if b'"trial": "generations"' in line else line
        for line in course_lines(ALONE)
    ]
    checks = judge_course(parse_report(lines), "tried", ALONE)
    assert {check.id: check.phase for check in checks} == {"starvation-on-1-cpu": Phase.FAILED}


def test_what_each_check_saw_on_another_machine_is_kept() -> None:
    (found,) = judge_course(parse_report(course_lines(SMALL)), "tried", SMALL)
    assert {"busy", "rates", "tails"} <= found.evidence.keys()


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
