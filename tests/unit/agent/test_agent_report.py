"""The status that the agent writes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.observations import LoaderPhase, LoaderView, Observed
from schedcp_agent.report import Facts, same_but_for_time, status_of
from schedcp_api.crds import structural_schema
from schedcp_api.nodestates import Arm, RunState, SchedulerNodeStateStatus
from support.agent import KERNEL, NOW, assignment, switchback, wish
from support.agent_simulation import Simulation


def status(world: Simulation, facts: Facts | None = None) -> SchedulerNodeStateStatus:
    return status_of(
        world.memory,
        world.observed,
        facts or Facts(),
        previous=SchedulerNodeStateStatus(),
        now=world.now,
    )


def conditions(found: SchedulerNodeStateStatus) -> dict[str, str]:
    return {c.type: f"{c.status}/{c.reason}" for c in found.conditions}


def test_a_node_at_rest() -> None:
    world = Simulation()
    world.wish(wish(), generation=4)
    world.tick()
    found = status(world)
    assert found.observed_epoch == 3
    assert found.kernel == KERNEL
    assert (found.sched_ext_state, found.attached, found.assignments) == ("disabled", (), ())
    assert conditions(found) == {
        "Ready": "True/Ready",
        "SchedExt": "True/Supported",
        "LeaseValid": "True/Renewed",
        "ForeignScheduler": "False/None",
        "OnDefaultScheduler": "True/Restored",
        "HandsOff": "False/NotAsked",
        "GuardRails": "True/Watching",
        "Hardened": "True/Hardened",
    }


def test_an_active_assignment() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick()
    assert status(world).assignments == ()
    world.tick(2)
    found = status(world)
    assert found.assignments[0].state is RunState.ACTIVE
    assert found.attached[0].ops_name == "schedcp_latency_class"
    assert found.attached[0].enable_seq == 8
    assert found.attached[0].run == "checkout-1"
    assert conditions(found)["OnDefaultScheduler"] == "False/SchedulerAttached"


@pytest.mark.parametrize("state", ["enabled", "disabling"])
def test_a_scheduler_that_is_leaving_is_still_ours(state: str) -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    leaving = replace(world.observed.loader, phase=LoaderPhase.STOPPING)
    kernel = replace(world.observed.sched_ext, state=state)
    world.observed = replace(world.observed, loader=leaving, sched_ext=kernel)
    found = status(world)
    assert found.attached[0].run == "checkout-1"
    assert conditions(found)["ForeignScheduler"] == "False/None"
    assert conditions(found)["OnDefaultScheduler"] == "False/SchedulerAttached"


def test_what_a_killed_loader_leaves_for_a_moment_is_ours() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    before = status(world)
    world.loader.view = LoaderView()
    world.tick()
    found = status_of(world.memory, world.observed, Facts(), previous=before, now=world.now)
    assert found.attached[0].run == "checkout-1"
    assert conditions(found)["ForeignScheduler"] == "False/None"
    assert conditions(found)["OnDefaultScheduler"] == "False/SchedulerAttached"
    world.kernel.enable("schedcp_latency_class")
    world.tick()
    assert conditions(status(world))["ForeignScheduler"] == "True/ForeignScheduler"


def test_a_kernel_that_cannot_be_read_is_not_restored() -> None:
    world = Simulation()
    world.tick()
    unread = SchedExt(problem="state cannot be read: too many open files")
    world.observed = replace(world.observed, sched_ext=unread)
    assert not unread.idle
    for condition in ("OnDefaultScheduler", "SchedExt", "ForeignScheduler"):
        assert conditions(status(world))[condition] == "Unknown/Unreadable"
    assert status(world).sched_ext_state == "unknown"


def test_a_finished_switchback() -> None:
    world = Simulation()
    world.wish(wish(assignment(switchback=switchback(Arm.ON, Arm.OFF))))
    world.tick(10)
    assert (status(world).assignments[0].state, status(world).assignments[0].reason) == (
        RunState.SWITCHING_BACK,
        "InProgress",
    )
    world.tick(40)
    found = status(world)
    assert found.assignments[0].reason == "Finished"
    assert found.switchback is not None
    assert found.switchback.finished
    assert len(found.switchback.blocks) == 2


def test_somebody_elses_scheduler() -> None:
    world = Simulation()
    world.kernel.enable("rusty")
    world.tick()
    found = status(world)
    assert found.attached[0].object_digest is None
    assert conditions(found)["ForeignScheduler"] == "True/ForeignScheduler"
    assert conditions(found)["OnDefaultScheduler"] == "False/SchedulerAttached"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(probes_problem="no headers"), "False/ProbesUnavailable"),
        (Facts(spec_problem="unknown field"), "False/SpecUnreadable"),
        (Facts(rank="no real-time priority"), "True/Ready"),
        (Facts(record_problem="no space left"), "True/Ready"),
    ],
)
def test_what_ready_says(facts: Facts, expected: str) -> None:
    world = Simulation()
    world.tick()
    assert conditions(status(world, facts))["Ready"] == expected


def test_no_sched_ext() -> None:
    world = Simulation()
    world.tick()
    world.observed = Observed(kernel=KERNEL, sched_ext=SchedExt())
    found = conditions(status(world))
    assert found["SchedExt"] == "False/NotSupported"
    assert found["OnDefaultScheduler"] == "True/Restored"


def test_only_time_has_passed() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    first = status(world)
    later = status_of(
        world.memory,
        world.observed,
        Facts(pod_pressure_permille=70),
        previous=first,
        now=world.now + timedelta(seconds=5),
    )
    assert same_but_for_time(first, later)
    assert later.attached[0].since == first.attached[0].since
    assert not same_but_for_time(first, later.replace(sched_ext_state="disabled"))


def test_long_texts_fit_the_schema() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    world.loader.eject(1026, "x" * 9000, now=world.now)
    world.tick(3)
    long = replace(world.observed, sched_ext=replace(world.observed.sched_ext, ops="o" * 900))
    world.observed = long
    found = status(world, Facts(probes_problem="p" * 9000))
    assert SchedulerNodeStateStatus.model_validate(found.to_json()) == found
    assert "properties" in structural_schema(SchedulerNodeStateStatus)
    assert found.heartbeat_at == NOW + timedelta(seconds=6)


@pytest.mark.parametrize(
    ("facts", "warnings", "expected"),
    [
        (Facts(rank="no memory is locked"), (), "False/AgentExposed"),
        (Facts(record_problem="no space left"), (), "False/NotKept"),
        (Facts(), (("RealTimeRefused", "not permitted"),), "False/RealTimeRefused"),
        (Facts(), (("MemoryNotLocked", "not permitted"),), "False/MemoryNotLocked"),
        (Facts(), (("ParentLate", "no renewal for 4000 ms"),), "True/Hardened"),
    ],
)
def test_what_keeps_it_from_surviving_a_scheduler(
    facts: Facts, warnings: tuple[tuple[str, str], ...], expected: str
) -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    loader = replace(world.observed.loader, warnings=warnings)
    world.observed = replace(world.observed, loader=loader)
    assert conditions(status(world, facts))["Hardened"] == expected


def test_a_guard_without_probes_says_so() -> None:
    world = Simulation()
    world.tick()
    found = status(world, Facts(probes_problem="no headers"))
    assert conditions(found)["GuardRails"] == "False/ProbesUnavailable"


@pytest.mark.parametrize("problem", ["", "no headers"])
def test_a_guard_that_watches_nothing_says_so(problem: str) -> None:
    world = Simulation()
    world.tick()
    found = status(world, Facts(unmeasured="checkout", probes_problem=problem))
    assert conditions(found)["GuardRails"] == "False/NotMeasured"


@pytest.mark.parametrize(
    ("problem", "begin"),
    [("", "pressure is not watched"), ("no headers", "neither latency nor pressure is watched")],
)
def test_pressure_that_says_nothing_is_not_called_watched(problem: str, begin: str) -> None:
    world = Simulation()
    world.tick()
    found = status(world, Facts(pressure_excused=True, probes_problem=problem))
    assert conditions(found)["GuardRails"] == "False/PressureExcused"
    (said,) = (one.message for one in found.conditions if one.type == "GuardRails")
    assert said.startswith(begin)
    assert problem in said


def test_hands_off_is_seen() -> None:
    world = Simulation(hands_off=True)
    world.wish(wish(assignment()))
    world.tick(3)
    assert not world.attached
    assert conditions(status(world))["HandsOff"] == "True/AskedOnNode"


def test_a_refusal_lasts_since_its_own_reason_came_up() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    said = status(world)
    trusted, since = world.rules, {}
    untrusted = replace(trusted, keys=())
    for rules, seconds in ((replace(trusted, revoked=None), 60), (untrusted, 60), (untrusted, 5)):
        world.rules = rules
        world.tick(seconds)
        said = status_of(world.memory, world.observed, Facts(), previous=said, now=world.now)
        since.setdefault(said.assignments[0].reason, world.now)
        assert said.assignments[0].since == since[said.assignments[0].reason]
    assert list(since) == ["RevocationsUnreadable", "BadSignature"]
