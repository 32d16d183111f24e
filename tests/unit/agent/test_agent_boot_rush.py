"""The rush of all pods after a boot: what trips in it, and what becomes of that."""

from datetime import timedelta

import pytest

from schedcp_agent.guard import BOOT_RUSH_SECONDS
from schedcp_agent.memory import Memory
from schedcp_agent.observations import Pressure, Trip
from schedcp_agent.reconcile import Detach
from schedcp_agent.report import Facts, status_of
from schedcp_api.nodestates import PASSING_REFUSALS, AssignmentStatus, SchedulerNodeStateStatus
from support.agent import NOW, assignment, switchback, token, wish
from support.agent_simulation import Simulation


def running(*, up_before: float = 30.0, **changes: object) -> Simulation:
    """Return a node that was booted a moment ago, and on which an assignment is attached."""
    world = Simulation(up_before=up_before)
    world.wish(wish(assignment(**changes)))
    world.tick(3)
    assert world.attached
    return world


def trip(world: Simulation, reason: str = "NeighbourPressure") -> tuple[object, ...]:
    """Have a guard rail trip, and return what is done about it."""
    pressure = Pressure.SOME if reason == "NeighbourPressure" else None
    world.trip = Trip(reason, "some 990 permille", pressure)
    actions = world.tick()
    world.trip = None
    return actions


def said(world: Simulation) -> AssignmentStatus:
    """Return what the status says of the assignment."""
    before = SchedulerNodeStateStatus()
    status = status_of(world.memory, world.observed, Facts(), previous=before, now=world.now)
    return status.assignments[0]


@pytest.mark.parametrize("reason", ["NeighbourPressure", "TargetLatency"])
def test_what_load_alone_trips_is_detached_at_once_and_attached_after_the_rush(reason: str) -> None:
    world = running()
    assert trip(world, reason) == (Detach("JustBooted"),)
    world.tick(3)
    assert not world.attached
    word = said(world)
    assert f"{word.state}/{word.reason}" == "Refused/JustBooted"
    assert word.message.startswith(f"{reason} 34 s after the node's boot")
    assert "some 990 permille" in word.message
    world.tick(int(BOOT_RUSH_SECONDS - world.uptime) - 1)
    assert world.standing == "Refused/JustBooted"
    assert len(world.loader.starts) == 1
    world.tick(3)
    assert world.attached
    assert world.standing == ""
    assert world.memory.reverts == {reason: 1}


def test_a_trip_after_the_rush_is_final_also_for_what_tripped_in_it() -> None:
    world = running()
    trip(world)
    world.tick(BOOT_RUSH_SECONDS)
    assert world.attached
    trip(world, "TargetLatency")
    world.tick(2 * BOOT_RUSH_SECONDS)
    assert not world.attached
    assert world.standing == "Tripped/TargetLatency"


@pytest.mark.parametrize("reason", ["NotEnabled", "Bypassed", "TasksRejected"])
def test_what_no_load_explains_is_final_in_the_rush_too(reason: str) -> None:
    world = running()
    trip(world, reason)
    world.tick(BOOT_RUSH_SECONDS)
    assert not world.attached
    assert world.standing == f"Tripped/{reason}"


def test_a_scheduler_that_stalls_or_starves_the_agent_in_the_rush_is_gone_for_good() -> None:
    for end in ("Ejected/Stall", "Tripped/AgentStarved"):
        world = running()
        if end == "Ejected/Stall":
            world.loader.eject(1026, "runnable task stall", now=world.now)
        else:
            world.loader.starve(now=world.now)
        world.tick(BOOT_RUSH_SECONDS)
        assert (world.attached, world.standing) == (False, end)


def test_a_canary_ends_in_the_rush_too() -> None:
    world = running(switchback=switchback())
    trip(world, "TargetLatency")
    world.tick(BOOT_RUSH_SECONDS)
    assert world.standing == "Tripped/TargetLatency"


def test_the_rush_ends_at_a_boundary() -> None:
    world = running(up_before=BOOT_RUSH_SECONDS - 4)
    trip(world)
    assert world.standing == "Refused/ComparingPressure"


def test_what_else_speaks_against_it_counts_while_it_waits_and_after() -> None:
    world = running(token=token(expires_at=NOW + timedelta(seconds=100)))
    trip(world)
    world.tick(40, renewing=False)
    assert world.standing == "LeaseExpired/LeaseExpired"
    world.tick(2)
    assert world.standing == "Refused/JustBooted"
    world.tick(BOOT_RUSH_SECONDS)
    assert world.standing == "Refused/Expired"
    assert len(world.loader.starts) == 1


def test_another_assignment_need_not_wait() -> None:
    world = running()
    trip(world)
    other = assignment(run="checkout-2", token=token(run="checkout-2"))
    world.wish(wish(other, lease_renewed_at=world.now), generation=99)
    world.tick(4)
    assert world.attached


def test_a_restarted_agent_takes_it_for_no_final_word() -> None:
    world = running()
    trip(world)
    left = SchedulerNodeStateStatus(observed_epoch=3, assignments=(said(world),))
    world.restart_agent(Memory.from_status(left))
    world.wish(wish(assignment(), lease_renewed_at=world.now))
    world.tick(3)
    assert world.attached


def test_the_operator_knows_that_it_passes() -> None:
    world = running()
    trip(world)
    assert said(world).reason in PASSING_REFUSALS
