"""Asks the nodes' kernels themselves which scheduler they run, whatever agents say.

A pod on each node writes it down once a second; what it wrote after it was asked is the answer.
To start a program in a pod, as `kubectl exec` does, would cost an emulated node seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from schedcp_lab.cluster import Cluster
from schedcp_lab.errors import CommandFailed
from schedcp_lab.processes import wait_until

__all__ = ["DEFAULT", "Witness"]

DEFAULT = "disabled"
"""What a kernel says that runs its own scheduler."""
NAMESPACE = "kube-system"
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Witness:
    """The witnesses of a cluster's nodes."""

    cluster: Cluster

    def install(self) -> None:
        """Start a witness on every node; return when all can be asked."""
        manifest = self.cluster.workshop.root / "lab" / "workloads" / "witness.yaml"
        kubectl = self.cluster.plane.kubectl
        kubectl("apply", "-f", manifest)
        kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/witness", "--timeout=100s")

    def sched_ext(self, node: str) -> str:
        """Return what a node's kernel says now: `disabled`, or its scheduler's name.

        Raise CommandFailed when its witness cannot be asked, and NotReady when it does not answer.
        """
        pod = self._pod(node)
        asked, _ = self._last(pod)
        answer = ""

        def answered() -> bool:
            nonlocal answer
            number, answer = self._last(pod)
            return number > asked

        wait_until(
            answered,
            what=f"the witness on {node} writes down what its kernel runs",
            timeout_seconds=ANSWER_SECONDS,
            interval_seconds=POLL_SECONDS,
        )
        return answer

    def run(self, node: str, *command: str) -> str:
        """Run a command on a node, in the witness's pod; return what it printed."""
        pod = self._pod(node)
        return self.cluster.plane.kubectl("-n", NAMESPACE, "exec", pod, "--", *command).stdout

    def _pod(self, node: str) -> str:
        pods = self.cluster.plane.kubectl(
            *("-n", NAMESPACE, "get", "pods", "-l", "app=witness", "-o", "name"),
            *("--field-selector", f"spec.nodeName={node}"),
        ).stdout.split()
        if not pods:
            raise CommandFailed(f"node {node} has no witness")
        return pods[0]

    def _last(self, pod: str) -> tuple[int, str]:
        """Return the number and the content of the last line of a witness."""
        said = self.cluster.plane.kubectl("-n", NAMESPACE, "logs", "--tail=1", pod).stdout
        number, _, content = said.strip().partition(" ")
        return (int(number), content) if number.isdigit() and content else (-1, "")
