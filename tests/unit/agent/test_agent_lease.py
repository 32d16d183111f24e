"""What renews a lease when clocks are set, and what never does."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.memory import Desired, Lease, new_lease
from support.agent import NOW, assignment, wish
from support.agent_simulation import Simulation

AHEAD = NOW + timedelta(hours=1)


def seen(stamp: datetime, *, epoch: int = 3, generation: int = 1) -> Desired:
    """Return a version of the spec."""
    spec = wish(assignment(), lease_renewed_at=stamp, lease_epoch=epoch)
    return Desired(spec, generation)


def lease_after(*versions: Desired) -> Lease:
    """Return the lease after versions that were seen a second apart, from the uptime 100 on."""
    lease: Lease | None = None
    for number, version in enumerate(versions):
        lease = new_lease(lease, version, now=NOW, uptime=100.0 + number)
    assert lease is not None
    return lease


FIRST = seen(AHEAD, generation=5)


@pytest.mark.parametrize(
    "second",
    [
        seen(AHEAD + timedelta(seconds=10), generation=6),
        seen(NOW, generation=6),
        seen(NOW, epoch=4, generation=6),
        seen(NOW, epoch=4, generation=1),
        seen(AHEAD + timedelta(seconds=10), generation=1),
    ],
    ids=["later", "set back", "another operator", "another object", "restored from a backup"],
)
def test_a_stamp_that_was_never_seen_renews(second: Desired) -> None:
    assert lease_after(FIRST, second).deadline == 101 + 30


@pytest.mark.parametrize(
    "second",
    [
        FIRST,
        seen(AHEAD, generation=6),
        seen(AHEAD, epoch=4, generation=6),
        seen(NOW, generation=5),
        seen(NOW, generation=4),
        seen(AHEAD + timedelta(seconds=10), epoch=2, generation=6),
    ],
    ids=["again", "not renewed", "fenced only", "same version", "older version", "deposed"],
)
def test_what_was_seen_before_renews_nothing(second: Desired) -> None:
    assert lease_after(FIRST, second).deadline == lease_after(FIRST).deadline


def test_a_version_from_before_the_clock_was_set_back_renews_nothing() -> None:
    back = seen(NOW, generation=6)
    assert lease_after(FIRST, back, FIRST) == lease_after(FIRST, back)
    other = seen(NOW, epoch=4, generation=6)
    late = seen(NOW + timedelta(seconds=10), epoch=4, generation=7)
    assert lease_after(FIRST, other, late).deadline == 102 + 30
    assert lease_after(FIRST, other, late, FIRST, other) == lease_after(FIRST, other, late)


VERSIONS = st.builds(
    lambda seconds, epoch, generation: seen(
        NOW + timedelta(seconds=seconds), epoch=epoch, generation=generation
    ),
    st.integers(-3, 3),
    st.integers(1, 3),
    st.integers(1, 4),
)


@given(st.lists(VERSIONS, min_size=1, max_size=8))
def test_whatever_is_shown_again_never_renews(versions: list[Desired]) -> None:
    lease = lease_after(*versions)
    for version in versions:
        again = new_lease(lease, version, now=NOW, uptime=500.0)
        assert again is not None
        assert again.deadline == lease.deadline


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_scheduler_stays_when_the_operators_clock_was_an_hour_ahead(epoch: int) -> None:
    world = Simulation()
    world.wish(wish(assignment(), lease_renewed_at=AHEAD), generation=1)
    world.tick(3, renewing=False)
    assert world.attached
    present = wish(assignment(), lease_epoch=epoch)
    world.wish(present.replace(lease_renewed_at=world.now), generation=2)
    world.tick(100)
    assert world.attached
    assert world.memory.reverts == {}


def test_a_deposed_operator_renews_nothing_whatever_its_clock_says() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(3)
    for second in range(40):
        old = wish(assignment(), lease_epoch=2, lease_renewed_at=world.now + timedelta(hours=1))
        world.wish(old, generation=100 + second)
        world.tick(renewing=False)
    assert not world.attached
    assert world.standing == "LeaseExpired/LeaseExpired"
