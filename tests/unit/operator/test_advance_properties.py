"""Whatever happens, in whatever order: nothing runs anywhere without its proof."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_api.base import digest_of
from schedcp_api.policies import WorkloadSelector
from schedcp_api.runs import AttemptResult, OutcomeKind, RunStage
from schedcp_api.selectors import LabelSelector
from schedcp_api.services import Verification, VerificationState
from schedcp_api.signatures import sign_verdict
from schedcp_api.tokens import open_signed
from schedcp_operator.advance import advance
from schedcp_operator.assignments import desired_assignment
from schedcp_operator.events import (
    Event,
    FiguresMissing,
    FiguresRead,
    LessonsStored,
    Observed,
    PlanningFailed,
    PromotionFigure,
    PromotionRead,
    QueriesRefused,
    QueriesTried,
    SigningRefused,
    TokenReceived,
    VerificationSeen,
    VerifierFailed,
)
from schedcp_operator.stages.verifying import contract_of
from schedcp_operator.views import Run, World
from support.operator_driver import Driver
from support.operator_nodes import world
from support.operator_nouns import (
    KEY,
    OTHER_KEY,
    RULES,
    candidate,
    figures,
    policy_spec,
    run,
    token,
    verdict,
)

NODES = ("node-1", "node-2", "node-3")
OTHER_PODS = WorkloadSelector(pod_selector=LabelSelector(match_labels={"app": "other"}))
ANOTHER = policy_spec(workload=OTHER_PODS)
GOOD = [(0.5, 1.0)] * 5
BAD = [(1.0, 0.5)] * 5

Maker = Callable[[Driver], Event]


def observed(driver: Driver) -> Event:
    """A world whose agents obey."""
    driver.obey()
    return Observed(driver.world())


def deselected(driver: Driver) -> Event:
    """A world in which the policy does not select the first node, for this once."""
    seen = driver.world()
    return Observed(replace(seen, nodes=(replace(seen.nodes[0], selected=False), *seen.nodes[1:])))


def seen(driver: Driver, *, accepted: bool, own: bool = True, forged: bool = False) -> Event:
    """A verdict, about this candidate or another, from the signer or a stranger."""
    about = driver.run.attempt.candidate if driver.run.status.attempts and own else candidate()
    given_ = verdict(about, contract_of(driver.run).content_digest(), accepted=accepted)
    if forged:
        given_ = sign_verdict(given_, OTHER_KEY)
    else:
        driver.verdicts.append(given_)
    done = Verification(id=digest_of(b"v"), state=VerificationState.DONE, verdict=given_)
    return VerificationSeen(done)


def signed(driver: Driver, *, forged: bool) -> Event:
    """A token from the last verdict, good or not."""
    if not driver.verdicts or not driver.run.status.eligible_nodes:
        return TokenReceived("e30.e30")
    key = OTHER_KEY if forged else KEY
    return TokenReceived(token(driver.sign_request(), driver.verdicts[-1], now=driver.now, key=key))


def measured(driver: Driver, pairs: list[tuple[float, float]]) -> Event:
    """Figures of the canary."""
    return FiguresRead(figures(pairs))


MAKERS: dict[str, Maker] = {
    "observed": observed,
    "observed again": observed,
    "policy deleted": lambda _: Observed(World()),
    "policy unreadable": lambda d: Observed(
        replace(d.world(), policy=None, policy_problem="spec.mode: what?")
    ),
    "a node left": lambda d: Observed(replace(d.world(), nodes=d.world().nodes[1:])),
    "every node left": lambda d: Observed(replace(d.world(), nodes=())),
    "suspended": lambda d: Observed(world(*d.nodes.values(), spec=policy_spec(suspend=True))),
    "another workload": lambda d: Observed(world(*d.nodes.values(), spec=ANOTHER)),
    "a node deselected": deselected,
    "plans": lambda d: d.plans(),
    "planning failed": lambda _: PlanningFailed("Why", "not"),
    "accepted": lambda d: seen(d, accepted=True),
    "accepted another": lambda d: seen(d, accepted=True, own=False),
    "accepted by a stranger": lambda d: seen(d, accepted=True, forged=True),
    "rejected": lambda d: seen(d, accepted=False),
    "lost": lambda _: VerificationSeen(
        Verification(id=digest_of(b"v"), state=VerificationState.LOST)
    ),
    "verifier failed": lambda _: VerifierFailed("gone", forgotten=True),
    "token": lambda d: signed(d, forged=False),
    "forged token": lambda d: signed(d, forged=True),
    "garbage token": lambda _: TokenReceived("garbage"),
    "refused": lambda _: SigningRefused("No", "no", final=True),
    "better": lambda d: measured(d, GOOD),
    "worse": lambda d: measured(d, BAD),
    "no figures": lambda d: measured(d, []),
    "prometheus gone": lambda _: FiguresMissing("gone"),
    "queries tried": lambda _: QueriesTried(),
    "query refused": lambda _: QueriesRefused("bad"),
    "promotion": lambda d: PromotionRead(
        d.run.status.step, (PromotionFigure("node-1", "Objective", 1.0, 0.5),)
    ),
    "promotion harm": lambda d: PromotionRead(
        d.run.status.step, (PromotionFigure("node-1", "Objective", 1.0, 50.0),)
    ),
    "lessons": lambda _: LessonsStored(digest_of(b"lessons")),
}
FORWARD = ("observed", "plans", "accepted", "token", "better", "promotion", "lessons")
"""Likelier, so that runs get far."""
KEEPING = (RunStage.LEARNING, RunStage.FINISHED)
"""Where the policy decides by itself what it keeps."""
OURS = ("accepted", "accepted another")
"""What the verifier itself accepted; a stranger's word counts for nothing."""


def runs_somewhere(run_: Run) -> bool:
    """Whether any node is to run something."""
    return any(desired_assignment(run_, name) is not None for name in NODES)


def check_proof(driver: Driver, accepted: set[str], improved: set[str]) -> None:
    """Whatever runs has an accepted verdict and a good token; what stays, a measurement too."""
    status = driver.run.status
    if not runs_somewhere(driver.run):
        return
    attempt = driver.run.attempt
    assert attempt.result in (AttemptResult.ACCEPTED, AttemptResult.PROMOTED)
    assert attempt.candidate_digest in accepted
    claims = open_signed(status.token, RULES.keys)
    assert claims.candidate_digest == attempt.candidate_digest
    assert claims.object_digest == attempt.object_digest
    assert set(claims.nodes) >= {entry.name for entry in status.nodes}
    if status.stage in (RunStage.PROMOTING, RunStage.LEARNING, RunStage.FINISHED):
        assert attempt.candidate_digest in improved
        assert attempt.outcome is not None
        assert attempt.outcome.kind is OutcomeKind.IMPROVED


@given(st.lists(st.one_of(st.sampled_from(FORWARD), st.sampled_from(sorted(MAKERS))), max_size=80))
@settings(max_examples=300)
def test_nothing_runs_without_its_proof(names: list[str]) -> None:
    driver = Driver(run())
    accepted: set[str] = set()
    improved: set[str] = set()
    for name in names:
        before = driver.run
        event = MAKERS[name](driver)
        if name in OURS and before.status.stage is RunStage.VERIFYING:
            accepted.add(driver.verdicts[-1].candidate_digest)
        if name == "better" and before.status.stage is RunStage.JUDGING:
            improved.add(before.attempt.candidate_digest)
        transition = advance(before, event, now=driver.now, rules=RULES)
        driver.run = Run(before.name, before.spec, transition.status)
        check_proof(driver, accepted, improved)
        if name == "a node deselected" and driver.run.status.stage not in KEEPING:
            assert desired_assignment(driver.run, NODES[0]) is None
        if before.status.stage is RunStage.FINISHED:
            assert transition.status == before.status


@given(st.lists(st.sampled_from(sorted(MAKERS)), max_size=60))
@settings(max_examples=100)
def test_every_run_can_still_end(names: list[str]) -> None:
    driver = Driver(run())
    for name in names:
        driver.tell(MAKERS[name](driver))
    driver.refresh()
    driver.obey()
    driver.until(RunStage.FINISHED)
    assert driver.run.status.outcome is not None
