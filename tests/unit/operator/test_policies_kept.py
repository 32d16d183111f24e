"""A scheduler that a policy keeps: where it runs, and what takes it off."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    PASSING_REFUSALS,
    Assignment,
    AssignmentStatus,
    AttachedScheduler,
    RunState,
    SchedulerNodeStateSpec,
)
from schedcp_api.policies import CanaryStep, Mode, PromotedScheduler, SchedulerPolicyStatus
from schedcp_api.runs import PassedOver
from schedcp_operator.policies import decide
from schedcp_operator.policy_view import PolicyView
from schedcp_operator.views import Run
from schedcp_operator.withdrawals import REFUSAL_GRACE
from support.operator_driver import finished
from support.operator_nodes import node
from support.operator_nouns import NOW, RULES
from support.operator_policies import WORKLOAD, conditions, settled, view


def test_a_new_run_ends_what_was_kept() -> None:
    kept = PromotedScheduler(
        run="checkout-1", scheduler="latency_class", effect="40%", promoted_at=NOW
    )
    found = decide(view(status=settled(promoted=kept), runs=(finished(),)), now=NOW, rules=RULES)
    assert found.start is not None
    assert found.status.promoted is None


def kept_status() -> SchedulerPolicyStatus:
    """A policy that keeps a scheduler."""
    kept = PromotedScheduler(
        run="checkout-1", scheduler="latency_class", effect="40%", promoted_at=NOW
    )
    return settled(handled=True, promoted=kept)


def word(
    ended: Run, state: RunState, reason: str = "stall", digest: str | None = None
) -> AssignmentStatus:
    """What an agent says of the run's scheduler."""
    about = digest or ended.attempt.object_digest
    assert about is not None
    return AssignmentStatus(
        run=ended.name, object_digest=about, state=state, reason=reason, since=NOW
    )


@pytest.mark.parametrize("state", [RunState.EJECTED, RunState.TRIPPED])
def test_one_bad_node_takes_a_kept_scheduler_off_all(state: RunState) -> None:
    ended = finished()
    nodes = (node("node-1"), node("node-2", assignments=(word(ended, state),)))
    late = NOW + timedelta(seconds=5)
    found = decide(view(status=kept_status(), nodes=nodes, runs=(ended,)), now=late, rules=RULES)
    assert found.status.promoted is None
    assert conditions(found.status)["Kept"] == ("False", "Withdrawn")
    assert found.status.last_outcome == f"Withdrawn: {state}: stall"
    assert found.lesson is not None
    assert found.lesson.antipattern.startswith("do not use latency_class")
    assert found.lesson.at == NOW, "asked again, it is the same lesson"
    later = decide(view(status=found.status, nodes=nodes, runs=(ended,)), now=late, rules=RULES)
    assert conditions(later.status)["Kept"] == ("False", "Withdrawn")
    assert later.lesson is None


def test_an_earlier_candidate_of_the_run_says_nothing_of_the_kept_one() -> None:
    ended = finished()
    other = word(ended, RunState.EJECTED, digest=digest_of(b"another"))
    seen = view(status=kept_status(), nodes=(node("node-1", assignments=(other,)),), runs=(ended,))
    assert decide(seen, now=NOW, rules=RULES).status.promoted is not None


@pytest.mark.parametrize(
    ("reason", "withdrawn", "again"),
    [
        ("Expired", True, True),
        ("WrongKernel", True, True),
        ("ProgramNotHere", True, True),
        ("Quarantined", True, False),
    ],
)
def test_what_lost_its_proof_is_measured_anew(reason: str, withdrawn: bool, again: bool) -> None:
    found = decide(refused(reason, reason), now=NOW, rules=RULES)
    assert (found.status.promoted is None) is withdrawn
    assert (found.start is not None) is again


def refused(*reasons: str, since: datetime = NOW, heard: datetime = NOW) -> PolicyView:
    """A policy that keeps a scheduler which each of its nodes refuses, last heard of at `heard`."""
    ended = finished()
    nodes = tuple(
        node(
            f"node-{number}",
            now=heard,
            assignments=(word(ended, RunState.REFUSED, reason).replace(since=since),),
        )
        for number, reason in enumerate(reasons, start=1)
    )
    return view(status=kept_status(), runs=(ended,), nodes=nodes)


@pytest.mark.parametrize("reason", sorted(PASSING_REFUSALS))
def test_a_refusal_that_passes_by_itself_takes_nothing_off_at_once(reason: str) -> None:
    nearly = NOW + REFUSAL_GRACE - timedelta(seconds=1)
    for seen in (refused(reason, reason), refused(reason, reason, heard=nearly)):
        found = decide(seen, now=nearly, rules=RULES)
        assert found.status.promoted is not None
        assert found.start is None


@pytest.mark.parametrize("reason", sorted(PASSING_REFUSALS))
def test_only_what_wants_a_new_proof_is_withdrawn_when_it_does_not_pass(reason: str) -> None:
    late = NOW + REFUSAL_GRACE
    found = decide(refused(reason, reason, heard=late), now=late, rules=RULES)
    wants_proof = reason in ("BadSignature", "ContractNeeded")
    assert (found.status.promoted is None) is wants_proof
    assert (found.start is not None) is wants_proof


def test_a_key_that_leaked_is_no_reason_while_a_node_may_still_run_it() -> None:
    late = NOW + REFUSAL_GRACE
    passing = refused("BadSignature", "ForeignScheduler", heard=late)
    assert decide(passing, now=late, rules=RULES).status.promoted is not None
    gone = refused("BadSignature", "Expired", heard=late)
    assert decide(gone, now=late, rules=RULES).status.promoted is None


def test_an_agent_that_fell_silent_does_not_go_on_refusing() -> None:
    late = NOW + timedelta(days=1)
    silent = refused("ContractNeeded", heard=NOW + timedelta(seconds=1))
    assert decide(silent, now=late, rules=RULES).status.promoted is not None


def test_why_nobody_runs_it_any_more_is_said_in_the_agents_words() -> None:
    late = NOW + REFUSAL_GRACE
    seen = refused("ContractNeeded", heard=late)
    (first,) = seen.nodes
    said = first.status.assignments[0].replace(message="a pod asks for cpu.max: move it")
    nodes = (replace(first, status=first.status.replace(assignments=(said,))),)
    found = decide(replace(seen, nodes=nodes), now=late, rules=RULES)
    assert found.status.last_outcome == (
        "Withdrawn: no node runs it any more: Refused: ContractNeeded: "
        "a pod asks for cpu.max: move it"
    )


def test_a_run_that_cannot_be_read_is_not_gone() -> None:
    for status in (kept_status(), settled(handled=True, active_run="checkout-1")):
        seen = replace(view(status=status), unreadable_runs=frozenset({"checkout-1"}))
        found = decide(seen, now=NOW, rules=RULES).status
        assert (found.promoted, found.active_run) == (status.promoted, status.active_run)


def test_a_kept_scheduler_that_runs_nowhere_any_more_is_withdrawn_with_its_reason() -> None:
    ended = finished()
    digest = ended.attempt.object_digest
    assert digest is not None
    said = AssignmentStatus(
        run=ended.name, object_digest=digest, state=RunState.REFUSED, reason="Expired", since=NOW
    )
    nodes = (node("node-1", assignments=(said,)), node("node-2", assignments=(said,)))
    found = decide(
        view(status=kept_status(), runs=(ended,), nodes=nodes), now=NOW, rules=RULES
    ).status
    assert found.promoted is None
    assert found.last_outcome == "Withdrawn: no node runs it any more: Refused: Expired"


def test_where_a_kept_scheduler_really_runs_is_said() -> None:
    ended = finished()
    digest = ended.attempt.object_digest
    assert digest is not None
    attached = AttachedScheduler(
        ops_name="x", enable_seq=1, run=ended.name, object_digest=digest, since=NOW
    )
    wanted = desired_assignment_of(ended)
    running = replace(
        node("node-1", attached=(attached,), sched_ext_state="enabled"),
        spec=SchedulerNodeStateSpec(assignments=(wanted,)),
    )
    refused = AssignmentStatus(
        run=ended.name, object_digest=digest, state=RunState.REFUSED, reason="Expired", since=NOW
    )
    other = replace(
        node("node-2", assignments=(refused,)), spec=SchedulerNodeStateSpec(assignments=(wanted,))
    )
    found = decide(
        view(status=kept_status(), runs=(ended,), nodes=(running, other)), now=NOW, rules=RULES
    ).status
    assert conditions(found)["Kept"] == ("False", "NotEverywhere")
    assert "1 of 2 nodes run" in found.summary
    assert "Refused: Expired" in found.summary


def desired_assignment_of(ended: Run) -> Assignment:
    """What a node that holds the run's scheduler is assigned."""
    attempt = ended.attempt
    assert attempt.object_digest is not None
    return Assignment(
        run=ended.name,
        policy=ended.spec.policy,
        scheduler=attempt.candidate.scheduler,
        ops_name="x",
        object_digest=attempt.object_digest,
        token="t",
    )


def test_a_kept_scheduler_goes_when_the_mode_or_the_run_goes() -> None:
    kept = decide(view(status=kept_status(), runs=(finished(),)), now=NOW, rules=RULES)
    assert kept.status.promoted is not None
    lowered = view(status=kept_status(), runs=(finished(),), mode=Mode.RECOMMEND)
    assert decide(lowered, now=NOW, rules=RULES).status.promoted is None
    assert decide(view(status=kept_status()), now=NOW, rules=RULES).status.promoted is None


def gone(status: SchedulerPolicyStatus | None = None, **changes: Any) -> PolicyView:
    """A policy that keeps a scheduler, and whose workload was deleted."""
    without = {"workloads": (), "pods": 0, "runs": (finished(),), **changes}
    return view(status=status or kept_status(), **without)


def test_a_kept_scheduler_leaves_when_its_workload_was_gone_for_a_while() -> None:
    first = decide(gone(), now=NOW, rules=RULES).status
    assert first.promoted is not None
    assert first.workload_gone_since == NOW
    (said,) = (c.message for c in first.conditions if c.type == "Kept")
    assert said.endswith("nothing matches spec.workload: it is taken off at 2026-01-01T12:05:00Z")
    stored = SchedulerPolicyStatus.model_validate(first.to_json())
    early = NOW + timedelta(seconds=299)
    assert decide(gone(stored), now=early, rules=RULES).status.promoted is not None
    found = decide(gone(stored), now=NOW + timedelta(seconds=300), rules=RULES)
    assert found.status.promoted is None
    assert found.status.workload_gone_since is None
    assert found.lesson is None, "it did no harm"
    assert conditions(found.status)["Kept"] == ("False", "Withdrawn")
    assert found.status.last_outcome == (
        "Withdrawn: WorkloadGone: nothing matches spec.workload since 2026-01-01T12:00:00Z"
    )


@pytest.mark.parametrize(
    "changes", [{"workloads": (replace(WORKLOAD, complete=False),)}, {"pods": 1}]
)
def test_a_workload_without_pods_and_pods_without_a_workload_are_not_gone(
    changes: dict[str, Any],
) -> None:
    since = kept_status().replace(workload_gone_since=NOW)
    found = decide(gone(since, **changes), now=NOW + timedelta(hours=1), rules=RULES).status
    assert found.promoted is not None
    assert found.workload_gone_since is None


def test_what_was_not_listed_yet_is_not_gone() -> None:
    late = NOW + timedelta(hours=1)
    for since in (None, NOW):
        status = kept_status().replace(workload_gone_since=since)
        seen = replace(gone(status), listed=False)
        found = decide(seen, now=late, rules=RULES).status
        assert found.promoted is not None
        assert found.workload_gone_since == since


def test_a_policy_that_keeps_nothing_has_no_workload_to_miss() -> None:
    found = decide(gone(settled(handled=True)), now=NOW, rules=RULES).status
    assert found.workload_gone_since is None


def kept_on(ended: Run, *holders: str, others: tuple[str, ...] = ()) -> PolicyView:
    """A policy whose kept scheduler is assigned to and runs on `holders`, not on `others`."""
    attached = AttachedScheduler(
        ops_name="x",
        enable_seq=1,
        run=ended.name,
        object_digest=ended.attempt.object_digest,
        since=NOW,
    )
    wanted = SchedulerNodeStateSpec(assignments=(desired_assignment_of(ended),))
    nodes = (
        *(replace(node(name, attached=(attached,)), spec=wanted) for name in holders),
        *(node(name) for name in others),
    )
    return view(status=kept_status(), runs=(ended,), nodes=nodes)


def test_nodes_that_a_promotion_left_out_count_and_are_named() -> None:
    ended = finished()
    missed = PassedOver(name="node-2", reason="NotReady", since=NOW)
    ended = replace(ended, status=ended.status.replace(passed_over=(missed,)))
    seen = kept_on(ended, "node-1", "node-3", others=("node-2", "node-9"))
    found = decide(seen, now=NOW, rules=RULES).status
    assert conditions(found)["Kept"] == ("False", "NotEverywhere")
    said = "2 of 3 nodes run latency_class; left out: node-2 (NotReady), until the next run"
    assert said in found.summary
    gone = kept_on(ended, "node-1", "node-3", others=("node-9",))
    assert conditions(decide(gone, now=NOW, rules=RULES).status)["Kept"] == ("True", "Running")


def test_nodes_that_a_run_does_not_say_it_left_out_are_named_with_the_run() -> None:
    ended = finished()
    seen = kept_on(ended, "node-1", others=("node-2", "node-3", "node-9"))
    found = decide(seen, now=NOW, rules=RULES).status
    assert conditions(found)["Kept"] == ("False", "NotEverywhere")
    said = f"; not taken by run {ended.name}: node-2, node-3, until the next run"
    assert f"1 of 3 nodes run latency_class{said}" in found.summary


def test_a_node_that_came_back_after_the_run_is_named_beside_those_that_were_left_out() -> None:
    ended = finished()
    missed = (
        PassedOver(name="node-2", reason="NotReady", since=NOW),
        PassedOver(name="node-8", reason="Claimed", since=NOW),
    )
    ended = replace(ended, status=ended.status.replace(passed_over=missed))
    seen = kept_on(ended, "node-1", others=("node-2", "node-3"))
    found = decide(seen, now=NOW, rules=RULES).status
    said = f"; left out: node-2 (NotReady); not taken by run {ended.name}: node-3, until the next"
    assert f"1 of 3 nodes run latency_class{said} run" in found.summary


def test_nodes_that_the_last_step_does_not_mean_are_not_missed() -> None:
    ended = finished()
    canary = ended.policy.canary.replace(steps=(CanaryStep(nodes=1),))
    spec = ended.spec.replace(policy_spec=ended.policy.replace(canary=canary))
    seen = kept_on(replace(ended, spec=spec), "node-1", others=("node-2", "node-3"))
    found = decide(seen, now=NOW, rules=RULES).status
    assert conditions(found)["Kept"] == ("True", "Running")
