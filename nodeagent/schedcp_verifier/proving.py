"""Judge what the guest reports of the candidate's proof: attachment, trials, CPU contract.

Pure: a report in, checks out. Figures are virtual time, so the same report always gives the same
judgement, and the same candidate the same report.
"""

from __future__ import annotations

from dataclasses import dataclass

from schedcp_api.verdicts import Check, ContractLoss, EvaluationContract, Phase, Stage

from .attaching import attachment
from .enduring import endurance
from .kernellog import judge_kernel_log
from .records import GuestReport
from .sharing import contract_kept

__all__ = ["Proof", "judge_proof"]


@dataclass(frozen=True)
class Proof:
    """The checks of the proof, and what of the CPU contract is lost."""

    checks: tuple[Check, ...]
    losses: tuple[ContractLoss, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the candidate is refused."""
        return any(check.phase is Phase.FAILED for check in self.checks)


def judge_proof(report: GuestReport, ops_name: str, contract: EvaluationContract) -> Proof:
    """Return the judgement of one proof; `ops_name` is what the object calls itself.

    A stage that did not end well ends the proof: what follows says nothing any more.
    """
    attach = attachment(report, ops_name)
    if not _all_well(attach):
        return Proof((*attach, *_complaints(report, Stage.ATTACH)))
    dynamic = (*endurance(report), judge_kernel_log(report, "proof", Stage.DYNAMIC))
    if not _all_well(dynamic):
        return Proof((*attach, *dynamic))
    checks, losses = contract_kept(report, contract)
    return Proof((*attach, *dynamic, *checks), losses)


def _all_well(checks: tuple[Check, ...]) -> bool:
    return not any(check.phase in (Phase.FAILED, Phase.ERROR) for check in checks)


def _complaints(report: GuestReport, stage: Stage) -> tuple[Check, ...]:
    """Return what the kernel complained of, if it did: more is not asked of what is refused."""
    check = judge_kernel_log(report, "proof", stage)
    return (check,) if check.phase is Phase.FAILED else ()
