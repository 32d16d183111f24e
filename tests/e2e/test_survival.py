"""The whole loop on a real cluster: it survives kills, it keeps what helps, it goes.

The tests share one cluster and run in the order of this file; each leaves every node on the
kernel's own scheduler, but for the last four: what the first of them promotes is killed, left
without an operator, and uninstalled by the others.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schedcp_api.nodestates import Arm
from schedcp_api.runs import AttemptResult, NodeRole, OutcomeKind, RunStage
from schedcp_lab.control_plane_components import APISERVER
from schedcp_lab.views import RunView
from schedcp_lab.witness import DEFAULT
from support.lab import Lab

pytestmark = pytest.mark.timeout(2400)

STARTS_SECONDS = 300.0
ENDS_SECONDS = 1200.0
BLOCK_SECONDS = 120.0
LEASES_END_SECONDS = 300.0
TRIPPED = "GuardrailTripped"
"""Why a run ends whose node just rebooted: its own guard rail may see the rush of all its pods."""
PROMOTED = "schedcp_latency_class"


def roll_out(lab: Lab, revision: str) -> None:
    """Roll the shop out, as a release would."""
    kubectl = lab.cluster.plane.kubectl
    kubectl("-n", "shop", "set", "env", "deployment/checkout", f"REVISION={revision}")


def canary_of(run: RunView) -> str:
    """The run's canary; empty before there is one."""
    return next((n.name for n in run.status.nodes if n.role is NodeRole.CANARY), "")


def in_an_on_block(lab: Lab, node: str, after: int) -> bool:
    """Whether the node runs the candidate now, with more than `after` blocks behind it."""
    view = lab.node(node)
    done = len(view.status.switchback.blocks) if view.status.switchback else 0
    return done > after and bool(view.ops_name)


def killed(lab: Lab, node: str, program: str) -> bool:
    """Kill a program of the node; raise CommandFailed when there is none just now."""
    lab.witness.kill(node, program)
    return True


def blocks_done(lab: Lab, node: str) -> int:
    """How many blocks the node has behind it."""
    progress = lab.node(node).status.switchback
    return len(progress.blocks) if progress else 0


def spoil_a_block(lab: Lab, canary: str, program: str) -> None:
    """Kill a program of the canary in an ON block: the kernel's own scheduler, then the next block.

    The run may end by itself meanwhile, as a guard rail may find that things got too bad.
    """
    done = blocks_done(lab, canary)
    lab.wait(
        lambda: in_an_on_block(lab, canary, done - 1),
        f"{canary} runs the candidate",
        seconds=BLOCK_SECONDS,
    )
    lab.wait(lambda: killed(lab, canary, program), f"{program} is killed", seconds=BLOCK_SECONDS)
    lab.wait(
        lambda: lab.witness.sched_ext(canary) == DEFAULT,
        f"the kernel's own scheduler is back after {program} was killed",
        seconds=BLOCK_SECONDS,
    )
    lab.wait(
        lambda: blocks_done(lab, canary) > done or lab.run_of("kills").finished,
        "the agent goes on",
        seconds=BLOCK_SECONDS,
    )


def test_kills_on_a_node_during_its_canary(lab: Lab, data: Path) -> None:
    """The loader, the agent, then the whole node: each time the kernel's own scheduler is back."""
    with lab.policy(data / "kills.yaml") as policy:
        roll_out(lab, policy)
        lab.wait(lambda: bool(lab.api.runs(policy)), "a run starts", seconds=STARTS_SECONDS)
        lab.wait(lambda: bool(canary_of(lab.run_of(policy))), "a canary", seconds=ENDS_SECONDS)
        canary = canary_of(lab.run_of(policy))
        for program in ("schedcp-loader", "schedcp-agent"):
            spoil_a_block(lab, canary, program)
        progress = lab.node(canary).status.switchback
        assert progress is not None
        spoilt = [block for block in progress.blocks if block.arm is Arm.ON and not block.valid]
        assert spoilt, "a block whose scheduler was lost must not count"

        assert not lab.run_of(policy).finished, lab.story()
        lab.cluster.nodes[canary].kill()
        lab.wait(lambda: lab.run_of(policy).finished, "the run ends", seconds=ENDS_SECONDS)
        status = lab.run_of(policy).status
        outcome = status.outcome
        assert outcome is not None
        undecided = outcome.kind in (OutcomeKind.ERROR, OutcomeKind.INCONCLUSIVE)
        assert undecided or outcome.reason == TRIPPED, outcome
        assert all(tried.result is not AttemptResult.PROMOTED for tried in status.attempts)
        lab.wait_default(seconds=ENDS_SECONDS)


class Mischief:
    """Kills what is named, once, in the stage that is named with it."""

    def __init__(self, deeds: list[tuple[RunStage, str, Callable[[], None]]]) -> None:
        self._deeds = deeds
        self.done: list[str] = []

    def look(self, run: RunView) -> None:
        """Do what is due."""
        for deed in [deed for deed in self._deeds if deed[0] is run.status.stage]:
            self._deeds.remove(deed)
            deed[2]()
            self.done.append(deed[1])


def test_a_better_scheduler_is_found_whoever_is_killed_meanwhile(lab: Lab, data: Path) -> None:
    mischief = Mischief(
        [
            (RunStage.PROFILING, "operator", lambda: lab.product.operator.kill()),
            (RunStage.CANARY, "operator", lambda: lab.product.operator.kill()),
            (RunStage.CANARY, APISERVER, lambda: lab.cluster.plane.kill(APISERVER)),
            (RunStage.PROMOTING, "prometheus", lambda: lab.cluster.prometheus.kill()),
        ]
    )

    def finished() -> bool:
        run = lab.run_of("better")
        mischief.look(run)
        return run.finished

    lab.cluster.plane.kubectl("apply", "-f", data / "better.yaml")
    roll_out(lab, "better")
    lab.wait(lambda: bool(lab.api.runs("better")), "a run starts", seconds=STARTS_SECONDS)
    lab.wait(finished, "the run ends", seconds=ENDS_SECONDS)
    assert sorted(mischief.done) == [APISERVER, "operator", "operator", "prometheus"]
    outcome = lab.run_of("better").status.outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.IMPROVED, outcome
    for name in lab.cluster.nodes:
        assert lab.witness.sched_ext(name) == PROMOTED
        assert lab.node(name).holds(PROMOTED), lab.story()


def attached_since(lab: Lab, node: str) -> datetime:
    """Since when the node has run its scheduler; the first of all times when it runs none."""
    attached = lab.node(node).status.attached
    return attached[0].since if attached else datetime.min.replace(tzinfo=UTC)


def test_what_was_promoted_comes_back_whatever_carried_it_is_killed(lab: Lab) -> None:
    """The loader, the agent, then the whole node: the scheduler is attached anew, with a lease."""
    victim, other = sorted(lab.cluster.nodes)
    deeds: dict[str, Callable[[], object]] = {
        "loader": lambda: killed(lab, victim, "schedcp-loader"),
        "agent": lambda: killed(lab, victim, "schedcp-agent"),
        "node": lambda: lab.cluster.nodes[victim].kill(),
    }
    for name, deed in deeds.items():
        before = attached_since(lab, victim)
        deed()
        lab.wait(
            lambda before=before: (
                attached_since(lab, victim) > before and lab.node(victim).holds(PROMOTED)
            ),
            f"{victim} runs {PROMOTED} again after its {name} was killed",
            seconds=ENDS_SECONDS,
        )
        assert lab.witness.sched_ext(victim) == PROMOTED
        assert lab.node(other).holds(PROMOTED), lab.story()


def test_nobody_renews_the_leases(lab: Lab) -> None:
    """Without an operator the nodes leave what was promoted; it comes back with the operator."""
    lab.product.operator.kill()
    for name in lab.cluster.nodes:
        lab.wait(
            lambda name=name: lab.witness.sched_ext(name) == DEFAULT,
            f"{name} leaves {PROMOTED} when its lease has run out",
            seconds=LEASES_END_SECONDS,
            revive=False,
        )
        assert not lab.node(name).lease_holds, lab.story()
    for name in lab.cluster.nodes:
        lab.wait(
            lambda name=name: lab.node(name).holds(PROMOTED),
            f"{name} runs {PROMOTED} again",
            seconds=ENDS_SECONDS,
        )


def test_uninstalling_restores_every_node_and_proves_it(lab: Lab) -> None:
    running = {name: lab.witness.sched_ext(name) for name in lab.cluster.nodes}
    assert all(ops == PROMOTED for ops in running.values()), running
    said = lab.product.uninstall()
    assert "uninstalled" in said
    for name in lab.cluster.nodes:
        assert lab.witness.sched_ext(name) == DEFAULT
        assert lab.node(name).on_default
    left = lab.cluster.plane.kubectl("-n", "schedcp-system", "get", "daemonsets", "-o", "name")
    assert left.stdout.strip() == ""
