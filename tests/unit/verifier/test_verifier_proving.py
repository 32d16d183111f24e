"""A proof is judged by what the kernel says, and only a pass is a pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schedcp_api.verdicts import ContractLoss, EvaluationContract, Phase
from schedcp_verifier.microvm import Topology
from schedcp_verifier.proving import Proof, judge_course, judge_proof
from schedcp_verifier.records import parse_report
from schedcp_verifier.troubles import HEARTS, OTHER_COURSES, TRIALS, Course, hearts_of
from support.verifier import (
    group_record,
    heart_record,
    proof_lines,
    record,
    state_record,
    text_record,
    trial_record,
)

WAIVED = tuple(loss for loss in ContractLoss if loss is not ContractLoss.CPUSET)


END = b'{"from":"end"}'


def judged(lines: list[bytes], contract: EvaluationContract | None = None) -> Proof:
    """Return the judgement; what a test added to the lines is said before their end."""
    ordered = sorted(lines, key=END.__eq__)
    return judge_proof(parse_report(ordered), "tried", contract or EvaluationContract())


def phases(proof: Proof) -> dict[str, Phase]:
    return {check.id: check.phase for check in proof.checks}


def replaced(lines: list[bytes], step: str, new: bytes) -> list[bytes]:
    """Return the lines with the state of one step changed."""
    marker = f'"from": "state", "step": "{step}"'.encode()
    assert any(marker in line for line in lines)
    return [new if marker in line else line for line in lines]


def test_who_lives_through_everything_and_keeps_the_contract_passes() -> None:
    proof = judged(proof_lines())
    assert set(phases(proof).values()) == {Phase.PASSED}
    assert proof.losses == ()


def test_a_lost_part_of_the_contract_is_refused() -> None:
    proof = judged(proof_lines(fair=False))
    assert set(proof.losses) == set(WAIVED)
    assert phases(proof)["keeps-CpuMax"] is Phase.FAILED
    assert phases(proof)["keeps-Cpuset"] is Phase.PASSED


def test_a_waived_loss_is_told_and_not_refused() -> None:
    proof = judged(proof_lines(fair=False), EvaluationContract(waived_losses=WAIVED))
    assert not proof.failed
    assert set(proof.losses) == set(WAIVED)
    assert phases(proof)["keeps-Nice"] is Phase.WARNING


def test_a_loss_that_no_pod_minds_is_told_and_not_refused() -> None:
    minded = tuple(loss for loss in WAIVED if loss is not ContractLoss.CPU_MAX)
    proof = judged(
        proof_lines(fair=False),
        EvaluationContract(waived_losses=minded, unneeded_losses=(ContractLoss.CPU_MAX,)),
    )
    assert not proof.failed
    assert phases(proof)["keeps-CpuMax"] is Phase.WARNING


EXIT = record(
    "loader", "proof", event="exit", kind=1026, code=0, reason="runnable task stall", message="t[9]"
)


def without(lines: list[bytes], *words: bytes) -> list[bytes]:
    """Return the lines but those that hold every one of the words."""
    kept = [line for line in lines if not all(word in line for word in words)]
    assert len(kept) < len(lines)
    return kept


def loader_ended(lines: list[bytes], code: int) -> list[bytes]:
    """Return the lines with another exit code of the loader."""
    lines = without(lines, b'"status"', b"schedcp-loader")
    return [*lines, record("status", "proof", program="schedcp-loader", code=code)]


def trial_changed(lines: list[bytes], name: str, **effects: int) -> list[bytes]:
    """Return the lines with other effects of a trial."""
    marker, step = f'"trial": "{name}"'.encode(), b'"step": "trials"'
    assert any(marker in line and step in line for line in lines)
    return [
        trial_record(name, **effects) if marker in line and step in line else line for line in lines
    ]


def heart_changed(lines: list[bytes], name: str, new: bytes | None) -> list[bytes]:
    """Return the lines with another heart, or without it."""
    marker = f'"class": "{name}"'.encode()
    kept = [line for line in lines if marker not in line]
    return kept if new is None else [*kept, new]


def ejected(lines: list[bytes], step: str) -> list[bytes]:
    return [*replaced(loader_ended(lines, 20), step, state_record(step, "disabled", "")), EXIT]


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
        (lambda ls: [*ls, record("status", "candidate-nice", program="workload", code=1)],
         "contract"),
        (lambda ls: without(ls, b'"default-weight"', b'"status"'), "contract"),
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


@pytest.mark.parametrize(
    ("run", "group", "cpu_ms", "loss"),
    [
        ("limits", "capped", 0, ContractLoss.CPU_MAX),
        ("limits", "capped", 120, ContractLoss.CPU_MAX),
        ("limits", "fenced", 0, ContractLoss.CPUSET),
        ("nice", "nice10", 0, ContractLoss.NICE),
        ("weight", "heavy", 0, ContractLoss.CPU_WEIGHT),
        ("weight", "light", 0, ContractLoss.CGROUP_IDLE),
        ("weight", "light", 200, ContractLoss.CPU_WEIGHT),
    ],
)
def test_getting_nothing_or_far_too_much_keeps_no_promise(
    run: str, group: str, cpu_ms: int, loss: ContractLoss
) -> None:
    proof = judged([*proof_lines(), group_record(f"candidate-{run}", group, cpu_ms)])
    assert loss in proof.losses
    assert phases(proof)[f"keeps-{loss.value}"] is Phase.FAILED


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


def test_a_measurement_that_means_nothing_is_no_pass() -> None:
    lines = [line.replace(b"default-", b"nowhere-") for line in proof_lines()]
    assert phases(judged(lines))["contract"] is Phase.ERROR


def test_a_machine_that_shows_no_weights_judges_nobody() -> None:
    lines = [line.replace(b"default-", b"x-") for line in proof_lines()]
    lines += [
        line.replace(b"candidate-", b"default-")
        for line in proof_lines(fair=False)
        if b"candidate-" in line
    ]
    proof = judged(lines)
    assert phases(proof)["keeps-CpuWeight"] is Phase.ERROR
    assert ContractLoss.CPU_WEIGHT not in proof.losses


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


def test_some_tasks_may_be_stuck_where_a_cpu_was_taken_away() -> None:
    lines = trial_changed(trial_changed(proof_lines(), "hogged-one", late=2), "hogged-most", late=8)
    assert phases(judged(lines))["trials"] is Phase.PASSED


def test_many_that_are_stuck_beside_the_last_free_cpu_are_told() -> None:
    found = {c.id: c for c in judged(trial_changed(proof_lines(), "hogged-most", late=9)).checks}
    assert found["trials"].phase is Phase.PASSED
    assert found["stranded"].phase is Phase.WARNING
    assert "hogged-most: 9 of the light tasks" in found["stranded"].message
