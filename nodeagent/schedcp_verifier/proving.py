"""Judge what the guest reports of the candidate's proof: attachment, trials, CPU contract.

Pure: a report in, checks out. Figures are virtual time, so the same report always gives the same
judgement, and the same candidate the same report.
"""

from __future__ import annotations

from dataclasses import dataclass

from schedcp_api.verdicts import Check, ContractLoss, EvaluationContract, Phase, Stage

from .attaching import attachment, gone_with_its_loader
from .checks import passed
from .enduring import STARVED_NS, endurance
from .hotplugging import held_to_the_end, hotplug
from .kernellog import judge_kernel_log
from .records import GuestReport
from .sharing import contract_kept
from .soaking import soaked
from .troubles import MAIN_COURSE, Course

__all__ = ["Proof", "all_well", "judge_course", "judge_proof"]


@dataclass(frozen=True)
class Proof:
    """The checks of the proof, and what of the CPU contract is lost."""

    checks: tuple[Check, ...]
    losses: tuple[ContractLoss, ...] = ()
    ops_name: str = ""
    """What the scheduler called itself once it was attached."""

    @property
    def failed(self) -> bool:
        """Whether the candidate is refused."""
        return any(check.phase is Phase.FAILED for check in self.checks)


def judge_proof(report: GuestReport, ops_name: str, contract: EvaluationContract) -> Proof:
    """Return the judgement of one proof; `ops_name` is what the object calls itself.

    It is empty for a program, of which nothing was read: any name counts. A stage that did not end
    well ends the proof: what follows says nothing any more.
    """
    attach = attachment(report, ops_name)
    if not all_well(attach):
        return Proof((*attach, *_complaints(report, Stage.ATTACH)))
    dynamic = (*endurance(report, MAIN_COURSE), judge_kernel_log(report, "proof", Stage.DYNAMIC))
    if all_well(dynamic):
        dynamic += (soaked(report, starved_ns=STARVED_NS),)
    if all_well(dynamic):
        dynamic += (hotplug(report, starved_ns=STARVED_NS),)
    if all_well(dynamic):
        lost = held_to_the_end(report)
        dynamic += (lost or gone_with_its_loader(report),)
    name = report.states["settled"].ops
    if not all_well(dynamic):
        return Proof((*attach, *dynamic), ops_name=name)
    checks, losses = contract_kept(report, contract)
    return Proof((*attach, *dynamic, *checks), losses, name)


def judge_course(report: GuestReport, ops_name: str, course: Course) -> tuple[Check, ...]:
    """Return what came of the trials on another machine: what is not well, or one pass."""
    checks = attachment(report, ops_name)
    if all_well(checks):
        checks = (*endurance(report, course), judge_kernel_log(report, "proof", Stage.DYNAMIC))
    name = str(course.topology)
    bad = tuple(check for check in checks if check.phase is not Phase.PASSED)
    if bad:
        return tuple(
            check.replace(
                id=f"{check.id}-on-{name}", message=f"on a machine of {name}: {check.message}"
            )
            for check in bad
        )
    words = "; ".join(check.message for check in checks)
    return (
        passed(
            f"trials-on-{name}",
            Stage.DYNAMIC,
            f"on a machine of {name}: {words}",
            **{key: value for check in checks for key, value in check.evidence.items()},
        ),
    )


def all_well(checks: tuple[Check, ...]) -> bool:
    """Whether every check was made and none refuses."""
    return not any(check.phase in (Phase.FAILED, Phase.ERROR) for check in checks)


def _complaints(report: GuestReport, stage: Stage) -> tuple[Check, ...]:
    """Return what the kernel complained of, if it did: more is not asked of what is refused."""
    check = judge_kernel_log(report, "proof", stage)
    return (check,) if check.phase is Phase.FAILED else ()
