"""What the agent does with an assignment, from its first second to its last."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_agent.memory import Memory
from schedcp_agent.observations import LoaderExit, LoaderOutcome, Trip
from schedcp_agent.reconcile import Attach, Detach, Fetch
from schedcp_api.base import digest_of
from schedcp_api.nodestates import AssignmentStatus, RunState, SchedulerNodeStateStatus
from schedcp_api.policies import OnDisconnect
from support.agent import KERNEL, NOW, OBJECT, STRANGER, assignment, token, wish
from support.agent_simulation import Simulation

DIGEST = digest_of(OBJECT)
SIGNED = digest_of(assignment().token.encode())


def running(**changes: object) -> Simulation:
    """Return a node on which an assignment is attached."""
    world = Simulation()
    world.wish(wish(assignment(**changes)))
    world.tick(3)
    assert world.attached
    return world


def test_an_assignment_is_attached_and_stays() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    assert world.tick() == (Attach(assignment(), SIGNED, 10_000),)
    world.tick(120)
    assert world.attached
    assert len(world.loader.starts) == 1


def test_an_object_that_is_not_here_is_fetched_first() -> None:
    world = Simulation(objects=frozenset())
    world.wish(wish(assignment()))
    assert world.tick() == (Fetch(DIGEST),)
    world.objects = frozenset({DIGEST})
    assert isinstance(world.tick()[0], Attach)


def test_an_assignment_that_is_taken_away_is_detached() -> None:
    world = running()
    world.wish(wish(), generation=9)
    assert world.tick() == (Detach("NotAssigned"),)
    world.tick()
    assert not world.attached


def test_other_knobs_for_the_same_object_replace_what_runs() -> None:
    world = running()
    other = assignment(token=token(timeout_ms=9_000))
    world.wish(wish(other), generation=9)
    assert world.tick() == (Detach("Replaced"),)
    world.tick(3)
    assert world.attached
    assert world.loader.starts[-1].timeout_ms == 9_000


def test_how_the_old_knobs_ended_says_nothing_of_the_new_ones() -> None:
    world = running()
    world.wish(wish(assignment(token=token(timeout_ms=9_000))), generation=9)
    world.loader.eject(64, "unregistered", now=world.now)
    world.tick(3)
    assert world.attached
    assert world.standing == ""


def test_another_assignment_replaces_the_first() -> None:
    world = running()
    other = assignment(run="checkout-2", token=token(run="checkout-2"))
    world.wish(wish(other), generation=9)
    assert world.tick() == (Detach("Replaced"),)
    world.tick(3)
    assert world.attached
    assert [start.run for start in world.loader.starts] == ["checkout-1", "checkout-2"]


def test_a_token_that_expires_while_it_runs() -> None:
    world = Simulation()
    signed = token(expires_at=NOW + timedelta(seconds=10))
    world.wish(wish(assignment(token=signed)))
    world.tick(9)
    assert world.attached
    world.tick(3)
    assert not world.attached
    assert world.standing == "Refused/Expired"


def test_a_key_that_is_trusted_no_more() -> None:
    world = running()
    trusted = world.rules
    world.rules = replace(world.rules, keys=(STRANGER.public_key(),))
    assert world.tick() == (Detach("BadSignature"),)
    world.tick(60)
    assert not world.attached
    assert world.standing == "Refused/BadSignature"
    world.rules = trusted
    world.tick(3)
    assert world.attached, "a key that is back is looked for at every tick"


class TestLease:
    """The operator's lease, and what its absence means."""

    def test_without_a_lease_nothing_is_attached(self) -> None:
        world = Simulation()
        world.wish(wish(assignment(), lease_renewed_at=None))
        world.tick(5, renewing=False)
        assert not world.loader.starts
        assert world.standing == "LeaseExpired/LeaseExpired"

    def test_revert_detaches_when_it_runs_out_and_attaches_when_it_is_back(self) -> None:
        world = running()
        world.tick(29, renewing=False)
        assert world.attached
        world.tick(3, renewing=False)
        assert not world.attached
        assert world.standing == "LeaseExpired/LeaseExpired"
        assert world.memory.reverts == {"LeaseExpired": 1}
        world.tick(3)
        assert world.attached
        assert world.standing == ""

    def test_hold_keeps_what_runs(self) -> None:
        world = running(on_disconnect=OnDisconnect.HOLD)
        world.tick(300, renewing=False)
        assert world.attached

    def test_hold_attaches_nothing_anew(self) -> None:
        world = running(on_disconnect=OnDisconnect.HOLD)
        world.tick(60, renewing=False)
        world.loader.die(now=world.now)
        world.tick(10, renewing=False)
        assert not world.attached

    def test_hold_does_not_outlive_the_token(self) -> None:
        world = running(
            on_disconnect=OnDisconnect.HOLD, token=token(expires_at=NOW + timedelta(seconds=60))
        )
        world.tick(70, renewing=False)
        assert not world.attached

    def test_an_old_stamp_is_not_taken_for_a_new_one(self) -> None:
        world = Simulation(now=NOW + timedelta(minutes=5))
        world.wish(wish(assignment()))
        world.tick(3, renewing=False)
        assert not world.loader.starts

    def test_the_operators_clock_may_be_behind(self) -> None:
        world = running()
        behind = wish(assignment(), lease_renewed_at=NOW + timedelta(seconds=4))
        world.now += timedelta(seconds=100)
        world.wish(behind, generation=9)
        assert world.memory.lease is not None
        assert world.memory.lease.deadline == world.uptime + 30

    def test_setting_the_nodes_clock_back_keeps_nothing_alive(self) -> None:
        world = running()
        world.clock_error = timedelta(hours=-5)
        world.tick(32, renewing=False)
        assert not world.attached
        assert world.standing == "LeaseExpired/LeaseExpired"

    def test_a_lower_epoch_is_not_followed(self) -> None:
        world = running()
        world.wish(wish(lease_epoch=2), generation=9)
        world.tick(5, renewing=False)
        assert world.attached
        assert world.memory.epoch == 3


class TestExits:
    """What follows from the loader's end."""

    @pytest.mark.parametrize(
        ("kind", "reason"), [(1024, "Error"), (1025, "SchedulerError"), (1026, "Stall")]
    )
    def test_an_ejected_object_is_quarantined(self, kind: int, reason: str) -> None:
        world = running()
        world.loader.eject(kind, "watchdog", now=world.now)
        world.tick(30)
        assert not world.attached
        assert world.standing == f"Ejected/{reason}"
        assert [(q.object_digest, q.kernel_digest, q.reason) for q in world.memory.quarantine] == [
            (DIGEST, KERNEL.content_digest(), reason)
        ]
        assert world.memory.last_exit is not None
        assert world.memory.last_exit.kind == kind
        assert world.memory.ejections == {reason: 1}

    def test_a_quarantined_object_is_refused_in_the_next_run(self) -> None:
        world = running()
        world.loader.eject(1026, "runnable task stall", now=world.now)
        world.tick(2)
        world.wish(wish(assignment(run="checkout-2", token=token(run="checkout-2"))), generation=9)
        world.tick(5)
        assert world.standing == "Refused/Quarantined"
        assert len(world.loader.starts) == 1

    @pytest.mark.parametrize(
        ("kind", "word"), [(-1, "ExitUnknown"), (70, "UnknownKind70"), (1999, "UnknownKind1999")]
    )
    def test_an_end_that_nobody_knows_counts_as_an_error(self, kind: int, word: str) -> None:
        world = running()
        world.loader.eject(kind, "", now=world.now)
        world.tick(3)
        assert world.standing == f"Ejected/{word}"
        assert [entry.reason for entry in world.memory.quarantine] == [word]

    @pytest.mark.parametrize("kind", [64, 65, 66, 67, 68, 69])
    def test_an_unregistered_scheduler_is_not_loaded_again(self, kind: int) -> None:
        world = running()
        world.loader.eject(kind, "", now=world.now)
        world.tick(10)
        assert world.standing.startswith("Ejected/")
        assert not world.memory.quarantine
        assert len(world.loader.starts) == 1

    def test_a_restart_that_the_kernel_asks_for_is_bounded(self) -> None:
        world = running()
        for attempt in range(1, 5):
            world.loader.next_exit = LoaderExit(
                outcome=LoaderOutcome.RESTART_REQUESTED,
                message="cpu hotplug",
                at=world.now,
                object_digest=DIGEST,
                run="checkout-1",
                kind=66,
                was_attached=True,
                token_digest=SIGNED,
            )
            world.kernel.disable()
            world.loader.view = type(world.loader.view)()
            world.tick(2 + 2**attempt)
            assert world.attached == (attempt <= 3)
        assert world.standing == "Ejected/RestartLimit"

    def test_a_loader_that_is_killed_is_started_again_but_not_for_ever(self) -> None:
        world = running()
        for attempt in range(1, 5):
            world.loader.die(now=world.now)
            world.tick(2 + 2**attempt)
            assert world.attached == (attempt <= 3)
        assert world.standing == "Failed/Killed"

    def test_each_new_start_waits_longer_than_the_one_before(self) -> None:
        world = running()
        pauses = []
        for _ in range(3):
            world.loader.die(now=world.now)
            ended, starts = world.now, len(world.loader.starts)
            while len(world.loader.starts) == starts:
                world.tick()
            pauses.append((world.now - ended).total_seconds())
            world.tick()
        assert pauses == [2.0, 3.0, 5.0]

    def test_loaders_that_end_now_and_then_are_started_again_for_ever(self) -> None:
        world = running()
        for _ in range(6):
            world.tick(400)
            world.loader.die(now=world.now)
            world.tick(8)
            assert world.attached

    def test_a_scheduler_that_starves_the_agent_is_quarantined_at_once(self) -> None:
        world = running()
        world.loader.starve(now=world.now)
        world.tick(30)
        assert not world.attached
        assert world.standing == "Tripped/AgentStarved"
        assert [entry.reason for entry in world.memory.quarantine] == ["AgentStarved"]
        assert len(world.loader.starts) == 1

    @pytest.mark.parametrize(
        ("outcome", "expected"),
        [
            (LoaderOutcome.DIGEST_MISMATCH, "Refused/DigestMismatch"),
            (LoaderOutcome.PROGRAM_REFUSED, "Refused/ProgramRefused"),
            (LoaderOutcome.KNOB_REFUSED, "Refused/KnobRefused"),
            (LoaderOutcome.LOAD_FAILED, "Failed/LoadFailed"),
            (LoaderOutcome.ATTACH_FAILED, "Failed/AttachFailed"),
            (LoaderOutcome.ATTACH_TIMEOUT, "Failed/AttachTimeout"),
        ],
    )
    def test_what_the_loader_refuses(self, outcome: LoaderOutcome, expected: str) -> None:
        world = running()
        world.kernel.disable()
        world.loader.view = type(world.loader.view)()
        world.loader.next_exit = LoaderExit(
            outcome, "why", world.now, DIGEST, "checkout-1", token_digest=SIGNED
        )
        world.tick(5)
        assert world.standing == expected
        assert len(world.loader.starts) == 1


def test_a_trip_is_final() -> None:
    world = running()
    world.trip = Trip("TargetLatency", "2.5 s")
    world.tick()
    world.trip = None
    world.tick(20)
    assert not world.attached
    assert world.standing == "Tripped/TargetLatency"
    assert world.memory.reverts == {"TargetLatency": 1}


def test_hands_off_somebody_elses_scheduler() -> None:
    world = Simulation()
    world.kernel.enable("rusty")
    world.wish(wish(assignment()))
    world.tick(5)
    assert world.standing == "Refused/ForeignScheduler"
    assert world.kernel.state.ops == "rusty"
    world.kernel.disable()
    world.tick(3)
    assert world.kernel.state.ops == "schedcp_latency_class"


def test_a_stopping_agent_detaches() -> None:
    world = running()
    world.stopping = True
    assert world.tick() == (Detach("AgentStopping"),)
    world.tick(5)
    assert not world.attached


def status_with(state: RunState) -> SchedulerNodeStateStatus:
    row = AssignmentStatus(
        run="checkout-1", object_digest=DIGEST, state=state, reason="Why", since=NOW
    )
    return SchedulerNodeStateStatus(observed_epoch=3, assignments=(row,))


@pytest.mark.parametrize("state", [RunState.EJECTED, RunState.TRIPPED, RunState.FAILED])
def test_a_new_agent_remembers_what_ended(state: RunState) -> None:
    world = Simulation(memory=Memory.from_status(status_with(state)))
    world.wish(wish(assignment()))
    world.tick(5)
    assert not world.loader.starts
    assert world.standing == f"{state}/Why"


def test_a_new_agent_goes_on_with_what_ran() -> None:
    world = Simulation(memory=Memory.from_status(status_with(RunState.ACTIVE)))
    world.wish(wish(assignment()))
    world.tick(3)
    assert world.attached


def test_a_new_agent_keeps_the_fence() -> None:
    world = Simulation(memory=Memory.from_status(status_with(RunState.ACTIVE)))
    world.wish(wish(assignment(), lease_epoch=2))
    world.tick(3, renewing=False)
    assert not world.loader.starts
