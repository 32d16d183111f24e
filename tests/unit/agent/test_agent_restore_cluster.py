"""Which nodes an uninstallation wants proof of, and which hold nothing of ours."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schedcp_agent.errors import NotRestored
from schedcp_api.base import Condition, ConditionStatus
from schedcp_api.nodestates import SchedulerNodeStateStatus
from support.agent import NOW, assignment, wish
from support.agent_cluster import MemoryCluster

HEARD_OF_NOTHING = "node-1: it is ready, but its agent has not said what runs there"
PULLING: dict[str, Any] = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}
RUNNING: dict[str, Any] = {"state": {"running": {}}}
CRASHED: dict[str, Any] = {
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1}},
    "restartCount": 3,
}


def ready(*agent: dict[str, Any], pods: int = 1) -> MemoryCluster:
    """Return a cluster of one Ready node, with what a kubelet says of an agent's container."""
    cluster = MemoryCluster()
    cluster.add_node("node-1")
    for _ in range(pods):
        cluster.add_agent("node-1", *agent)
    return cluster


def restored(*, at: datetime) -> SchedulerNodeStateStatus:
    """Return what an agent says of a node with nothing of ours on it."""
    condition = Condition(
        type="OnDefaultScheduler",
        status=ConditionStatus.TRUE,
        reason="Restored",
        message="the kernel's own scheduler runs everything",
        last_transition_time=NOW,
    )
    return SchedulerNodeStateStatus(heartbeat_at=at, observed_generation=9, conditions=(condition,))


def test_a_node_without_an_agent_needs_no_proof() -> None:
    cluster = ready(pods=0)
    cluster.uninstall()
    assert cluster.said == ["node-1: no agent has started there"]


def test_a_node_whose_agent_never_started_needs_no_proof() -> None:
    cluster = ready(PULLING)
    cluster.uninstall()
    del cluster.states["node-1"]
    cluster.uninstall()
    assert not cluster.states, "nobody is there to report"


@pytest.mark.parametrize("agent", [(RUNNING,), (CRASHED,), (PULLING, RUNNING), ()])
def test_an_agent_that_may_have_started_must_speak(agent: tuple[dict[str, Any], ...]) -> None:
    cluster = ready(*agent)
    with pytest.raises(NotRestored, match=HEARD_OF_NOTHING):
        cluster.uninstall()
    cluster.report("node-1", restored(at=datetime.now(UTC)))
    cluster.uninstall()
    assert cluster.said == ["node-1: on the kernel's own scheduler"]


def test_an_agent_without_an_object_is_given_one_to_speak_in() -> None:
    cluster = ready(RUNNING)
    del cluster.states["node-1"]
    with pytest.raises(NotRestored, match=HEARD_OF_NOTHING):
        cluster.uninstall()
    assert list(cluster.states) == ["node-1"]


@pytest.mark.parametrize("pods", [0, 1])
def test_an_agent_that_went_silent_must_speak(pods: int) -> None:
    cluster = ready(PULLING, pods=pods)
    cluster.report("node-1", restored(at=datetime.now(UTC) - timedelta(minutes=5)))
    with pytest.raises(NotRestored, match="node-1: its agent has not been heard of since"):
        cluster.uninstall()


def test_what_was_assigned_is_taken_away_before_a_node_counts_as_untouched() -> None:
    cluster = ready(pods=0)
    cluster.wish("node-1", wish(assignment()))
    with pytest.raises(NotRestored, match=HEARD_OF_NOTHING):
        cluster.uninstall()
    assert cluster.states["node-1"]["spec"]["assignments"] == []
    cluster.uninstall()


def test_where_nobody_can_tell_of_agents_every_ready_node_must_speak() -> None:
    cluster = ready(pods=0)
    with pytest.raises(NotRestored, match=HEARD_OF_NOTHING):
        cluster.uninstall(agents=None)
    cluster.nodes["node-1"]["status"]["conditions"][0]["status"] = "False"
    cluster.uninstall(agents=None)
