"""The loop, event by event: state in, state out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schedcp_api.base import Condition, ConditionStatus, digest_of, with_condition
from schedcp_api.candidates import Argument
from schedcp_api.nodestates import (
    AssignmentStatus,
    AttachedScheduler,
    ProfilePhase,
    ProfileResult,
    Quarantined,
    RunState,
)
from schedcp_api.policies import (
    Approval,
    ApprovalRequired,
    BuiltinMetric,
    CanaryStep,
    Direction,
    Guardrail,
    MetricSource,
    Mode,
    Objective,
    PinnedCandidate,
    PrometheusQuery,
    Search,
)
from schedcp_api.runs import MOST_BLOCKS, AttemptResult, NodeRole, OutcomeKind, RunStage
from schedcp_api.services import Verification, VerificationState
from schedcp_api.signatures import sign_verdict
from schedcp_api.tokens import open_signed
from schedcp_api.verdicts import Check, ContractLoss, Phase, Stage, Verdict
from schedcp_operator.advance import advance
from schedcp_operator.assignments import desired_assignment, desired_profile_request
from schedcp_operator.events import (
    FiguresMissing,
    FiguresRead,
    LessonsStored,
    MakePlans,
    Observed,
    PlanningFailed,
    PlansMade,
    PromotionFigure,
    PromotionRead,
    QueriesRefused,
    QueriesTried,
    ReadFigures,
    SigningRefused,
    SignToken,
    StoreLessons,
    SyncNodes,
    TokenReceived,
    TryQueries,
    VerificationSeen,
    VerifierFailed,
    Verify,
)
from schedcp_operator.stages.signing import token_problem
from schedcp_operator.stages.verifying import contract_of
from schedcp_operator.views import Run, World
from support.operator_driver import Driver
from support.operator_nouns import (
    KERNEL,
    KEY,
    NOW,
    OLD_KERNEL,
    OTHER_KEY,
    RULES,
    node,
    policy_spec,
    run,
    token,
    told,
    verdict,
    world,
)

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


REFUSING = [
    (lambda: node(now=NOW - timedelta(minutes=5)), "AgentStale"),
    (lambda: node(kernel=OLD_KERNEL), "NoSchedExt"),
    (lambda: replace(node(), ready=False), "NotReady"),
    (lambda: replace(node(), claimed_by="run other"), "Claimed"),
    (lambda: node(heartbeat_at=None), "NoAgent"),
    (
        lambda: node(
            conditions=(
                Condition(
                    type="ForeignScheduler",
                    status=ConditionStatus.TRUE,
                    reason="Attached",
                    message="scx_other",
                    last_transition_time=NOW,
                ),
            )
        ),
        "ForeignScheduler",
    ),
    (
        lambda: node(attached=(AttachedScheduler(ops_name="scx_x", enable_seq=1, since=NOW),)),
        "ForeignScheduler",
    ),
    (lambda: node(pods=0), "NoPods"),
]


@pytest.mark.parametrize(("refused", "reason"), REFUSING)
def test_pending_waits_for_an_eligible_node(refused: object, reason: str) -> None:
    assert callable(refused)
    begun = advance(run(), Observed(world(refused())), now=NOW, rules=RULES)
    assert begun.status.stage is RunStage.PENDING
    assert begun.status.message.startswith(f"{reason}: ")
    waited = Run("checkout-1", run().spec, begun.status)
    late = NOW + timedelta(hours=1)
    ended = advance(waited, Observed(world(refused())), now=late, rules=RULES)
    assert ended.status.pending_outcome is not None
    assert ended.status.pending_outcome.reason == "NoEligibleNodes"


def test_pending_leaves_out_nodes_with_another_kernel() -> None:
    other = KERNEL.replace(release="6.18.15-test")
    seen = world(node("node-1"), node("node-2", kernel=other, pods=0), node("node-3", pods=0))
    begun = advance(run(), Observed(seen), now=NOW, rules=RULES)
    assert begun.status.eligible_nodes == ("node-1", "node-3")
    assert begun.status.kernel_digest == KERNEL.content_digest()


NOBODY_LIMITS = (ContractLoss.CPU_WEIGHT, ContractLoss.NICE)


@pytest.mark.parametrize(
    ("second", "unneeded"),
    [
        (NOBODY_LIMITS, {ContractLoss.CPU_MAX, ContractLoss.CPUSET, ContractLoss.CGROUP_IDLE}),
        ((ContractLoss.CPU_MAX,), {ContractLoss.CPUSET, ContractLoss.CGROUP_IDLE}),
        (None, set()),
    ],
)
def test_what_no_pod_on_the_nodes_asks_for_may_be_lost(
    second: tuple[ContractLoss, ...] | None, unneeded: set[ContractLoss]
) -> None:
    first = node(cpu_demands=NOBODY_LIMITS)
    begun = advance(
        run(),
        Observed(world(first, node("node-2", pods=0, cpu_demands=second))),
        now=NOW,
        rules=RULES,
    )
    assert set(begun.status.unneeded_losses) == unneeded
    contract = contract_of(Run("checkout-1", run().spec, begun.status))
    assert set(contract.unneeded_losses) == unneeded
    assert contract.waived_losses == run().policy.search.waived_losses


def test_a_guarded_loss_is_taken_only_while_nobody_needed_it() -> None:
    changes = {
        "contract_losses": (ContractLoss.CPU_MAX,),
        "guarded_losses": (ContractLoss.CPU_MAX,),
    }
    driver = at(RunStage.SIGNING)
    signed = token(driver.sign_request(), driver.verdicts[-1], **changes)
    claims = open_signed(signed, (KEY.public_key(),))
    assert "CpuMax" in token_problem(driver.run, claims, now=driver.now)
    status = driver.run.status.replace(unneeded_losses=(ContractLoss.CPU_MAX,))
    minding_nobody = Run(driver.run.name, driver.run.spec, status)
    found = token_problem(minding_nobody, claims, now=driver.now)
    assert "losses" not in found


def test_pending_waits_until_an_earlier_scheduler_is_gone() -> None:
    ours = AttachedScheduler(ops_name="schedcp_x", enable_seq=1, run="before", since=NOW)
    busy = node("node-2", attached=(ours,), sched_ext_state="enabled")
    begun = advance(run(), Observed(world(node(), busy)), now=NOW, rules=RULES)
    assert begun.status.stage is RunStage.PENDING
    assert begun.effects == (SyncNodes(("node-2",)),)


QUERY = MetricSource(prometheus=PrometheusQuery(query='x{node="$node"}'))


def test_own_queries_are_tried_once_before_anything_else() -> None:
    driver = Driver(run(objective=Objective(metric=QUERY)))
    assert driver.observe().effects == (TryQueries("node-1"),)
    for answer in (QueriesTried(), QueriesTried("connection refused")):
        told_so = advance(driver.run, answer, now=NOW, rules=RULES).status
        tried = Run(driver.run.name, driver.run.spec, told_so)
        gone_on = advance(tried, Observed(driver.world()), now=NOW, rules=RULES)
        assert gone_on.status.stage is RunStage.PROFILING
    refused = advance(driver.run, QueriesRefused("parse error"), now=NOW, rules=RULES).status
    assert refused.stage is RunStage.LEARNING
    assert refused.pending_outcome is not None
    assert (refused.pending_outcome.kind, refused.pending_outcome.reason) == (
        OutcomeKind.ERROR,
        "BadQuery",
    )


@pytest.mark.parametrize("stage", [RunStage.JUDGING, RunStage.PROMOTING])
def test_a_query_that_is_refused_later_ends_the_run(stage: RunStage) -> None:
    driver = at(stage)
    moved = driver.tell(QueriesRefused("gives 2 series")).status
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "BadQuery"


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


def at(stage: RunStage, **options: object) -> Driver:
    """A driver whose run has just entered `stage`."""
    driver = Driver(run(), **options)  # type: ignore[arg-type]
    driver.until(stage)
    return driver


def test_profiling_asks_and_asks_again_elsewhere() -> None:
    driver = at(RunStage.PROFILING)
    asked = desired_profile_request(driver.run, "node-1", seconds=20)
    assert asked is not None
    assert asked.id == "checkout-1/0"
    result = ProfileResult(id=asked.id, phase=ProfilePhase.FAILED, message="no probes")
    driver.nodes["node-1"] = node("node-1", profile=result)
    driver.observe()
    status = driver.run.status
    assert (status.stage, status.retries) == (RunStage.PROFILING, 1)
    assert status.profile_node == "node-2"
    assert desired_profile_request(driver.run, "node-1", seconds=20) is None


def test_profiling_gives_up() -> None:
    driver = at(RunStage.PROFILING)
    for _ in range(3):
        request = driver.run.status.profile_request
        result = ProfileResult(id=request, phase=ProfilePhase.FAILED, message="no probes")
        for name in driver.nodes:
            driver.nodes[name] = node(name, profile=result)
        driver.observe()
    assert driver.run.status.stage is RunStage.LEARNING
    assert driver.run.status.pending_outcome is not None
    assert driver.run.status.pending_outcome.reason == "ProfilingFailed"


def test_planning_can_fail() -> None:
    driver = at(RunStage.PLANNING)
    moved = driver.tell(PlanningFailed("UnknownScheduler", "there is none"))
    assert moved.status.stage is RunStage.LEARNING
    assert moved.status.pending_outcome is not None
    assert moved.status.pending_outcome.kind is OutcomeKind.ERROR


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
    "not yet valid": {"not_before": NOW + timedelta(hours=1)},
    "expired": {"expires_at": NOW - timedelta(seconds=1)},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_for_something_else_is_refused(forgery: str) -> None:
    driver = at(RunStage.SIGNING)
    request = driver.sign_request()
    forged = token(request, driver.verdicts[-1], **FORGERIES[forgery])
    ended = driver.tell(TokenReceived(forged)).status
    assert ended.stage is RunStage.LEARNING
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "WrongToken"
    assert forgery in ended.pending_outcome.message
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


def test_rolling_back_waits_for_proof() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    clear = driver.nodes[name]
    for unproven in (
        clear.status.replace(sched_ext_state="enabled"),
        clear.status.replace(observed_generation=0),
        clear.status.replace(
            attached=(AttachedScheduler(ops_name="x", enable_seq=1, run="r", since=NOW),)
        ),
    ):
        driver.nodes[name] = replace(
            clear, status=unproven, spec=clear.spec.replace(assignments=())
        )
        assert driver.observe().status.stage is RunStage.ROLLING_BACK
    driver.nodes[name] = replace(
        clear,
        status=clear.status.replace(observed_generation=9),
        spec=clear.spec.replace(assignments=()),
    )
    moved = driver.observe().status
    assert moved.stage is RunStage.PLANNING
    assert moved.nodes[0].restored_at == driver.now


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


@pytest.mark.parametrize("reason", ["NotYetValid", "ForeignScheduler", "BadSignature"])
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
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "PromotionTimedOut"


def test_a_node_whose_kernel_cannot_be_read_is_not_proven_restored() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    view = driver.nodes[name]
    unread = with_condition(
        view.status.conditions,
        "OnDefaultScheduler",
        ConditionStatus.UNKNOWN,
        reason="Unreadable",
        message="",
        now=NOW,
    )
    driver.nodes[name] = replace(
        view,
        status=view.status.replace(observed_generation=9, sched_ext_state="", conditions=unread),
        spec=view.spec.replace(assignments=()),
    )
    assert driver.observe().status.stage is RunStage.ROLLING_BACK


def test_a_node_that_cannot_be_proven_restored_is_said_so() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    name = driver.run.status.nodes[0].name
    stuck = driver.nodes[name]
    driver.nodes[name] = replace(stuck, status=stuck.status.replace(sched_ext_state="enabled"))
    driver.observe()
    driver.now += timedelta(hours=1)
    ended = driver.observe().status
    assert ended.stage is RunStage.LEARNING
    assert ended.pending_outcome is not None
    assert ended.pending_outcome.reason == "NodesNotRestored"
    assert name in ended.pending_outcome.message


def test_a_node_that_left_the_cluster_counts_as_restored() -> None:
    driver = at(RunStage.ROLLING_BACK, pairs=[BAD])
    del driver.nodes[driver.run.status.nodes[0].name]
    assert driver.observe().status.stage is RunStage.PLANNING


INTERRUPTED = [
    (World(nodes=()), "PolicyDeleted"),
    (world(spec=policy_spec(suspend=True)), "Suspended"),
]


@pytest.mark.parametrize("stage", list(RunStage)[1:9])
@pytest.mark.parametrize(("seen", "reason"), INTERRUPTED)
def test_a_policy_that_goes_away_stops_the_run(stage: RunStage, seen: World, reason: str) -> None:
    approval = Approval(required=ApprovalRequired.BEFORE_CANARY)
    spec = {"approval": approval} if stage is RunStage.AWAITING_APPROVAL else {}
    driver = Driver(run(**spec))
    driver.until(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    moved = driver.tell(Observed(seen)).status
    touched = bool(driver.run.status.nodes)
    assert moved.stage is (RunStage.ROLLING_BACK if touched else RunStage.LEARNING)
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == reason


def test_a_lowered_mode_stops_the_promotion() -> None:
    driver = at(RunStage.PROMOTING)
    seen = world(*driver.nodes.values(), spec=policy_spec(mode=Mode.RECOMMEND))
    moved = driver.tell(Observed(seen)).status
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "ModeChanged"


TIMED_OUT = [
    (RunStage.PROFILING, "ProfilingTimedOut"),
    (RunStage.PLANNING, "PlanningTimedOut"),
    (RunStage.VERIFYING, "VerificationTimedOut"),
    (RunStage.SIGNING, "SigningTimedOut"),
    (RunStage.JUDGING, "PrometheusUnavailable"),
]


@pytest.mark.parametrize(("stage", "reason"), TIMED_OUT)
def test_every_stage_has_a_deadline(stage: RunStage, reason: str) -> None:
    driver = at(stage)
    driver.now += timedelta(hours=5)
    if stage is RunStage.PROFILING:
        driver.nodes = {name: node(name, now=driver.now) for name in driver.nodes}
    driver.refresh()
    moved = driver.observe().status
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == reason


def test_a_silent_canary_node_ends_the_run() -> None:
    driver = at(RunStage.CANARY)
    driver.observe()
    driver.now += timedelta(minutes=5)
    moved = driver.observe().status
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "NodeLost"


def test_a_canary_without_nodes_with_pods_times_out() -> None:
    driver = at(RunStage.CANARY)
    driver.now += timedelta(hours=5)
    driver.nodes = {name: node(name, pods=0, now=driver.now) for name in driver.nodes}
    moved = driver.observe().status
    assert moved.stage is RunStage.LEARNING
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "CanaryTimedOut"


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
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "Quarantined"


def test_missing_figures_are_waited_for_and_never_a_pass() -> None:
    driver = at(RunStage.JUDGING)
    assert driver.tell(FiguresMissing("connection refused")).status.stage is RunStage.JUDGING
    moved = driver.tell(FiguresRead(())).status
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "NoData"


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
    assert moved.stage is RunStage.ROLLING_BACK
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "GuardrailViolated"


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


def test_pinned_candidates_bypass_the_planner() -> None:
    pinned = (PinnedCandidate(scheduler="long_tail"),)
    driver = Driver(run(search=Search(pinned=pinned)))
    driver.until(RunStage.FINISHED)
    assert [a.candidate.scheduler for a in driver.run.status.attempts] == ["long_tail"]


def test_set_aside_plans_are_named() -> None:
    driver = at(RunStage.PLANNING)
    made = driver.plans()
    assert isinstance(made, PlansMade)
    moved = driver.tell(replace(made, proposals=(), set_aside=("do not use x",))).status
    assert moved.pending_outcome is not None
    assert moved.pending_outcome.reason == "KnownNotToHelp"


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
