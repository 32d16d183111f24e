"""A rollout on a real cluster starts the loop: eBPF profiles its pods, and a plan is made."""

import time
from pathlib import Path

import pytest

from schedcp_api.runs import RunStage, TriggerKind
from schedcp_lab.views import RunView
from support.lab import Lab

pytestmark = pytest.mark.timeout(1500)

PLANNED_SECONDS = 600.0


def planned(lab: Lab) -> RunView:
    """The run of the policy, once it has a plan."""
    deadline = time.monotonic() + PLANNED_SECONDS
    while True:
        runs = lab.api.runs("checkout")
        if runs and (runs[0].finished or runs[0].status.stage is RunStage.VERIFYING):
            return runs[0]
        assert time.monotonic() < deadline, f"no plan within {PLANNED_SECONDS:g} s: {runs}"
        time.sleep(1)


def test_a_rollout_is_profiled_and_planned(lab: Lab, repository: Path) -> None:
    kubectl = lab.cluster.plane.kubectl
    assert all(not lab.product.attached_ops(node) for node in lab.cluster.nodes)

    kubectl("apply", "-f", repository / "examples" / "schedulerpolicy.yaml")
    kubectl("apply", "-f", repository / "lab" / "workloads" / "shop.yaml")
    run = planned(lab)

    assert run.status.stage is RunStage.VERIFYING, run.status.outcome
    assert run.spec.trigger.kind is TriggerKind.ROLLOUT
    assert run.spec.trigger.workload == "Deployment/shop/checkout"
    assert run.status.profile_digest is not None
    assert run.status.description is not None
    assert run.status.attempts[-1].plan.scheduler == "latency_class"

    kubectl("delete", "schedulerpolicy", "checkout", "--wait=true")
    assert all(not lab.product.attached_ops(node) for node in lab.cluster.nodes)
