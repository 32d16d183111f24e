"""The node's own guard rails."""

from dataclasses import replace

import pytest

from schedcp_agent.guard import LEAVING_SECONDS, Guard, Reading, watch
from schedcp_agent.observations import Pressure, Trip
from schedcp_agent.pressure import BACKLOG_SECONDS, LOADED_SECONDS
from schedcp_api.nodestates import GuardrailLimits

LIMITS = GuardrailLimits(
    neighbour_pressure_permille=800, target_latency_ms=500, sustained_seconds=3
)
CALM = Reading(attached=True, enabled=True, baseline_some_permille=0)


def play(
    readings: list[Reading], *, limits: GuardrailLimits | None = LIMITS, every: float = 1.0
) -> list[str]:
    """Return what each reading led to; there is one `every` so many seconds."""
    guard = Guard()
    trips: list[Trip | None] = []
    for number, reading in enumerate(readings):
        guard, trip = watch(guard, limits, reading, uptime=100 + number * every)
        trips.append(trip)
    return [trip.reason if trip else "" for trip in trips]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"target_longest_ms": 501}, "TargetLatency"),
        ({"neighbour_some_permille": 801}, "NeighbourPressure"),
        ({"enabled": False}, "NotEnabled"),
    ],
)
def test_a_limit_that_is_exceeded_for_long_enough(bad: dict[str, int], reason: str) -> None:
    reading = replace(CALM, **bad)  # type: ignore[arg-type]
    assert play([reading] * 4) == ["", "", "", reason]
    assert play([reading, reading, reading, CALM, reading, reading, reading]) == [""] * 7


def test_it_is_time_that_counts_and_not_how_often_a_starved_agent_looks() -> None:
    slow = replace(CALM, target_longest_ms=501)
    assert play([slow] * 3, every=4.0) == ["", "TargetLatency", "TargetLatency"]
    assert play([slow] * 10, every=0.25) == [""] * 10


def test_at_the_limit_nothing_trips() -> None:
    reading = replace(CALM, target_longest_ms=500, neighbour_some_permille=800)
    assert play([reading] * 10) == [""] * 10


def test_rejected_tasks_trip_at_once() -> None:
    assert play([replace(CALM, nr_rejected=1)]) == ["TasksRejected"]


def test_pressure_that_was_there_before_is_judged_by_full() -> None:
    before = Reading(attached=False, baseline_some_permille=990)
    busy = replace(CALM, neighbour_some_permille=995, neighbour_full_permille=300)
    assert play([before, *[busy] * 9]) == [""] * 10
    starved = replace(busy, neighbour_full_permille=801)
    assert play([before, *[starved] * 4]) == ["", "", "", "", "NeighbourPressure"]


def test_an_account_that_begins_while_attached_is_judged_by_what_is_found_then() -> None:
    before = Reading(attached=False)
    unknown = Reading(attached=True, enabled=True)
    busy = replace(unknown, baseline_some_permille=990, neighbour_some_permille=995)
    assert play([before, unknown, *[busy] * 9]) == [""] * 11
    starved = replace(busy, neighbour_full_permille=801)
    assert play([before, unknown, *[starved] * 4])[-1] == "NeighbourPressure"
    calm = replace(unknown, baseline_some_permille=100)
    pressed = replace(calm, baseline_some_permille=990, neighbour_some_permille=995)
    assert play([before, unknown, calm, *[pressed] * 4])[-1] == "NeighbourPressure"


def test_without_an_account_all_but_pressure_is_judged() -> None:
    unknown = Reading(attached=True, enabled=True, neighbour_some_permille=1000)
    assert play([unknown] * 9) == [""] * 9
    assert play([replace(unknown, target_longest_ms=501)] * 4)[-1] == "TargetLatency"


def test_a_limit_that_no_reading_can_exceed_does_not_put_the_guard_off() -> None:
    limits = LIMITS.replace(neighbour_pressure_permille=1000)
    starved = replace(CALM, neighbour_some_permille=1000, neighbour_full_permille=1000)
    for before in (Reading(attached=False), Reading(attached=False, baseline_some_permille=1000)):
        assert play([before, *[starved] * 4], limits=limits)[-1] == "NeighbourPressure"


def test_a_scheduler_that_the_kernel_sets_aside_and_keeps_trips() -> None:
    attached, bypassed = replace(CALM, bypasses=2), replace(CALM, bypasses=3)
    assert play([attached, *[bypassed] * 4]) == ["", "", "", "", "Bypassed"]


def test_an_ejection_is_told_by_the_loader_and_not_by_the_guard() -> None:
    attached, bypassed = replace(CALM, bypasses=2), replace(CALM, bypasses=3)
    leaving = Reading(
        attached=True,
        leaving=True,
        bypasses=3,
        target_longest_ms=9999,
        neighbour_some_permille=1000,
        neighbour_full_permille=1000,
    )
    gone = Reading(attached=False)
    assert play([attached, bypassed, bypassed, *[leaving] * 20, gone]) == [""] * 24


def test_an_ejection_that_does_not_end_trips() -> None:
    leaving = Reading(attached=True, leaving=True)
    trips = play([leaving] * (LEAVING_SECONDS + 1))
    assert trips == [*[""] * LEAVING_SECONDS, "NotEnabled"]


def test_nothing_trips_while_nothing_is_attached() -> None:
    reading = Reading(attached=False, target_longest_ms=9999, neighbour_some_permille=1000)
    assert play([reading] * 5) == [""] * 5
    assert play([replace(reading, attached=True)] * 5, limits=None) == [""] * 5


def test_counting_starts_anew_with_each_attachment() -> None:
    slow = replace(CALM, target_longest_ms=501)
    assert play([slow, slow, slow, Reading(attached=False), slow, slow, slow]) == [""] * 7


IDLE = Reading(attached=False, idle=True, baseline_some_permille=0)
LOADED = replace(IDLE, neighbour_some_permille=990)
STARVED = replace(LOADED, neighbour_full_permille=990)
PRESSED = replace(CALM, neighbour_some_permille=990)
SMOTHERED = replace(PRESSED, neighbour_full_permille=990)
LOAD = [LOADED] * (BACKLOG_SECONDS + 4)


def followed(readings: list[Reading]) -> tuple[Guard, list[tuple[int, Pressure | None]]]:
    """Return the guard after one reading a second, and which of them tripped by what."""
    guard, tripped = Guard(), []
    for number, reading in enumerate(readings):
        guard, trip = watch(guard, LIMITS, reading, uptime=100.0 + number)
        if trip is not None:
            tripped.append((number, trip.pressure))
    return guard, tripped


def loaded(readings: list[Reading]) -> set[Pressure]:
    """Return what is load after these readings."""
    return set(followed(readings)[0].loaded)


def test_load_may_bring_about_pressure_and_nothing_else() -> None:
    assert followed([IDLE, *[SMOTHERED] * 4])[1] == [(4, Pressure.SOME)]
    before = replace(IDLE, baseline_some_permille=990)
    assert followed([before, *[SMOTHERED] * 4])[1] == [(4, Pressure.FULL)]
    assert followed([IDLE, *[replace(CALM, target_longest_ms=501)] * 4])[1] == [(4, None)]


def test_load_is_told_under_the_kernels_own_scheduler_only_and_not_at_once() -> None:
    assert loaded([LOADED] * BACKLOG_SECONDS) == set()
    assert loaded([LOADED] * (BACKLOG_SECONDS + 1)) == {Pressure.SOME}
    assert loaded([STARVED] * (BACKLOG_SECONDS + 1)) == set(Pressure)
    assert loaded([*[IDLE] * BACKLOG_SECONDS, *[LOADED] * 3]) == set()
    assert loaded([*[IDLE] * BACKLOG_SECONDS, *[LOADED] * 4]) == {Pressure.SOME}
    assert loaded([*LOAD, IDLE]) == set()
    assert loaded([replace(LOADED, idle=False)] * 30) == set()
    assert loaded([*LOAD, replace(LOADED, idle=False), *[LOADED] * 9]) == set()
    assert loaded([*LOAD, CALM]) == set()


def test_load_that_was_there_before_does_not_trip_what_comes() -> None:
    assert followed([*LOAD, IDLE, IDLE, *[PRESSED] * 99])[1] == []
    starved = [STARVED] * len(LOAD)
    assert followed([*starved, *[SMOTHERED] * 9])[1] == []
    assert followed([*LOAD, *[SMOTHERED] * 4])[1] == [(len(LOAD) + 3, Pressure.FULL)]


def test_load_that_is_gone_excuses_nothing() -> None:
    calm = [IDLE] * (LIMITS.sustained_seconds + 1)
    assert followed([*LOAD, *calm, *[PRESSED] * 4])[1] == [
        (len(LOAD) + len(calm) + 3, Pressure.SOME)
    ]
    starting = [replace(LOADED, idle=False)] * LOADED_SECONDS
    assert followed([*LOAD, *starting, *[PRESSED] * 4])[1] == [
        (len(LOAD) + len(starting) + 3, Pressure.SOME)
    ]
    assert followed([*LOAD, *starting[2:], *[PRESSED] * 4])[1] == []


def test_what_piled_up_under_the_one_before_excuses_nothing() -> None:
    worked_off = [*[LOADED] * (BACKLOG_SECONDS - 1), *[IDLE] * 20]
    found = followed([IDLE, *[PRESSED] * 4, *worked_off, *[PRESSED] * 4])[1]
    assert found == [(4, Pressure.SOME), (4 + len(worked_off) + 4, Pressure.SOME)]


def test_a_little_less_without_it_is_load_too() -> None:
    def without(permille: int) -> set[Pressure]:
        less = replace(IDLE, neighbour_some_permille=permille)
        return loaded([less] * (BACKLOG_SECONDS + 4))

    assert without(LIMITS.neighbour_pressure_permille - 49) == {Pressure.SOME}
    assert without(LIMITS.neighbour_pressure_permille - 50) == set()


@pytest.mark.parametrize("before", [[replace(IDLE, baseline_some_permille=990)], LOAD])
def test_an_excuse_lasts_as_long_as_what_is_attached(before: list[Reading]) -> None:
    calm = [CALM] * 99
    once = [*before, *calm, *[PRESSED] * 9]
    assert followed(once)[1] == []
    again = [*once, *[IDLE] * 20, *[PRESSED] * 4]
    assert followed(again)[1] == [(len(again) - 1, Pressure.SOME)]
