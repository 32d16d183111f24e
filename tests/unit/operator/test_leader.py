"""The Lease: one leader, a rising epoch, and nobody who acts on a Lease that may be another's."""

import pytest

from schedcp_operator.errors import NotLeader
from schedcp_operator.kube import LEASES, Json
from schedcp_operator.leader import Leader, LeaseSettings, highest_epoch
from support.operator_doubles import MemoryKube


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def replica(kube: MemoryKube, clock: Clock, name: str, *, floor: int = 0) -> Leader:
    """A replica; `floor` is the highest epoch that agents have been shown."""

    async def highest() -> int:
        return floor

    lease = LeaseSettings(name="operator", namespace="system", identity=name, seconds=10)
    return Leader(kube, lease, epoch_floor=highest, clock=clock)


async def test_the_first_one_leads() -> None:
    kube, clock = MemoryKube(), Clock()
    first, second = replica(kube, clock, "a"), replica(kube, clock, "b")
    await first.contend()
    await second.contend()
    assert (first.is_leader, second.is_leader) == (True, False)
    assert first.epoch == 1
    with pytest.raises(NotLeader):
        second.require()


async def test_a_holder_that_renews_is_never_replaced() -> None:
    kube, clock = MemoryKube(), Clock()
    first, second = replica(kube, clock, "a"), replica(kube, clock, "b")
    for _ in range(10):
        await first.contend()
        await second.contend()
        clock.seconds += 4
    assert not second.is_leader
    await first.contend()
    assert first.epoch == 1


async def test_a_silent_holder_stops_before_it_can_be_replaced() -> None:
    kube, clock = MemoryKube(), Clock()
    first, second = replica(kube, clock, "a"), replica(kube, clock, "b")
    await first.contend()
    await second.contend()
    stopped_at = taken_at = None
    while taken_at is None:
        clock.seconds += 0.5
        await second.contend()
        if stopped_at is None and not first.is_leader:
            stopped_at = clock.seconds
        if second.is_leader:
            taken_at = clock.seconds
    assert stopped_at is not None
    assert stopped_at < taken_at
    assert second.epoch == 2
    await first.contend()
    assert not first.is_leader


async def test_a_leader_that_reads_another_name_stops_at_once() -> None:
    kube, clock = MemoryKube(), Clock()
    first, second = replica(kube, clock, "a"), replica(kube, clock, "b")
    await first.contend()
    lease = await kube.get(LEASES, "operator", namespace="system")
    kube.put(
        LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}}, namespace="system"
    )
    await first.contend()
    assert not first.is_leader
    assert not second.is_leader


async def test_who_stood_down_leads_again_only_with_a_new_epoch() -> None:
    kube, clock = MemoryKube(), Clock()
    leader = replica(kube, clock, "a")
    await leader.contend()
    before = leader.epoch
    leader.stand_down()
    assert not leader.is_leader
    clock.seconds += 60
    await leader.contend()
    clock.seconds += 60
    await leader.contend()
    assert leader.is_leader
    assert leader.epoch > before


async def test_the_epoch_is_never_lower_than_one_that_agents_have_seen() -> None:
    kube, clock = MemoryKube(), Clock()
    leader = replica(kube, clock, "a", floor=41)
    await leader.contend()
    assert leader.epoch == 42
    lease = await kube.get(LEASES, "operator", namespace="system")
    assert lease["spec"]["leaseTransitions"] == 42


async def test_an_outage_ends_the_leadership_and_the_same_epoch_goes_on_after_it() -> None:
    kube, clock = MemoryKube(), Clock()
    leader = replica(kube, clock, "a")
    await leader.contend()
    kube.down = True
    clock.seconds += 8
    await leader.contend()
    assert not leader.is_leader
    kube.down = False
    await leader.contend()
    assert leader.epoch == 1


async def test_a_lease_that_was_given_back_is_free_at_once() -> None:
    kube, clock = MemoryKube(), Clock()
    first, second = replica(kube, clock, "a"), replica(kube, clock, "b")
    await first.contend()
    await first.release()
    assert not first.is_leader
    await second.contend()
    assert second.epoch == 2


async def test_a_restarted_replica_of_the_same_name_gets_a_new_epoch() -> None:
    kube, clock = MemoryKube(), Clock()
    await replica(kube, clock, "a").contend()
    again = replica(kube, clock, "a")
    await again.contend()
    assert not again.is_leader
    clock.seconds += 11
    await again.contend()
    assert again.epoch == 2


@pytest.mark.parametrize(
    ("states", "highest"),
    [
        ((), 0),
        (({"metadata": {"name": "new"}},), 0),
        (({"spec": {"leaseEpoch": 3}}, {"spec": {"leaseEpoch": 2}}), 3),
        # An agent keeps what it was shown, though its object, or its cluster, was made anew.
        (({"spec": {"leaseEpoch": 3}, "status": {"observedEpoch": 7}},), 7),
    ],
)
def test_the_highest_epoch_is_also_what_agents_remember(
    states: tuple[Json, ...], highest: int
) -> None:
    assert highest_epoch(states) == highest
