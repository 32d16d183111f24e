"""The clock of a switchback, as the node lives it."""

from datetime import timedelta

from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.memory import Memory
from schedcp_agent.observations import Trip
from schedcp_agent.report import Facts, status_of
from schedcp_api.nodestates import Arm, RunState, SchedulerNodeStateStatus
from support.agent import NOW, assignment, switchback, wish
from support.agent_simulation import Simulation


def experiment(*arms: Arm) -> Simulation:
    world = Simulation()
    world.wish(wish(assignment(switchback=switchback(*arms))))
    return world


def blocks(world: Simulation) -> list[tuple[Arm, bool]]:
    course = world.memory.course
    assert course is not None
    progress = course.progress
    return [(block.arm, block.valid) for block in progress.blocks] if progress else []


def test_all_blocks_in_their_order() -> None:
    world = experiment(Arm.ON, Arm.OFF, Arm.OFF, Arm.ON)
    world.tick(120)
    assert blocks(world) == [(Arm.ON, True), (Arm.OFF, True), (Arm.OFF, True), (Arm.ON, True)]
    assert not world.attached
    course = world.memory.course
    assert course is not None
    assert course.progress is not None
    assert course.progress.finished
    assert len(world.loader.starts) == 2
    first, second, third, _ = course.progress.blocks
    assert (first.ops_name, second.ops_name) == ("schedcp_latency_class", "")
    assert first.enable_seq_start == first.enable_seq_end == 8
    assert first.ended_at - first.started_at == timedelta(seconds=10)
    assert third.started_at - second.ended_at >= timedelta(seconds=3)


def test_the_washout_begins_when_the_arm_is_reached() -> None:
    world = experiment(Arm.ON, Arm.OFF)
    world.objects = frozenset()
    world.tick(30)
    assert blocks(world) == []
    world.objects = Simulation().objects
    world.tick(3)
    assert world.attached
    reached = world.now
    world.tick(14)
    course = world.memory.course
    assert course is not None
    assert course.progress is not None
    assert course.progress.blocks[0].started_at >= reached + timedelta(seconds=2)


def test_nothing_is_measured_before_the_probes_are_there() -> None:
    world = experiment(Arm.ON, Arm.OFF)
    world.probes_opening = True
    world.tick(30)
    assert world.attached
    assert blocks(world) == []
    world.probes_opening = False
    there = world.now
    world.tick(14)
    course = world.memory.course
    assert course is not None
    assert course.progress is not None
    (first,) = course.progress.blocks
    assert first.valid
    assert first.started_at >= there + timedelta(seconds=2)


def test_a_scheduler_that_goes_and_comes_back_spoils_the_block() -> None:
    world = experiment(Arm.ON, Arm.OFF)
    world.tick(8)
    world.loader.die(now=world.now)
    world.tick(40)
    assert blocks(world) == [(Arm.ON, False), (Arm.OFF, True)]


def test_a_foreign_scheduler_in_an_off_block_spoils_it() -> None:
    world = experiment(Arm.OFF, Arm.ON)
    world.tick(7)
    world.kernel.enable("rusty")
    world.tick(2)
    world.kernel.disable()
    world.tick(40)
    assert blocks(world) == [(Arm.OFF, False), (Arm.ON, True)]
    course = world.memory.course
    assert course is not None
    assert course.progress is not None
    assert course.progress.blocks[0].invalid_reason == "ForeignScheduler"


def test_an_ejection_ends_the_experiment() -> None:
    world = experiment(Arm.ON, Arm.OFF)
    world.tick(8)
    world.loader.eject(1026, "runnable task stall", now=world.now)
    world.tick(40)
    assert blocks(world) == [(Arm.ON, False)]
    assert world.standing == "Ejected/Stall"
    assert len(world.loader.starts) == 1


def test_a_trip_ends_the_experiment() -> None:
    world = experiment(Arm.ON, Arm.OFF)
    world.tick(8)
    world.trip = Trip("NeighbourPressure", "full 990")
    world.tick()
    world.trip = None
    world.tick(40)
    assert blocks(world) == [(Arm.ON, False)]
    assert not world.attached


def test_a_lease_that_runs_out_interrupts_it() -> None:
    world = Simulation()
    world.wish(wish(assignment(switchback=switchback(Arm.ON, Arm.OFF)), lease_seconds=5))
    world.tick(8)
    world.tick(8, renewing=False)
    assert not world.attached
    world.tick(40)
    assert blocks(world) == [(Arm.ON, False), (Arm.OFF, True)]


def test_a_new_agent_goes_on_with_the_block_that_was_interrupted() -> None:
    world = experiment(Arm.OFF, Arm.ON, Arm.OFF)
    world.tick(18)
    assert blocks(world) == [(Arm.OFF, True)]
    spec = wish(assignment(switchback=switchback(Arm.OFF, Arm.ON, Arm.OFF)))
    status = status_of(
        world.memory, world.observed, Facts(), previous=SchedulerNodeStateStatus(), now=world.now
    )
    assert status.assignments[0].state is RunState.SWITCHING_BACK
    world.restart_agent(Memory.from_status(status))
    world.wish(spec.replace(lease_renewed_at=world.now))
    world.tick(60)
    assert blocks(world) == [(Arm.OFF, True), (Arm.ON, True), (Arm.OFF, True)]


def test_another_schedule_starts_from_the_beginning() -> None:
    world = experiment(Arm.ON, Arm.OFF)
    world.tick(60)
    assert len(blocks(world)) == 2
    again = switchback(Arm.OFF, Arm.ON).replace(id="checkout-1-1")
    world.wish(wish(assignment(switchback=again), lease_renewed_at=NOW), generation=9)
    world.tick(2)
    assert blocks(world) == []


def test_an_off_block_during_which_the_kernel_could_not_be_read_does_not_count() -> None:
    world = experiment(Arm.OFF, Arm.ON)
    world.tick(7)
    idle, world.kernel.state = world.kernel.state, SchedExt(problem="no descriptors left")
    world.tick()
    world.kernel.state = idle
    world.tick(40)
    assert blocks(world) == [(Arm.OFF, False), (Arm.ON, True)]
