"""The operator as a process against a real API server; the other sides are small servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schedcp_lab.control_plane import ControlPlane
from support.api_server import POLICIES, Api, api_client
from support.operator_world import (
    POLICY,
    World,
    operator_world,
    policy,
    prepare,
)


@pytest.fixture(scope="module")
def api(
    kube: ControlPlane, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A client of an API server that has our kinds."""
    with api_client(kube.kubeconfig, tmp_path_factory.mktemp("client")) as client:
        prepare(client, repository / "crds")
        yield client


@pytest.fixture
def world(kube: ControlPlane, api: Api, tmp_path: Path) -> Iterator[World]:
    """Two nodes with a rolled out service; the operator is not started yet."""
    with operator_world(kube, api, tmp_path) as made:
        yield made


def test_a_rollout_ends_in_a_promotion(world: World) -> None:
    world.start()
    world.apply(policy())
    status = world.finished()
    assert status["outcome"]["kind"] == "Improved"
    assert status["attempts"][-1]["result"] == "Promoted"
    assert len(status["blocks"]) == 10
    assert status["lessonDigest"].startswith("sha256:")
    world.wait(lambda: world.status().get("promoted"), "the policy says what it keeps")
    assert world.status()["promoted"]["scheduler"] == "latency_class"
    assert "activeRun" not in world.status()
    for assigned in world.assignments().values():
        assert [a["scheduler"] for a in assigned] == ["latency_class"]
        assert "switchback" not in assigned[0]
    world.wait(lambda: "keeps latency_class" in world.status()["summary"], "it is summed up")
    policy_object = world.api.get(f"{POLICIES}/{POLICY}") or {}
    assert "finalizers" not in policy_object["metadata"]
    assert "annotations" not in policy_object["metadata"]
