"""A proof is judged by what the kernel says, and only a pass is a pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schedcp_api.verdicts import Phase
from schedcp_verifier.troubles import HEARTS, TRIALS
from support.proofs import (
    ejected,
    heart_changed,
    judged,
    loader_ended,
    phases,
    replaced,
    trial_changed,
    without,
)
from support.verifier import (
    heart_record,
    proof_lines,
    record,
    state_record,
    text_record,
    trial_record,
)


def test_who_lives_through_everything_and_keeps_the_contract_passes() -> None:
    proof = judged(proof_lines())
    assert set(phases(proof).values()) == {Phase.PASSED}
    assert proof.losses == ()


@pytest.mark.parametrize(
    ("change", "failing", "words"),
    [
        (lambda ls: ejected(ls, "settled"), "attach", "runnable task stall"),
        (lambda ls: loader_ended(replaced(ls, "settled", state_record("settled", enableSeq=2)), 20),
         "attach", "did not stay attached"),
        (lambda ls: loader_ended(replaced(ls, "attached", state_record("attached", ops="x")), 20),
         "attach", "did not stay attached"),
        (lambda ls: ejected(ls, "trials"), "trials", "1026"),
        (lambda ls: ejected(ls, "contract"), "trials", "the contract's measurement"),
        (lambda ls: [*ls, text_record("complaints", "proof", "BUG: workqueue lockup - pool")],
         "kernel-log", "workqueue lockup"),
        (lambda _: proof_lines(gap_ms=3501), "starvation", "normal 3501 ms"),
        (lambda ls: [*without(ls, b"saturated"), trial_record("saturated", gap_ms=3501)],
         "starvation", "hog 3501 ms"),
        (lambda ls: heart_changed(ls, "rcu", heart_record("rcu", 9000, beats=0)),
         "starvation", "rcu 9000 ms"),
        (lambda ls: trial_changed(ls, "forks", forksRefused=3), "trials", "3 forks failed"),
        (lambda ls: trial_changed(ls, "cgroups", cgroups=1, cgroupsRefused=1, moves=0),
         "trials", "pods would not start"),
        (lambda ls: trial_changed(ls, "cgroups", movesRefused=2), "trials", "2 tasks could not"),
        (lambda ls: trial_changed(ls, "bursts", bursts=9), "trials", "hardly done"),
        (lambda ls: trial_changed(ls, "many", bursts=1199), "trials", "1199 bursts"),
        (lambda ls: trial_changed(ls, "hogged-one", late=3), "trials", "3 of the light tasks"),
        (lambda ls: trial_changed(ls, "hogged-one", late=3), "trials", "cpu_release"),
        (lambda ls: trial_changed(ls, "throttle", released=7), "trials", "7 released"),
        (lambda ls: trial_changed(ls, "idle", switches=110_000), "storms", "let a task use"),
        (lambda ls: trial_changed(ls, "spread", interrupts=20_001), "storms", "kick a CPU once"),
        (lambda ls: trial_changed(ls, "spread", requeued=20_001), "storms", "queued again"),
        (lambda ls: trial_changed(ls, "spread", idleMs=700), "work-conservation", "more tasks"),
        (lambda ls: trial_changed(ls, "few", idleMs=1300), "work-conservation", "fewer tasks"),
        (lambda ls: trial_changed(ls, "wakeups", sleeps=400), "work-conservation", "kick an idle"),
    ],
)  # fmt: skip
def test_what_goes_wrong_fails_and_says_so(
    change: Callable[[list[bytes]], list[bytes]], failing: str, words: str
) -> None:
    proof = judged(change(proof_lines()))
    failed = {check.id: check.message for check in proof.checks if check.phase is Phase.FAILED}
    assert words in failed[failing]
    assert proof.losses == ()


@pytest.mark.parametrize(("verified", "phase"), [(499_999, "Passed"), (500_000, "Warning")])
def test_programs_near_the_kernels_limit_are_told(verified: int, phase: str) -> None:
    lines = without(proof_lines(), b'"loader"', b'"loaded"')
    programs = [{"name": "enqueue", "verifiedInstructions": verified}]
    lines.append(record("loader", "proof", event="loaded", programs=programs))
    found = judged(lines)
    assert phases(found)["complexity"] == phase
    assert not found.failed


@pytest.mark.parametrize(
    ("effects", "phase"),
    [
        ({"wokenMostUs": 210_000}, Phase.WARNING),
        ({"wokenMostUs": 199_000}, Phase.PASSED),
        ({"wokenMostUs": 210_000, "wokenUs": 15_000_000}, Phase.PASSED),
        ({"woken": 50, "wokenUs": 50_000}, Phase.PASSED),
        ({"woken": 49, "wokenUs": 49_000}, Phase.WARNING),
    ],
)
def test_a_wakeup_that_waits_much_longer_than_the_rest_is_told_and_refuses_nobody(
    effects: dict[str, int], phase: Phase
) -> None:
    proof = judged(trial_changed(proof_lines(), "saturated", **effects))
    assert phases(proof)["tails"] is phase
    assert not proof.failed


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        (lambda ls: without(ls, b'"status"', b"schedcp-loader"), "attach"),
        (lambda ls: loader_ended(ls, 137), "attach"),
        (lambda ls: loader_ended(ls, 1), "attach"),
    ],
)
def test_a_loader_that_broke_refuses_nobody(
    change: Callable[[list[bytes]], list[bytes]], id_: str
) -> None:
    lines = replaced(change(proof_lines()), "settled", state_record("settled", "disabled", ""))
    assert phases(judged(lines))[id_] is Phase.ERROR


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        (lambda _: proof_lines(trials=TRIALS[:3]), "trials"),
        (lambda ls: trial_changed(ls, "realtime", realtimeMs=0), "trials"),
        (lambda ls: trial_changed(ls, "hogged-one", realtimeMs=0, late=9), "trials"),
        (lambda ls: trial_changed(ls, "throttle", moves=7), "trials"),
        (lambda ls: trial_changed(ls, "cgroups", cgroups=200), "trials"),
        (lambda ls: trial_changed(ls, "waiting-churn", niced=0), "trials"),
        (lambda ls: trial_changed(ls, "pinned", bound=0), "trials"),
        (lambda ls: without(ls, b'"control"', b'"spread"'), "work-conservation"),
        (lambda ls: without(ls, b'"control"', b'"idle"'), "storms"),
        (lambda ls: [trial_record("few", step="control", idleMs=4000) if b'"control"' in line
                     and b'"few"' in line else line for line in ls], "work-conservation"),
        (lambda ls: heart_changed(ls, "kworker-each", None), "starvation"),
        (lambda ls: heart_changed(ls, "rcu", heart_record("rcu", beats=0)), "starvation"),
        (lambda ls: [*ls, heart_record("stranger")], "starvation"),
        (lambda ls: [*ls, record("status", "trials", program="heartbeat", code=1)], "starvation"),
        (lambda ls: without(ls, b'"heartbeat"', b'"status"'), "starvation"),
        (lambda ls: without(ls, b'"heartbeat"'), "starvation"),
        (lambda ls: without(ls, b'"kmsg"'), "kernel-log"),
        (lambda ls: [*ls, record("status", "candidate-nice-last", program="workload", code=1)],
         "contract"),
        (lambda ls: without(ls, b'"default-weight-first"', b'"status"'), "contract"),
    ],
)  # fmt: skip
def test_trouble_that_did_not_happen_is_neither_a_pass_nor_a_rejection(
    change: Callable[[list[bytes]], list[bytes]], id_: str
) -> None:
    proof = judged(change(proof_lines()))
    assert phases(proof)[id_] is Phase.ERROR
    assert not proof.failed


def test_every_class_beats() -> None:
    for name in HEARTS:
        proof = judged(heart_changed(proof_lines(), name, None))
        assert phases(proof)["starvation"] is Phase.ERROR


@pytest.mark.parametrize(
    ("code", "message", "id_", "phase"),
    [
        (17, "the kernel refused it", "kernel-verifier", Phase.FAILED),
        (17, "refused: Cannot allocate memory", "kernel-verifier", Phase.ERROR),
        (12, "a kprobe", "attach", Phase.FAILED),
        (15, "no such knob", "attach", Phase.FAILED),
        (18, "not enabled", "attach", Phase.FAILED),
        (1, "broken", "kernel-verifier", Phase.ERROR),
        (10, "another object", "kernel-verifier", Phase.ERROR),
        (16, "another scheduler", "kernel-verifier", Phase.ERROR),
        (19, "no sched_ext", "kernel-verifier", Phase.ERROR),
        (64, "usage", "kernel-verifier", Phase.ERROR),
    ],
)
def test_the_loaders_exit_code_tells_whose_fault_it_is(
    code: int, message: str, id_: str, phase: Phase
) -> None:
    lines = [
        record("status", "proof", program="schedcp-loader", code=code),
        record("loader", "proof", event="error", code="x", exitCode=code, message=message),
    ]
    assert phases(judged(lines)) == {id_: phase}


def test_a_loader_that_said_nothing_proves_nothing() -> None:
    lines = without(proof_lines(), b'"loader"', b'"loaded"')
    assert phases(judged(lines)) == {"kernel-verifier": Phase.ERROR}
    lines.append(record("loader", "proof", event="loaded", programs=[]))
    assert phases(judged(lines)) == {"kernel-verifier": Phase.ERROR}


def test_an_attachment_that_takes_for_ever_is_refused_as_such() -> None:
    late = record("status", "proof", program="attach", code=1)
    lines = without(proof_lines(), b'"loader"', b'"loaded"')
    assert phases(judged([*lines, late])) == {"attach-time": Phase.FAILED}
    lines = [line for line in proof_lines() if b'"attached"' not in line]
    assert phases(judged([*lines, late]))["attach-time"] is Phase.FAILED


def test_the_kernel_verifiers_own_words_are_given() -> None:
    log = (
        "; *count += 1;\n7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n"
    )
    lines = [
        record("status", "proof", program="schedcp-loader", code=17),
        record("loader", "proof", event="error", code="LoadFailed", exitCode=17, message="no"),
        text_record("loader", "proof", log + "processed 8 insns (limit 1000000)\n"),
    ]
    check = judged(lines).checks[0]
    assert (check.id, check.phase) == ("kernel-verifier", Phase.FAILED)
    assert "map_value_or_null" in check.message


def test_some_tasks_may_be_stuck_where_a_cpu_was_taken_away() -> None:
    lines = trial_changed(trial_changed(proof_lines(), "hogged-one", late=2), "hogged-most", late=8)
    assert phases(judged(lines))["trials"] is Phase.PASSED


def test_many_that_are_stuck_beside_the_last_free_cpu_are_told() -> None:
    found = {c.id: c for c in judged(trial_changed(proof_lines(), "hogged-most", late=9)).checks}
    assert found["trials"].phase is Phase.PASSED
    assert found["stranded"].phase is Phase.WARNING
    assert "hogged-most: 9 of the light tasks" in found["stranded"].message
