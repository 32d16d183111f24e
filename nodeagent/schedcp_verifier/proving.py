"""Judge what the guest reports of the candidate's proof: attachment, trials, CPU contract.

Pure: a report in, checks out. Figures are virtual time, so the same report always gives the same
judgement, and the same candidate the same report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schedcp_api.verdicts import Check, ContractLoss, EvaluationContract, Stage

from .checks import bounded, error, failed, passed, warning
from .records import GuestReport, LoaderData, StateData
from .verifierlog import refusal_of

__all__ = ["TRIALS", "Proof", "judge_proof"]

TRIALS = (
    "bursts",
    "waiting-churn",
    "sleeping-churn",
    "pinned",
    "forks",
    "yields",
    "realtime",
    "cgroups",
    "crowd",
)
"""The trials that a candidate must live through, as the guest's program names them."""

_LOAD_FAILED, _ATTACH_FAILED = 17, 18
_LOG_DENIED = re.compile(
    r"BUG:|WARNING:|Oops|general protection|soft lockup|hard LOCKUP|rcu.*(stall|starved)|"
    r"blocked for more than|self-detected stall",
    re.IGNORECASE,
)
_RATIO_KEPT = 0.5
"""How much of the default scheduler's preference must be left for a part to count as kept."""


@dataclass(frozen=True)
class Proof:
    """The checks of the proof, and what of the CPU contract is lost."""

    checks: tuple[Check, ...]
    losses: tuple[ContractLoss, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the candidate is refused."""
        return any(check.phase == "Failed" for check in self.checks)


def judge_proof(report: GuestReport, ops_name: str, contract: EvaluationContract) -> Proof:
    """Return the judgement of one proof; `ops_name` is what the object calls itself."""
    attach = _attachment(report, ops_name)
    if any(check.phase == "Failed" for check in attach):
        return Proof((*attach, *_log(report, Stage.ATTACH)))
    dynamic = _survival(report)
    if "settled" in report.states and report.trials:
        dynamic += _starvation(report, contract)
    dynamic += _log(report, Stage.DYNAMIC)
    if any(check.phase == "Failed" for check in dynamic):
        return Proof((*attach, *dynamic))
    checks, losses = _contract(report, contract)
    return Proof((*attach, *dynamic, *checks), losses)


def _exit_evidence(exit_: LoaderData | None) -> dict[str, object]:
    if exit_ is None:
        return {}
    return {
        "exitKind": exit_.kind if exit_.kind >= 0 else None,
        "exitCode": str(exit_.code),
        "reason": exit_.reason,
        "exitMessage": exit_.message,
        "log": exit_.log,
        "dump": bounded(exit_.dump, 2000),
    }


def _why(exit_: LoaderData | None) -> str:
    if exit_ is None:
        return "the loader gave no reason"
    if not exit_.reason and not exit_.message:
        # The scheduler recorded no exit of its own; the kernel's log has the reason last.
        lines = exit_.log.splitlines()
        return lines[-1] if lines else "the kernel gave no reason"
    return f"{exit_.reason or 'exit'} (kind {exit_.kind}): {exit_.message}"


def _attachment(report: GuestReport, ops_name: str) -> tuple[Check, ...]:
    refusal = report.loader_event("proof", "error")
    messages = report.texts.get(("loader", "proof"), "")
    code = report.statuses.get(("schedcp-loader", "proof"), 0)
    if refusal is not None and code == _LOAD_FAILED:
        return (
            failed(
                "kernel-verifier",
                Stage.BUILD,
                f"the kernel refuses the programs: {refusal_of(messages)}",
                log=messages,
            ),
        )
    if refusal is not None:
        return (
            failed(
                "attach",
                Stage.ATTACH,
                f"the scheduler was not attached: {refusal.message}",
                loaderExitCode=code,
                log=messages,
                kernelLog=report.texts.get(("kmsg", "proof"), ""),
            ),
        )
    loaded = report.loader_event("proof", "loaded")
    verified = passed(
        "kernel-verifier",
        Stage.BUILD,
        "the kernel accepts the programs",
        verifiedInstructions=[
            f"{program.name} {program.verified_instructions}"
            for program in (loaded.programs if loaded else ())[:32]
        ],
    )
    return verified, _attached(report, ops_name)


def _attached(report: GuestReport, ops_name: str) -> Check:
    begin, settled = report.states.get("attached"), report.states.get("settled")
    exit_ = report.loader_event("proof", "exit")
    held = (
        begin is not None
        and settled is not None
        and begin.enabled
        and settled.enabled
        and begin.ops == settled.ops == ops_name
        and begin.enable_seq == settled.enable_seq
    )
    if not held:
        return failed(
            "attach",
            Stage.ATTACH,
            f"the scheduler did not stay attached for 1.5 s: {_why(exit_)}",
            states=_states(report),
            **_exit_evidence(exit_),
        )
    return passed(
        "attach",
        Stage.ATTACH,
        f"{ops_name} was attached and held",
        states=_states(report),
    )


def _states(report: GuestReport) -> list[str]:
    return [
        f"{step}: {s.state} {s.ops} enable_seq {s.enable_seq} at {s.uptime} s"
        for step, s in report.states.items()
    ]


def _same_enablement(begin: StateData, now: StateData | None) -> bool:
    return (
        now is not None
        and now.enabled
        and now.ops == begin.ops
        and now.enable_seq == begin.enable_seq
    )


def _survival(report: GuestReport) -> tuple[Check, ...]:
    begin = report.states["settled"]
    done = [trial.trial for trial in report.trials]
    exit_ = report.loader_event("proof", "exit")
    end = report.states.get("contract") or report.states.get("trials")
    took = [f"{trial.trial} {trial.took_ns // 1_000_000} ms" for trial in report.trials]
    if not _same_enablement(begin, report.states.get("trials")) or not _same_enablement(begin, end):
        during = TRIALS[len(done)] if len(done) < len(TRIALS) else "the contract's measurement"
        return (
            failed(
                "trials",
                Stage.DYNAMIC,
                f"the kernel ended the scheduler during or before {during}: {_why(exit_)}",
                trials=took,
                states=_states(report),
                **_exit_evidence(exit_),
            ),
        )
    if tuple(done) != TRIALS:
        missing = next(name for name in TRIALS if name not in done)
        return (
            failed(
                "trials",
                Stage.DYNAMIC,
                f"trial {missing} could not be carried out under this scheduler: "
                f"{report.texts.get(('trials', 'trials'), 'no message').strip()}",
                trials=took,
            ),
        )
    rejected = report.states["trials"].nr_rejected - begin.nr_rejected
    if rejected:
        return (
            failed(
                "rejected-tasks",
                Stage.DYNAMIC,
                f"{rejected} tasks were refused by init_task or prep and went to the default class",
            ),
        )
    events = [
        line
        for line in report.texts.get(("events", "proof"), "").splitlines()[:64]
        if not line.endswith(" 0")
    ]
    return (
        passed(
            "trials",
            Stage.DYNAMIC,
            f"{len(done)} trials were lived through",
            trials=took,
            events=events,
        ),
    )


def _starvation(report: GuestReport, contract: EvaluationContract) -> tuple[Check, ...]:
    bound_ns = contract.watchdog_ms * 1_000_000 // 2
    longest = {beat.class_: beat.longest_gap_ns for beat in report.heartbeats}
    if not longest:
        return (
            error(
                "starvation",
                Stage.DYNAMIC,
                "no heartbeat was reported, so nobody knows whether anybody starved: "
                + report.texts.get(("heartbeat", "trials"), ""),
            ),
        )
    gaps = {name: f"{gap // 1_000_000} ms" for name, gap in longest.items()}
    starved = [f"{name} {gaps[name]}" for name, gap in longest.items() if gap > bound_ns]
    if starved:
        return (
            failed(
                "starvation",
                Stage.DYNAMIC,
                f"threads went without running for longer than {bound_ns // 1_000_000} ms: "
                f"{', '.join(starved)}; give every class a bounded wait",
                longestGaps=gaps,
            ),
        )
    worst = max(longest, key=lambda name: longest[name])
    return (
        passed(
            "starvation",
            Stage.DYNAMIC,
            f"nobody starved; the longest gap was {gaps[worst]} ({worst})",
            longestGaps=gaps,
        ),
    )


def _log(report: GuestReport, stage: Stage) -> tuple[Check, ...]:
    text = report.texts.get(("kmsg", "proof"), "")
    bad = [line for line in text.splitlines() if _LOG_DENIED.search(line)]
    if bad:
        return (
            failed(
                "kernel-log",
                stage,
                f"the kernel complained while the scheduler ran: {bad[0].strip()}",
                log=text,
            ),
        )
    return (passed("kernel-log", stage, "the kernel had nothing to complain about"),)


@dataclass(frozen=True)
class _Part:
    """One part of the CPU contract as measured."""

    loss: ContractLoss
    kept: bool
    sound: bool
    """Whether the default scheduler keeps it, so that the measure means something."""
    words: str


def _contract(
    report: GuestReport, contract: EvaluationContract
) -> tuple[tuple[Check, ...], tuple[ContractLoss, ...]]:
    try:
        parts = _parts(report)
    except KeyError as missing:
        return (
            error("contract", Stage.CONTRACT, f"the measurement of {missing} is not in the report"),
        ), ()
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
    return failed(id_, Stage.CONTRACT, f"lost under this scheduler: {part.words}")


def _parts(report: GuestReport) -> tuple[_Part, ...]:
    def cpu(arm: str, run: str, group: str) -> int:
        return report.groups[f"{arm}-{run}"][group].cpu_time_ns

    def ratio(arm: str, run: str, more: str, less: str) -> float:
        return cpu(arm, run, more) / max(1, cpu(arm, run, less))

    def preference(loss: ContractLoss, run: str, more: str, less: str, what: str) -> _Part:
        default, candidate = ratio("default", run, more, less), ratio("candidate", run, more, less)
        return _Part(
            loss,
            kept=candidate - 1 >= _RATIO_KEPT * (min(default, 10.0) - 1),
            sound=default >= 2,
            words=f"{what}: {candidate:.2f} to 1, default scheduler {default:.2f} to 1",
        )

    def limit(loss: ContractLoss, group: str, limit_ms: int, what: str) -> _Part:
        default, candidate = (
            cpu(arm, "limits", group) // 1_000_000 for arm in ("default", "candidate")
        )
        return _Part(
            loss,
            kept=candidate <= limit_ms * 1.3,
            sound=default <= limit_ms * 1.3,
            words=f"{what}: {candidate} ms of {limit_ms} ms allowed, default scheduler {default}",
        )

    return (
        preference(ContractLoss.CPU_WEIGHT, "weight", "heavy", "light", "cpu.weight 300 to 100"),
        limit(ContractLoss.CPU_MAX, "capped", 250, "cpu.max of a quarter CPU"),
        limit(ContractLoss.CPUSET, "fenced", 1000, "cpuset of one CPU"),
        preference(ContractLoss.NICE, "nice", "ordinary", "nice10", "nice 0 beside nice 10"),
        preference(ContractLoss.CGROUP_IDLE, "weight", "light", "idle", "weight 100 beside idle"),
    )
