"""A part of the contract that is lost is told, and refused where it matters."""

from __future__ import annotations

import pytest

from schedcp_api.verdicts import ContractLoss, EvaluationContract, Phase
from support.proofs import judged, phases
from support.verifier import group_record, proof_lines

WAIVED = tuple(loss for loss in ContractLoss if loss is not ContractLoss.CPUSET)


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


@pytest.mark.parametrize(
    ("run", "group", "cpu_ms", "loss"),
    [
        ("limits", "capped", 0, ContractLoss.CPU_MAX),
        ("limits", "capped", 120, ContractLoss.CPU_MAX),
        ("limits", "fenced", 0, ContractLoss.CPUSET),
        ("nice-first", "nice10", 0, ContractLoss.NICE),
        ("weight-first", "heavy", 0, ContractLoss.CPU_WEIGHT),
        ("weight-last", "light", 0, ContractLoss.CGROUP_IDLE),
        ("weight-last", "light", 200, ContractLoss.CPU_WEIGHT),
    ],
)
def test_getting_nothing_or_far_too_much_keeps_no_promise(
    run: str, group: str, cpu_ms: int, loss: ContractLoss
) -> None:
    proof = judged([*proof_lines(), group_record(f"candidate-{run}", group, cpu_ms)])
    assert loss in proof.losses
    assert phases(proof)[f"keeps-{loss.value}"] is Phase.FAILED


@pytest.mark.parametrize(
    ("run", "more", "less", "loss"),
    [
        ("weight", "heavy", "light", ContractLoss.CPU_WEIGHT),
        ("weight", "light", "idle", ContractLoss.CGROUP_IDLE),
        ("nice", "ordinary", "nice10", ContractLoss.NICE),
    ],
)
@pytest.mark.parametrize("start", ["first", "last"])
def test_a_preference_that_depends_on_who_starts_first_is_none(
    run: str, more: str, less: str, loss: ContractLoss, start: str
) -> None:
    equal = [group_record(f"candidate-{run}-{start}", name, 1500) for name in (more, less)]
    proof = judged([*proof_lines(), *equal])
    assert loss in proof.losses
    assert phases(proof)[f"keeps-{loss.value}"] is Phase.FAILED


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
