"""An object that cannot be fetched: what is kept waits for it, a canary gives up."""

from datetime import timedelta
from pathlib import Path

import pytest

from schedcp_agent.errors import CorruptBlob, RequestFailed
from schedcp_agent.observations import FetchFailure
from schedcp_agent.reconcile import Fetch
from schedcp_api.base import digest_of
from schedcp_api.nodestates import PASSING_REFUSALS, Assignment, AssignmentStatus, RunState
from support.agent import NOW, OBJECT, assignment, switchback, wish
from support.agent_bench import AgentBench
from support.agent_simulation import Simulation

DIGEST = digest_of(OBJECT)
CANARY = assignment(switchback=switchback())
DENIED = FetchFailure(1, permanent=True, reason="FetchFailed", message="x")
CORRUPT = FetchFailure(1, permanent=True, reason="CorruptObject", message="x")
NINTH = FetchFailure(9, permanent=False, reason="FetchFailed", message="x")
TENTH = FetchFailure(10, permanent=False, reason="FetchFailed", message="x")


@pytest.mark.parametrize(
    ("failure", "wanted", "expected"),
    [
        (CORRUPT, assignment(), "Refused/CorruptObject"),
        (CORRUPT, CANARY, "Refused/CorruptObject"),
        (DENIED, assignment(), "Refused/FetchFailed"),
        (DENIED, CANARY, "Failed/FetchFailed"),
        (NINTH, assignment(), "Refused/FetchFailed"),
        (NINTH, CANARY, ""),
        (TENTH, assignment(), "Refused/FetchFailed"),
        (TENTH, CANARY, "Failed/FetchFailed"),
    ],
)
def test_what_a_failure_comes_to(failure: FetchFailure, wanted: Assignment, expected: str) -> None:
    world = Simulation(objects=frozenset(), fetch_failures={DIGEST: failure})
    world.wish(wish(wanted))
    actions = world.tick(2)
    assert world.standing == expected
    assert not world.loader.starts
    given_up = failure is CORRUPT or expected.startswith("Failed")
    assert actions == (() if given_up else (Fetch(DIGEST),))


def waiting(
    folder: Path, *failures: Exception, wanted: Assignment | None = None
) -> tuple[AgentBench, AssignmentStatus]:
    """Return an agent whose store failed it, and what it says after ten minutes less a second."""
    bench = AgentBench(folder)
    bench.blobs.failures += failures
    bench.see(wish(wanted or assignment(), lease_seconds=3600))
    while bench.blobs.failures:
        assert bench.seconds < 599, f"{len(bench.blobs.failures)} tries are left"
        bench.tick()
    return bench, bench.tick().assignments[0]


def trouble(status: int, tries: int) -> list[RequestFailed]:
    return [RequestFailed(f"GET: status {status}", status=status)] * tries


@pytest.mark.parametrize(("status", "tries"), [(503, 20), (0, 20), (401, 1), (403, 12)])
def test_a_kept_scheduler_waits_for_its_object(tmp_path: Path, status: int, tries: int) -> None:
    bench, said = waiting(tmp_path, *trouble(status, tries))
    assert (said.state, said.reason) == (RunState.REFUSED, "FetchFailed")
    assert f"GET: status {status}; tries so far: {tries}" in said.message
    assert said.since == NOW + timedelta(seconds=2), "since the first failure"
    assert said.reason in PASSING_REFUSALS, "the operator must not take it for the last word"
    assert bench.tick(33).assignments[0].state is RunState.ACTIVE
    assert bench.blobs.gets == tries + 1


@pytest.mark.parametrize(("status", "tries"), [(503, 10), (403, 1)])
def test_a_canary_gives_up(tmp_path: Path, status: int, tries: int) -> None:
    bench, _ = waiting(tmp_path, *trouble(status, tries), wanted=CANARY)
    said = bench.tick(200).assignments[0]
    assert (said.state, said.reason) == (RunState.FAILED, "FetchFailed")
    assert bench.blobs.gets == tries


def test_bytes_that_are_not_the_object_are_refused_for_good(tmp_path: Path) -> None:
    bench, _ = waiting(tmp_path, CorruptBlob("other bytes"))
    said = bench.tick(200).assignments[0]
    assert (said.state, said.reason) == (RunState.REFUSED, "CorruptObject")
    assert bench.blobs.gets == 1


def test_an_agent_that_was_restarted_while_it_waited_goes_on(tmp_path: Path) -> None:
    first, _ = waiting(tmp_path / "first", *trouble(503, 12))
    again = AgentBench(tmp_path / "again")
    again.see(wish(assignment()), status=first.writer.status)
    assert again.tick(5).assignments[0].state is RunState.ACTIVE
