"""Rollouts from their beginning to what is kept, while any one write goes wrong."""

import pytest

from schedcp_api.nodestates import RunState
from support.operator_tour import Mishap, MortalKube, Tour

BETTER, WORSE = 0.5, 2.0


async def toured(kube: MortalKube, *, second: float) -> Tour:
    """Return a cluster in which a rollout found something better, and the next one `second`."""
    tour = Tour(kube)
    tour.roll_out("first")
    await tour.until_said(1)
    tour.under_candidate = second
    tour.roll_out("second")
    await tour.until_said(2)
    for _ in range(10):  # whoever begins anew waits for the Lease of the one who died
        await tour.turn()
    return tour


def seen(tour: Tour) -> dict[str, object]:
    """Return what must be the same, whatever went wrong."""
    status = tour.status()
    promoted = status.get("promoted") or {}
    return {
        "runs": len(tour.made),
        "left": tour.runs() == tour.made[1:],
        "active": status.get("activeRun"),
        "kept": (promoted.get("run") == tour.made[-1], promoted.get("scheduler")),
        "said": status["lastOutcome"],
        "held": {name: [state for _, state in held] for name, held in tour.held().items()},
        "lessons": sorted(f"{one.result} {one.candidate.scheduler}" for one in tour.kept()),
    }


async def test_the_next_rollout_finds_something_better_again() -> None:
    found = seen(await toured(MortalKube(), second=BETTER))
    assert found["kept"] == (True, "latency_class")
    assert found["active"] is None
    assert found["left"], "the policy keeps one finished run"
    assert found["held"] == {"node-1": [RunState.ACTIVE], "node-2": [RunState.ACTIVE]}
    assert found["lessons"] == ["Promoted latency_class"] * 2


async def test_the_next_rollout_finds_nothing_and_the_nodes_are_restored() -> None:
    tour = await toured(MortalKube(), second=WORSE)
    found = seen(tour)
    assert found["kept"] == (False, None)
    assert found["held"] == {"node-1": [], "node-2": []}
    assert "Worse" in str(found["said"])


@pytest.mark.parametrize("mishap", Mishap)
@pytest.mark.parametrize("second", [BETTER, WORSE])
async def test_whichever_write_goes_wrong_all_ends_as_it_would_have(
    second: float, mishap: Mishap
) -> None:
    whole = await toured(MortalKube(), second=second)
    # Up to the second rollout both are the same.
    first = 1 if second is BETTER else whole.writes_before[1] + 1
    for at in range(first, whole.kube.writes + 1):
        tour = await toured(MortalKube(at, mishap), second=second)
        assert tour.kube.mishaps == 1
        assert seen(tour) == seen(whole), f"write {at} of {whole.kube.writes} was {mishap}"
