"""See that the API server knows all that the operator writes: it drops the rest without a word.

`helm upgrade` leaves CRDs as they are, so that a new operator may find those of an older one.
"""

from collections.abc import Iterator
from typing import Any

from schedcp_api.base import VERSION
from schedcp_api.crds import custom_resource_definitions

from .errors import NotFound, SchemasOutdated
from .kube import CRDS, Json, KubeApi

__all__ = ["require_schemas"]

_SHOWN = 8


async def require_schemas(kube: KubeApi) -> None:
    """Return when every field of our kinds is one that the API server keeps.

    A newer CRD, which has more, will do. Raise SchemasOutdated otherwise.
    """
    lost = [
        f"{name}: {field}"
        for expected in custom_resource_definitions().values()
        for name, field in await _lost(kube, expected)
    ]
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise SchemasOutdated(
            f"the cluster's CRDs are not this operator's, and the API server would drop what it "
            f"does not know ({'; '.join(lost[:_SHOWN])}{more}): run `kubectl apply --server-side "
            "--force-conflicts -f charts/schedcp/crds` with the chart of this version"
        )


async def _lost(kube: KubeApi, expected: Json) -> list[tuple[str, str]]:
    name = expected["metadata"]["name"]
    try:
        found = await kube.get(CRDS, name)
    except NotFound:
        return [(name, "not there")]
    return [(name, field) for field in _missing(_schema(expected), _schema(found), "")]


def _schema(crd: Json) -> Json:
    """Return the schema of our version, or an empty one when it is not served."""
    for version in crd["spec"]["versions"]:
        if version["name"] == VERSION and version.get("served"):
            schema: Json = version.get("schema", {}).get("openAPIV3Schema", {})
            return schema
    return {}


def _missing(expected: Json, found: Json, path: str) -> Iterator[str]:
    """Yield the fields of one schema that another one does not have, outermost first."""
    if found.get("x-kubernetes-preserve-unknown-fields"):
        return
    known: dict[str, Any] = found.get("properties", {})
    for name, child in expected.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        if name in known:
            yield from _missing(child, known[name], here)
        else:
            yield here
    for inner in ("items", "additionalProperties"):
        if isinstance(expected.get(inner), dict):
            yield from _missing(expected[inner], found.get(inner) or {}, f"{path}[]")
