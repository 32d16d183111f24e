"""A program's way through the loop: the same stages as any candidate's."""

from dataclasses import replace
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.policies import Mode, PinnedCandidate, Search
from schedcp_api.runs import AttemptResult, OutcomeKind, RunStage
from schedcp_api.services import Verification, VerificationState
from schedcp_api.signatures import sign_verdict
from schedcp_api.tokens import open_signed
from schedcp_operator.assignments import desired_assignment
from schedcp_operator.events import (
    MakePlans,
    Observed,
    SignToken,
    TokenReceived,
    VerificationSeen,
    Verify,
)
from schedcp_operator.stages.learning import lessons_of
from support.operator_driver import Driver
from support.operator_library import BUILT, PROGRAM
from support.operator_nouns import KEY, run, token, verdict

WORDS = ("--slice-us", "5000")
PINNED = Search(
    max_candidates=1, pinned=(PinnedCandidate(scheduler=PROGRAM.name, command_line=WORDS),)
)
BAD = [(2.0, 1.0)] * 5


def driver(stage: RunStage = RunStage.PENDING, **options: Any) -> Driver:
    """A run with a pinned program, in a stage."""
    spec = options.pop("spec", {})
    made = Driver(run(search=PINNED, **spec), programs=(BUILT,), **options)
    made.until(stage)
    return made


def test_planning_is_told_what_the_agents_have() -> None:
    found = driver(RunStage.PLANNING)
    (asked,) = found.observe().effects
    assert isinstance(asked, MakePlans)
    assert asked.programs == dict.fromkeys(found.run.status.eligible_nodes, (BUILT,))
    found.report("node-2", programs=())
    (asked,) = found.observe().effects
    assert isinstance(asked, MakePlans)
    assert asked.programs["node-2"] == ()


def test_a_program_that_one_node_lacks_ends_the_run_with_the_nodes_name() -> None:
    found = driver(RunStage.PLANNING)
    found.report("node-2", programs=())
    found.until(RunStage.LEARNING)
    outcome = found.run.status.pending_outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.ERROR, "ProgramNotOnNodes")
    assert "node-2" in outcome.message


def test_it_is_verified_by_digest_and_words_and_nothing_is_fetched_for_it() -> None:
    found = driver(RunStage.VERIFYING)
    (asked,) = found.observe().effects
    assert isinstance(asked, Verify)
    assert asked.candidate.program_digest == BUILT.digest
    assert asked.candidate.command_line == WORDS
    found.until(RunStage.SIGNING)
    assert found.run.attempt.object_digest == BUILT.digest
    (signing,) = found.observe().effects
    assert isinstance(signing, SignToken)
    assert signing.built_digest is None


def test_an_object_is_fetched_before_it_is_signed_for() -> None:
    found = Driver(run())
    found.until(RunStage.SIGNING)
    (signing,) = found.observe().effects
    assert isinstance(signing, SignToken)
    assert signing.built_digest == found.run.attempt.object_digest


@pytest.mark.parametrize(
    ("search", "stage"), [(PINNED, RunStage.LEARNING), (Search(), RunStage.PLANNING)]
)
def test_a_program_that_the_verifier_lacks_ends_only_the_run_that_asked_for_it(
    search: Search, stage: RunStage
) -> None:
    found = driver(RunStage.VERIFYING)
    known = found.run
    spec = known.spec.policy_spec.replace(search=search)
    found.run = replace(known, spec=known.spec.replace(policy_spec=spec))
    lost = Verification(id=digest_of(b"v"), state=VerificationState.LOST, message="not here")
    for _ in range(3):
        found.tell(VerificationSeen(lost))
    assert found.run.status.stage is stage
    assert found.run.status.attempts[-1].result is AttemptResult.UNDECIDED


def test_a_verdict_that_accepts_another_program_ends_the_run() -> None:
    found = driver(RunStage.VERIFYING)
    found.tell(Observed(found.world()))
    given = verdict(found.run.attempt.candidate, found.run.status.contract_digest or "")
    other = sign_verdict(given.replace(digest=digest_of(b"another")), KEY)
    done = Verification(id=digest_of(b"v"), state=VerificationState.DONE, verdict=other)
    ended = found.tell(VerificationSeen(done)).status
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "WrongVerdict"
    assert BUILT.digest in ended.pending_outcome.message


@pytest.mark.parametrize(
    ("forgery", "changes"),
    [
        ("command line", {"command_line": ("--slice-us", "300")}),
        ("program", {"program_digest": None}),
        ("object", {"object_digest": digest_of(b"x"), "program_digest": digest_of(b"x")}),
    ],
)
def test_a_token_for_another_program_is_refused(forgery: str, changes: dict[str, Any]) -> None:
    found = driver(RunStage.SIGNING)
    forged = token(found.sign_request(), found.verdicts[-1], now=found.now, **changes)
    ended = found.tell(TokenReceived(forged)).status
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "WrongToken"
    assert ended.pending_outcome.message.startswith(f"the token's {forgery} is")


def test_what_is_assigned_is_what_the_token_says() -> None:
    found = driver(RunStage.CANARY)
    found.observe()
    (name,) = (entry.name for entry in found.run.status.nodes)
    wanted = desired_assignment(found.run, name)
    assert wanted is not None
    claims = open_signed(wanted.token, (KEY.public_key(),))
    assert claims.program_digest == BUILT.digest
    assert (wanted.object_digest, wanted.ops_name) == (claims.object_digest, claims.ops_name)
    assert (wanted.command_line, wanted.arguments) == (claims.command_line, ())
    assert claims.command_line == WORDS


def test_it_is_promoted_everywhere_and_remembered() -> None:
    found = driver(RunStage.FINISHED)
    assert found.run.attempt.result is AttemptResult.PROMOTED
    held = [node.spec.assignments[0].object_digest for node in found.nodes.values()]
    assert held == [BUILT.digest] * 3
    (lesson,) = found.lessons
    assert lesson.candidate.program_digest == BUILT.digest


def test_its_failure_is_remembered_with_its_words() -> None:
    found = driver(RunStage.LEARNING, pairs=[BAD])
    (lesson,) = lessons_of(found.run)
    assert lesson.result is AttemptResult.ROLLED_BACK
    assert lesson.antipattern.startswith("do not use scx_bpfland --slice-us 5000 for")


def test_it_is_recommended_with_its_words() -> None:
    found = driver(RunStage.LEARNING, spec={"mode": Mode.RECOMMEND})
    assert found.run.status.pending_outcome is not None
    assert "scx_bpfland --slice-us 5000: better by" in found.run.status.pending_outcome.message
