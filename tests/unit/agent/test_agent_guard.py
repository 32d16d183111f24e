"""The node's own guard rails."""

from dataclasses import replace

import pytest

from schedcp_agent.guard import Guard, Reading, watch
from schedcp_agent.observations import Trip
from schedcp_api.nodestates import GuardrailLimits

LIMITS = GuardrailLimits(
    neighbour_pressure_permille=800, target_latency_ms=500, sustained_seconds=3
)
CALM = Reading(attached=True, enabled=True)


def play(readings: list[Reading], guard: Guard | None = None) -> list[str]:
    """Return what each reading led to."""
    guard = guard or Guard()
    trips: list[Trip | None] = []
    for reading in readings:
        guard, trip = watch(guard, LIMITS, reading, tick_seconds=1.0)
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
    assert play([reading] * 3) == ["", "", reason]
    assert play([reading, reading, CALM, reading, reading]) == [""] * 5


def test_at_the_limit_nothing_trips() -> None:
    reading = replace(CALM, target_longest_ms=500, neighbour_some_permille=800)
    assert play([reading] * 10) == [""] * 10


def test_rejected_tasks_trip_at_once() -> None:
    assert play([replace(CALM, nr_rejected=1)]) == ["TasksRejected"]


def test_pressure_that_was_there_before_is_judged_by_full() -> None:
    before = Reading(attached=False, neighbour_some_permille=990)
    busy = replace(CALM, neighbour_some_permille=995, neighbour_full_permille=300)
    assert play([before, *[busy] * 9]) == [""] * 10
    starved = replace(busy, neighbour_full_permille=801)
    assert play([before, *[starved] * 3]) == ["", "", "", "NeighbourPressure"]


def test_a_limit_that_no_reading_can_exceed_does_not_put_the_guard_off() -> None:
    limits = LIMITS.replace(neighbour_pressure_permille=1000)
    guard, _ = watch(
        Guard(), limits, Reading(attached=False, neighbour_some_permille=1000), tick_seconds=1.0
    )
    starved = replace(CALM, neighbour_some_permille=1000, neighbour_full_permille=1000)
    trips = []
    for _ in range(3):
        guard, trip = watch(guard, limits, starved, tick_seconds=1.0)
        trips.append(trip.reason if trip else "")
    assert trips == ["", "", "NeighbourPressure"]


def test_nothing_trips_while_nothing_is_attached() -> None:
    reading = Reading(attached=False, target_longest_ms=9999, neighbour_some_permille=1000)
    assert play([reading] * 5) == [""] * 5
    assert watch(Guard(), None, CALM, tick_seconds=1.0)[1] is None


def test_counting_starts_anew_with_each_attachment() -> None:
    slow = replace(CALM, target_longest_ms=501)
    assert play([slow, slow, Reading(attached=False), slow, slow]) == [""] * 5
