"""The demo: the product's main job on a cluster of this machine, then its safety, in three acts.

The demo only does what a user of kubectl and helm would do: it applies objects, and it watches.
Each act states what must be true and looks for itself, on the nodes as well as in the objects.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from schedcp_api.nodestates import RunState
from schedcp_api.runs import AttemptResult, OutcomeKind, TriggerKind
from schedcp_lab.cluster import Cluster
from schedcp_lab.errors import NotReady
from schedcp_lab.product import Product
from schedcp_lab.report import Act, DemoRecord, Finding
from schedcp_lab.views import Api, NodeView, RunView

__all__ = ["Demo", "Watcher"]

RUN_STARTS_SECONDS = 300.0
RUN_ENDS_SECONDS = 900.0
RESTORED_SECONDS = 180.0
POLL_SECONDS = 1.0
STALL_EXIT_KIND = 1026
CHECKOUT = "Deployment/shop/checkout"


class Watcher(Protocol):
    """Who is told how things stand, about once a second."""

    def say(self, text: str) -> None:
        """Take one line of news."""

    def show(self, runs: list[RunView], nodes: list[NodeView]) -> None:
        """Take the present picture."""


class Demo:
    """Three acts on a cluster with the product installed."""

    def __init__(self, cluster: Cluster, product: Product, api: Api, watcher: Watcher) -> None:
        self._cluster = cluster
        self._product = product
        self._api = api
        self._watcher = watcher
        self._revision = 1
        self._root = cluster.workshop.root

    def play(self, started_at: datetime.datetime) -> DemoRecord:
        """Play all acts; return what happened."""
        acts = (self.finds_a_better_scheduler(), self.rolls_back(), self.survives_a_stall())
        return DemoRecord(
            started_at=started_at,
            finished_at=datetime.datetime.now(datetime.UTC),
            kernel=self._cluster.workshop.node_image.release,
            accelerator=self._cluster.accelerator.value,
            nodes=len(self._cluster.nodes),
            setup=tuple(self._cluster.timer.seconds),
            acts=acts,
        )

    def finds_a_better_scheduler(self) -> Act:
        """Act one: a rollout triggers the loop: it finds, proves, tries and keeps a scheduler."""
        self._watcher.say("act 1: a policy, then a rollout; nobody calls anything")
        run = self._run_of_rollout(
            "checkout",
            self._root / "examples" / "schedulerpolicy.yaml",
            lambda: self._apply(self._root / "lab" / "workloads" / "shop.yaml"),
        )
        status = run.status
        nodes = self._api.nodes()
        ops = status.attempts[-1].ops_name if status.attempts else ""
        seen = {name: self._product.attached_ops(name) for name in self._cluster.nodes}
        outcome = status.outcome
        findings = (
            Finding(
                "the rollout alone triggered the run",
                run.spec.trigger.kind is TriggerKind.ROLLOUT
                and run.spec.trigger.workload == CHECKOUT,
                run.spec.trigger.workload,
            ),
            Finding("the pods were profiled with eBPF", status.profile_digest is not None),
            Finding("a candidate was proven and its token signed", bool(status.token), ops),
            Finding(
                "the judge found it better on a real node",
                outcome is not None and outcome.kind is OutcomeKind.IMPROVED,
                f"{outcome.kind}: {outcome.reason}" if outcome else "no outcome",
            ),
            Finding(
                "every node runs it, with a lease that holds",
                bool(ops)
                and all(found == ops for found in seen.values())
                and all(_is_active(node, ops) for node in nodes),
                ", ".join(f"{name}: {found or 'default'}" for name, found in seen.items()),
            ),
            Finding("the lesson was kept", status.lesson_digest is not None),
        )
        return Act(
            "1. A rollout finds a better scheduler",
            "A latency-sensitive service is rolled out beside batch work that takes every CPU.",
            run,
            findings,
        )

    def rolls_back(self) -> Act:
        """Act two: a scheduler that passes the checks but hurts the workload is rolled back."""
        self._watcher.say("act 2: a scheduler that hurts the workload is tried")
        restored = self._delete_policy("checkout")
        run = self._run_of_rollout(
            "hurts", self._root / "lab" / "workloads" / "hurts.yaml", self._roll_out
        )
        status = run.status
        outcome = status.outcome
        after = self._wait_restored()
        findings = (
            Finding("deleting the first policy restored every node", not restored, restored),
            Finding(
                "the verifier found it safe, and the replay's warning was overruled by the policy",
                bool(status.token),
                _replay_text(run),
            ),
            Finding(
                "the judge found it worse on a real node",
                outcome is not None and outcome.kind is OutcomeKind.WORSE,
                f"{outcome.kind}: {outcome.reason}" if outcome else "no outcome",
            ),
            Finding(
                "it was rolled back, not promoted",
                bool(status.attempts) and status.attempts[-1].result is AttemptResult.ROLLED_BACK,
            ),
            Finding("every node is proven restored", not after, after),
        )
        return Act(
            "2. A scheduler that hurts is rolled back",
            "The policy insists on the longest-first scheduler for the latency-sensitive service.",
            run,
            findings,
        )

    def survives_a_stall(self) -> Act:
        """Act three: a time bomb that the verifier cannot see stalls a node, and is ejected."""
        self._watcher.say("act 3: a scheduler that stalls later is tried")
        self._delete_policy("hurts")
        self._product.import_source(self._root / "lab" / "workloads" / "stalls_later.bpf.c")
        run = self._run_of_rollout(
            "stalls", self._root / "lab" / "workloads" / "stalls.yaml", self._roll_out
        )
        status = run.status
        nodes = self._api.nodes()
        exits = [node.status.last_exit for node in nodes if node.status.last_exit]
        stalled = [found for found in exits if found.kind == STALL_EXIT_KIND]
        digest = status.attempts[-1].object_digest if status.attempts else None
        quarantined = [
            node.name
            for node in nodes
            if any(entry.object_digest == digest for entry in node.status.quarantine)
        ]
        after = self._wait_restored()
        findings = (
            Finding("it passed the verifier", bool(status.token)),
            Finding(
                "the kernel ejected it, and the agent told why",
                bool(stalled),
                stalled[0].message if stalled else "no exit was recorded",
            ),
            Finding("the agent put it into quarantine", bool(quarantined), ", ".join(quarantined)),
            Finding(
                "it was not promoted",
                bool(status.attempts) and status.attempts[-1].result is not AttemptResult.PROMOTED,
            ),
            Finding("every node is proven restored", not after, after),
        )
        self._delete_policy("stalls")
        return Act(
            "3. A scheduler that stalls is ejected and quarantined",
            "It behaves for as long as any test looks, and then stops dispatching.",
            run,
            findings,
        )

    def _apply(self, manifest: Path) -> None:
        self._cluster.plane.kubectl("apply", "-f", manifest)

    def _roll_out(self) -> None:
        """Roll the service out with a changed pod template, as a release would."""
        self._revision += 1
        self._cluster.plane.kubectl(
            *("-n", "shop", "set", "env", "deployment/checkout", f"REVISION={self._revision}")
        )

    def _run_of_rollout(self, policy: str, manifest: Path, roll_out: Callable[[], None]) -> RunView:
        """Apply a policy, roll the service out, and follow the run to its end."""
        self._apply(manifest)
        roll_out()
        self._wait(
            lambda: bool(self._api.runs(policy)),
            what=f"the rollout triggers a run of policy {policy}",
            seconds=RUN_STARTS_SECONDS,
        )
        self._wait(
            lambda: self._api.runs(policy)[0].finished,
            what=f"the run of policy {policy} ends",
            seconds=RUN_ENDS_SECONDS,
        )
        return self._api.runs(policy)[0]

    def _delete_policy(self, name: str) -> str:
        """Delete a policy; return what is not restored in time, empty when everything is."""
        self._cluster.plane.kubectl("delete", "schedulerpolicy", name, "--wait=true")
        return self._wait_restored()

    def _wait_restored(self) -> str:
        """Wait until agents and kernels agree that nothing is loaded; return what is not so."""
        left = "not looked at"

        def restored() -> bool:
            nonlocal left
            reported = [node.name for node in self._api.nodes() if not node.on_default]
            found = {name: self._product.attached_ops(name) for name in self._cluster.nodes}
            running = [f"{name} runs {ops}" for name, ops in found.items() if ops]
            left = "; ".join([*(f"{name} reports a scheduler" for name in reported), *running])
            return not left

        try:
            self._wait(restored, what="every node is restored", seconds=RESTORED_SECONDS)
        except NotReady:
            return left
        return ""

    def _wait(self, condition: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Wait for a condition while the picture is kept up to date."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._cluster.require_alive()
            self._watcher.show(self._api.runs(), self._api.nodes())
            if time.monotonic() > deadline:
                raise NotReady(f"{what}: not so after {seconds:g} s; logs: {self._cluster.folder}")
            time.sleep(POLL_SECONDS)
        self._watcher.show(self._api.runs(), self._api.nodes())


def _is_active(node: NodeView, ops: str) -> bool:
    return node.ops_name == ops and any(
        assignment.state is RunState.ACTIVE for assignment in node.status.assignments
    )


def _replay_text(run: RunView) -> str:
    attempts = run.status.attempts
    found = attempts[-1].replay_improvement if attempts else None
    return f"the replay said {found}" if found else "no replay"
