"""Nouns for the operator's tests: profiles, verdicts, tokens, nodes and runs, ready made."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schedcp_api.base import ConditionStatus, digest_of, with_condition
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.kernels import KernelFeature, KernelProfile
from schedcp_api.manifests import Knob, SchedulerManifest
from schedcp_api.nodestates import (
    Arm,
    AssignmentStatus,
    AttachedScheduler,
    BlockRecord,
    ProfilePhase,
    ProfileResult,
    RunState,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    SwitchbackProgress,
    TrackedPod,
)
from schedcp_api.policies import (
    Canary,
    CanaryStep,
    LabelSelector,
    Mode,
    SchedulerPolicySpec,
    WorkloadSelector,
)
from schedcp_api.profiles import Distribution, GroupProfile, WorkloadProfile
from schedcp_api.runs import (
    AttemptResult,
    BlockFigure,
    Lesson,
    OptimizationRunSpec,
    RunTrigger,
    TriggerKind,
)
from schedcp_api.services import TokenRequest
from schedcp_api.signatures import key_id_of, sign_verdict
from schedcp_api.tokens import DeploymentToken, sign
from schedcp_api.verdicts import Check, Phase, Replay, ReplayFigures, Stage, Verdict
from schedcp_operator.library import Library, LibraryEntry
from schedcp_operator.views import LivePolicy, NodeView, Rules, Run, World

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
KERNEL = KernelProfile(
    release="7.3.4-test",
    btf_digest=digest_of(b"btf"),
    features=(KernelFeature.SCHED_EXT, KernelFeature.EVENTS),
)
OLD_KERNEL = KernelProfile(release="6.1.0-test", btf_digest=digest_of(b"old btf"))
POD_UID = "12345678-1234-1234-1234-{:012d}"
OBJECT = b"an ELF object, so to say"
_MS = 1_000_000


def distribution(count: int, p50_ns: int, p90_ns: int, *, p99_ns: int = 0) -> Distribution:
    """A distribution with those quantiles."""
    top = max(p99_ns, p90_ns)
    return Distribution(
        count=count,
        mean_ns=p50_ns,
        p10_ns=p50_ns // 2,
        p25_ns=p50_ns // 2,
        p50_ns=p50_ns,
        p75_ns=p50_ns,
        p90_ns=p90_ns,
        p99_ns=top,
        p999_ns=top,
        max_ns=2 * top,
    )


NONE = distribution(0, 0, 0)


def group(
    *,
    cpu_milli: int,
    burst: Distribution = NONE,
    sleep: Distribution = NONE,
    latency: Distribution = NONE,
    pressure: int = 0,
) -> GroupProfile:
    """One side of a profile."""
    return GroupProfile(
        pods=1,
        cpu_milli=cpu_milli,
        wakeup_latency=latency,
        burst=burst,
        sleep=sleep,
        cpu_pressure_permille=pressure,
    )


LATENCY_TARGET = group(
    cpu_milli=300,
    burst=distribution(20_000, 400_000, 800_000),
    sleep=distribution(20_000, 8 * _MS, 10 * _MS),
    latency=distribution(20_000, 1 * _MS, 3 * _MS, p99_ns=8 * _MS),
)
HOGS = group(cpu_milli=3000, burst=distribution(50, 40 * _MS, 80 * _MS), pressure=990)


def profile(
    target: GroupProfile = LATENCY_TARGET, *, node: str = "node-1", cpus: int = 4
) -> WorkloadProfile:
    """A profile of `target` beside hogs."""
    return WorkloadProfile(
        node=node,
        workload="Deployment/shop/checkout",
        kernel_digest=KERNEL.content_digest(),
        cpus=cpus,
        started_at=NOW,
        duration_ms=20_000,
        target=target,
        neighbours=HOGS,
    )


def manifest(name: str, *knobs: Knob) -> SchedulerManifest:
    """A library scheduler's manifest."""
    return SchedulerManifest(
        name=name,
        summary=f"the scheduler {name}",
        good_for="tests",
        bad_for="nothing",
        source=f"{name}.bpf.c",
        license="GPL",
        ops_name=f"schedcp_{name}",
        knobs=knobs,
    )


SLICE = Knob(
    name="slice_ns",
    type="u64",
    unit="ns",
    default=5 * _MS,
    minimum=100_000,
    maximum=100 * _MS,
    summary="time slice",
)
SHORT = SLICE.replace(name="burst_limit_ns", default=4 * _MS)
LIBRARY = Library(
    {
        name: LibraryEntry(manifest(name, *knobs))
        for name, knobs in {
            "simple_fifo": (SLICE,),
            "weighted_vtime": (SLICE,),
            "latency_class": (SLICE, SHORT),
            "long_tail": (SLICE,),
            "throughput": (SLICE,),
            "mixed_service": (SLICE, SHORT),
        }.items()
    }
)


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
        digest=digest_of(OBJECT + candidate.scheduler.encode()),
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
        candidate_digest=given.candidate_digest,
        scheduler=given.scheduler,
        ops_name=given.ops_name,
        arguments=given.arguments,
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


def node(name: str = "node-1", *, pods: int = 1, now: datetime = NOW, **status: object) -> NodeView:
    """A node with a healthy agent and target pods, on the kernel's own scheduler."""
    number = int(name.rpartition("-")[2])
    tracked = tuple(
        TrackedPod(namespace="shop", name=f"checkout-{i}", uid=POD_UID.format(100 * number + i))
        for i in range(pods)
    )
    base = SchedulerNodeStateStatus(
        observed_generation=1, heartbeat_at=now, kernel=KERNEL, sched_ext_state="disabled"
    )
    said = told(base.replace(**status), now=now)
    return NodeView(name=name, generation=1, target_pods=tracked, status=said)


def told(status: SchedulerNodeStateStatus, *, now: datetime) -> SchedulerNodeStateStatus:
    """The status with what an agent says of the kernel's own scheduler."""
    default = not status.attached and status.sched_ext_state in ("", "disabled")
    conditions = with_condition(
        status.conditions,
        "OnDefaultScheduler",
        ConditionStatus.TRUE if default else ConditionStatus.FALSE,
        reason="Restored" if default else "SchedulerAttached",
        message="",
        now=now,
    )
    return status.replace(conditions=conditions)


def world(*nodes: NodeView, spec: SchedulerPolicySpec | None = None, approved: str = "") -> World:
    """A world with these nodes and a living policy."""
    return World(nodes=nodes, policy=LivePolicy(spec or policy_spec()), approved=approved)


@dataclass(frozen=True)
class Agent:
    """A node's agent that does at once what the operator wants."""

    view: NodeView

    def obeys(self, spec: SchedulerNodeStateSpec, *, now: datetime, since: datetime) -> NodeView:
        """The node's view after the agent has done what `spec` says."""
        status = self.view.status.replace(
            heartbeat_at=now,
            observed_generation=2,
            attached=(),
            assignments=(),
            sched_ext_state="disabled",
            switchback=None,
        )
        if spec.profile_request is not None:
            status = status.replace(
                profile=ProfileResult(
                    id=spec.profile_request.id,
                    phase=ProfilePhase.DONE,
                    digest=digest_of(b"profile"),
                )
            )
        for wanted in spec.assignments:
            said = AssignmentStatus(
                run=wanted.run,
                object_digest=wanted.object_digest,
                state=RunState.ACTIVE,
                since=since,
            )
            status = status.replace(assignments=(said,))
            if wanted.switchback is not None:
                blocks = block_records(wanted.switchback.blocks, wanted.ops_name, since)
                progress = SwitchbackProgress(
                    id=wanted.switchback.id, run=wanted.run, blocks=blocks, finished=True
                )
                status = status.replace(switchback=progress)
                continue
            attached = AttachedScheduler(
                ops_name=wanted.ops_name,
                enable_seq=1,
                object_digest=wanted.object_digest,
                run=wanted.run,
                since=since,
            )
            status = status.replace(attached=(attached,), sched_ext_state="enabled")
        return replace(self.view, spec=spec, generation=2, status=told(status, now=now))


def block_records(arms: tuple[Arm, ...], ops_name: str, start: datetime) -> tuple[BlockRecord, ...]:
    """Records of finished blocks, all valid."""
    return tuple(
        BlockRecord(
            index=index,
            arm=arm,
            started_at=start + timedelta(seconds=5 * index + 1),
            ended_at=start + timedelta(seconds=5 * index + 5),
            ops_name=ops_name if arm is Arm.ON else "",
            enable_seq_start=index,
            enable_seq_end=index,
            valid=True,
        )
        for index, arm in enumerate(arms)
    )


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
