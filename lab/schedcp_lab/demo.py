"""The demo: the product's main job on a cluster of this machine, then its safety, in three acts.

The demo only does what a user of kubectl and helm would do: it applies objects, and it watches.
Each act states what must be true and looks for itself, on the nodes as well as in the objects.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from schedcp_api.runs import AttemptResult, OutcomeKind, TriggerKind
from schedcp_lab.cluster import Cluster
from schedcp_lab.errors import KernelBroken, LabError, NotReady, Unreachable
from schedcp_lab.findings import broken_off, replay_gain, stall_findings
from schedcp_lab.processes import wait_until
from schedcp_lab.product import Product
from schedcp_lab.report import Act, DemoRecord, Finding
from schedcp_lab.views import Api, NodeView, RunView
from schedcp_lab.witness import DEFAULT, Witness

__all__ = ["Demo", "Watcher"]

RUN_STARTS_SECONDS = 300.0
RUN_ENDS_SECONDS = 1200.0
RESTORED_SECONDS = 180.0
BOOTED_SECONDS = 120.0
"""An emulated node has its agent again this long after it was started again."""
POLL_SECONDS = 1.0
CHECKOUT = "Deployment/shop/checkout"


class Watcher(Protocol):
    """Who is told how things stand, about once a second."""

    def say(self, text: str) -> None:
        """Take one line of news."""

    def show(self, runs: list[RunView], nodes: list[NodeView]) -> None:
        """Take the present picture."""


def _begun_again(act: Callable[[Demo, str], Act]) -> Callable[[Demo, str], Act]:
    """Have an act begun again, once, when the emulator broke a node's kernel in its course."""

    @functools.wraps(act)
    def played(demo: Demo, title: str) -> Act:
        return demo.course(functools.partial(act, demo, title))

    return played


class Demo:
    """Three acts on a cluster with the product installed."""

    def __init__(
        self, cluster: Cluster, product: Product, api: Api, *, witness: Witness, watcher: Watcher
    ) -> None:
        self._cluster = cluster
        self._witness = witness
        self._product = product
        self._api = api
        self._watcher = watcher
        self._root = cluster.workshop.root
        self._rollouts = 0

    def play(self, started_at: datetime.datetime) -> DemoRecord:
        """Play act after act, until one does not come to its end; return what happened."""
        acts: list[Act] = []
        for title, act in self._acts:
            try:
                acts.append(act(title))
            except LabError as error:
                acts.append(broken_off(title, error))
                break
        return DemoRecord(
            started_at=started_at,
            finished_at=datetime.datetime.now(datetime.UTC),
            kernel=self._cluster.workshop.node_image.release,
            accelerator=self._cluster.accelerator.value,
            nodes=len(self._cluster.nodes),
            setup=tuple(self._cluster.timer.seconds),
            acts=tuple(acts),
        )

    @property
    def _acts(self) -> tuple[tuple[str, Callable[[str], Act]], ...]:
        return (
            ("1. A rollout finds a better scheduler", self.finds_a_better_scheduler),
            ("2. A scheduler that hurts is rolled back", self.rolls_back),
            ("3. A scheduler that stalls is ejected and quarantined", self.survives_a_stall),
        )

    def course(self, act: Callable[[], Act]) -> Act:
        """Play an act; again, once and from its beginning, when a node's kernel was broken."""

        def once() -> Act:
            played = act()
            if not played.passed:
                self._cluster.faults.check()
            return played

        def once_more(broken: KernelBroken) -> Act:
            self._watcher.say(f"{broken}; the act is begun again")
            self._product.recover(broken)
            left = self._clear()
            played = act()
            restored = Finding("after the broken course every node was restored", not left, left)
            return replace(played, broken=str(broken), findings=(restored, *played.findings))

        return self._cluster.faults.course(once, once_more)

    @_begun_again
    def finds_a_better_scheduler(self, title: str) -> Act:
        """Act one: a rollout triggers the loop: it finds, proves, tries and keeps a scheduler."""
        self._watcher.say("act 1: a policy, then a rollout; nobody calls anything")
        run = self._run_of_rollout(
            "checkout", self._root / "examples" / "schedulerpolicy.yaml", self._deploy
        )
        status = run.status
        ops = status.attempts[-1].ops_name if status.attempts else ""
        seen = self._running()
        nodes = self._api.nodes()
        outcome = status.outcome
        findings = (
            Finding(
                "the rollout alone triggered the run",
                run.spec.trigger.kind is TriggerKind.ROLLOUT
                and run.spec.trigger.workload == CHECKOUT,
                run.spec.trigger.workload,
            ),
            Finding(
                "the agent profiled the pods, and the planner recognised what they do",
                status.profile_digest is not None and status.description is not None,
                str(status.description.workload_class) if status.description else "",
            ),
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
                and all(node.holds(ops) for node in nodes),
                ", ".join(f"{name}: {found or 'default'}" for name, found in seen.items()),
            ),
            Finding("the lesson was kept", status.lesson_digest is not None),
        )
        return Act(
            title,
            "A latency-sensitive service is rolled out beside batch work that takes every CPU.",
            run,
            findings,
        )

    @_begun_again
    def rolls_back(self, title: str) -> Act:
        """Act two: a scheduler that passes the checks but hurts the workload is rolled back."""
        self._watcher.say("act 2: a scheduler that hurts the workload is tried")
        first = self._deletes_the_first_policy()
        run = self._run_of_rollout(
            "hurts", self._root / "lab" / "workloads" / "hurts.yaml", self._roll_out
        )
        status = run.status
        outcome = status.outcome
        after = self._wait_restored()
        findings = (
            *first,
            Finding(
                "the verifier found it safe; its replay warned, and the policy overruled that",
                bool(status.token) and replay_gain(run) < 0,
                f"the replay said {replay_gain(run):+.1f} %",
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
            title,
            "The policy insists on the longest-first scheduler for the latency-sensitive service.",
            run,
            findings,
        )

    def _deletes_the_first_policy(self) -> tuple[Finding, ...]:
        """Delete act one's policy; return what to say of that, nothing where there is none."""
        there = any(policy.name == "checkout" for policy in self._api.policies())
        restored = self._delete_policy("checkout")
        said = Finding("deleting the first policy restored every node", not restored, restored)
        return (said,) if there else ()

    @_begun_again
    def survives_a_stall(self, title: str) -> Act:
        """Act three: a scheduler that stalls gets past a blind verifier, and the node ejects it."""
        self._watcher.say(
            "act 3: what if the verifier were blind? A scheduler that stalls is tried"
        )
        self._delete_policy("hurts")
        source = self._root / "lab" / "workloads" / "stalls_later.bpf.c"
        self._product.import_source(source)
        refusals: list[str] = []

        def roll_out(revision: str) -> None:
            self._roll_out(revision)
            # Until the new pods run there is time for that.
            refusals.extend(self._product.analysed(source))

        with self._product.blind_verifier():
            run = self._run_of_rollout(
                "stalls", self._root / "lab" / "workloads" / "stalls.yaml", roll_out
            )
        after = self._wait_restored()
        refused = Finding(
            "a verifier that looks refuses it",
            bool(refusals),
            refusals[0] if refusals else "it found nothing",
        )
        restored = Finding("every node is proven restored", not after, after)
        findings = (refused, *stall_findings(run, self._api.nodes()), restored)
        self._delete_policy("stalls")
        return Act(
            title,
            "The verifier is made blind on purpose, so that a scheduler gets through that stalls.",
            run,
            findings,
        )

    def _apply(self, manifest: Path) -> None:
        self._cluster.plane.kubectl("apply", "-f", manifest)

    def _deploy(self, revision: str) -> None:
        """Put the service and its neighbours there, which is its first rollout."""
        self._apply(self._root / "lab" / "workloads" / "shop.yaml")
        if self._rollouts > 1:
            self._roll_out(revision)

    def _roll_out(self, revision: str) -> None:
        """Roll the service out with a changed pod template, as a release would."""
        self._cluster.plane.kubectl(
            *("-n", "shop", "set", "env", "deployment/checkout", f"REVISION={revision}")
        )

    def _run_of_rollout(
        self, policy: str, manifest: Path, roll_out: Callable[[str], None]
    ) -> RunView:
        """Apply a policy, roll the service out anew, and follow the run to its end."""
        self._apply(manifest)
        self._rollouts += 1
        roll_out(f"{policy}-{self._rollouts}")
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
        self._cluster.plane.kubectl(
            "delete", "schedulerpolicy", name, "--ignore-not-found", "--wait=true"
        )
        return self._wait_restored()

    def _clear(self) -> str:
        """Delete all policies and their runs; return which node is not restored in time.

        What the runs and nodes said of themselves is kept beside the logs.
        """
        kubectl = self._cluster.plane.kubectl
        said = kubectl("get", "optimizationruns,schedulernodestates", "-o", "yaml").stdout
        (self._cluster.folder / f"broken-{self._rollouts}.yaml").write_text(said, encoding="utf-8")
        kubectl("delete", "schedulerpolicies", "--all", "--wait=false")
        self._wait(
            lambda: not (self._api.policies() or self._api.runs()),
            what="policies and runs are gone",
            seconds=RUN_STARTS_SECONDS,
        )
        return self._wait_restored(BOOTED_SECONDS + RESTORED_SECONDS)

    def _wait_restored(self, seconds: float = RESTORED_SECONDS) -> str:
        """Wait until agents and kernels agree that nothing is loaded; return what is not so."""
        left = "not looked at"

        def restored() -> bool:
            nonlocal left
            reported = [node.name for node in self._api.nodes() if not node.on_default]
            left = "; ".join(f"{name} reports a scheduler" for name in reported)
            if left:
                return False
            found = self._running()
            left = "; ".join(f"{name} runs {ops}" for name, ops in found.items() if ops)
            return not left and bool(found)

        try:
            self._wait(restored, what="every node is restored", seconds=seconds)
        except NotReady:
            return left
        return ""

    def _running(self) -> dict[str, str]:
        """Ask each node's kernel itself which scheduler it runs; its own is empty."""
        found = {}
        for name in self._cluster.nodes:
            try:
                said = self._witness.sched_ext(name)
            except LabError as error:
                said = f"unknown ({str(error).splitlines()[-1]})"
            found[name] = "" if said == DEFAULT else said
        return found

    def _wait(self, condition: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Wait for a condition while the picture is kept up to date."""

        def holds() -> bool:
            if self._look(condition):
                return True
            for name in (*self._cluster.revive(), *self._product.revive()):
                self._watcher.say(f"{name} had ended, and was started again")
            self._cluster.faults.check()
            return False

        wait_until(
            holds,
            what=what,
            timeout_seconds=seconds,
            interval_seconds=POLL_SECONDS,
            hint=lambda: f"logs: {self._cluster.folder}",
        )

    def _look(self, condition: Callable[[], bool]) -> bool:
        """Show how things stand and ask `condition`; no answer from the API server is "not yet"."""
        try:
            self._watcher.show(self._api.runs(), self._api.nodes())
            return condition()
        except Unreachable:
            return False
