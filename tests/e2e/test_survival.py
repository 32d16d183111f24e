"""The whole loop on a real cluster: it survives kills, it keeps what helps, it goes.

The tests share one cluster and run in the order of this file; each leaves every node on the
kernel's own scheduler, but for the last four: what the first of them promotes is killed, left
without an operator, and uninstalled by the others.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schedcp_api.nodestates import Arm, BlockRecord
from schedcp_api.runs import (
    AttemptResult,
    NodeRole,
    OutcomeKind,
    RunStage,
)
from schedcp_lab.control_plane_components import APISERVER
from schedcp_lab.views import RunView
from schedcp_lab.witness import DEFAULT
from support.lab import CHANGING, Lab, begun_again

pytestmark = pytest.mark.timeout(2400)

STARTS_SECONDS = 300.0
ENDS_SECONDS = 1200.0
MEASURED = (8.0, 16.0)
"""For so long a scheduler of `kills.yaml`'s has been enabled while its block is measured: that
begins when the agent has seen it for 2 s, and lasts for 20."""
LOST_LOADER = ("LoaderEnded", "OpsChanged: schedcp_weighted_vtime became none", "LeftArm")
"""Why a block does not count in which the loader was killed: its end is seen, or the kernel's own
scheduler, or that nobody holds the scheduler that the kernel still has."""
LEASES_END_SECONDS = 300.0
OUTAGE_SECONDS = 15.0
"""For so long a part of the cluster stays dead: longer than a block of `better.yaml` with its
wash-out and than an operator may act without its Lease, shorter than a fresh lease of a node."""
PROMOTED = "schedcp_latency_class"


def wait_promoted(lab: Lab) -> None:
    """Wait until every node runs what the second test promotes."""
    for name in lab.cluster.nodes:
        lab.wait(
            lambda name=name: lab.node(name).holds(PROMOTED),
            f"{name} runs {PROMOTED}",
            seconds=ENDS_SECONDS,
        )


def canary_of(run: RunView) -> str:
    """The run's canary; empty before there is one."""
    return next((n.name for n in run.status.nodes if n.role is NodeRole.CANARY), "")


def blocks_of(lab: Lab, node: str) -> tuple[BlockRecord, ...]:
    """The blocks that the node has behind it."""
    progress = lab.node(node).status.switchback
    return progress.blocks if progress else ()


def attached_since(lab: Lab, node: str) -> datetime:
    """Since when the node has run its scheduler; the first of all times when it runs none."""
    attached = lab.node(node).status.attached
    return attached[0].since if attached else datetime.min.replace(tzinfo=UTC)


def counted(lab: Lab, node: str) -> set[int]:
    """The `enable_seq` of each scheduler that a block of the node counts for."""
    return {
        block.enable_seq_start
        for block in blocks_of(lab, node)
        if block.arm is Arm.ON and block.valid
    }


def kill_in_block(lab: Lab, node: str, program: str) -> int:
    """Kill a program of the node while an ON block is measured; return the `enable_seq` of then.

    That block must not count. A later one must, and its scheduler have been enabled anew.
    """
    killed: list[int] = []

    def deed() -> bool:
        killed.append(lab.witness.kill(node, program, after=MEASURED))
        return True

    lab.wait(deed, f"{program} is killed in a block", seconds=STARTS_SECONDS)
    (enable_seq,) = killed
    lab.wait(
        lambda: max(counted(lab, node), default=0) > enable_seq,
        f"a block counts again after {program} was killed",
        seconds=STARTS_SECONDS,
    )
    assert enable_seq not in counted(lab, node)
    return enable_seq


def assert_judged_without(lab: Lab, killed_at: datetime, run: RunView) -> None:
    """Whatever a run came to, no block counted in which its node was killed, and nodes agree."""
    status, asked = run.status, run.spec.policy_spec.canary.pairs
    (attempt,) = status.attempts
    over = [b for b in attempt.blocks if b.started_at <= killed_at <= b.ended_at]
    assert not any(block.valid for block in over), over
    outcome = status.outcome
    assert outcome is not None
    if outcome.kind is OutcomeKind.IMPROVED:
        pairs = {arm: sum(b.valid for b in attempt.blocks if b.arm is arm) for arm in Arm}
        assert outcome.pairs <= min(pairs.values()) < asked, (outcome, pairs)
        assert attempt.result is AttemptResult.PROMOTED
        lab.assert_promoted(attempt.ops_name)
    else:
        assert outcome.kind in (OutcomeKind.ERROR, OutcomeKind.INCONCLUSIVE), outcome
        assert attempt.result is not AttemptResult.PROMOTED
        lab.wait_default(seconds=ENDS_SECONDS)


@begun_again
def test_kills_on_a_node_during_its_canary(lab: Lab, data: Path) -> None:
    """The loader, the agent, then the whole node: what is judged is what was measured.

    Each kill costs the block in which it happens. The run ends without a verdict when too few are
    left, and with one when the node was back in time: then what is kept has a lease.
    """
    lab.clear()
    with lab.policy(data / "kills.yaml") as policy:
        lab.roll_out()
        lab.wait(lambda: bool(lab.api.runs(policy)), "a run starts", seconds=STARTS_SECONDS)
        lab.wait(lambda: bool(canary_of(lab.run_of(policy))), "a canary", seconds=ENDS_SECONDS)
        canary = canary_of(lab.run_of(policy))
        enable_seq = kill_in_block(lab, canary, "schedcp-loader")
        lost = [b for b in blocks_of(lab, canary) if b.enable_seq_start == enable_seq]
        assert lost
        assert not any(block.valid for block in lost), lost
        assert any(block.invalid_reason.startswith(LOST_LOADER) for block in lost), lost
        kill_in_block(lab, canary, "schedcp-agent")

        assert not lab.run_of(policy).finished, lab.story()
        killed_at = datetime.now(UTC)
        lab.cluster.nodes[canary].kill()
        lab.wait(lambda: lab.run_of(policy).finished, "the run ends", seconds=ENDS_SECONDS)
        assert_judged_without(lab, killed_at, lab.run_of(policy))
    lab.wait_default()


class Mischief:
    """Does what is named, once, in the stage that is named with it."""

    def __init__(self, deeds: list[tuple[RunStage, str, Callable[[], bool]]]) -> None:
        self._deeds = deeds
        self.done: list[str] = []

    def look(self, run: RunView) -> None:
        """Do the first thing that is due, and no other before it, or hear that it is too early."""
        for deed in self._deeds:
            if deed[0] is run.status.stage:
                if deed[2]():
                    self._deeds.remove(deed)
                    self.done.append(deed[1])
                return


def operator_killed(lab: Lab) -> bool:
    """Kill the operator."""
    lab.product.operator.kill()
    return True


def assert_in_place(ops_name: str) -> None:
    """A node runs the kernel's own scheduler, what was proven, or changes between the two."""
    assert ops_name in {DEFAULT, PROMOTED, *CHANGING}


def leases_are_fresh(lab: Lab) -> bool:
    """Whether a scheduler is assigned, and leases last until an operator renews them again.

    That takes an outage, and as long again for what was dead to start and for another to lead.
    """
    until = datetime.now(UTC) + timedelta(seconds=3 * OUTAGE_SECONDS)
    leases = [node.lease_until for node in lab.api.nodes() if node.assigned]
    return bool(leases) and all(lease is not None and lease > until for lease in leases)


def apiserver_held_dead(lab: Lab) -> bool:
    """Kill the API server and leave it so; the witnesses' logs tell what nodes ran meanwhile.

    Nobody can renew leases meanwhile, so it begins when they hold for longer.
    """
    if not leases_are_fresh(lab):
        return False
    before = {name: max(lab.witness.said(name), default=-1) for name in lab.cluster.nodes}
    lab.cluster.plane.kill(APISERVER)
    over = time.monotonic() + OUTAGE_SECONDS
    lab.wait(
        lambda: time.monotonic() > over, "the outage", seconds=2 * OUTAGE_SECONDS, revive=False
    )
    lab.cluster.plane.restart_apiserver()
    for name, number in before.items():

        def told(name: str = name, number: int = number) -> bool:
            found = [ops for at, ops in lab.witness.said(name).items() if at > number]
            for ops_name in found:
                assert_in_place(ops_name)
            return len(found) > OUTAGE_SECONDS / 2

        lab.wait(told, f"the witness on {name} tells of the outage", seconds=STARTS_SECONDS)
    return True


def prometheus_held_dead(lab: Lab) -> bool:
    """Kill Prometheus and leave it so, looking at the nodes all the while."""
    lab.cluster.prometheus.kill()
    over = time.monotonic() + OUTAGE_SECONDS

    def looked() -> bool:
        for name in lab.cluster.nodes:
            ops_name = lab.witness.sched_ext(name)
            assert_in_place(ops_name)
            assert ops_name != PROMOTED or lab.node(name).lease_holds, lab.story()
        return time.monotonic() > over

    lab.wait(looked, "the outage", seconds=STARTS_SECONDS, revive=False)
    assert not lab.cluster.prometheus.alive
    return True


@begun_again
def test_a_better_scheduler_is_found_whoever_is_killed_meanwhile(lab: Lab, data: Path) -> None:
    lab.clear()
    mischief = Mischief(
        [
            (RunStage.PROFILING, "operator", lambda: operator_killed(lab)),
            (RunStage.CANARY, APISERVER, lambda: apiserver_held_dead(lab)),
            (RunStage.CANARY, "operator", lambda: leases_are_fresh(lab) and operator_killed(lab)),
            (RunStage.PROMOTING, "prometheus", lambda: prometheus_held_dead(lab)),
        ]
    )

    def finished() -> bool:
        run = lab.run_of("better")
        mischief.look(run)
        return run.finished

    lab.cluster.plane.kubectl("apply", "-f", data / "better.yaml")
    lab.roll_out()
    lab.wait(lambda: bool(lab.api.runs("better")), "a run starts", seconds=STARTS_SECONDS)
    lab.wait(finished, "the run ends", seconds=ENDS_SECONDS)
    assert sorted(mischief.done) == [APISERVER, "operator", "operator", "prometheus"]
    outcome = lab.run_of("better").status.outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.IMPROVED, outcome
    lab.assert_promoted(PROMOTED)


@begun_again
def test_what_was_promoted_comes_back_whatever_carried_it_is_killed(lab: Lab) -> None:
    """The loader, the agent, then the whole node: the scheduler is attached anew, with a lease."""
    wait_promoted(lab)
    victim, other = sorted(lab.cluster.nodes)
    deeds: dict[str, Callable[[], object]] = {
        "loader": lambda: lab.witness.kill(victim, "schedcp-loader"),
        "agent": lambda: lab.witness.kill(victim, "schedcp-agent"),
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


@begun_again
def test_nobody_renews_the_leases(lab: Lab) -> None:
    """Without an operator the nodes leave what was promoted; it comes back with the operator."""
    wait_promoted(lab)
    lab.product.operator.kill()
    for name in lab.cluster.nodes:
        lab.wait(
            lambda name=name: lab.witness.sched_ext(name) == DEFAULT,
            f"{name} leaves {PROMOTED} when its lease has run out",
            seconds=LEASES_END_SECONDS,
            revive=False,
        )
        assert not lab.node(name).lease_holds, lab.story()
    wait_promoted(lab)


def test_uninstalling_restores_every_node_and_proves_it(lab: Lab) -> None:
    wait_promoted(lab)
    running = {name: lab.witness.sched_ext(name) for name in lab.cluster.nodes}
    assert all(ops == PROMOTED for ops in running.values()), running
    said = lab.product.uninstall()
    assert "uninstalled" in said
    for name in lab.cluster.nodes:
        assert lab.witness.sched_ext(name) == DEFAULT
        assert lab.node(name).on_default
    left = lab.cluster.plane.kubectl("-n", "schedcp-system", "get", "daemonsets", "-o", "name")
    assert left.stdout.strip() == ""
