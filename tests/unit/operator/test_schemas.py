"""The operator begins only where the API server keeps all that it writes."""

import copy

import pytest

from schedcp_api.crds import custom_resource_definitions
from schedcp_operator.errors import SchemasOutdated, TemporaryError
from schedcp_operator.kube import CRDS, Json
from schedcp_operator.schemas import require_schemas
from support.operator_doubles import MemoryKube


def crds() -> dict[str, Json]:
    """Return our CRDs by name, to be changed at will."""
    made = copy.deepcopy(custom_resource_definitions())
    return {crd["metadata"]["name"]: crd for crd in made.values()}


def served(found: dict[str, Json]) -> MemoryKube:
    """Return an API server that has these."""
    kube = MemoryKube()
    for crd in found.values():
        kube.put(CRDS, crd)
    return kube


def schema(crd: Json, part: str) -> Json:
    """Return the schema of a CRD's spec or status."""
    (version,) = crd["spec"]["versions"]
    found: Json = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


async def test_our_own_and_newer_ones_will_do() -> None:
    found = crds()
    await require_schemas(served(found))
    schema(found["schedulerpolicies.schedcp.io"], "spec")["properties"]["newer"] = {}
    await require_schemas(served(found))


async def test_a_field_that_would_be_dropped_is_named_and_the_remedy_said() -> None:
    found = crds()
    del schema(found["schedulerpolicies.schedcp.io"], "spec")["properties"]["guardrails"]
    attempts = schema(found["optimizationruns.schedcp.io"], "status")["properties"]["attempts"]
    del attempts["items"]["properties"]["blocks"]
    with pytest.raises(SchemasOutdated) as raised:
        await require_schemas(served(found))
    assert isinstance(raised.value, TemporaryError)
    words = str(raised.value)
    assert "schedulerpolicies.schedcp.io: spec.guardrails" in words
    assert "optimizationruns.schedcp.io: status.attempts[].blocks" in words
    assert "kubectl apply --server-side --force-conflicts -f charts/schedcp/crds" in words


async def test_what_is_missing_altogether_is_named() -> None:
    found = crds()
    del found["schedulernodestates.schedcp.io"]
    found["optimizationruns.schedcp.io"]["spec"]["versions"][0]["served"] = False
    with pytest.raises(SchemasOutdated) as raised:
        await require_schemas(served(found))
    assert "schedulernodestates.schedcp.io: not there" in str(raised.value)
    assert "optimizationruns.schedcp.io: apiVersion" in str(raised.value)
    assert "schedulerpolicies" not in str(raised.value)
