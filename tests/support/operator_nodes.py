"""Nodes for the operator's tests, as views and with an agent that obeys."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schedcp_api.base import ConditionStatus, digest_of, with_condition
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
from schedcp_api.policies import SchedulerPolicySpec
from schedcp_operator.views import LivePolicy, NodeView, World

from .operator_nouns import KERNEL, NOW, policy_spec

POD_UID = "12345678-1234-1234-1234-{:012d}"


def node(name: str = "node-1", *, pods: int = 1, now: datetime = NOW, **status: object) -> NodeView:
    """A node with a healthy agent, a right clock and target pods, on the kernel's scheduler."""
    number = int(name.rpartition("-")[2])
    tracked = tuple(
        TrackedPod(namespace="shop", name=f"checkout-{i}", uid=POD_UID.format(100 * number + i))
        for i in range(pods)
    )
    base = SchedulerNodeStateStatus(
        observed_generation=1, heartbeat_at=now, kernel=KERNEL, sched_ext_state="disabled"
    )
    said = told(base.replace(**status), now=now)
    return NodeView(
        name=name, generation=1, target_pods=tracked, status=said, clock_skew=timedelta(0)
    )


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
