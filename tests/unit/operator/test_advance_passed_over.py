"""A promotion that lacks nodes which are there and cannot be taken."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.kernels import KernelProfile
from schedcp_api.nodestates import AssignmentStatus, Quarantined, RunState
from schedcp_api.policies import CanaryStep
from schedcp_api.runs import AttemptResult, NodeRole, OutcomeKind, RunStage
from schedcp_operator.assignments import desired_assignment
from schedcp_operator.events import SyncNodes
from support.operator_driver import Driver, pending
from support.operator_nodes import told
from support.operator_nouns import KERNEL, NOW, RULES, policy_spec, run

TICK = timedelta(seconds=5)
WAITS = "1 of 3 nodes; waiting for {}, each for 5 minutes at most"


def promoting(*steps: CanaryStep, nodes: int = 3) -> tuple[Driver, str, list[str]]:
    """A driver whose run has just begun to promote, the node that has it, and those that do not."""
    wide = policy_spec().canary
    wide = wide.replace(budget=wide.budget.replace(max_unavailable="100%"))
    driver = Driver(run(canary=wide.replace(steps=steps) if steps else wide), nodes=nodes)
    driver.until(RunStage.PROMOTING)
    (held,) = (entry.name for entry in driver.run.status.nodes)
    return driver, held, sorted(driver.nodes.keys() - {held})


def everywhere() -> tuple[Driver, str, list[str]]:
    """The same when all nodes have just been taken."""
    driver, held, others = promoting()
    while len(promoted(driver)) < len(driver.nodes):
        driver.step()
    return driver, held, others


def hinder(driver: Driver, name: str, reason: str) -> None:
    """Have the node refused for a reason, as it would look now."""
    view = driver.nodes[name]
    match reason:
        case "NotReady":
            view = replace(view, ready=False)
        case "Claimed":
            view = replace(view, claimed_by="policy other")
        case "AgentStale":
            driver.report(name, heartbeat_at=driver.now - timedelta(minutes=1))
            return
        case "NoSchedExt":
            driver.report(name, kernel=KernelProfile(release="x", btf_digest=KERNEL.btf_digest))
            return
        case "ForeignScheduler":
            conditions = with_condition(
                view.status.conditions,
                reason,
                ConditionStatus.TRUE,
                reason=reason,
                message="",
                now=driver.now,
            )
            driver.report(name, conditions=conditions)
            return
        case _:
            entry = Quarantined(
                object_digest=driver.run.attempt.object_digest or "",
                kernel_digest=KERNEL.content_digest(),
                reason="Stall",
                at=NOW,
            )
            driver.report(name, quarantine=(entry,))
            return
    driver.nodes[name] = view


def rush(driver: Driver, name: str, since: datetime) -> None:
    """Have the node's agent put the candidate off since then, if it is asked for it still."""
    if not driver.nodes[name].spec.assignments:
        return
    said = AssignmentStatus(
        run=driver.run.name,
        object_digest=driver.run.attempt.object_digest or "",
        state=RunState.REFUSED,
        reason="JustBooted",
        message="Pressure 20 s after the node's boot",
        since=since,
    )
    view = driver.nodes[name]
    off = view.status.replace(attached=(), assignments=(said,), sched_ext_state="disabled")
    driver.nodes[name] = replace(view, status=told(off, now=since))


def rushed(driver: Driver, names: list[str]) -> None:
    """Step until the run has ended its promotion, with these nodes in their boots' rush."""
    since = driver.now
    while driver.run.status.stage is RunStage.PROMOTING:
        for name in names:
            rush(driver, name, since)
        driver.step()


def heal(driver: Driver, name: str) -> None:
    """Have nothing wrong with the node any more."""
    driver.nodes[name] = replace(driver.nodes[name], ready=True, claimed_by="")
    driver.obey()


def promoted(driver: Driver) -> list[str]:
    """The nodes that have the candidate for good."""
    return sorted(e.name for e in driver.run.status.nodes if e.role is NodeRole.PROMOTED)


def steps_on(driver: Driver, names: list[str], reason: str, *, span: timedelta) -> None:
    """Step for so long, with these nodes refused all the time."""
    until = driver.now + span
    while driver.now < until and driver.run.status.stage is RunStage.PROMOTING:
        for name in names:
            hinder(driver, name, reason)
        driver.step()


@pytest.mark.parametrize("reason", ["NotReady", "AgentStale", "Claimed", "ForeignScheduler"])
def test_nodes_that_cannot_be_taken_for_a_moment_are_waited_for(reason: str) -> None:
    driver, held, others = promoting()
    steps_on(driver, others, reason, span=timedelta(minutes=2))
    assert driver.run.status.stage is RunStage.PROMOTING
    assert promoted(driver) == [held]
    named = ", ".join(f"{name} ({reason})" for name in others)
    assert driver.run.status.message == WAITS.format(named)
    assert [(p.name, p.reason) for p in driver.run.status.passed_over] == [
        (name, reason) for name in others
    ]
    for name in others:
        heal(driver, name)
        driver.report(name, conditions=())
    driver.obey()
    driver.until(RunStage.LEARNING)
    assert promoted(driver) == sorted(driver.nodes)
    assert driver.run.status.message == "promoted to 3 nodes"
    assert driver.run.status.passed_over == ()


def test_a_node_that_stays_away_is_gone_on_without_and_named() -> None:
    driver, held, (near, far) = promoting()
    steps_on(driver, [far], "NotReady", span=RULES.patience + timedelta(minutes=2))
    assert driver.run.status.message == f"promoted to 2 nodes; left out: {far} (NotReady)"
    assert promoted(driver) == sorted([held, near])
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert status.outcome is not None
    assert status.outcome.kind is OutcomeKind.IMPROVED
    assert status.message.endswith(f"; promoted to 2 nodes; left out: {far} (NotReady)")
    assert driver.run.attempt.result is AttemptResult.PROMOTED


@pytest.mark.parametrize("reason", ["Quarantined", "NoSchedExt"])
def test_what_no_wait_changes_is_not_waited_for_but_named(reason: str) -> None:
    driver, _, (_, far) = promoting()
    steps_on(driver, [far], reason, span=timedelta(minutes=2))
    assert driver.run.status.stage is not RunStage.PROMOTING
    assert driver.run.status.message.endswith(f"promoted to 2 nodes; left out: {far} ({reason})")


def test_a_step_that_has_enough_nodes_lacks_none() -> None:
    steps = (CanaryStep(nodes=1), CanaryStep(nodes=2))
    driver, held, (near, far) = promoting(*steps)
    steps_on(driver, [far], "NotReady", span=timedelta(minutes=2))
    assert promoted(driver) == sorted([held, near])
    assert driver.run.status.passed_over == ()


def test_nodes_that_are_away_in_turn_do_not_use_up_the_stages_time() -> None:
    driver = Driver(run(), nodes=8)
    driver.until(RunStage.PROMOTING)
    while driver.run.status.stage is RunStage.PROMOTING:
        away = sorted(driver.nodes.keys() - set(promoted(driver)))
        steps_on(driver, away, "NotReady", span=RULES.patience - 2 * TICK)
        for name in away:
            heal(driver, name)
        driver.step()  # The budget lets one of them be taken.
    driver.until(RunStage.FINISHED)
    assert driver.run.attempt.result is AttemptResult.PROMOTED
    assert 1 < len(promoted(driver)) < 8
    assert f"promoted to {len(promoted(driver))} nodes; left out: " in driver.run.status.message


def test_a_node_that_is_taken_in_its_boots_rush_is_given_back_and_costs_the_others_nothing() -> (
    None
):
    driver, held, (near, far) = promoting()
    steps_on(driver, [far], "NotReady", span=timedelta(minutes=2))
    heal(driver, far)
    driver.step()
    assert promoted(driver) == sorted([held, near, far])
    rushed(driver, [far])
    said = f"promoted to 2 nodes; left out: {far} (JustBooted)"
    assert driver.run.status.message == said
    assert promoted(driver) == sorted([held, near])
    assert desired_assignment(driver.run, far) is None
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert status.outcome is not None
    assert status.outcome.kind is OutcomeKind.IMPROVED
    assert status.message.endswith(f"; {said}")
    assert driver.run.attempt.result is AttemptResult.PROMOTED
    (entry,) = (entry for entry in status.nodes if entry.name == far)
    assert (entry.role, entry.gone_at) == (NodeRole.REVERTED, None)
    assert entry.restored_at is not None


@pytest.mark.parametrize("which", [0, 1])
def test_a_promoted_node_that_is_booted_again_is_given_back_and_the_others_keep_it(
    which: int,
) -> None:
    driver, held, (near, far) = everywhere()
    again = (held, near)[which]
    driver.report(again, boot_id="second")
    rushed(driver, [again])
    assert promoted(driver) == sorted({held, near, far} - {again})
    assert driver.run.status.message.endswith(f"left out: {again} (JustBooted)")


def test_a_boots_rush_that_ends_in_time_gives_no_node_back() -> None:
    driver, _, (near, _) = everywhere()
    since = driver.now
    while driver.now <= since + RULES.attach:
        rush(driver, near, since)
        driver.observe()
        driver.now += TICK
        driver.refresh()
    driver.obey()
    driver.until(RunStage.LEARNING)
    assert promoted(driver) == sorted(driver.nodes)


def test_a_node_that_was_given_back_is_asked_to_let_go_until_it_is_no_longer_assigned() -> None:
    driver, _, (near, _) = everywhere()
    rush(driver, near, driver.now)
    driver.now += RULES.attach + TICK
    driver.refresh()
    for _ in range(2):
        assert driver.observe().effects == (SyncNodes((near,)),)
    driver.obey()
    assert SyncNodes((near,)) not in driver.observe().effects
    assert [(p.name, p.reason) for p in driver.run.status.passed_over] == [(near, "JustBooted")]


def test_a_promotion_whose_nodes_are_all_in_their_rush_ends_without_blame() -> None:
    driver, held, others = everywhere()
    rushed(driver, [held, *others])
    assert pending(driver.run.status) == (RunStage.ROLLING_BACK, "NodeRebooted")
    outcome = driver.run.status.pending_outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.INCONCLUSIVE
