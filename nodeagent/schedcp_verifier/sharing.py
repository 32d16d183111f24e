"""Judge what of Kubernetes' CPU contract a candidate keeps, beside the kernel's own scheduler.

Pure. Getting nothing keeps no promise: each part has a lower and an upper bound, but for idle
groups, which may get nothing. Who is preferred must be so whether it starts before the others or
after them: whoever merely keeps the first ahead prefers nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from schedcp_api.verdicts import Check, ContractLoss, EvaluationContract, Stage

from .checks import error, failed, passed, warning
from .records import GuestReport

__all__ = ["WAIVED_WITHOUT_POLICY", "contract_kept"]

WAIVED_WITHOUT_POLICY = tuple(loss for loss in ContractLoss if loss is not ContractLoss.CPUSET)
"""Without a policy nobody says which limits the pods ask for: losses are shown, not refused."""

_KEPT = 0.5
"""How much of the default scheduler's preference, or of its CPU time, must be left."""
_EXAGGERATED = 3.0
"""How many times the default scheduler's preference is no longer the same promise."""
_MUCH = 1000
"""Beyond this a preference is told as being larger: the other got next to nothing."""
_LIMIT_SLACK = 1.3
_STARTS = ("first", "last")
"""When those start who should get more."""
_RUNS = (*(f"{run}-{start}" for run in ("weight", "nice") for start in _STARTS), "limits")


@dataclass(frozen=True)
class _Part:
    """One part of the CPU contract as measured."""

    loss: ContractLoss
    kept: bool
    sound: bool
    """Whether the default scheduler keeps it, so that the measure means something."""
    words: str


def contract_kept(
    report: GuestReport, contract: EvaluationContract
) -> tuple[tuple[Check, ...], tuple[ContractLoss, ...]]:
    """Return the checks of the Contract stage, and what is lost."""
    for arm in ("candidate", "default"):
        for run in _RUNS:
            status = report.statuses.get(("workload", f"{arm}-{run}"))
            if status != 0:
                said = report.texts.get(("workload", f"{arm}-{run}"), "").strip()
                words = f"the workload {arm}-{run} ended with {status}: {said}"
                return (error("contract", Stage.CONTRACT, words),), ()
    try:
        parts = _parts(report)
    except KeyError as missing:
        words = f"the measurement of {missing} is not in the report"
        return (error("contract", Stage.CONTRACT, words),), ()
    checks = tuple(_part_check(part, contract) for part in parts)
    return checks, tuple(part.loss for part in parts if part.sound and not part.kept)


def _part_check(part: _Part, contract: EvaluationContract) -> Check:
    id_ = f"keeps-{part.loss.value}"
    if not part.sound:
        return error(
            id_, Stage.CONTRACT, f"the default scheduler does not show it either: {part.words}"
        )
    if part.kept:
        return passed(id_, Stage.CONTRACT, part.words)
    if part.loss in contract.waived_losses:
        return warning(id_, Stage.CONTRACT, f"lost, and waived by the contract: {part.words}")
    if part.loss in contract.unneeded_losses:
        return warning(id_, Stage.CONTRACT, f"lost, and no pod there asks for it: {part.words}")
    return failed(id_, Stage.CONTRACT, f"lost under this scheduler: {part.words}")


def _told(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < _MUCH else f"over {_MUCH}"


@dataclass(frozen=True)
class _Measured:
    """The CPU time of each group, by arm and run."""

    report: GuestReport

    def cpu_ns(self, arm: str, run: str, group: str) -> int:
        return self.report.groups[f"{arm}-{run}"][group].cpu_time_ns

    def ratio(self, arm: str, run: str, more: str, less: str) -> float:
        return self.cpu_ns(arm, run, more) / max(1, self.cpu_ns(arm, run, less))

    def preference(
        self,
        loss: ContractLoss,
        run: str,
        *,
        more: str,
        less: str,
        what: str,
        exaggerated: float = _EXAGGERATED,
    ) -> _Part:
        kept, sound, words = True, True, []
        for start in _STARTS:
            at = f"{run}-{start}"
            default, candidate = (
                self.ratio(arm, at, more, less) for arm in ("default", "candidate")
            )
            enough = self.cpu_ns("candidate", at, more) >= _KEPT * self.cpu_ns("default", at, more)
            least = 1 + _KEPT * (min(default, 10.0) - 1)
            kept = kept and enough and least <= candidate <= exaggerated * default
            sound = sound and default >= 2
            words.append(
                f"{_told(candidate)} to 1 when it starts {start} "
                f"(default scheduler {_told(default)})"
            )
        return _Part(loss, kept=kept, sound=sound, words=f"{what}: {', '.join(words)}")

    def limit(self, loss: ContractLoss, group: str, *, limit_ms: int, what: str) -> _Part:
        default, candidate = (
            self.cpu_ns(arm, "limits", group) // 1_000_000 for arm in ("default", "candidate")
        )
        return _Part(
            loss,
            kept=_KEPT * default <= candidate <= limit_ms * _LIMIT_SLACK,
            sound=limit_ms * _KEPT <= default <= limit_ms * _LIMIT_SLACK,
            words=f"{what}: {candidate} ms of {limit_ms} ms allowed, default scheduler {default}",
        )


def _parts(report: GuestReport) -> tuple[_Part, ...]:
    measured = _Measured(report)
    return (
        measured.preference(
            ContractLoss.CPU_WEIGHT,
            "weight",
            more="heavy",
            less="light",
            what="cpu.weight 300 to 100",
        ),
        measured.limit(
            ContractLoss.CPU_MAX, "capped", limit_ms=250, what="cpu.max of a quarter CPU"
        ),
        measured.limit(ContractLoss.CPUSET, "fenced", limit_ms=1000, what="cpuset of one CPU"),
        measured.preference(
            ContractLoss.NICE,
            "nice",
            more="ordinary",
            less="nice10",
            what="nice 0 beside nice 10",
        ),
        measured.preference(
            ContractLoss.CGROUP_IDLE,
            "weight",
            more="light",
            less="idle",
            what="weight 100 beside idle",
            # Who is idle may get nothing for as long as this is measured, with any scheduler.
            exaggerated=math.inf,
        ),
    )
