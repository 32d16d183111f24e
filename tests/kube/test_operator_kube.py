"""The operator's client against a real API server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from schedcp_lab.control_plane import ControlPlane
from schedcp_operator.errors import Conflict
from schedcp_operator.kube import RUNS as RESOURCE
from schedcp_operator.kube import Kube
from support.api_server import RUNS, Api, api_client
from support.operator_nouns import run

NAME = "changed-1"


@pytest.fixture
def api(kube: ControlPlane, repository: Path, tmp_path: Path) -> Iterator[Api]:
    """A client of an API server that has our kinds."""
    with api_client(kube.kubeconfig, tmp_path / "client") as client:
        client.apply_crds(repository / "crds")
        yield client


@pytest.fixture
async def operators(kube: ControlPlane) -> AsyncIterator[Kube]:
    """The operator's own client."""
    client = await Kube.connect(kube.kubeconfig, timeout_seconds=30)
    yield client
    await client.close()


async def test_only_the_version_that_was_seen_is_deleted(api: Api, operators: Kube) -> None:
    body = {
        "apiVersion": "schedcp.io/v1alpha1",
        "kind": "OptimizationRun",
        "metadata": {"name": NAME},
        "spec": run().spec.to_json(),
    }
    seen = api.create(RUNS, body)["metadata"]["resourceVersion"]
    changed = api.merge(f"{RUNS}/{NAME}", {"metadata": {"annotations": {"a": "b"}}})
    with pytest.raises(Conflict):
        await operators.delete(RESOURCE, NAME, version=seen)
    assert api.get(f"{RUNS}/{NAME}") is not None
    for _ in range(2):  # nothing to delete is not an error
        await operators.delete(RESOURCE, NAME, version=changed["metadata"]["resourceVersion"])
        assert api.get(f"{RUNS}/{NAME}") is None
