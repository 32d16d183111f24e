"""A policy that cannot be read: the run goes no further, and harm still ends it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_api.nodestates import AssignmentStatus, RunState
from schedcp_api.policies import Approval, ApprovalRequired
from schedcp_api.runs import NodeRole, OutcomeKind, RunStage
from schedcp_operator.assignments import desired_assignment, touches
from schedcp_operator.events import Observed, SyncNodes, Transition
from support.operator_driver import Driver
from support.operator_nouns import RULES, run

PROBLEM = "spec.mode: not one of Observe, Recommend, Canary, Auto"
WAITING = f"waiting for the policy: {PROBLEM}"
HOLDING = [RunStage.CANARY, RunStage.JUDGING, RunStage.PROMOTING]


def at(stage: RunStage) -> Driver:
    """A driver whose run is in `stage`, with its nodes chosen and assigned."""
    approval = Approval(required=ApprovalRequired.BEFORE_CANARY)
    driver = Driver(run(**({"approval": approval} if stage is RunStage.AWAITING_APPROVAL else {})))
    driver.until(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    driver.obey()
    return driver


def observe(driver: Driver) -> Transition:
    """Look at the world with a policy that is there and cannot be read."""
    return driver.tell(Observed(replace(driver.world(), policy=None, policy_problem=PROBLEM)))


def say(driver: Driver, state: RunState, reason: str = "Why") -> str:
    """Let the agent of the first node with the candidate say something of it; return the node."""
    name = driver.run.status.nodes[0].name
    said = AssignmentStatus(
        run=driver.run.name,
        object_digest=driver.run.attempt.object_digest or "",
        state=state,
        reason=reason,
        message="words",
        since=driver.now,
    )
    driver.report(name, assignments=(said,))
    return name


def rolled_back(driver: Driver, moved: Transition) -> tuple[OutcomeKind, str]:
    """The kind and reason of what took the candidate off every node."""
    names = tuple(entry.name for entry in moved.status.nodes)
    assert moved.status.stage is RunStage.ROLLING_BACK
    assert moved.effects == (SyncNodes(touches(driver.run)),)
    assert {entry.role for entry in moved.status.nodes} == {NodeRole.REVERTED}
    assert not any(desired_assignment(driver.run, name) for name in names)
    assert moved.status.pending_outcome is not None
    return moved.status.pending_outcome.kind, moved.status.pending_outcome.reason


@pytest.mark.parametrize("stage", list(RunStage)[:9])
def test_the_run_waits_and_says_why(stage: RunStage) -> None:
    driver = at(stage)
    moved = observe(driver)
    assert (moved.status.stage, moved.status.message) == (stage, WAITING)
    assert moved.effects == ()


@pytest.mark.parametrize("stage", HOLDING)
@pytest.mark.parametrize(
    ("state", "kind", "reason"),
    [
        (RunState.EJECTED, OutcomeKind.WORSE, "Ejected"),
        (RunState.TRIPPED, OutcomeKind.WORSE, "GuardrailTripped"),
        (RunState.REFUSED, OutcomeKind.ERROR, "Expired"),
        (RunState.FAILED, OutcomeKind.ERROR, "AttachFailed"),
    ],
)
def test_an_agents_final_word_rolls_back(
    stage: RunStage, state: RunState, kind: OutcomeKind, reason: str
) -> None:
    driver = at(stage)
    name = say(driver, state, "Expired")
    moved = observe(driver)
    assert rolled_back(driver, moved) == (kind, reason)
    assert moved.status.message == f"{name}: {state}: Expired: words"


def test_one_nodes_ejection_takes_the_candidate_off_the_others() -> None:
    driver = at(RunStage.PROMOTING)
    while len(driver.run.status.nodes) < 2:
        driver.step()
    say(driver, RunState.EJECTED)
    assert rolled_back(driver, observe(driver)) == (OutcomeKind.WORSE, "Ejected")


@pytest.mark.parametrize("stage", HOLDING)
def test_a_refusal_that_may_pass_is_waited_for(stage: RunStage) -> None:
    driver = at(stage)
    say(driver, RunState.REFUSED, "BadSignature")
    assert observe(driver).status.message == WAITING
    driver.now += RULES.attach + timedelta(seconds=1)
    driver.refresh()
    assert rolled_back(driver, observe(driver)) == (OutcomeKind.ERROR, "BadSignature")


@pytest.mark.parametrize(
    ("stage", "during"), [(RunStage.CANARY, "canary"), (RunStage.PROMOTING, "promotion")]
)
def test_a_silent_node_rolls_back(stage: RunStage, during: str) -> None:
    driver = at(stage)
    driver.now += 2 * RULES.heartbeat + timedelta(seconds=1)
    moved = observe(driver)
    assert rolled_back(driver, moved) == (OutcomeKind.ERROR, "NodeLost")
    assert moved.status.message.endswith(f"fell silent during the {during}")


def test_silence_in_judging_ends_nothing_as_with_a_policy() -> None:
    driver = at(RunStage.JUDGING)
    driver.now += 2 * RULES.heartbeat + timedelta(seconds=1)
    assert driver.observe().status.stage is RunStage.JUDGING
    assert observe(driver).status.message == WAITING


@pytest.mark.parametrize("stage", HOLDING)
def test_the_stages_deadline_counts(stage: RunStage) -> None:
    driver = at(stage)
    started = driver.run.status.stage_started_at
    assert started is not None
    driver.now = started + RULES.deadline(driver.run)
    driver.refresh()
    assert observe(driver).status.message == WAITING
    driver.now += timedelta(seconds=1)
    driver.refresh()
    moved = observe(driver)
    assert rolled_back(driver, moved) == (OutcomeKind.INCONCLUSIVE, "PolicyUnreadable")
    assert moved.status.message == (
        f"the time for stage {stage} is over, and policy checkout cannot be read: {PROBLEM}"
    )


def test_harm_is_told_rather_than_the_time() -> None:
    driver = at(RunStage.JUDGING)
    say(driver, RunState.TRIPPED)
    driver.now += timedelta(hours=5)
    assert rolled_back(driver, observe(driver)) == (OutcomeKind.WORSE, "GuardrailTripped")


def test_a_canary_that_has_touched_no_node_ends_without_a_roll_back() -> None:
    driver = Driver(run())
    driver.until(RunStage.CANARY)
    driver.now += timedelta(hours=5)
    moved = observe(driver).status
    assert moved.stage is RunStage.LEARNING
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "PolicyUnreadable"


@pytest.mark.parametrize("stage", HOLDING)
def test_the_run_goes_on_once_the_policy_can_be_read(stage: RunStage) -> None:
    driver = at(stage)
    observe(driver)
    driver.until(RunStage.FINISHED)
    assert driver.run.status.outcome is not None
    assert driver.run.status.outcome.kind is OutcomeKind.IMPROVED


def test_no_other_candidate_is_tried_after_harm() -> None:
    driver = at(RunStage.CANARY)
    say(driver, RunState.EJECTED)
    observe(driver)
    driver.obey()
    moved = observe(driver).status
    assert (moved.stage, len(moved.attempts)) == (RunStage.LEARNING, 1)
