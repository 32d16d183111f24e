"""The agent's own code against a real API server, under the chart's rules."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schedcp_agent.errors import RequestFailed
from schedcp_agent.kube import KubeNodeStates
from schedcp_api.base import ConditionStatus
from schedcp_api.nodestates import (
    Arm,
    Assignment,
    ProfilePhase,
    ProfileRequest,
    RunState,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
)
from schedcp_api.profiles import WorkloadProfile
from schedcp_lab.control_plane import API_ONLY, ControlPlane
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.processes import wait_until
from support.agent import assignment, switchback, token, wish
from support.agent_installation import (
    add_node,
    install,
    node_token,
    read_status,
    running_agent,
    set_spec,
    web,
)
from support.control_planes import control_plane

NODES = ("agent-node-1", "agent-node-2")
HERE, THERE = NODES


@pytest.fixture(scope="module")
def plane(
    kube_binaries: KubeBinaries, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """An API server of this module's own: one test kills it."""
    with control_plane(tmp_path_factory.mktemp("agents"), kube_binaries, API_ONLY) as started:
        install(started, repository)
        for node in NODES:
            add_node(started, node)
        yield started


def for_here(**changes: Any) -> Assignment:
    """Return an assignment whose token holds on this module's node, today."""
    now = datetime.now(UTC)
    signed = token(
        nodes=NODES, not_before=now - timedelta(minutes=1), expires_at=now + timedelta(hours=1)
    )
    return assignment(token=signed, **changes)


def fresh(*assignments: Assignment, **changes: Any) -> SchedulerNodeStateSpec:
    """Return a spec whose lease was renewed just now, for long enough."""
    return wish(
        *assignments, **{"lease_renewed_at": datetime.now(UTC), "lease_seconds": 600, **changes}
    )


def is_true(status: SchedulerNodeStateStatus, condition: str) -> bool:
    return any(c.type == condition and c.status is ConditionStatus.TRUE for c in status.conditions)


class TestRights:
    """What the chart lets an agent do, and nothing else."""

    @contextmanager
    def states(
        self, plane: ControlPlane, folder: Path, *, token_of: str | None
    ) -> Iterator[KubeNodeStates]:
        with web(plane, folder, node_token(plane, token_of)) as connection:
            yield KubeNodeStates(connection, node=HERE, watch_seconds=5)

    def test_the_status_of_its_own_node(self, plane: ControlPlane, tmp_path: Path) -> None:
        with self.states(plane, tmp_path, token_of=HERE) as states:
            states.write(SchedulerNodeStateStatus(observed_epoch=2))
            assert states.read().status is not None
        assert read_status(plane, HERE).observed_epoch == 2

    def test_not_that_of_another_node(self, plane: ControlPlane, tmp_path: Path) -> None:
        with (
            self.states(plane, tmp_path, token_of=THERE) as states,
            pytest.raises(RequestFailed, match="status of its own node only") as refused,
        ):
            states.write(SchedulerNodeStateStatus(observed_epoch=666))
        assert refused.value.status == 403
        assert f"bound to node {THERE}, the object is {HERE}" in str(refused.value)
        assert read_status(plane, HERE).observed_epoch != 666

    def test_not_with_a_token_that_is_bound_to_no_node(
        self, plane: ControlPlane, tmp_path: Path
    ) -> None:
        with (
            self.states(plane, tmp_path, token_of=None) as states,
            pytest.raises(RequestFailed, match="bound to no node"),
        ):
            states.write(SchedulerNodeStateStatus())

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", f"/{HERE}", b'[{"op":"add","path":"/spec/leaseEpoch","value":9}]'),
            ("DELETE", f"/{HERE}", b""),
            ("POST", "", b"{}"),
        ],
    )
    def test_not_the_spec_nor_the_object(
        self, plane: ControlPlane, tmp_path: Path, method: str, path: str, body: bytes
    ) -> None:
        with (
            web(plane, tmp_path, node_token(plane, HERE)) as connection,
            pytest.raises(RequestFailed) as refused,
        ):
            connection.send(
                method,
                f"/apis/schedcp.io/v1alpha1/schedulernodestates{path}",
                body=body,
                content_type="application/json-patch+json"
                if method == "PATCH"
                else "application/json",
            )
        assert refused.value.status == 403

    @pytest.mark.parametrize("path", ["/api/v1/secrets", "/api/v1/pods", "/api/v1/nodes"])
    def test_not_to_read_anything_else(
        self, plane: ControlPlane, tmp_path: Path, path: str
    ) -> None:
        with (
            web(plane, tmp_path, node_token(plane, HERE)) as connection,
            pytest.raises(RequestFailed) as refused,
        ):
            connection.get(path, limit=10_000)
        assert refused.value.status == 403


def test_a_profile_an_experiment_and_the_way_back(plane: ControlPlane, tmp_path: Path) -> None:
    request = ProfileRequest(id="checkout-1-0", policy="checkout", seconds=1)
    set_spec(plane, HERE, fresh(profile_request=request))
    with running_agent(plane, tmp_path, HERE) as node:
        profiled = node.wait(
            lambda s: s.profile is not None and s.profile.phase is ProfilePhase.DONE,
            what="the profile is done",
        )
        assert profiled.profile is not None
        assert profiled.profile.digest is not None
        data = node.blobs.blobs[profiled.profile.digest]
        assert WorkloadProfile.model_validate_json(data).node == HERE

        schedule = switchback(Arm.ON, Arm.OFF, block_seconds=4, washout_seconds=1)
        set_spec(plane, HERE, fresh(for_here(switchback=schedule)))
        node.wait(lambda s: bool(s.attached), what="the scheduler is attached")
        finished = node.wait(
            lambda s: s.switchback is not None and s.switchback.finished,
            what="the experiment is finished",
        )
        assert finished.switchback is not None
        assert [(b.arm, b.valid) for b in finished.switchback.blocks] == [
            (Arm.ON, True),
            (Arm.OFF, True),
        ]
        assert is_true(finished, "OnDefaultScheduler")

        set_spec(plane, HERE, fresh(for_here()))
        active = node.wait(
            lambda s: [a.state for a in s.assignments] == [RunState.ACTIVE],
            what="the assignment is active",
        )
        assert active.attached[0].ops_name == "schedcp_latency_class"
        assert active.metrics_address == "10.0.0.1:9464"
    assert node.restored == [True]
    assert node.probes.closed
    left = read_status(plane, HERE)
    assert (left.attached, is_true(left, "OnDefaultScheduler")) == ((), True)


def test_an_ejection_outlives_the_agent(plane: ControlPlane, tmp_path: Path) -> None:
    set_spec(plane, HERE, fresh(for_here()))
    with running_agent(plane, tmp_path / "first", HERE) as node:
        node.wait(lambda s: bool(s.attached), what="the scheduler is attached")
        node.loader.eject(1026, "runnable task stall", now=datetime.now(UTC))
        ejected = node.wait(
            lambda s: [a.state for a in s.assignments] == [RunState.EJECTED],
            what="the ejection is reported",
        )
        assert ejected.last_exit is not None
        assert ejected.last_exit.kind == 1026
        assert [q.reason for q in ejected.quarantine] == ["Stall"]
    with running_agent(plane, tmp_path / "second", HERE) as again:
        before = read_status(plane, HERE).heartbeat_at
        again.wait(
            lambda s: s.heartbeat_at is not None and before is not None and s.heartbeat_at > before,
            what="the new agent reports",
        )
        assert not again.loader.starts
        set_spec(plane, HERE, fresh(for_here(run="checkout-1"), lease_epoch=4))
        again.wait(lambda s: s.observed_epoch == 4, what="the new epoch is followed")
        assert not again.loader.starts


def test_a_lost_api_server(plane: ControlPlane, tmp_path: Path) -> None:
    set_spec(plane, THERE, fresh(for_here(), lease_seconds=5))
    with running_agent(plane, tmp_path, THERE) as node:
        node.wait(lambda s: bool(s.attached), what="the scheduler is attached")
        plane.kill("kube-apiserver")
        wait_until(
            lambda: node.kernel.state.idle,
            what="the agent reverts by itself",
            timeout_seconds=40.0,
        )
        plane.restart_apiserver()
        expired = node.wait(
            lambda s: [a.state for a in s.assignments] == [RunState.LEASE_EXPIRED],
            what="the expired lease is reported",
        )
        assert is_true(expired, "OnDefaultScheduler")
        set_spec(plane, THERE, fresh(for_here()))
        node.wait(lambda s: bool(s.attached), what="it is attached again")
