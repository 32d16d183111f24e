"""Nodes whose clocks are off: they are refused, and no verdict comes from their blocks."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.policies import Canary
from schedcp_api.runs import OutcomeKind, RunStage
from schedcp_operator.advance import advance
from schedcp_operator.clocks import Clocks, allowed_skew
from schedcp_operator.cluster import Cluster
from schedcp_operator.eligibility import refusal
from schedcp_operator.events import Observed, ReadFigures
from schedcp_operator.kube import STATES
from schedcp_operator.stages.common import is_lost
from schedcp_operator.stages.promoting import is_settled
from schedcp_operator.views import NodeView
from support.operator_doubles import MemoryKube
from support.operator_driver import Driver, at, pending
from support.operator_nodes import node
from support.operator_nouns import NOW, RULES, policy_spec
from support.operator_objects import filled
from support.operator_tour import Tour

SECOND = timedelta(seconds=1)
CANARY = Canary(block_seconds=8, washout_seconds=2)


def heard(*samples: float, clocks: Clocks | None = None) -> Clocks:
    """Clocks after heartbeats, a minute apart, that were so many seconds from ours on arrival."""
    clocks = clocks or Clocks()
    before = None
    for minute, seconds in enumerate(samples):
        now = NOW + timedelta(minutes=minute)
        heartbeat = now + timedelta(seconds=seconds)
        clocks.heard("node-1", heartbeat, before=before, now=now)
        before = heartbeat
    return clocks


@pytest.mark.parametrize(
    ("samples", "skew"),
    [
        ((), None),
        ((10.0,), None),
        ((-9.0, -1.0), -1.0),
        ((50.0, 44.0), 50.0),
        ((50.0, *[0.0] * 11), 50.0),
        ((50.0, *[0.0] * 12), 0.0),
    ],
)
def test_the_greatest_of_the_latest_heartbeats_is_the_skew(
    samples: tuple[float, ...], skew: float | None
) -> None:
    found = heard(*samples).skew("node-1")
    assert found == (None if skew is None else timedelta(seconds=skew))
    assert heard(*samples).skew("node-2") is None


def test_one_heartbeat_tells_when_it_arrived_and_nothing_of_the_clock() -> None:
    clocks = heard(-600.0)
    assert (clocks.heard_at("node-1"), clocks.skew("node-1")) == (NOW, None)
    assert heard(-600.0, -600.0, clocks=clocks).heard_at("node-1") == NOW + 60 * SECOND
    clocks.forget("node-1")
    assert clocks.heard_at("node-1") is None


def test_a_clock_that_is_set_back_is_known_by_the_second_heartbeat() -> None:
    assert heard(3600.0, 3600.0, -7.0).skew("node-1") is None
    assert heard(3600.0, 3600.0, -7.0, -8.0).skew("node-1") == timedelta(seconds=-7)


def test_a_heartbeat_that_was_overtaken_says_nothing_of_the_clock() -> None:
    late = (0.0, 0.0, -90.0)
    assert heard(*late).skew("node-1") is None
    assert heard(*late, 0.0).skew("node-1") == timedelta(0)


@given(
    st.floats(-7200, 7200), st.lists(st.floats(0, 30), min_size=2, max_size=20).map(tuple[float])
)
def test_delays_never_make_a_clock_look_ahead(skew: float, delays: tuple[float, ...]) -> None:
    found = heard(*(skew - delay for delay in delays)).skew("node-1")
    assert found is not None
    assert abs(found.total_seconds() - (skew - min(delays[-12:]))) < 1e-3


@given(st.integers(4, 3600), st.integers(1, 600))
def test_half_of_a_blocks_figures_are_its_own_whatever_skew_is_allowed(
    block: int, washout: int
) -> None:
    allowed = allowed_skew(Canary(block_seconds=block, washout_seconds=washout)).total_seconds()
    assert 2 <= allowed <= block / 2
    assert allowed >= min(3.0, block / 2)


def off(seconds: float | None, **changes: Any) -> NodeView:
    """A node with a living agent whose clock is so far ahead of the operator's."""
    skew = timedelta(seconds=seconds or 0)
    view = node(heartbeat_at=NOW + skew, **changes)
    return replace(view, clock_skew=None if seconds is None else skew)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, ""),
        (-3.0, ""),
        (3.0, ""),
        (-9.5, "10 s behind the operator's"),
        (70.0, "70 s ahead of the operator's"),
        (-3600.0, "3600 s behind the operator's"),
    ],
)
def test_a_node_whose_clock_is_off_is_refused(seconds: float | None, words: str) -> None:
    found = refusal(off(seconds), CANARY, now=NOW, rules=RULES)
    if not words:
        assert found is None
        return
    assert found is not None
    assert found.reason == "ClockSkew"
    assert words in found.message
    assert "more than 3 s would mix up the figures of blocks of 8 s" in found.message
    assert found.message.endswith("set the node's clock (NTP)")


def test_a_heartbeat_to_come_needs_no_other_to_be_refused() -> None:
    ahead = replace(off(70), clock_skew=None)
    found = refusal(ahead, CANARY, now=NOW, rules=RULES)
    assert found is not None
    assert found.reason == "ClockSkew"


def test_a_dead_agent_is_stale_whatever_its_clock_said() -> None:
    later = NOW + RULES.heartbeat + SECOND
    for seconds in (-20, 0, 3600):
        found = refusal(off(seconds), CANARY, now=later, rules=RULES)
        assert found is not None
        assert (found.reason, "11 s old" in found.message) == ("AgentStale", True)


@pytest.mark.parametrize("seconds", [-3600, 0, 3600])
def test_a_clock_makes_no_agent_live_longer(seconds: int) -> None:
    view = off(seconds)
    most = 2 * RULES.heartbeat
    assert not is_lost(view, now=NOW + most, rules=RULES)
    assert is_lost(view, now=NOW + most + SECOND, rules=RULES)


def test_a_new_leader_that_hears_nothing_believes_no_heartbeat_to_come() -> None:
    view = replace(off(3600), clock_skew=None)
    rules = replace(RULES, leading_since=NOW)
    assert not is_lost(view, now=NOW + 2 * RULES.heartbeat, rules=rules)
    assert is_lost(view, now=NOW + 2 * RULES.heartbeat + SECOND, rules=rules)


@pytest.mark.parametrize("seconds", [-3600, 0, 3600])
def test_an_agent_whose_first_heartbeat_has_just_arrived_is_not_silent(seconds: int) -> None:
    arrived = NOW + timedelta(hours=3)
    there = node(heartbeat_at=arrived + seconds * SECOND)
    view = replace(there, clock_skew=None, heard_at=arrived)
    rules = replace(RULES, leading_since=NOW)
    most = arrived + 2 * RULES.heartbeat
    assert not is_lost(view, now=most, rules=rules)
    assert is_lost(view, now=most + SECOND, rules=rules)


@pytest.mark.parametrize("stage", [RunStage.CANARY, RunStage.PROMOTING])
def test_a_node_that_is_taken_at_its_first_heartbeat_is_not_lost(stage: RunStage) -> None:
    driver = at(stage)
    rules = replace(RULES, leading_since=driver.now)
    driver.now += timedelta(minutes=3)
    driver.refresh()
    for name, view in driver.nodes.items():
        driver.nodes[name] = replace(view, clock_skew=None, heard_at=driver.now)
    for _ in range(2):
        moved = advance(driver.run, Observed(driver.world()), now=driver.now, rules=rules).status
        assert moved.stage is not RunStage.ROLLING_BACK
        driver.run = replace(driver.run, status=moved)
        driver.obey()


def skewed(driver: Driver, skew: timedelta | None) -> str:
    """Set the clock of the run's canary node; return the node's name."""
    name = driver.run.status.nodes[0].name
    driver.nodes[name] = replace(driver.nodes[name], clock_skew=skew)
    return name


def canary_in(stage: RunStage) -> Driver:
    """A run with a canary node."""
    driver = at(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    return driver


@pytest.mark.parametrize("stage", [RunStage.CANARY, RunStage.JUDGING])
@pytest.mark.parametrize("seconds", [-5, 70])
def test_blocks_on_a_clock_that_is_off_are_not_judged(stage: RunStage, seconds: int) -> None:
    driver = canary_in(stage)
    name = skewed(driver, timedelta(seconds=seconds))
    moved = driver.observe().status
    assert pending(moved) == (RunStage.ROLLING_BACK, "ClockSkew")
    outcome = moved.pending_outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.INCONCLUSIVE
    assert f"{name}: the node's clock is {abs(seconds)} s" in outcome.message
    driver.until(RunStage.FINISHED)
    assert len(driver.run.status.attempts) == 1, "no candidate is to blame"


def test_a_run_that_holds_its_candidate_for_good_needs_no_clock() -> None:
    driver = at(RunStage.PROMOTING)
    skewed(driver, timedelta(seconds=5))
    assert driver.observe().status.stage is RunStage.PROMOTING


def test_blocks_are_judged_when_the_clock_was_compared() -> None:
    driver = at(RunStage.JUDGING)
    name = skewed(driver, None)
    seen = driver.observe()
    assert (seen.status.stage, seen.effects) == (RunStage.JUDGING, ())
    assert f"waiting for a heartbeat from {name}" in seen.status.message
    skewed(driver, timedelta(0))
    (effect,) = driver.observe().effects
    assert isinstance(effect, ReadFigures)


def test_an_agent_that_fell_silent_before_its_clock_was_compared_ends_the_run() -> None:
    driver = at(RunStage.JUDGING)
    skewed(driver, None)
    rules = replace(RULES, leading_since=driver.now)
    later = driver.now + 2 * RULES.heartbeat
    seen = Observed(driver.world())
    assert advance(driver.run, seen, now=later, rules=rules).status.stage is RunStage.JUDGING
    moved = advance(driver.run, seen, now=later + SECOND, rules=rules).status
    assert pending(moved) == (RunStage.ROLLING_BACK, "ClockUnknown")


@pytest.mark.parametrize("seconds", [-25, 25])
def test_a_soak_is_as_long_on_every_clock(seconds: int) -> None:
    driver = at(RunStage.PROMOTING)
    driver.step()
    skew = timedelta(seconds=seconds)
    (entry,) = driver.run.status.nodes[:1]
    view = driver.nodes[entry.name]
    (attached,) = view.status.attached
    there = attached.replace(since=NOW + skew)
    view = replace(view, status=view.status.replace(attached=(there,)), clock_skew=skew)
    soaked = NOW + RULES.soak
    assert is_settled(driver.run, view, now=soaked, rules=RULES)
    assert not is_settled(driver.run, view, now=soaked - SECOND, rules=RULES)


class Watched:
    """A cluster that follows the heartbeats of one node."""

    def __init__(self) -> None:
        self.now = NOW
        self.kube = filled(MemoryKube())
        self.cluster = Cluster(clock=lambda: self.now)

    def beats(self, at_: datetime | None, *, live: bool) -> timedelta | None:
        """Take in a version with a heartbeat; return the skew that the views have then."""
        return self.seen(at_, live=live).clock_skew

    def seen(self, at_: datetime | None, *, live: bool) -> NodeView:
        """Take in a version with a heartbeat; return the node's view then."""
        body = {"metadata": {"name": "node-1"}, "spec": {}}
        status = node(heartbeat_at=at_).status.to_json()
        self.cluster.put(STATES, self.kube.put(STATES, {**body, "status": status}), live=live)
        return next(v for v in self.views() if v.name == "node-1")

    def views(self) -> tuple[NodeView, ...]:
        """The nodes as a policy sees them."""
        return self.cluster.node_views(policy_spec(), policy="checkout")


async def test_clocks_are_compared_by_heartbeats_that_have_just_been_written() -> None:
    watched = Watched()
    await watched.cluster.prime(watched.kube)
    behind = timedelta(seconds=-10)
    assert watched.beats(NOW - timedelta(hours=1), live=False) is None, "may be old"
    for _ in range(3):
        watched.now += SECOND
        assert watched.beats(watched.now - 600 * SECOND, live=False) is None, "come across"
    watched.now += SECOND
    assert watched.beats(watched.now + behind, live=True) is None, "one alone"
    assert watched.beats(watched.now + behind, live=True) is None, "another version, not beat"
    watched.now += SECOND
    assert watched.beats(watched.now + behind, live=True) == behind
    await watched.kube.delete(STATES, "node-1")
    await watched.cluster.prime(watched.kube)
    assert watched.views()[0].clock_skew is None


async def test_when_a_heartbeat_arrived_is_known_of_one_alone_and_of_a_state_made_anew() -> None:
    watched = Watched()
    await watched.cluster.prime(watched.kube)
    assert watched.seen(NOW - timedelta(hours=1), live=False).heard_at is None, "may be old"
    watched.now += SECOND
    beat = watched.now - 600 * SECOND
    assert watched.seen(beat, live=True).heard_at == watched.now
    arrived = watched.now
    watched.now += SECOND
    assert watched.seen(beat, live=True).heard_at == arrived, "another version, not beat"
    await watched.kube.delete(STATES, "node-1")
    await watched.cluster.prime(watched.kube)
    assert watched.views()[0].heard_at is None
    watched.now += SECOND
    anew = watched.seen(watched.now, live=True)
    assert (anew.heard_at, anew.clock_skew) == (watched.now, None)


@pytest.mark.parametrize("seconds", [-5, 5])
async def test_a_harmful_scheduler_is_not_kept_for_clocks_that_are_off_by_a_block(
    seconds: int,
) -> None:
    tour = Tour(under_candidate=2.0, skew=timedelta(seconds=seconds))
    for _ in range(5):
        await tour.turn()
    tour.roll_out("first")
    for _ in range(20):
        await tour.turn()
    assert tour.made == []
    assert "ClockSkew: node-1: the node's clock is 5 s" in tour.status()["summary"]
    tour.skew = timedelta(0)
    await tour.until_said(1)
    assert "Worse" in tour.status()["lastOutcome"]
