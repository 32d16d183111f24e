"""A promotion that lacks nodes which are there and cannot be taken."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_api.base import ConditionStatus, with_condition
from schedcp_api.kernels import KernelProfile
from schedcp_api.nodestates import Quarantined
from schedcp_api.policies import CanaryStep
from schedcp_api.runs import AttemptResult, NodeRole, OutcomeKind, RunStage
from support.operator_driver import Driver
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
