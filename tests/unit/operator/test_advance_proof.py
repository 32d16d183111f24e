"""What a run takes for a proof: verdicts and tokens about its candidate, signed, and no others."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument
from schedcp_api.policies import BuiltinMetric, Direction, Guardrail, MetricSource
from schedcp_api.runs import AttemptResult, OutcomeKind, RunStage
from schedcp_api.services import Verification, VerificationState
from schedcp_api.signatures import sign_verdict
from schedcp_api.tokens import open_signed
from schedcp_api.verdicts import Check, ContractLoss, Phase, Stage, Verdict
from schedcp_operator.advance import advance
from schedcp_operator.events import (
    Observed,
    SigningRefused,
    TokenReceived,
    VerificationSeen,
    VerifierFailed,
    Verify,
)
from schedcp_operator.stages.signing import token_problem
from schedcp_operator.stages.verifying import contract_of
from schedcp_operator.views import Run
from support.operator_driver import Driver, at, pending
from support.operator_nouns import KEY, NOW, OLD_KERNEL, OTHER_KEY, RULES, run, token, verdict


def test_a_guarded_loss_is_taken_only_while_nobody_needed_it() -> None:
    changes = {
        "contract_losses": (ContractLoss.CPU_MAX,),
        "guarded_losses": (ContractLoss.CPU_MAX,),
    }
    driver = at(RunStage.SIGNING)
    signed = token(driver.sign_request(), driver.verdicts[-1], **changes)
    claims = open_signed(signed, (KEY.public_key(),))
    assert "CpuMax" in token_problem(driver.run, claims)
    status = driver.run.status.replace(unneeded_losses=(ContractLoss.CPU_MAX,))
    minding_nobody = Run(driver.run.name, driver.run.spec, status)
    found = token_problem(minding_nobody, claims)
    assert "losses" not in found


def test_a_lost_verification_is_tried_again_a_bounded_number_of_times() -> None:
    driver = at(RunStage.VERIFYING)
    lost = Verification(id=digest_of(b"v"), state=VerificationState.LOST, message="VM lost")
    for retry in (1, 2):
        assert driver.tell(VerificationSeen(lost)).status.retries == retry
    ended = driver.tell(VerificationSeen(lost)).status
    assert ended.stage is RunStage.LEARNING
    assert ended.attempts[-1].result is AttemptResult.UNDECIDED
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "VerifierCouldNotTell"


def test_a_verification_that_never_starts_says_so_to_the_end() -> None:
    driver = at(RunStage.VERIFYING)
    why = "job j: pod p waits: Unschedulable: Insufficient memory."
    held = Verification(id=digest_of(b"v"), state=VerificationState.RUNNING, message=why)
    driver.tell(VerificationSeen(held))
    assert driver.run.status.message.endswith(why)
    driver.now += timedelta(hours=5)
    driver.refresh()
    ended = driver.observe().status.pending_outcome
    assert ended is not None
    assert (ended.kind, ended.reason) == (OutcomeKind.ERROR, "VerificationTimedOut")
    assert why in ended.message


def test_a_forgotten_verification_is_asked_for_anew() -> None:
    driver = at(RunStage.VERIFYING)
    running = Verification(id=digest_of(b"v"), state=VerificationState.RUNNING)
    driver.tell(VerificationSeen(running))
    assert driver.run.status.verification == digest_of(b"v")
    driver.tell(VerifierFailed("404", forgotten=True))
    assert driver.run.status.verification == ""
    effects = driver.tell(Observed(driver.world())).effects
    assert isinstance(effects[0], Verify)
    assert effects[0].verification == ""


def test_what_the_neighbours_may_lose_on_a_node_they_may_lose_in_the_replay() -> None:
    rail = Guardrail(
        name="neighbours",
        metric=MetricSource(builtin=BuiltinMetric.NEIGHBOUR_CPU_TIME),
        direction=Direction.MAXIMIZE,
        margin="15%",
    )
    assert contract_of(run(guardrails=(rail,))).maximum_neighbour_loss == "15%"
    strict = rail.replace(name="strict", margin="9%")
    assert contract_of(run(guardrails=(rail, strict))).maximum_neighbour_loss == "9%"
    pressure = MetricSource(builtin=BuiltinMetric.NEIGHBOUR_CPU_PRESSURE)
    other = rail.replace(metric=pressure, direction=Direction.MINIMIZE)
    assert contract_of(run(guardrails=(other,))) == contract_of(run())


def given_verdict(driver: Driver, **changes: object) -> Verdict:
    """A verdict on the candidate under way, changed and then signed."""
    attempt = driver.run.attempt
    driver.tell(Observed(driver.world()))
    given = verdict(attempt.candidate, driver.run.status.contract_digest or "")
    return sign_verdict(given.replace(**changes), KEY)


def seen(given: Verdict) -> VerificationSeen:
    """A finished verification."""
    return VerificationSeen(
        Verification(id=digest_of(b"v"), state=VerificationState.DONE, verdict=given)
    )


def done(driver: Driver, **changes: object) -> VerificationSeen:
    """A finished verification of the candidate under way, with a changed verdict."""
    return seen(given_verdict(driver, **changes))


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda given: given.replace(signature=None), "VerdictUnsigned"),
        (lambda given: given.replace(key_id=None), "VerdictUntrustedKey"),
        (lambda given: sign_verdict(given, OTHER_KEY), "VerdictUntrustedKey"),
        (lambda given: given.replace(checks=()), "VerdictBadSignature"),
    ],
)
def test_a_verdict_whose_signature_does_not_hold_ends_the_run(
    forge: Callable[[Verdict], Verdict], reason: str
) -> None:
    driver = at(RunStage.VERIFYING)
    ended = driver.tell(seen(forge(given_verdict(driver)))).status
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == reason
    assert ended.attempts[-1].object_digest is None


@pytest.mark.parametrize(
    "changes",
    [
        {"candidate_digest": digest_of(b"another")},
        {"contract_digest": digest_of(b"another")},
        {"kernel": OLD_KERNEL},
    ],
)
def test_a_verdict_about_something_else_ends_the_run(changes: dict[str, object]) -> None:
    driver = at(RunStage.VERIFYING)
    ended = driver.tell(done(driver, **changes)).status
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "WrongVerdict"


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": None},
        {"ops_name": ""},
        {"checks": (Check(id="vm", stage=Stage.DYNAMIC, phase=Phase.ERROR, message="?"),)},
        {
            "accepted": False,
            "checks": (Check(id="vm", stage=Stage.DYNAMIC, phase=Phase.ERROR, message="?"),),
        },
    ],
)
def test_could_not_tell_is_neither_a_pass_nor_a_rejection(changes: dict[str, object]) -> None:
    driver = at(RunStage.VERIFYING)
    moved = driver.tell(done(driver, **changes)).status
    assert (moved.stage, moved.retries) == (RunStage.VERIFYING, 1)
    assert moved.attempts[-1].result is AttemptResult.PENDING


FORGERIES: dict[str, dict[str, Any]] = {
    "object": {"object_digest": digest_of(b"x")},
    "candidate": {"candidate_digest": digest_of(b"x")},
    "run": {"run": "another"},
    "nodes": {"nodes": ("node-1", "node-9")},
    "kernel": {"kernel_digest": digest_of(b"x")},
    "contract": {"contract_digest": digest_of(b"x")},
    "ops name": {"ops_name": "schedcp_x"},
    "arguments": {"arguments": (Argument(name="x", value="1"),)},
    "losses": {"contract_losses": (ContractLoss.CPU_MAX,)},
    "unit": {"unit": "/kubepods"},
    "scope": {"scope": "Workload"},
    "evidence": {"evidence_digest": digest_of(b"x")},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_for_something_else_is_refused(forgery: str) -> None:
    driver = at(RunStage.SIGNING)
    request = driver.sign_request()
    forged = token(request, driver.verdicts[-1], **FORGERIES[forgery])
    ended = driver.tell(TokenReceived(forged)).status
    assert pending(ended) == (RunStage.LEARNING, "WrongToken")
    assert forgery in ended.pending_outcome.message
    assert ended.token == ""


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"not_before": NOW + timedelta(hours=1)}, "NotYetValid"),
        ({"expires_at": NOW - timedelta(seconds=1)}, "Expired"),
    ],
)
def test_a_token_out_of_its_time_is_refused_by_the_agents_words(
    times: dict[str, datetime], reason: str
) -> None:
    driver = at(RunStage.SIGNING)
    signed = token(driver.sign_request(), driver.verdicts[-1], **times)
    ended = driver.tell(TokenReceived(signed)).status
    assert ended.stage is RunStage.LEARNING
    assert ended.pending_outcome is not None
    assert (ended.pending_outcome.kind, ended.pending_outcome.reason) == (OutcomeKind.ERROR, reason)
    assert ended.token == ""


def test_a_token_signed_by_another_key_is_refused() -> None:
    driver = at(RunStage.SIGNING)
    forged = token(driver.sign_request(), driver.verdicts[-1], key=OTHER_KEY)
    ended = driver.tell(TokenReceived(forged)).status
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "BadSignature"


def test_without_a_trusted_key_every_token_is_refused_and_it_says_what_sets_one() -> None:
    driver = at(RunStage.SIGNING)
    good = TokenReceived(token(driver.sign_request(), driver.verdicts[-1], now=driver.now))
    nobody = replace(RULES, keys=())
    ended = advance(driver.run, good, now=driver.now, rules=nobody).status
    assert (ended.stage, ended.token) == (RunStage.LEARNING, "")
    assert ended.pending_outcome is not None
    assert (ended.pending_outcome.kind, ended.pending_outcome.reason) == (
        OutcomeKind.ERROR,
        "NoTrustedKeys",
    )
    assert "no key is trusted" in ended.message
    assert "chart's value trustedKeys" in ended.message


def test_signing_waits_for_the_signer_and_ends_on_a_refusal() -> None:
    driver = at(RunStage.SIGNING)
    assert driver.tell(SigningRefused("Gone", "socket", final=False)).status.stage is (
        RunStage.SIGNING
    )
    ended = driver.tell(SigningRefused("SigningRefused", "409", final=True)).status
    assert ended.stage is RunStage.LEARNING
