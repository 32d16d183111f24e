"""Signing: from an accepted verdict to a token that this operator has checked itself."""

from datetime import datetime

from schedcp_api.base import ROOT_UNIT, ConditionStatus, with_condition
from schedcp_api.policies import ApprovalRequired, Scope
from schedcp_api.runs import AttemptResult, Outcome, RunStage
from schedcp_api.services import TokenRequest
from schedcp_api.tokens import DeploymentToken, TokenError, open_signed

from ..events import Event, Observed, SigningRefused, SignToken, TokenReceived, Transition
from ..views import Rules, Run
from .common import NO_KEYS, conclude, enter, error, stay
from .verifying import claims_of


def signing(run: Run, event: Event, *, now: datetime, rules: Rules) -> Transition:
    """Ask for a token for every eligible node, and go on only with one that verifies."""
    match event:
        case Observed():
            return Transition(run.status, (_request(run, rules),))
        case TokenReceived(token):
            return _received(run, token, now=now, rules=rules)
        case SigningRefused(reason, message, final=True):
            return conclude(run, error(reason, message), now=now)
        case SigningRefused(_, message):
            return stay(run, f"no token yet: {message}")
        case _:
            return Transition(run.status)


def _request(run: Run, rules: Rules) -> SignToken:
    attempt = run.attempt
    if attempt.object_digest is None:
        raise ValueError(f"{run.name} is in stage Signing, and nothing was proven")
    request = TokenRequest(verification=run.status.verification, claims=claims_of(run, rules))
    return SignToken(request, attempt.built_digest)


def _received(run: Run, text: str, *, now: datetime, rules: Rules) -> Transition:
    if not rules.keys:
        return conclude(run, error("NoTrustedKeys", NO_KEYS), now=now)
    try:
        token = open_signed(text, rules.keys)
    except TokenError as err:
        return conclude(run, error(err.reason, str(err)), now=now)
    problem = token_problem(run, token)
    wrong = error("WrongToken", problem) if problem else _not_valid(token, now=now)
    if wrong is not None:
        return conclude(run, wrong, now=now)
    stage = RunStage.CANARY
    message = ""
    if run.policy.approval.required is ApprovalRequired.BEFORE_CANARY:
        stage = RunStage.AWAITING_APPROVAL
        message = approval_message(run)
    conditions = with_condition(
        run.status.conditions,
        "Signed",
        ConditionStatus.TRUE,
        reason="TokenVerified",
        message=f"valid until {token.expires_at.isoformat()}, {len(token.nodes)} nodes",
        now=now,
    )
    status = enter(
        run, stage, now=now, token=text, nodes=(), step=0, conditions=conditions, message=message
    )
    return Transition(status)


def _not_valid(token: DeploymentToken, *, now: datetime) -> Outcome | None:
    """Return what is wrong with a token's time, under the names that agents have for it."""
    if now < token.not_before:
        return error("NotYetValid", f"the token is not yet valid: from {token.not_before}")
    if now >= token.expires_at:
        return error("Expired", f"the token expired at {token.expires_at}")
    return None


def token_problem(run: Run, token: DeploymentToken) -> str:
    """Return why a signed token is not the one for the run's accepted candidate; "" if it is."""
    attempt = run.attempt
    if attempt.result is not AttemptResult.ACCEPTED:
        return f"the candidate is {attempt.result}, not accepted"
    waived = set(run.policy.search.waived_losses)
    losses = [
        str(loss)
        for loss in token.contract_losses
        if loss not in waived
        and not (loss in token.guarded_losses and loss in run.status.unneeded_losses)
    ]
    expected = {
        "object": (token.object_digest, attempt.object_digest),
        "candidate": (token.candidate_digest, attempt.candidate_digest),
        "ops name": (token.ops_name, attempt.ops_name),
        "arguments": (token.arguments, attempt.candidate.arguments),
        "program": (token.program_digest, attempt.candidate.program_digest),
        "command line": (token.command_line, attempt.candidate.command_line),
        "kernel": (token.kernel_digest, run.status.kernel_digest),
        "contract": (token.contract_digest, run.status.contract_digest),
        "run": (token.run, run.name),
        "nodes": (set(token.nodes), set(run.status.eligible_nodes)),
        "unit": (token.unit, ROOT_UNIT),
        "scope": (token.scope, str(Scope.NODE)),
        "evidence": (token.evidence_digest, attempt.verdict_digest),
    }
    for name, (claimed, wanted) in expected.items():
        if claimed != wanted:
            return f"the token's {name} is {claimed}, not {wanted}"
    if losses:
        return f"the token allows losses that nobody waives and pods may need: {', '.join(losses)}"
    return ""


def approval_message(run: Run) -> str:
    """Return what a person has to do for the run to go on."""
    candidate = run.attempt.candidate
    return (
        f"waiting for approval of {candidate.scheduler}: kubectl annotate optimizationrun"
        f" {run.name} schedcp.io/approved={run.attempt.candidate_digest}"
    )
