"""What a policy says of itself, and when it starts a run."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schedcp_api.policies import Mode, ObservedWorkload
from schedcp_operator.events import PlanningFailed
from schedcp_operator.policies import decide
from schedcp_operator.stages.common import NO_KEYS
from schedcp_operator.views import Run
from support.operator_driver import finished
from support.operator_nodes import node
from support.operator_nouns import NOW, OLD_KERNEL, RULES, run
from support.operator_policies import TRIGGER, WORKLOAD, conditions, settled, view

UNKNOWN = PlanningFailed("UnknownScheduler", "there is no scheduler 'latencyclass'")
MANY = tuple(replace(WORKLOAD, name=f"checkout-{number:02}") for number in range(65))


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


@pytest.mark.parametrize(
    ("changes", "reason", "does_without"),
    [
        ({"keys_problem": NO_KEYS}, "NoTrustedKeys", (Mode.OBSERVE,)),
        ({"problem": "refused"}, "PrometheusUnavailable", (Mode.OBSERVE, Mode.RECOMMEND)),
        ({"search_problem": UNKNOWN}, "UnknownScheduler", (Mode.OBSERVE,)),
    ],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_rollout_waits_for_what_runs_of_the_mode_need(
    mode: Mode, changes: dict[str, Any], reason: str, does_without: tuple[Mode, ...]
) -> None:
    found = decide(view(status=settled(), mode=mode, **changes), now=NOW, rules=RULES)
    if mode in does_without:
        assert found.start is not None
        assert conditions(found.status)["Ready"] == ("True", "Ready")
        return
    assert found.start is None
    assert found.status.summary.startswith(f"{reason}: ")
    assert not found.status.workloads[0].handled
    again = decide(view(status=found.status, mode=mode), now=NOW, rules=RULES)
    assert again.start is not None


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


def test_a_policy_that_nothing_triggers_says_so() -> None:
    never = {"trigger": TRIGGER.replace(on_rollout=False)}
    found = decide(view(status=settled(), **never), now=NOW, rules=RULES).status
    assert found.summary == "spec.trigger.onRollout is false: nothing starts a run"
    assert conditions(found)["Ready"] == ("False", "NoTrigger")


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


def test_a_clock_that_is_set_back_during_a_run_spends_no_rollout() -> None:
    status = settled(handled=True, active_run="checkout-1")
    earlier = NOW - timedelta(hours=1)
    rolled_out = (replace(WORKLOAD, revision="r2"),)
    found = decide(
        view(status=status, runs=(run(),), workloads=rolled_out), now=earlier, rules=RULES
    )
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


def test_a_finished_run_is_taken_note_of_once() -> None:
    ended = finished()
    status = settled(handled=True, active_run=ended.name)
    found = decide(view(status=status, runs=(ended,)), now=NOW, rules=RULES).status
    assert found.active_run is None
    assert found.last_run == ended.name
    assert found.last_outcome.startswith("Improved: ")
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


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"pods": 0, "workloads": ()}, "WorkloadMatched", "NoPods"),
        ({"pods": 0}, "WorkloadMatched", "NoPods"),
        ({"pods": 2, "workloads": ()}, "WorkloadMatched", "NoWorkloads"),
        ({"workloads": MANY}, "WorkloadMatched", "TooManyWorkloads"),
        ({"nodes": ()}, "NodesEligible", "NoNodes"),
        ({"nodes": (node(kernel=OLD_KERNEL),)}, "NodesEligible", "NoSchedExt"),
        ({"nodes": (node(heartbeat_at=None),)}, "NodesEligible", "NoAgent"),
        (
            {"nodes": (node("node-1", kernel=OLD_KERNEL), node("node-2", heartbeat_at=None))},
            "NodesEligible",
            "NoEligibleNode",
        ),
        ({"problem": "refused"}, "PrometheusReachable", "PrometheusUnavailable"),
        ({"keys_problem": NO_KEYS}, "KeysTrusted", "NoTrustedKeys"),
        ({"keys_problem": "not PEM"}, "KeysTrusted", "KeysUnavailable"),
        ({"search_problem": UNKNOWN}, "SchedulersKnown", "UnknownScheduler"),
    ],
)
def test_what_is_wrong_is_a_condition(changes: dict[str, Any], kind: str, reason: str) -> None:
    found = decide(view(**changes), now=NOW, rules=RULES).status
    assert conditions(found)[kind] == ("False", reason)
    assert conditions(found)["Ready"] == ("False", reason)
    said = next(c for c in found.conditions if c.type == kind)
    assert said.message
    assert said.observed_generation == 1


def test_before_the_world_is_listed_no_workload_is_missing() -> None:
    found = decide(replace(view(workloads=()), listed=False), now=NOW, rules=RULES).status
    assert conditions(found)["WorkloadMatched"] == ("True", "PodsMatched")


def test_pods_that_nothing_rolls_out_are_told_from_workloads() -> None:
    found = decide(view(workloads=()), now=NOW, rules=RULES).status
    assert "2 running pods match" in found.summary
    said = next(c.message for c in found.conditions if c.type == "WorkloadMatched")
    assert "no pod template of a Deployment, StatefulSet or DaemonSet does" in said


def test_a_newcomer_takes_no_followed_workloads_place() -> None:
    handled = tuple(
        ObservedWorkload(workload=one.key, revision="r1", complete_since=NOW, handled=True)
        for one in MANY[:64]
    )
    status = settled().replace(workloads=handled)
    first = replace(WORKLOAD, name="a-newcomer")
    found = decide(view(status=status, workloads=(first, *MANY[:64])), now=NOW, rules=RULES)
    assert found.status.workloads == handled
    assert "65 workloads match, and rollouts of 64 are followed" in found.status.summary
    gone = decide(view(status=found.status, workloads=(first, *MANY[1:64])), now=NOW, rules=RULES)
    assert [one.workload for one in gone.status.workloads][:2] == [first.key, MANY[1].key]
    assert [one.handled for one in gone.status.workloads] == [False, *63 * [True]]
    assert conditions(gone.status)["WorkloadMatched"] == ("True", "PodsMatched")


def test_all_is_well() -> None:
    found = conditions(decide(view(), now=NOW, rules=RULES).status)
    assert found == {
        "WorkloadMatched": ("True", "PodsMatched"),
        "NodesEligible": ("True", "Eligible"),
        "PrometheusReachable": ("True", "Answers"),
        "KeysTrusted": ("True", "Trusted"),
        "SchedulersKnown": ("True", "NothingPinned"),
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
