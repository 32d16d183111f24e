"""Verifying: the verifier proves the candidate, or says why not. Could-not-tell is no answer."""

from datetime import datetime

from schedcp_api.base import ConditionStatus, percent_value, with_condition
from schedcp_api.policies import BuiltinMetric, Mode
from schedcp_api.runs import AttemptResult, RunStage
from schedcp_api.services import Verification, VerificationState
from schedcp_api.signatures import SignatureError, check_verdict
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import EvaluationContract, Phase, Verdict

from ..events import Event, Observed, Transition, VerificationSeen, VerifierFailed, Verify
from ..views import Rules, Run
from .common import NO_KEYS, bounded, conclude, enter, error, inconclusive, stay, with_attempt


def contract_of(run: Run) -> EvaluationContract:
    """Return what the run's candidates are judged by, fixed by the policy as recorded.

    What the neighbours may lose on a node, by its guard rail, they may lose in the replay, too.
    """
    search = run.policy.search
    margins = [
        guardrail.margin
        for guardrail in run.policy.guardrails
        if guardrail.metric.builtin is BuiltinMetric.NEIGHBOUR_CPU_TIME
    ]
    contract = EvaluationContract(
        metric=run.policy.objective.metric.name,
        replay=search.replay,
        minimum_improvement=run.policy.objective.minimum_effect,
        waived_losses=search.waived_losses,
        unneeded_losses=run.status.unneeded_losses,
    )
    if not margins:
        return contract
    return contract.replace(maximum_neighbour_loss=min(margins, key=percent_value))


def claims_of(run: Run, rules: Rules) -> TokenClaims:
    """Return what a token for the run's candidate is asked to claim."""
    return TokenClaims(
        run=run.name,
        nodes=run.status.eligible_nodes,
        validity_seconds=rules.token_validity_seconds,
    )


def verifying(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Ask until there is a verdict; ask anew a bounded number of times when a machine was lost."""
    match event:
        case Observed():
            return _asking(run, rules)
        case VerificationSeen(verification):
            return _seen(run, verification, now=now, rules=rules)
        case VerifierFailed(message, forgotten=True):
            return _again(run, message, now=now, rules=rules)
        case VerifierFailed(message):
            return stay(run, f"the verifier cannot be asked: {message}")
        case _:
            return Transition(run.status)


def _asking(run: Run, rules: Rules) -> Transition:
    status = run.status
    if status.profile_digest is None or status.kernel_digest is None:
        raise ValueError(f"{run.name} is in stage Verifying without a profile")
    contract = contract_of(run)
    asked = Verify(
        candidate=run.attempt.candidate,
        profile_digest=status.profile_digest,
        kernel_digest=status.kernel_digest,
        contract=contract,
        claims=claims_of(run, rules),
        verification=status.verification,
    )
    return Transition(status.replace(contract_digest=contract.content_digest()), (asked,))


def _seen(run: Run, verification: Verification, *, now: datetime, rules: Rules) -> Transition:
    if verification.state is VerificationState.LOST:
        return _again(run, verification.message, now=now, rules=rules)
    if verification.state is VerificationState.RUNNING or verification.verdict is None:
        said = f": {verification.message}" if verification.message else ""
        doing = f"verifying {run.attempt.candidate.scheduler}{said}"
        status = run.status.replace(verification=verification.id, message=doing[:2048])
        return Transition(status)
    if run.status.verification not in ("", verification.id):
        return Transition(run.status)
    return _judged(run, verification.id, verification.verdict, now=now, rules=rules)


def _judged(
    run: Run, verification: str, verdict: Verdict, *, now: datetime, rules: Rules
) -> Transition:
    if not rules.keys:
        return conclude(run, error("NoTrustedKeys", NO_KEYS), now=now)
    try:
        check_verdict(verdict, rules.keys)
    except SignatureError as err:
        return conclude(run, error(f"Verdict{err.reason}", str(err)), now=now)
    problem = _mismatch(run, verdict)
    if problem:
        return conclude(run, error("WrongVerdict", problem), now=now)
    replay = verdict.replay
    known = {
        "verdict_digest": verdict.evidence_digest(),
        "object_digest": verdict.digest,
        "ops_name": verdict.ops_name,
        "replay_improvement": replay.improvement if replay else None,
        "replay_neighbour_loss": replay.neighbour_loss if replay else None,
        "reasons": bounded(verdict.reasons()),
    }
    if is_accepted(verdict):
        attempts = with_attempt(run, result=AttemptResult.ACCEPTED, **known)
        return _accepted(run, verification, verdict, attempts=attempts, now=now)
    if verdict.accepted or verdict.undecided:
        why = "; ".join(verdict.reasons()) or "accepted without an object"
        return _again(run, f"the verifier could not tell: {why}", now=now, rules=rules)
    attempts = with_attempt(run, result=AttemptResult.REJECTED, **known)
    status = enter(
        run,
        RunStage.PLANNING,
        now=now,
        attempts=attempts,
        message=f"{run.attempt.candidate.scheduler} was rejected: {_first(verdict)}"[:2048],
    )
    return Transition(status)


def is_accepted(verdict: Verdict) -> bool:
    """Return whether the verdict is a pass, whole and without a check that could not tell."""
    bad = any(check.phase in (Phase.FAILED, Phase.ERROR) for check in verdict.checks)
    return verdict.accepted and not bad and verdict.digest is not None and bool(verdict.ops_name)


def _accepted(
    run: Run, verification: str, verdict: Verdict, *, attempts: object, now: datetime
) -> Transition:
    conditions = with_condition(
        run.status.conditions,
        "Verified",
        ConditionStatus.TRUE,
        reason="Accepted",
        message=f"{len(verdict.checks)} checks in {verdict.duration_seconds} s",
        now=now,
    )
    known = {"attempts": attempts, "conditions": conditions, "verification": verification}
    if run.policy.mode is Mode.RECOMMEND:
        gain = verdict.replay.improvement if verdict.replay else "an unknown amount"
        spelled = run.attempt.candidate.spelled
        message = f"recommended: {spelled}: better by {gain} in the replay"
        return conclude(run, inconclusive("ModeRecommend", message), now=now, **known)
    return Transition(enter(run, RunStage.SIGNING, now=now, **known))


def _again(run: Run, why: str, *, now: datetime, rules: Rules) -> Transition:
    status = run.status
    if status.retries >= rules.max_retries:
        message = f"no verdict after {status.retries + 1} tries: {why}"
        attempts = with_attempt(run, result=AttemptResult.UNDECIDED, reasons=bounded((why,)))
        if _came_by_rule(run):
            return Transition(
                enter(run, RunStage.PLANNING, now=now, attempts=attempts, message=message[:2048])
            )
        return conclude(run, error("VerifierCouldNotTell", message), now=now, attempts=attempts)
    message = f"verifying again: {why}"[:2048]
    changed = status.replace(retries=status.retries + 1, verification="", message=message)
    return Transition(changed)


def _came_by_rule(run: Run) -> bool:
    """Whether the candidate is a program that nobody asked for: the verifier may lack its build.

    What else could be tried does not depend on that.
    """
    return run.attempt.candidate.program_digest is not None and not run.policy.search.pinned


def _mismatch(run: Run, verdict: Verdict) -> str:
    if verdict.candidate_digest != run.attempt.candidate_digest:
        return f"the verdict is about candidate {verdict.candidate_digest}, another one"
    if verdict.contract_digest != contract_of(run).content_digest():
        return f"the verdict was made under contract {verdict.contract_digest}, another one"
    if verdict.kernel.content_digest() != run.status.kernel_digest:
        return f"the verdict is for kernel {verdict.kernel.release}, not that of the nodes"
    program = run.attempt.candidate.program_digest
    if verdict.accepted and program not in (None, verdict.digest):
        return f"the verdict accepts {verdict.digest}, and the candidate is the program {program}"
    return ""


def _first(verdict: Verdict) -> str:
    reasons = verdict.reasons()
    return reasons[0] if reasons else "no reason given"
