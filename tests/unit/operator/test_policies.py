"""What a policy says of itself, and when it starts a run."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    Assignment,
    AssignmentStatus,
    AttachedScheduler,
    RunState,
    SchedulerNodeStateSpec,
)
from schedcp_api.policies import (
    Mode,
    ObservedWorkload,
    PromotedScheduler,
    SchedulerPolicyStatus,
    Trigger,
)
from schedcp_api.runs import RunStage
from schedcp_operator.objects import PolicyObject, WorkloadObject
from schedcp_operator.policies import decide
from schedcp_operator.policy_view import PolicyView
from schedcp_operator.views import NodeView, Run
from support.operator_driver import Driver
from support.operator_nouns import NOW, OLD_KERNEL, RULES, node, policy_spec, run

WORKLOAD = WorkloadObject(
    kind="Deployment",
    namespace="shop",
    name="checkout",
    labels={"app": "checkout"},
    revision="r1",
    complete=True,
)
TRIGGER = Trigger(stabilization_seconds=60, cooldown_seconds=3600)


def view(
    *,
    status: SchedulerPolicyStatus | None = None,
    nodes: tuple[NodeView, ...] | None = None,
    workloads: tuple[WorkloadObject, ...] = (WORKLOAD,),
    pods: int = 2,
    runs: tuple[Run, ...] = (),
    problem: str | None = "",
    keys_problem: str | None = "",
    overlap: str = "",
    generation: int = 1,
    **spec: Any,
) -> PolicyView:
    """A policy in a healthy cluster."""
    policy = PolicyObject(
        raw={},
        name="checkout",
        uid="uid-1",
        generation=generation,
        spec=policy_spec(**{"trigger": TRIGGER, **spec}),
        status=status or SchedulerPolicyStatus(observed_generation=1),
    )
    return PolicyView(
        policy=policy,
        nodes=(node("node-1"), node("node-2")) if nodes is None else nodes,
        workloads=workloads,
        pods=pods,
        runs=runs,
        prometheus_problem=problem,
        keys_problem=keys_problem,
        overlap=overlap,
        seed=7,
    )


def settled(
    *, since: datetime = NOW - timedelta(seconds=60), handled: bool = False, **changes: Any
) -> SchedulerPolicyStatus:
    """A status that has seen the rollout complete."""
    seen = ObservedWorkload(
        workload=WORKLOAD.key, revision="r1", complete_since=since, handled=handled
    )
    return SchedulerPolicyStatus(observed_generation=1, workloads=(seen,)).replace(**changes)


def conditions(found: SchedulerPolicyStatus) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {c.type: (str(c.status), c.reason) for c in found.conditions}


def test_a_rollout_must_settle_before_it_starts_a_run() -> None:
    first = decide(view(), now=NOW, rules=RULES)
    assert first.start is None
    assert first.status.workloads[0].complete_since == NOW
    assert first.status.summary == "waiting for a rollout to settle"
    early = decide(view(status=first.status), now=NOW + timedelta(seconds=5), rules=RULES)
    assert early.start is None
    late = NOW + timedelta(seconds=60)
    nodes = (node("node-1", now=late),)
    due = decide(view(status=first.status, nodes=nodes), now=late, rules=RULES)
    assert due.start is not None
    assert due.start.spec.trigger.workload == "Deployment/shop/checkout"
    assert due.start.spec.trigger.revision == "r1"
    assert due.start.spec.seed == 7
    assert due.status.active_run == due.start.name
    assert due.status.workloads[0].handled


def test_without_a_trusted_key_a_rollout_waits_unless_the_run_would_only_observe() -> None:
    waiting = decide(view(status=settled(), keys_problem="no key"), now=NOW, rules=RULES)
    assert waiting.start is None
    assert waiting.status.summary == "NoTrustedKeys: no key"
    assert not waiting.status.workloads[0].handled
    trusted = decide(view(status=waiting.status), now=NOW, rules=RULES)
    assert trusted.start is not None
    only_looks = view(status=settled(), keys_problem="no key", mode=Mode.OBSERVE)
    assert decide(only_looks, now=NOW, rules=RULES).start is not None


def test_the_same_rollout_always_gives_the_same_run() -> None:
    first, again, changed = (
        decide(view(status=settled(), generation=generation), now=NOW, rules=RULES).start
        for generation in (1, 1, 2)
    )
    assert first is not None
    assert changed is not None
    assert first == again
    assert first.name != changed.name


@pytest.mark.parametrize(
    "changes",
    [
        {"suspend": True},
        {"trigger": TRIGGER.replace(on_rollout=False)},
        {"status": settled(handled=True)},
        {"status": settled(since=NOW - timedelta(seconds=59))},
        {"status": settled(last_run_finished_at=NOW - timedelta(seconds=3599))},
        {"nodes": ()},
        {"nodes": (node(kernel=OLD_KERNEL),)},
        {"nodes": (node(pods=0),)},
        {"workloads": (replace(WORKLOAD, complete=False),)},
        {"workloads": ()},
        {"runs": (run(),)},
    ],
)
def test_what_holds_a_run_back(changes: dict[str, Any]) -> None:
    assert decide(view(**{"status": settled(), **changes}), now=NOW, rules=RULES).start is None


def test_after_the_cool_down_the_next_rollout_runs() -> None:
    status = settled(last_run_finished_at=NOW - timedelta(seconds=3600))
    assert decide(view(status=status), now=NOW, rules=RULES).start is not None


def test_a_new_revision_is_a_new_rollout() -> None:
    status = settled(handled=True)
    found = decide(
        view(status=status, workloads=(replace(WORKLOAD, revision="r2"),)), now=NOW, rules=RULES
    )
    assert found.status.workloads[0].complete_since == NOW
    assert not found.status.workloads[0].handled


def test_a_changed_policy_looks_at_its_workloads_again() -> None:
    found = decide(view(status=settled(handled=True), generation=2), now=NOW, rules=RULES)
    assert found.start is not None


def test_a_policy_that_is_changed_during_a_run_has_another_one_after_it() -> None:
    status = settled(handled=True, active_run="checkout-1")
    during = decide(view(status=status, runs=(run(),), generation=2), now=NOW, rules=RULES).status
    again = decide(view(status=during, runs=(run(),), generation=2), now=NOW, rules=RULES).status
    after = decide(view(status=again, runs=(finished(),), generation=2), now=NOW, rules=RULES)
    cooled = after.status.replace(last_run_finished_at=None)
    due = decide(view(status=cooled, runs=(finished(),), generation=2), now=NOW, rules=RULES)
    assert due.start is not None


def test_a_new_run_ends_what_was_kept() -> None:
    kept = PromotedScheduler(
        run="checkout-1", scheduler="latency_class", effect="40%", promoted_at=NOW
    )
    found = decide(view(status=settled(promoted=kept), runs=(finished(),)), now=NOW, rules=RULES)
    assert found.start is not None
    assert found.status.promoted is None


def finished() -> Run:
    """A run that was promoted."""
    driver = Driver(run())
    driver.until(RunStage.FINISHED)
    return driver.run


def test_a_finished_run_is_taken_note_of_once() -> None:
    ended = finished()
    status = settled(handled=True, active_run=ended.name)
    found = decide(view(status=status, runs=(ended,)), now=NOW, rules=RULES).status
    assert found.active_run is None
    assert found.last_run == ended.name
    assert found.last_outcome == "Improved: Improved"
    assert found.last_run_finished_at == ended.status.finished_at
    assert found.promoted is not None
    assert found.promoted.scheduler == "latency_class"
    assert found.summary == "keeps latency_class, 50.00% better"


def test_an_unfinished_run_is_adopted() -> None:
    found = decide(view(status=settled(handled=True), runs=(run(),)), now=NOW, rules=RULES).status
    assert found.active_run == "checkout-1"
    assert conditions(found)["Progressing"] == ("True", "Running")


def test_a_run_that_is_gone_is_forgotten() -> None:
    status = settled(handled=True, active_run="gone")
    assert decide(view(status=status), now=NOW, rules=RULES).status.active_run is None


def test_a_workload_has_one_policy_the_older_one() -> None:
    found = decide(view(status=settled(), overlap="first"), now=NOW, rules=RULES)
    assert found.start is None
    assert conditions(found.status)["WorkloadMatched"] == ("False", "Overlap")
    assert "policy first" in found.status.summary


def test_going_back_to_an_earlier_revision_is_a_run_of_its_own() -> None:
    first = decide(view(status=settled()), now=NOW, rules=RULES).start
    back = decide(view(status=settled(last_run="checkout-2")), now=NOW, rules=RULES).start
    assert first is not None
    assert back is not None
    assert first.name != back.name


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
        ("Quarantined", True, False),
        ("ForeignScheduler", False, False),
    ],
)
def test_what_lost_its_proof_is_measured_anew(reason: str, withdrawn: bool, again: bool) -> None:
    ended = finished()
    said = word(ended, RunState.REFUSED, reason)
    nodes = (node("node-1", assignments=(said,)), node("node-2", assignments=(said,)))
    seen = view(status=kept_status(), runs=(ended,), nodes=nodes)
    found = decide(seen, now=NOW, rules=RULES)
    assert (found.status.promoted is None) is withdrawn
    assert (found.start is not None) is again


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


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"pods": 0, "workloads": ()}, "WorkloadMatched", "NoPods"),
        ({"pods": 0}, "WorkloadMatched", "NoPods"),
        ({"nodes": ()}, "NodesEligible", "NoNodes"),
        ({"nodes": (node(kernel=OLD_KERNEL),)}, "NodesEligible", "NoSchedExt"),
        ({"nodes": (node(heartbeat_at=None),)}, "NodesEligible", "NoAgent"),
        (
            {"nodes": (node("node-1", kernel=OLD_KERNEL), node("node-2", heartbeat_at=None))},
            "NodesEligible",
            "NoEligibleNode",
        ),
        ({"problem": "refused"}, "PrometheusReachable", "PrometheusUnavailable"),
        ({"keys_problem": "no key is trusted"}, "KeysTrusted", "NoTrustedKeys"),
    ],
)
def test_what_is_wrong_is_a_condition(changes: dict[str, Any], kind: str, reason: str) -> None:
    found = decide(view(**changes), now=NOW, rules=RULES).status
    assert conditions(found)[kind] == ("False", reason)
    assert conditions(found)["Ready"] == ("False", reason)
    said = next(c for c in found.conditions if c.type == kind)
    assert said.message
    assert said.observed_generation == 1


def test_all_is_well() -> None:
    found = conditions(decide(view(), now=NOW, rules=RULES).status)
    assert found == {
        "WorkloadMatched": ("True", "PodsMatched"),
        "NodesEligible": ("True", "Eligible"),
        "PrometheusReachable": ("True", "Answers"),
        "KeysTrusted": ("True", "Trusted"),
        "Progressing": ("False", "Idle"),
        "Ready": ("True", "Ready"),
    }


def test_deciding_twice_changes_nothing() -> None:
    first = decide(view(status=settled()), now=NOW, rules=RULES)
    running = run()
    again = decide(
        view(
            status=first.status,
            runs=(Run(first.status.active_run or "", running.spec, running.status),),
        ),
        now=NOW,
        rules=RULES,
    )
    assert again.start is None
    third = decide(
        view(
            status=again.status,
            runs=(Run(first.status.active_run or "", running.spec, running.status),),
        ),
        now=NOW + timedelta(seconds=1),
        rules=RULES,
    )
    assert third.status == again.status
