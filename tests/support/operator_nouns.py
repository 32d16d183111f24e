"""Nouns for the operator's tests: kernels, keys, policies, runs, verdicts, tokens, ready made."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.kernels import KernelFeature, KernelProfile
from schedcp_api.nodestates import Arm
from schedcp_api.policies import (
    Canary,
    CanaryStep,
    Mode,
    SchedulerPolicySpec,
    WorkloadSelector,
)
from schedcp_api.runs import (
    AttemptResult,
    BlockFigure,
    Lesson,
    OptimizationRunSpec,
    RunTrigger,
    TriggerKind,
)
from schedcp_api.selectors import LabelSelector
from schedcp_api.services import TokenRequest
from schedcp_api.signatures import key_id_of, sign_verdict
from schedcp_api.tokens import DeploymentToken, sign
from schedcp_api.verdicts import Check, Phase, Replay, ReplayFigures, Stage, Verdict
from schedcp_operator.jobs import JobRun
from schedcp_operator.views import Rules, Run

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
KERNEL = KernelProfile(
    release="7.3.4-test",
    btf_digest=digest_of(b"btf"),
    features=(KernelFeature.SCHED_EXT, KernelFeature.EVENTS),
)
OLD_KERNEL = KernelProfile(release="6.1.0-test", btf_digest=digest_of(b"old btf"))
OBJECT = b"an ELF object, so to say"


def policy_spec(**changes: object) -> SchedulerPolicySpec:
    """A policy in mode Auto with five short pairs of blocks."""
    base = SchedulerPolicySpec(
        mode=Mode.AUTO,
        workload=WorkloadSelector(pod_selector=LabelSelector(match_labels={"app": "checkout"})),
        canary=Canary(
            pairs=5,
            block_seconds=4,
            washout_seconds=1,
            steps=(CanaryStep(nodes=1), CanaryStep(percent=100)),
        ),
    )
    return base.replace(**changes)


def run(**spec: object) -> Run:
    """A run that has just been created."""
    return Run(
        "checkout-1",
        OptimizationRunSpec(
            policy="checkout",
            policy_uid="uid-1",
            policy_generation=1,
            policy_spec=policy_spec(**spec),
            trigger=RunTrigger(
                kind=TriggerKind.ROLLOUT,
                workload="Deployment/shop/checkout",
                revision="r1",
                at=NOW,
            ),
            seed=7,
        ),
    )


RULES = Rules(
    keys=(KEY.public_key(),),
    soak=timedelta(seconds=10),
    attach=timedelta(seconds=30),
    heartbeat=timedelta(seconds=10),
)


def verdict(candidate: Candidate, contract_digest: str, *, accepted: bool = True) -> Verdict:
    """A signed verdict on `candidate`; a refusal has one failed check."""
    figures = ReplayFigures(
        wakeup_p50_ns=1,
        wakeup_p99_ns=1,
        wakeup_p999_ns=1,
        target_cpu_ns=1,
        neighbour_cpu_ns=1,
    )
    phase = Phase.PASSED if accepted else Phase.FAILED
    given = Verdict(
        accepted=accepted,
        checks=(Check(id="stall", stage=Stage.DYNAMIC, phase=phase, message="a task waited"),),
        replay=Replay(
            baseline=figures,
            candidate=figures,
            floor=figures,
            improvement="60%",
            neighbour_loss="1%",
            seeds=2,
            fidelity="90%",
            spread="1%",
        ),
        scheduler=candidate.scheduler,
        ops_name=f"schedcp_{candidate.scheduler}",
        arguments=candidate.arguments,
        candidate_digest=candidate.content_digest(),
        source_digest=candidate.source_digest,
        program_digest=candidate.program_digest,
        command_line=candidate.command_line,
        digest=candidate.program_digest or digest_of(OBJECT + candidate.scheduler.encode()),
        contract_digest=contract_digest,
        kernel=KERNEL,
        duration_seconds=1,
    )
    return sign_verdict(given, KEY)


def token(
    request: TokenRequest,
    given: Verdict,
    *,
    now: datetime = NOW,
    key: Ed25519PrivateKey = KEY,
    **changes: object,
) -> str:
    """A token as the signer makes it from a verdict; `changes` are forgeries."""
    claims = DeploymentToken(
        object_digest=given.digest or "",
        source_digest=given.source_digest,
        program_digest=given.program_digest,
        candidate_digest=given.candidate_digest,
        scheduler=given.scheduler,
        ops_name=given.ops_name,
        arguments=given.arguments,
        command_line=given.command_line,
        timeout_ms=10_000,
        kernel_digest=given.kernel.content_digest(),
        contract_digest=given.contract_digest,
        evidence_digest=given.evidence_digest(),
        contract_losses=given.contract_losses,
        run=request.claims.run,
        nodes=request.claims.nodes,
        not_before=now - timedelta(seconds=60),
        expires_at=now + timedelta(seconds=request.claims.validity_seconds),
        nonce="0" * 32,
        key_id=key_id_of(key.public_key()),
    )
    return sign(claims.replace(**changes), key)


def figures(
    pairs: list[tuple[float, float]], *, guardrails: dict[str, tuple[float, float]] | None = None
) -> tuple[BlockFigure, ...]:
    """Block figures of (ON, OFF) pairs; guard rails have the same pair throughout."""
    blocks: list[BlockFigure] = []
    for index, pair in enumerate(pairs):
        for offset, arm in enumerate((Arm.ON, Arm.OFF)):
            rails = {name: f"{both[offset]}" for name, both in (guardrails or {}).items()}
            blocks.append(
                BlockFigure(
                    node="node-1",
                    index=2 * index + offset,
                    arm=arm,
                    started_at=NOW,
                    ended_at=NOW,
                    value=f"{pair[offset]!r}",
                    guardrails=rails,
                )
            )
    return tuple(blocks)


def candidate(name: str = "latency_class") -> Candidate:
    """A candidate of the library without arguments."""
    return Candidate(kind=PlanKind.CONFIGURE, scheduler=name)


def lesson(number: int) -> Lesson:
    """One of many lessons, a minute after the one before."""
    return Lesson(
        run=f"run-{number}",
        policy="checkout",
        workload="Deployment/shop/checkout",
        description=None,
        profile_digest=None,
        kernel_digest=None,
        candidate=candidate(),
        result=AttemptResult.PROMOTED,
        outcome=None,
        at=NOW + timedelta(minutes=number),
    )


def job_run(number: int) -> JobRun:
    """One of many runs of one job, a minute after the one before."""
    return JobRun(
        uid=f"uid-{number}",
        exact=digest_of(b"exact"),
        program=digest_of(b"program"),
        cpu_milliseconds=5_000,
        at=NOW + timedelta(minutes=number),
    )
