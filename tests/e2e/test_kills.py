"""Killing any one process during the loop leaves every node on the default scheduler, or on a
proven one with a lease that holds, and the run ends with a true status."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from schedcp_api.runs import AttemptResult, OutcomeKind, RunStage
from schedcp_lab.errors import CommandFailed
from schedcp_lab.views import RunView

from .conftest import Lab

pytestmark = pytest.mark.timeout(1200)

STAGE_SECONDS = 400.0
END_SECONDS = 600.0
SETTLE_SECONDS = 120.0
KILL_LOADER = """
import os, pathlib, signal
for entry in pathlib.Path('/proc').iterdir():
    if entry.name.isdigit() and (entry / 'comm').read_text().strip() == 'schedcp-loader':
        os.kill(int(entry.name), signal.SIGKILL)
        print('killed', entry.name)
"""


def wait(condition: Callable[[], bool], *, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


class Story:
    """One policy, one rollout, one run."""

    def __init__(self, lab: Lab, name: str, repository: Path) -> None:
        self.lab = lab
        self.name = name
        text = (repository / "lab" / "workloads" / "hurts.yaml").read_text()
        policy = yaml.safe_load(text)
        policy["metadata"]["name"] = name
        policy["spec"]["search"]["pinned"] = [{"scheduler": "latency_class"}]
        kubectl = lab.cluster.plane.kubectl
        kubectl("apply", "-f", repository / "lab" / "workloads" / "shop.yaml")
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(policy))
        kubectl("-n", "shop", "set", "env", "deployment/checkout", f"REVISION={name}")

    def run(self) -> RunView | None:
        """The run, if there is one yet; asking again while the API server is away."""
        runs = self.lab.api.runs(self.name)
        return runs[0] if runs else None

    def wait_measuring(self) -> str:
        """Wait until a node has the candidate loaded in a block; return the node."""
        found: list[str] = []

        def measuring() -> bool:
            run = self.run()
            if run is not None and run.finished:
                raise AssertionError(f"the run ended before the canary: {run.status.outcome}")
            if run is None or run.status.stage is not RunStage.CANARY:
                return False
            found[:] = [node.name for node in self.lab.api.nodes() if node.ops_name]
            return bool(found)

        wait(measuring, what=f"{self.name}: a canary is measured", seconds=STAGE_SECONDS)
        return found[0]

    def wait_end(self) -> RunView:
        def ended() -> bool:
            run = self.run()
            return run is not None and run.finished

        wait(ended, what=f"{self.name}: the run ends", seconds=END_SECONDS)
        run = self.run()
        assert run is not None
        return run

    def assert_safe(self) -> None:
        """Every node is on the kernel's scheduler, or on what is assigned, under a live lease."""

        def safe() -> bool:
            return all(not self._unsafe(node) for node in self.lab.cluster.nodes)

        wait(safe, what=f"{self.name}: every node is safe", seconds=SETTLE_SECONDS)

    def _unsafe(self, node: str) -> str:
        try:
            ops = self.lab.product.attached_ops(node)
        except CommandFailed as error:
            return str(error)
        if not ops:
            return ""
        view = next(view for view in self.lab.api.nodes() if view.name == node)
        lease = view.lease_until
        if view.assigned == ops and lease is not None and lease > datetime.now(UTC):
            return ""
        return f"{node} runs {ops}, assigned is {view.assigned or 'nothing'}, lease until {lease}"

    def end(self) -> None:
        self.lab.cluster.plane.kubectl("delete", "schedulerpolicy", self.name, "--wait=true")

        def restored() -> bool:
            return not any(self.lab.product.attached_ops(name) for name in self.lab.cluster.nodes)

        wait(restored, what=f"{self.name}: every node is restored", seconds=SETTLE_SECONDS)


def assert_true_status(run: RunView) -> None:
    """The end names what happened, and nothing is promoted without an improvement."""
    outcome = run.status.outcome
    assert outcome is not None
    assert outcome.reason
    promoted = run.status.attempts[-1].result is AttemptResult.PROMOTED
    assert promoted == (outcome.kind is OutcomeKind.IMPROVED)


def test_what_restarts_by_itself_is_killed(lab: Lab, repository: Path) -> None:
    story = Story(lab, "kill-restarting", repository)
    node = story.wait_measuring()

    lab.product.operator.kill()
    lab.product.restart_operator()
    lab.cluster.prometheus.kill()
    lab.cluster.prometheus.restart()
    lab.cluster.plane.kill("kube-apiserver")
    lab.cluster.plane.restart_apiserver()
    story.assert_safe()
    pod = lab.product.agent_pod(node)
    lab.cluster.plane.kubectl(
        *("-n", "schedcp-system", "delete", "pod", pod, "--grace-period=0", "--force")
    )
    story.assert_safe()

    assert_true_status(story.wait_end())
    story.assert_safe()
    story.end()


def test_the_loader_is_killed(lab: Lab, repository: Path) -> None:
    story = Story(lab, "kill-loader", repository)
    node = story.wait_measuring()

    said = lab.cluster.plane.kubectl(
        *("-n", "schedcp-system", "exec", lab.product.agent_pod(node), "--"),
        *("python3", "-c", KILL_LOADER),
    )

    assert "killed" in said.stdout
    run = story.wait_end()
    assert_true_status(run)
    story.assert_safe()
    story.end()


def test_a_node_is_killed(lab: Lab, repository: Path) -> None:
    story = Story(lab, "kill-node", repository)
    node = lab.cluster.nodes[story.wait_measuring()]

    node.kill()
    run = story.wait_end()
    node.restart()
    lab.cluster.wait_nodes_ready()

    assert_true_status(run)
    assert run.status.outcome is not None
    assert run.status.outcome.kind in (OutcomeKind.ERROR, OutcomeKind.INCONCLUSIVE)
    story.assert_safe()
    story.end()
