"""A proof is judged by what the kernel says, and only a pass is a pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schedcp_api.verdicts import ContractLoss, EvaluationContract, Phase
from schedcp_verifier.proving import TRIALS, Proof, judge_proof
from schedcp_verifier.records import parse_report
from support.verifier import proof_lines, record, state_record, text_record

WAIVED = tuple(loss for loss in ContractLoss if loss is not ContractLoss.CPUSET)


def judged(lines: list[bytes], contract: EvaluationContract | None = None) -> Proof:
    return judge_proof(parse_report(lines), "tried", contract or EvaluationContract())


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


EXIT = record(
    "loader", "proof", event="exit", kind=1026, code=0, reason="runnable task stall", message="t[9]"
)


@pytest.mark.parametrize(
    ("change", "failing", "words"),
    [
        (lambda ls: [*replaced(ls, "settled", state_record("settled", "disabled", "")), EXIT],
         "attach", "runnable task stall"),
        (lambda ls: replaced(ls, "settled", state_record("settled", enableSeq=2)),
         "attach", "did not stay attached"),
        (lambda ls: replaced(ls, "attached", state_record("attached", ops="other")),
         "attach", "did not stay attached"),
        (lambda ls: [*replaced(ls, "trials", state_record("trials", "disabled", "")), EXIT],
         "trials", "1026"),
        (lambda ls: replaced(ls, "trials", state_record("trials", enableSeq=2)), "trials", "ended"),
        (lambda ls: replaced(ls, "contract", state_record("contract", "disabled", "")),
         "trials", "the contract's measurement"),
        (lambda ls: replaced(ls, "trials", state_record("trials", nrRejected=3)),
         "rejected-tasks", "3 tasks"),
        (lambda ls: [*ls, text_record("kmsg", "proof", "BUG: workqueue lockup - pool")],
         "kernel-log", "workqueue lockup"),
        (lambda ls: [*ls, text_record("kmsg", "proof", "rcu: INFO: self-detected stall")],
         "kernel-log", "self-detected"),
        (lambda _: proof_lines(gap_ms=5001), "starvation", "normal 5001 ms"),
        (lambda _: proof_lines(trials=TRIALS[:3]), "trials", TRIALS[3]),
    ],
)  # fmt: skip
def test_what_goes_wrong_fails_and_says_so(
    change: Callable[[list[bytes]], list[bytes]], failing: str, words: str
) -> None:
    proof = judged(change(proof_lines()))
    failed = {check.id: check.message for check in proof.checks if check.phase is Phase.FAILED}
    assert words in failed[failing]
    assert proof.losses == ()


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


def test_no_heartbeat_means_could_not_tell() -> None:
    silent = [line for line in proof_lines() if b"heartbeat" not in line]
    assert phases(judged(silent))["starvation"] is Phase.ERROR


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
