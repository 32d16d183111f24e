"""The operator's process on an API server whose CRDs are of an older version."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from schedcp_lab.control_plane import ControlPlane
from support.api_server import CRDS, STATES, Api, api_client
from support.operator_world import LEASE, World, operator_world, prepare

POLICIES_CRD = f"{CRDS}/schedulerpolicies.schedcp.io"


@pytest.fixture
def world(kube: ControlPlane, repository: Path, tmp_path: Path) -> Iterator[World]:
    """Two nodes on an API server that has our kinds; the operator is not started yet."""
    with api_client(kube.kubeconfig, tmp_path / "client") as client:
        prepare(client, repository / "crds")
        with operator_world(kube, client, tmp_path) as made:
            yield made


def holder(api: Api) -> str:
    """Who leads."""
    return str(((api.get(LEASE) or {}).get("spec") or {}).get("holderIdentity") or "")


def test_it_neither_leads_nor_acts_before_the_crds_have_all_that_it_writes(world: World) -> None:
    api = world.api
    versions = (api.get(POLICIES_CRD) or {})["spec"]["versions"]
    older = copy.deepcopy(versions)
    spec = older[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["runHistoryLimit"]
    api.merge(POLICIES_CRD, {"spec": {"versions": older}})
    try:
        world.start()
        missing = "cannot begin yet: the cluster's CRDs are not this operator's"
        world.wait(lambda: world.log().count(missing) > 1, "the operator says what it waits for")
        assert "schedulerpolicies.schedcp.io: spec.runHistoryLimit" in world.log()
        assert holder(api) == ""
        assert api.items(STATES) == []
    finally:
        api.merge(POLICIES_CRD, {"spec": {"versions": versions}})
    world.wait(lambda: holder(api), "the operator leads")
    world.wait(lambda: api.items(STATES), "the operator acts")
