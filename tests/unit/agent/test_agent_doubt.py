"""A trip that load alone may have brought about: what becomes of the scheduler."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_agent.memory import Memory
from schedcp_agent.observations import Observed, Pressure, Trip
from schedcp_agent.reconcile import Detach, reconcile
from schedcp_agent.report import Facts, status_of
from schedcp_agent.trips import (
    FIRST_COMPARISON_SECONDS,
    MOST_UNEXPLAINED,
    RELEASE_SECONDS,
    explained,
)
from schedcp_api.nodestates import (
    COMPARISON_SECONDS,
    PASSING_REFUSALS,
    Arm,
    AssignmentStatus,
    SchedulerNodeStateStatus,
    Switchback,
)
from schedcp_api.policies import OnDisconnect
from support.agent import NOW, assignment, switchback, token, wish
from support.agent_simulation import Simulation

LOAD = Trip("NeighbourPressure", "a neighbour waits", Pressure.SOME)
COMPARING = "Refused/ComparingPressure"
TRIPPED = "Tripped/NeighbourPressure"


def begun(**changes: object) -> Simulation:
    """Return a node with an assignment, three seconds later."""
    world = Simulation()
    world.wish(wish(assignment(**changes)))
    world.tick(3)
    return world


def running(**changes: object) -> Simulation:
    """Return a node on which an assignment is attached."""
    world = begun(**changes)
    assert world.attached
    return world


def trip(world: Simulation, *, loaded: bool) -> None:
    """Have the guard rail trip once, and neighbours wait without the scheduler, too, or not."""
    assert world.attached
    world.trip = LOAD
    assert world.tick() == (Detach("ComparingPressure"),)
    world.trip, world.loaded = None, loaded
    world.tick()
    assert not world.attached


def said(world: Simulation) -> AssignmentStatus:
    """Return what the status says of the assignment."""
    before = SchedulerNodeStateStatus()
    status = status_of(world.memory, world.observed, Facts(), previous=before, now=world.now)
    return status.assignments[0]


def until_attached(world: Simulation, *, within: int) -> int:
    """Return after how many seconds it is attached again."""
    for seconds in range(1, within + 1):
        world.tick()
        if world.attached:
            return seconds
    raise AssertionError(f"{world.standing} after {within} s")


def test_what_waits_without_it_too_is_load_and_it_is_attached_again() -> None:
    world = running()
    trip(world, loaded=False)
    world.tick(20)
    assert world.standing == COMPARING
    world.loaded = True
    until_attached(world, within=3)
    assert (world.attached, world.standing) == (True, "")
    assert world.memory.reverts == {"NeighbourPressure": 1}


def test_what_waits_under_it_alone_again_and_again_is_held_against_it() -> None:
    world = running()
    for _ in range(MOST_UNEXPLAINED):
        trip(world, loaded=False)
        assert said(world).message.endswith("for up to 30 s; then this is attached again")
        assert until_attached(world, within=60) >= FIRST_COMPARISON_SECONDS
    trip(world, loaded=False)
    assert said(world).message.endswith("for up to 90 s; if so, this is attached again")
    world.tick(COMPARISON_SECONDS - 1)
    assert world.standing == COMPARING
    world.tick(3)
    assert (world.attached, world.standing) == (False, TRIPPED)
    assert said(world).message.startswith(f"{LOAD.message}; that was at least trip 4 within 10 min")
    world.loaded = True
    world.tick(2 * COMPARISON_SECONDS)
    assert world.standing == TRIPPED


def test_short_load_every_few_minutes_is_not_held_against_it() -> None:
    world = running()
    for _ in range(8):
        trip(world, loaded=False)
        until_attached(world, within=60)
        world.tick(300 - FIRST_COMPARISON_SECONDS)
    assert (world.attached, world.standing) == (True, "")


def test_load_that_is_seen_in_between_explains_the_trips_before() -> None:
    world = running()
    for loaded in (False, False, False, True) * 3:
        trip(world, loaded=False)
        world.tick(10)
        world.loaded = loaded
        until_attached(world, within=60)
        world.loaded = False
    assert (world.attached, world.standing) == (True, "")


def test_load_of_another_kind_is_no_explanation() -> None:
    world = running()
    world.trip = replace(LOAD, pressure=Pressure.FULL)
    world.tick()
    world.trip = None
    world.tick()
    observed = replace(world.observed, loaded=frozenset({Pressure.SOME}))
    memory = reconcile(world.memory, observed, rules=world.rules, now=world.now).memory
    assert memory.course is not None
    assert memory.course.doubt is not None
    observed = replace(world.observed, loaded=frozenset(Pressure))
    memory = reconcile(world.memory, observed, rules=world.rules, now=world.now).memory
    assert memory.course is not None
    assert memory.course.doubt is None


def test_a_kernel_that_does_not_let_go_leaves_no_doubt() -> None:
    world = running()
    world.loader.stuck = True
    world.trip = LOAD
    world.tick()
    world.trip = None
    world.tick(RELEASE_SECONDS - 1)
    assert world.standing == COMPARING
    world.tick()
    assert world.standing == TRIPPED


def test_only_the_kernels_own_scheduler_is_looked_at() -> None:
    world = running()
    trip(world, loaded=True)
    world.kernel.enable("rusty")
    world.tick(2 * COMPARISON_SECONDS)
    assert world.standing == "Refused/ForeignScheduler"
    world.kernel.disable()
    until_attached(world, within=3)


def experiment(schedule: Switchback) -> Simulation:
    world = begun(switchback=schedule)
    world.tick(4)
    return world


def blocks(world: Simulation) -> list[tuple[Arm, bool, str]]:
    assert world.memory.course is not None
    progress = world.memory.course.progress
    assert progress is not None
    return [(b.arm, b.valid, b.invalid_reason) for b in progress.blocks]


def test_a_canary_goes_on_with_a_block_that_does_not_count() -> None:
    world = experiment(switchback(Arm.ON, Arm.OFF, Arm.ON, block_seconds=10, washout_seconds=2))
    trip(world, loaded=True)
    world.tick(COMPARISON_SECONDS + 60)
    assert blocks(world) == [
        (Arm.ON, False, "ComparingPressure"),
        (Arm.OFF, True, ""),
        (Arm.ON, True, ""),
    ]


@pytest.mark.parametrize(("block_seconds", "washout_seconds"), [(60, 10), (8, 2), (6, 2)])
def test_load_spoils_no_block_without_the_candidate(
    block_seconds: int, washout_seconds: int
) -> None:
    arms = (Arm.OFF, Arm.ON, Arm.ON, Arm.OFF, Arm.OFF, Arm.ON)
    schedule = switchback(*arms, block_seconds=block_seconds, washout_seconds=washout_seconds)
    world = experiment(schedule)
    world.loaded = True
    world.tick(len(arms) * (block_seconds + washout_seconds + 5))
    assert blocks(world) == [(arm, True, "") for arm in arms]


def test_a_canary_under_which_alone_neighbours_wait_ends_in_a_later_block() -> None:
    arms = (Arm.ON, Arm.OFF) * (MOST_UNEXPLAINED + 1)
    world = experiment(switchback(*arms, block_seconds=20, washout_seconds=2))
    trip(world, loaded=False)
    for _ in range(MOST_UNEXPLAINED):
        until_attached(world, within=120)
        world.tick(4)
        trip(world, loaded=False)
    world.tick(COMPARISON_SECONDS + 3)
    assert (world.attached, world.standing) == (False, TRIPPED)


def test_load_in_a_block_without_the_candidate_explains_trips_of_its_kind() -> None:
    course = replace(
        begun().memory.course, unexplained=((Pressure.FULL, 1.0), (Pressure.SOME, 2.0))
    )
    seen = Observed(loaded=frozenset({Pressure.SOME}))
    assert explained(course, seen).unexplained == ((Pressure.FULL, 1.0),)
    assert explained(course, Observed()) == course


@pytest.mark.parametrize("on_disconnect", OnDisconnect)
def test_a_lease_that_runs_out_meanwhile_ends_the_doubt(on_disconnect: OnDisconnect) -> None:
    world = running(on_disconnect=on_disconnect)
    for _ in range(MOST_UNEXPLAINED + 2):
        trip(world, loaded=False)
        world.tick(60, renewing=False)
        assert world.standing == "LeaseExpired/LeaseExpired"
        world.renew()
        until_attached(world, within=5)
    assert (world.attached, world.standing) == (True, "")


def test_a_token_that_runs_out_meanwhile_is_what_counts() -> None:
    world = running(token=token(expires_at=NOW + timedelta(seconds=12)))
    trip(world, loaded=True)
    world.tick(2 * COMPARISON_SECONDS)
    assert world.standing == "Refused/Expired"
    assert len(world.loader.starts) == 1


def test_a_restarted_agent_attaches_it_and_looks_again_when_it_trips() -> None:
    world = running()
    trip(world, loaded=False)
    left = SchedulerNodeStateStatus(observed_epoch=3, assignments=(said(world),))
    world.restart_agent(Memory.from_status(left))
    world.wish(wish(assignment(), lease_renewed_at=world.now))
    world.tick(3)
    trip(world, loaded=False)
    assert world.standing == COMPARING


def test_the_operator_knows_that_it_passes() -> None:
    world = running()
    trip(world, loaded=False)
    word = said(world)
    assert word.reason in PASSING_REFUSALS
    assert word.message.startswith(LOAD.message)
