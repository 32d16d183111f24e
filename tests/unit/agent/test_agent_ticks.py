"""The whole agent, tick by tick: what the parts do together."""

import itertools
from pathlib import Path

import pytest

from schedcp_agent.errors import CorruptBlob, RequestFailed
from schedcp_agent.kube import StatusWriter
from schedcp_agent.observations import LoaderExit, LoaderOutcome, LoaderView
from schedcp_agent.trips import FIRST_COMPARISON_SECONDS, MOST_UNEXPLAINED
from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    COMPARISON_SECONDS,
    Arm,
    RunState,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    TrackedWorkload,
)
from schedcp_lab.processes import wait_until
from support.agent import NOW, OBJECT, OTHER_UID, POD_UID, assignment, switchback, token, wish
from support.agent_bench import AgentBench

DIGEST = digest_of(OBJECT)
ANOTHER = assignment(run="checkout-2", token=token(run="checkout-2"))


def test_a_block_has_a_reading_at_each_end_however_rare_ticks_are(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    bench.see(wish(assignment(switchback=switchback(Arm.OFF, Arm.ON)), lease_seconds=600))
    for _ in range(12):
        bench.seconds += 8
        bench.tick()
    progress = bench.writer.status.switchback
    assert progress is not None
    assert len(progress.blocks) == 2
    read = [snapshot.tick_at for snapshot in bench.exporter.snapshots]
    for block in progress.blocks:
        assert block.started_at.timestamp() in read
        assert block.ended_at.timestamp() in read


def running(folder: Path) -> AgentBench:
    bench = AgentBench(folder)
    bench.see(wish(assignment()))
    bench.tick(5)
    assert bench.writer.status.assignments[0].state is RunState.ACTIVE
    return bench


def waiting(*, some: int, full: int) -> str:
    """Return a pressure file after so many seconds of waiting, ten times as fast as they pass."""
    rest = "avg10=0.00 avg60=0.00 avg300=0.00 total="
    return f"some {rest}{10_000_000 * some}\nfull {rest}{10_000_000 * full}\n"


class TestNoTargetHere:
    """A scheduler on a node without a pod of its policy's workload: all pods are neighbours."""

    def without_pods(self) -> SchedulerNodeStateSpec:
        entry = TrackedWorkload(policy="checkout", workload="Deployment/shop/checkout")
        return wish(assignment(), workloads=(entry,), lease_seconds=600)

    def starved(self, bench: AgentBench, folder: Path) -> list[str]:
        """What the agent says of the scheduler while a pod waits for a CPU all the time."""
        said = []
        for second in range(1, 10):
            waited = f"avg10=0.00 avg60=0.00 avg300=0.00 total={10_000_000 * second}\n"
            (folder / "cpu.pressure").write_text(f"some {waited}full {waited}")
            said += [f"{one.state}/{one.reason}" for one in bench.tick().assignments]
        return said

    def busy(self, bench: AgentBench, folder: Path, *, since: int = 0) -> list[str]:
        """The same while some thread of a pod waits, as it always did, and others run."""
        said = []
        for second in range(since + 1, since + 10):
            waited = f"avg60=99.00 avg300=99.00 total={10_000_000 * second}\n"
            rest = "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
            (folder / "cpu.pressure").write_text(f"some avg10=99.00 {waited}{rest}")
            said += [f"{one.state}/{one.reason}" for one in bench.tick().assignments]
        return said

    def node(self, folder: Path, *uids: str) -> AgentBench:
        (folder / "cgroup.controllers").touch()
        for uid in uids:
            (folder / "kubepods" / f"pod{uid}").mkdir(parents=True)
        return AgentBench(folder, seconds=900.0)  # the rush after a boot is over

    def test_its_neighbours_pressure_trips(self, tmp_path: Path) -> None:
        bench = self.node(tmp_path, OTHER_UID)
        bench.see(self.without_pods())
        assert bench.tick(3).assignments[0].state is RunState.ACTIVE
        assert bench.condition("GuardRails") == "True/Watching"
        folder = tmp_path / "kubepods" / f"pod{OTHER_UID}"
        for _ in range(MOST_UNEXPLAINED + 1):
            assert bench.tick(40).assignments[0].state is RunState.ACTIVE
            assert self.starved(bench, folder)[-1] == "Refused/ComparingPressure"
            assert bench.kernel.state.idle
            (folder / "cpu.pressure").unlink()
        assert bench.tick(COMPARISON_SECONDS + 9).assignments[0].state is RunState.TRIPPED
        assert bench.kernel.state.idle

    def test_a_pod_at_its_limit_is_no_pressure_and_that_is_said(self, tmp_path: Path) -> None:
        bench = self.node(tmp_path, OTHER_UID)
        bench.see(self.without_pods())
        bench.tick(3)
        folder = tmp_path / "kubepods" / f"pod{OTHER_UID}"
        for second in range(120):
            (folder / "cpu.pressure").write_text(waiting(some=second, full=second))
            bench.tick()
        assert bench.writer.status.assignments[0].state is RunState.ACTIVE
        assert bench.condition("GuardRails") == "False/PressureExcused"
        bench.see(self.without_pods().replace(assignments=()), generation=2)
        bench.tick(2)
        assert bench.condition("GuardRails") == "True/Watching"

    def test_load_that_goes_on_without_it_is_not_held_against_it(self, tmp_path: Path) -> None:
        bench = self.node(tmp_path, OTHER_UID)
        bench.see(self.without_pods())
        bench.tick(3)
        folder = tmp_path / "kubepods" / f"pod{OTHER_UID}"
        said = []
        for second in range(60):
            (folder / "cpu.pressure").write_text(waiting(some=second, full=0))
            said += [f"{one.state}/{one.reason}" for one in bench.tick().assignments]
        changes = {word: len(list(same)) for word, same in itertools.groupby(said)}
        assert list(changes) == ["Active/Attached", "Refused/ComparingPressure"]
        assert said[-1] == "Active/Attached"
        assert changes["Refused/ComparingPressure"] < FIRST_COMPARISON_SECONDS

    def test_the_last_target_pod_leaves(self, tmp_path: Path) -> None:
        bench = self.node(tmp_path, POD_UID, OTHER_UID)
        bench.see(wish(assignment(), lease_seconds=600))
        bench.tick(3)
        (tmp_path / "kubepods" / f"pod{POD_UID}").rmdir()
        bench.see(self.without_pods(), generation=2)
        said = self.starved(bench, tmp_path / "kubepods" / f"pod{OTHER_UID}")
        assert said[-1] == "Refused/ComparingPressure"

    def test_the_last_target_pod_ends_at_full_load(self, tmp_path: Path) -> None:
        bench = self.node(tmp_path, POD_UID, OTHER_UID)
        bench.see(wish(assignment(), lease_seconds=600))
        bench.tick(3)
        folder = tmp_path / "kubepods" / f"pod{POD_UID}"
        assert {*self.starved(bench, folder)} == {"Active/Attached"}, "it is told of to its end"
        (folder / "cpu.pressure").unlink()
        folder.rmdir()
        bench.see(self.without_pods(), generation=2)
        assert bench.tick(9).assignments[0].state is RunState.ACTIVE

    @pytest.mark.parametrize("told", ["before", "while attached"])
    def test_neighbours_that_always_waited_do_not_trip(self, tmp_path: Path, told: str) -> None:
        bench = self.node(tmp_path, OTHER_UID)
        folder = tmp_path / "kubepods" / f"pod{OTHER_UID}"
        bench.see(wish(workloads=self.without_pods().workloads if told == "before" else ()))
        self.busy(bench, folder)
        now = self.without_pods()
        bench.see(now if told == "before" else now.replace(workloads=()), generation=2)
        assert self.busy(bench, folder, since=9)[-1] == "Active/Attached"
        bench.see(now, generation=3)
        assert {*self.busy(bench, folder, since=18)} == {"Active/Attached"}
        assert self.starved(bench, folder)[-1] == "Refused/ComparingPressure"

    def test_a_policy_without_an_account_is_not_called_watched(self, tmp_path: Path) -> None:
        bench = self.node(tmp_path, OTHER_UID)
        bench.see(self.without_pods().replace(workloads=()))
        bench.tick(3)
        assert bench.condition("GuardRails") == "False/NotMeasured"
        (found,) = (c for c in bench.writer.status.conditions if c.type == "GuardRails")
        assert "no entry for policy checkout" in found.message
        bench.see(wish(workloads=()), generation=2)
        bench.tick(3)
        assert bench.condition("GuardRails") == "True/Watching", "nothing of ours is to be watched"


class TestHandsOff:
    """SIGUSR1: attach nothing until something else is assigned."""

    def test_what_runs_is_detached_until_something_else_is_assigned(self, tmp_path: Path) -> None:
        bench = running(tmp_path)
        bench.agent.hands_off()
        bench.tick(3)
        assert bench.kernel.state.idle
        assert bench.condition("HandsOff") == "True/AskedOnNode"
        bench.see(wish(assignment()))
        bench.tick(5)
        assert bench.kernel.state.idle, "the same wish again is no new one"
        bench.see(wish(ANOTHER), generation=2)
        bench.tick(5)
        assert bench.condition("HandsOff") == "False/NotAsked"
        assert not bench.kernel.state.idle

    def test_asked_before_the_first_wish_is_known(self, tmp_path: Path) -> None:
        bench = AgentBench(tmp_path)
        bench.agent.hands_off()
        bench.tick(2)
        bench.see(wish(assignment()))
        bench.tick(5)
        assert not bench.loader.starts
        assert bench.condition("HandsOff") == "True/AskedOnNode"


class TestBadObjects:
    """An object that is corrupt on its way, or on this disk."""

    def test_the_next_run_fetches_again(self, tmp_path: Path) -> None:
        bench = AgentBench(tmp_path)
        bench.blobs.failures.append(CorruptBlob("other bytes"))
        bench.see(wish(assignment()))
        refused = bench.tick(5).assignments[0]
        assert (refused.state, refused.reason) == (RunState.REFUSED, "CorruptObject")
        bench.see(wish(ANOTHER), generation=2)
        assert bench.tick(5).assignments[0].state is RunState.ACTIVE

    def test_a_copy_that_the_loader_refuses_is_fetched_again(self, tmp_path: Path) -> None:
        bench = running(tmp_path)
        bench.kernel.disable()
        bench.loader.view = LoaderView()
        bench.loader.next_exit = LoaderExit(
            LoaderOutcome.DIGEST_MISMATCH,
            "a bit has flipped",
            NOW,
            DIGEST,
            "checkout-1",
            token_digest=digest_of(assignment().token.encode()),
        )
        gets = bench.blobs.gets
        refused = bench.tick(3).assignments[0]
        assert (refused.state, refused.reason) == (RunState.REFUSED, "DigestMismatch")
        bench.see(wish(ANOTHER), generation=2)
        assert bench.tick(5).assignments[0].state is RunState.ACTIVE
        assert bench.blobs.gets == gets + 1


def test_a_restarted_agent_knows_its_former_schedulers_traces(tmp_path: Path) -> None:
    before = running(tmp_path / "first")
    after = AgentBench(tmp_path / "second", kernel=before.kernel)
    after.see(wish(), status=before.writer.status)
    after.tick()
    assert after.condition("ForeignScheduler") == "False/None"
    assert after.condition("OnDefaultScheduler") == "False/SchedulerAttached"
    before.kernel.enable("schedcp_latency_class")
    after.tick()
    assert after.condition("ForeignScheduler") == "True/ForeignScheduler"


def test_an_ejection_that_nobody_could_be_told_of_outlives_the_agent(tmp_path: Path) -> None:
    first = running(tmp_path)
    told = first.writer.status
    first.loader.eject(1026, "runnable task stall", now=NOW)
    first.tick()
    again = AgentBench(tmp_path)
    again.see(wish(assignment(), lease_epoch=2), status=told.replace(observed_epoch=0))
    again.tick(2)
    assert again.writer.status.observed_epoch == 3, "the fence stands, too"
    again.see(wish(ANOTHER), generation=2)
    found = again.tick(3)
    assert [entry.reason for entry in found.quarantine] == ["Stall"]
    assert (found.assignments[0].state, found.assignments[0].reason) == (
        RunState.REFUSED,
        "Quarantined",
    )
    assert not again.loader.starts


class TestThreads:
    """The watcher and the writer, whose threads nobody sees."""

    def test_one_that_has_ended_makes_the_agent_unhealthy(self, tmp_path: Path) -> None:
        bench = AgentBench(tmp_path)
        bench.tick()
        assert bench.agent.alive()
        bench.watcher.stop()
        bench.watcher.start()
        assert bench.watcher.join(30)
        assert not bench.agent.alive()

    @pytest.mark.parametrize(
        ("status", "refused"), [(403, True), (422, True), (404, False), (503, False)]
    )
    def test_a_refusal_to_take_the_status_is_seen(
        self, tmp_path: Path, status: int, *, refused: bool
    ) -> None:
        bench = AgentBench(tmp_path)
        bench.writer.states.failures.append(RequestFailed("no", status=status))
        StatusWriter.offer(bench.writer, SchedulerNodeStateStatus())
        bench.writer.start()
        wait_until(lambda: bench.writer.failures == 1, what="it has failed", timeout_seconds=30.0)
        assert bench.agent.ready() is not refused
        assert bench.writer.flush(30), "it goes on trying"
        assert bench.agent.ready()
        bench.writer.stop()
        assert bench.writer.join(30)
