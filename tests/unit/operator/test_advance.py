"""The loop, event by event: state in, state out."""

import pytest

from schedcp_api.base import digest_of
from schedcp_api.policies import Approval, ApprovalRequired, Mode
from schedcp_api.runs import AttemptResult, NodeRole, OutcomeKind, RunStage
from schedcp_operator.assignments import desired_assignment
from schedcp_operator.events import (
    FiguresRead,
    LessonsStored,
    MakePlans,
    Observed,
    ReadFigures,
    SignToken,
    StoreLessons,
    SyncNodes,
    Verify,
)
from schedcp_operator.views import World
from support.operator_driver import Driver, at
from support.operator_nodes import node
from support.operator_nouns import run

GOOD = [(0.5, 1.0)] * 5
BAD = [(1.0, 0.5)] * 5


def test_the_whole_way() -> None:
    driver = Driver(run())
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert [entry.stage for entry in status.stages] == [
        RunStage.PROFILING,
        RunStage.PLANNING,
        RunStage.VERIFYING,
        RunStage.SIGNING,
        RunStage.CANARY,
        RunStage.JUDGING,
        RunStage.PROMOTING,
        RunStage.LEARNING,
        RunStage.FINISHED,
    ]
    assert status.outcome is not None
    assert status.outcome.kind is OutcomeKind.IMPROVED
    assert driver.run.attempt.result is AttemptResult.PROMOTED
    assert {entry.name for entry in status.nodes} == {"node-1", "node-2", "node-3"}
    assert all(entry.role is NodeRole.PROMOTED for entry in status.nodes)
    assert all(desired_assignment(driver.run, entry.name) for entry in status.nodes)
    assert status.lesson_digest is not None


def test_worse_is_rolled_back_and_the_next_candidate_tried() -> None:
    driver = Driver(run(), pairs=[BAD, GOOD])
    driver.until(RunStage.FINISHED)
    attempts = driver.run.status.attempts
    assert [a.result for a in attempts] == [AttemptResult.ROLLED_BACK, AttemptResult.PROMOTED]
    assert attempts[0].outcome is not None
    assert attempts[0].outcome.kind is OutcomeKind.WORSE
    assert attempts[0].candidate_digest != attempts[1].candidate_digest


def test_candidates_run_out() -> None:
    driver = Driver(run(), pairs=[BAD] * 9)
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert len(status.attempts) == 3
    assert status.outcome is not None
    assert (status.outcome.kind, status.outcome.reason) == (OutcomeKind.WORSE, "Worse")
    assert all(entry.restored_at is not None for entry in status.nodes)
    assert not any(desired_assignment(driver.run, entry.name) for entry in status.nodes)
    assert all(lesson.antipattern for lesson in driver.lessons)


def test_rejected_by_the_verifier_means_the_next_one() -> None:
    driver = Driver(run(), rejected={"latency_class", "mixed_service"})
    driver.until(RunStage.FINISHED)
    results = [attempt.result for attempt in driver.run.status.attempts]
    assert results == [AttemptResult.REJECTED, AttemptResult.REJECTED, AttemptResult.PROMOTED]
    assert driver.run.status.attempts[0].reasons == ("Dynamic/stall: a task waited",)


def test_none_accepted() -> None:
    driver = Driver(run(), rejected={"latency_class", "mixed_service", "weighted_vtime"})
    driver.until(RunStage.FINISHED)
    outcome = driver.run.status.outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "NoAcceptedCandidate")
    assert driver.run.status.nodes == ()


@pytest.mark.parametrize(
    ("mode", "last", "reason"),
    [
        (Mode.OBSERVE, RunStage.PLANNING, "ModeObserve"),
        (Mode.RECOMMEND, RunStage.VERIFYING, "ModeRecommend"),
        (Mode.CANARY, RunStage.ROLLING_BACK, "Improved"),
    ],
)
def test_modes_end_where_they_say(mode: Mode, last: RunStage, reason: str) -> None:
    driver = Driver(run(mode=mode))
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert status.stages[-3].stage is last
    assert status.outcome is not None
    assert status.outcome.reason == reason
    assert not any(desired_assignment(driver.run, entry.name) for entry in status.nodes)
    assert not any(lesson.antipattern for lesson in driver.lessons)


@pytest.mark.parametrize(
    "required", [ApprovalRequired.BEFORE_CANARY, ApprovalRequired.BEFORE_PROMOTION]
)
def test_approval_is_waited_for(required: ApprovalRequired) -> None:
    driver = Driver(run(approval=Approval(required=required)))
    driver.until(RunStage.AWAITING_APPROVAL)
    assert "kubectl annotate optimizationrun checkout-1" in driver.run.status.message
    for approved in ("", digest_of(b"another candidate")):
        driver.approved = approved
        driver.step()
        assert driver.run.status.stage is RunStage.AWAITING_APPROVAL
    driver.approved = driver.run.attempt.candidate_digest
    driver.step()
    after = {
        ApprovalRequired.BEFORE_CANARY: RunStage.CANARY,
        ApprovalRequired.BEFORE_PROMOTION: RunStage.PROMOTING,
    }
    assert driver.run.status.stage is after[required]


def test_approval_of_a_second_candidate_leads_to_its_own_canary() -> None:
    spec = {"approval": Approval(required=ApprovalRequired.BEFORE_CANARY)}
    driver = Driver(run(**spec), pairs=[BAD, GOOD])
    driver.until(RunStage.AWAITING_APPROVAL)
    driver.approved = driver.run.attempt.candidate_digest
    driver.until(RunStage.ROLLING_BACK)
    driver.until(RunStage.AWAITING_APPROVAL)
    driver.approved = driver.run.attempt.candidate_digest
    driver.step()
    assert driver.run.status.stage is RunStage.CANARY


def test_a_finished_run_never_changes() -> None:
    driver = at(RunStage.FINISHED)
    for event in (Observed(World()), LessonsStored(digest_of(b"x")), FiguresRead(())):
        assert driver.tell(event).effects == ()
        assert driver.run.status.stage is RunStage.FINISHED


@pytest.mark.parametrize(
    ("stage", "effect"),
    [
        (RunStage.PLANNING, MakePlans),
        (RunStage.VERIFYING, Verify),
        (RunStage.SIGNING, SignToken),
        (RunStage.JUDGING, ReadFigures),
        (RunStage.LEARNING, StoreLessons),
    ],
)
def test_a_restarted_operator_asks_again(stage: RunStage, effect: type) -> None:
    driver = at(stage)
    for _ in range(2):
        effects = driver.tell(Observed(driver.world())).effects
        assert [type(found) for found in effects] == [effect]


def test_a_restarted_operator_assigns_again() -> None:
    driver = at(RunStage.CANARY)
    driver.observe()
    name = driver.run.status.nodes[0].name
    driver.nodes[name] = node(name, now=driver.now)
    assert driver.observe().effects == (SyncNodes((name,)),)
