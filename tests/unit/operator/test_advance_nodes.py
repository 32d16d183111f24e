"""A run on its nodes: canary, figures and promotion, and what agents say of them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_api.nodestates import (
    COMPARING_PRESSURE,
    COMPARISON_SECONDS,
    PASSING_REFUSALS,
    AssignmentStatus,
    Quarantined,
    RunState,
)
from schedcp_api.policies import Approval, ApprovalRequired, CanaryStep
from schedcp_api.runs import MOST_BLOCKS, AttemptResult, NodeRole, OutcomeKind, RunStage
from schedcp_operator.advance import advance
from schedcp_operator.assignments import desired_assignment
from schedcp_operator.events import (
    FiguresMissing,
    FiguresRead,
    Observed,
    PromotionFigure,
    PromotionRead,
)
from support.operator_driver import Driver, at, pending
from support.operator_nodes import node, told
from support.operator_nouns import KERNEL, NOW, RULES, policy_spec, run


def test_a_canary_has_no_more_blocks_than_a_run_can_record() -> None:
    wide = policy_spec().canary.replace(
        pairs=64,
        steps=(CanaryStep(percent=100),),
        budget=policy_spec().canary.budget.replace(max_unavailable="100%"),
    )
    driver = Driver(run(canary=wide), nodes=6)
    driver.until(RunStage.CANARY)
    driver.observe()
    assert len(driver.run.status.nodes) == MOST_BLOCKS // 128


STATES = [
    (RunState.EJECTED, OutcomeKind.WORSE, "Ejected"),
    (RunState.TRIPPED, OutcomeKind.WORSE, "GuardrailTripped"),
    (RunState.REFUSED, OutcomeKind.ERROR, "Expired"),
    (RunState.FAILED, OutcomeKind.ERROR, "AttachFailed"),
]

STAGES_WITH_NODES = [
    RunStage.CANARY,
    RunStage.JUDGING,
    RunStage.AWAITING_APPROVAL,
    RunStage.PROMOTING,
]


@pytest.mark.parametrize("stage", STAGES_WITH_NODES)
@pytest.mark.parametrize(("state", "kind", "reason"), STATES)
def test_an_agents_final_word_rolls_back(
    stage: RunStage, state: RunState, kind: OutcomeKind, reason: str
) -> None:
    approval = Approval(required=ApprovalRequired.BEFORE_PROMOTION)
    driver = Driver(run(**({"approval": approval} if stage is RunStage.AWAITING_APPROVAL else {})))
    driver.until(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    name = driver.run.status.nodes[0].name
    driver.obey()
    seen = driver.nodes[name]
    said = AssignmentStatus(
        run=driver.run.name,
        object_digest=driver.run.attempt.object_digest or "",
        state=state,
        reason="Expired",
        message="why",
        since=driver.now,
    )
    driver.nodes[name] = replace(seen, status=seen.status.replace(assignments=(said,)))
    moved = driver.observe().status
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert (moved.pending_outcome.kind, moved.pending_outcome.reason) == (kind, reason)
    assert desired_assignment(driver.run, name) is None


@pytest.mark.parametrize(
    ("taken_in", "boot", "kind", "reason"),
    [
        ("first", "second", OutcomeKind.INCONCLUSIVE, "NodeRebooted"),
        ("first", "first", OutcomeKind.WORSE, "GuardrailTripped"),
        ("", "second", OutcomeKind.WORSE, "GuardrailTripped"),
        ("first", "", OutcomeKind.WORSE, "GuardrailTripped"),
    ],
)
def test_what_trips_after_a_boot_proves_nothing_against_the_candidate(
    taken_in: str, boot: str, kind: OutcomeKind, reason: str
) -> None:
    driver = Driver(run())
    driver.until(RunStage.CANARY)
    for name, seen in driver.nodes.items():
        driver.nodes[name] = replace(seen, status=seen.status.replace(boot_id=taken_in))
    driver.observe()
    (entry,) = driver.run.status.nodes
    assert entry.boot_id == taken_in
    driver.obey()
    seen = driver.nodes[entry.name]
    said = AssignmentStatus(
        run=driver.run.name,
        object_digest=driver.run.attempt.object_digest or "",
        state=RunState.TRIPPED,
        since=driver.now,
    )
    status = seen.status.replace(assignments=(said,), boot_id=boot)
    driver.nodes[entry.name] = replace(seen, status=status)
    outcome = driver.observe().status.pending_outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (kind, reason)


def test_who_waits_for_the_end_of_a_boot_proves_nothing_against_the_candidate() -> None:
    driver = at(RunStage.PROMOTING)
    driver.step()
    name = next(e.name for e in driver.run.status.nodes if e.role is NodeRole.PROMOTED)
    said = AssignmentStatus(
        run=driver.run.name,
        object_digest=driver.run.attempt.object_digest or "",
        state=RunState.REFUSED,
        reason="JustBooted",
        since=driver.now,
    )
    driver.report(name, assignments=(said,))
    assert driver.observe().status.stage is RunStage.PROMOTING
    driver.now += RULES.attach + timedelta(seconds=1)
    driver.refresh()
    outcome = driver.observe().status.pending_outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "NodeRebooted")


def test_what_a_new_leader_could_not_see_does_not_count_against_a_run() -> None:
    driver = at(RunStage.JUDGING)
    driver.now += timedelta(hours=2)
    fresh = replace(RULES, leading_since=driver.now)
    seen = Observed(driver.world())
    kept = advance(driver.run, seen, now=driver.now, rules=fresh)
    assert kept.status.stage is RunStage.JUDGING
    late = driver.now + timedelta(hours=1)
    assert advance(driver.run, seen, now=late, rules=fresh).status.stage is RunStage.ROLLING_BACK


def test_heartbeats_that_could_not_arrive_are_waited_for() -> None:
    driver = at(RunStage.CANARY)
    driver.observe()
    driver.now += timedelta(minutes=5)
    fresh = replace(RULES, leading_since=driver.now)
    seen = Observed(driver.world())
    kept = advance(driver.run, seen, now=driver.now, rules=fresh)
    assert kept.status.stage is not RunStage.ROLLING_BACK


@pytest.mark.parametrize("reason", sorted(PASSING_REFUSALS))
def test_a_refusal_that_may_pass_is_given_time(reason: str) -> None:
    driver = at(RunStage.CANARY)
    driver.step()
    name = driver.run.status.nodes[0].name
    view = driver.nodes[name]
    said = view.status.assignments[0].replace(
        state=RunState.REFUSED, reason=reason, since=driver.now
    )
    refused = view.status.replace(assignments=(said,), switchback=None)
    driver.nodes[name] = replace(view, status=refused)
    assert driver.observe().status.stage is RunStage.CANARY
    driver.now += RULES.attach + timedelta(seconds=1)
    if reason == COMPARING_PRESSURE:
        driver.nodes[name] = replace(view, status=refused.replace(heartbeat_at=driver.now))
        assert driver.observe().status.stage is RunStage.CANARY
        driver.now += timedelta(seconds=COMPARISON_SECONDS)
    driver.nodes[name] = replace(view, status=refused.replace(heartbeat_at=driver.now))
    assert driver.observe().status.stage is RunStage.ROLLING_BACK


def test_a_promoted_node_that_loses_its_scheduler_begins_anew() -> None:
    driver = Driver(run(), nodes=3)
    driver.until(RunStage.PROMOTING)
    name = driver.run.status.nodes[0].name
    driver.now += RULES.soak + RULES.attach + timedelta(minutes=5)
    driver.refresh()
    view = driver.nodes[name]
    lost = told(
        view.status.replace(attached=(), assignments=(), sched_ext_state="disabled"), now=driver.now
    )
    driver.nodes[name] = replace(view, status=lost)
    assert driver.observe().status.stage is RunStage.PROMOTING
    driver.now += RULES.soak + RULES.attach + timedelta(seconds=1)
    driver.refresh()
    assert driver.observe().status.stage is RunStage.ROLLING_BACK


def test_a_lease_that_was_just_renewed_is_no_promotion_that_failed() -> None:
    driver = Driver(run(), nodes=3)
    driver.until(RunStage.PROMOTING)
    driver.step()
    name = driver.run.status.nodes[0].name
    driver.now += RULES.soak + RULES.attach + timedelta(minutes=5)
    driver.refresh()
    view = driver.nodes[name]
    driver.nodes[name] = replace(view, generation=view.status.observed_generation + 1)
    assert driver.observe().status.stage is RunStage.PROMOTING
    answered = view.status.replace(assignments=(), observed_generation=view.generation + 1)
    driver.nodes[name] = replace(view, generation=view.generation + 1, status=answered)
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "PromotionTimedOut")


def test_a_silent_canary_node_ends_the_run() -> None:
    driver = at(RunStage.CANARY)
    driver.observe()
    driver.now += timedelta(minutes=5)
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "NodeLost")


def promoting(*, nodes: int, promoted: int, **canary: object) -> Driver:
    """A driver that has taken the candidate to so many nodes."""
    driver = Driver(run(canary=policy_spec().canary.replace(**canary)), nodes=nodes)
    driver.until(RunStage.PROMOTING)
    while len(driver.run.status.nodes) < promoted:
        driver.step()
    return driver


def roles(driver: Driver) -> dict[str, NodeRole]:
    """What each node is to the run."""
    return {entry.name: entry.role for entry in driver.run.status.nodes}


@pytest.mark.parametrize("which", [0, 1])
def test_a_node_that_leaves_during_the_promotion_is_gone_on_without(which: int) -> None:
    driver = promoting(nodes=4, promoted=2)
    name = driver.run.status.nodes[which].name
    del driver.nodes[name]
    left_at = driver.now
    driver.until(RunStage.LEARNING)
    assert driver.run.status.message == f"promoted to 3 nodes; {name} left the cluster"
    driver.until(RunStage.FINISHED)
    assert driver.run.attempt.result is AttemptResult.PROMOTED
    assert roles(driver) == {
        name: NodeRole.REVERTED,
        **dict.fromkeys(driver.nodes, NodeRole.PROMOTED),
    }
    (gone,) = (entry for entry in driver.run.status.nodes if entry.name == name)
    assert (gone.gone_at, gone.restored_at) == (left_at, None)


def test_a_node_that_comes_back_during_the_promotion_is_promoted_again() -> None:
    driver = promoting(nodes=4, promoted=2)
    name = driver.run.status.nodes[1].name
    del driver.nodes[name]
    driver.observe()
    assert roles(driver)[name] is NodeRole.REVERTED
    assert desired_assignment(driver.run, name) is None
    driver.nodes[name] = node(name, now=driver.now)
    driver.until(RunStage.FINISHED)
    assert roles(driver) == dict.fromkeys(driver.nodes, NodeRole.PROMOTED)
    assert all(entry.gone_at is None for entry in driver.run.status.nodes)


def test_a_promotion_whose_nodes_all_left_promotes_nothing() -> None:
    driver = promoting(nodes=2, promoted=2)
    driver.nodes.clear()
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "NodesGone")
    driver.until(RunStage.FINISHED)
    status = driver.run.status
    assert status.outcome is not None
    assert (status.outcome.kind, status.outcome.reason) == (OutcomeKind.ERROR, "NodesGone")
    assert "none of node-1, node-2 is in the cluster" in status.outcome.message
    assert driver.run.attempt.result is AttemptResult.ROLLED_BACK
    assert [c.reason for c in status.conditions if c.type == "Restored"] == ["NodesGone"]


def test_steps_are_shares_of_the_nodes_that_are_left() -> None:
    steps = (CanaryStep(nodes=1), CanaryStep(percent=50), CanaryStep(percent=100))
    driver = promoting(nodes=4, promoted=1, steps=steps)
    (held,) = roles(driver)
    for name in [name for name in driver.nodes if name != held][:2]:
        del driver.nodes[name]
    while driver.run.status.step < 2:
        driver.step()
    assert list(roles(driver)) == [held]


def test_a_node_that_leaves_while_the_policy_cannot_be_read_is_no_failure() -> None:
    driver = promoting(nodes=3, promoted=2)
    del driver.nodes[driver.run.status.nodes[1].name]
    seen = replace(driver.world(), policy=None, policy_problem="spec.mode: what?")
    assert driver.tell(Observed(seen)).status.stage is RunStage.PROMOTING


def test_a_promoted_node_that_is_there_and_silent_ends_the_run() -> None:
    driver = promoting(nodes=3, promoted=2)
    driver.now += timedelta(minutes=5)
    name = driver.run.status.nodes[0].name
    for other in driver.nodes.keys() - {name}:
        driver.report(other, heartbeat_at=driver.now)
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "NodeLost")
    assert moved.message == f"the agent on {name} fell silent during the promotion"


def test_a_canary_without_nodes_with_pods_times_out() -> None:
    driver = at(RunStage.CANARY)
    driver.now += timedelta(hours=5)
    driver.nodes = {name: node(name, pods=0, now=driver.now) for name in driver.nodes}
    moved = driver.observe().status
    assert pending(moved) == (RunStage.LEARNING, "CanaryTimedOut")


def test_quarantine_is_respected() -> None:
    driver = at(RunStage.CANARY)
    entry = Quarantined(
        object_digest=driver.run.attempt.object_digest or "",
        kernel_digest=KERNEL.content_digest(),
        reason="Ejected",
        at=NOW,
    )
    driver.nodes = {n: node(n, quarantine=(entry,), now=driver.now) for n in driver.nodes}
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "Quarantined")


def test_missing_figures_are_waited_for_and_never_a_pass() -> None:
    driver = at(RunStage.JUDGING)
    assert driver.tell(FiguresMissing("connection refused")).status.stage is RunStage.JUDGING
    moved = driver.tell(FiguresRead(())).status
    assert pending(moved) == (RunStage.ROLLING_BACK, "NoData")


def test_no_step_without_figures() -> None:
    driver = at(RunStage.PROMOTING)
    assert driver.tell(FiguresMissing("gone")).status.step == 0
    name = driver.run.status.nodes[0].name
    before, after = (1.0, None), (None, 1.0)
    for figures in ((), (before,), (after,), ((1.0, 1.0), before)):
        read = tuple(PromotionFigure(name, f"Rail{i}", *both) for i, both in enumerate(figures))
        assert driver.tell(PromotionRead(0, read)).status.step == 0
        assert driver.run.status.stage is RunStage.PROMOTING
    harm = PromotionRead(0, (PromotionFigure(name, "Objective", 1.0, 9.0),))
    moved = driver.tell(harm).status
    assert pending(moved) == (RunStage.ROLLING_BACK, "GuardrailViolated")


def test_promotion_keeps_to_the_budget() -> None:
    driver = Driver(run(), nodes=12)
    driver.until(RunStage.PROMOTING)
    widest = 0
    while driver.run.status.stage is RunStage.PROMOTING:
        driver.step()
        settled = driver.settled()
        widest = max(widest, len(driver.run.status.nodes) - settled)
    assert widest == 1
    assert len(driver.run.status.nodes) == 12


@pytest.mark.parametrize(("one_per_zone", "chosen"), [(False, 3), (True, 2)])
def test_one_node_of_a_zone_at_a_time(one_per_zone: bool, chosen: int) -> None:
    canary = policy_spec().canary
    budget = canary.budget.replace(max_unavailable="100%", one_per_zone=one_per_zone)
    wide = canary.replace(steps=(CanaryStep(nodes=3), CanaryStep(percent=100)), budget=budget)
    driver = Driver(run(canary=wide), nodes=4)
    driver.until(RunStage.CANARY)
    zones = dict(zip(sorted(driver.nodes), "aaab", strict=True))
    driver.nodes = {n: replace(view, zone=zones[n]) for n, view in driver.nodes.items()}
    driver.observe()
    assert len(driver.run.status.nodes) == chosen


def test_blocks_are_in_random_pairs_that_can_be_told_again() -> None:
    driver = at(RunStage.CANARY)
    driver.observe()
    name = driver.run.status.nodes[0].name
    first, second = desired_assignment(driver.run, name), desired_assignment(driver.run, name)
    assert first == second
    assert first is not None
    assert first.switchback is not None
    arms = first.switchback.blocks
    assert len(arms) == 10
    assert all({arms[i], arms[i + 1]} == {"On", "Off"} for i in range(0, 10, 2))
