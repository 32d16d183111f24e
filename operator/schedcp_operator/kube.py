"""The API server: plain JSON objects in and out. The only module that imports `kubernetes`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from schedcp_api.base import API_VERSION

from .errors import Conflict, KubeUnavailable, NotFound, Refused, SettingsError

__all__ = ["Connection", "Json", "Kube", "KubeApi", "Listing", "Resource"]

Json = dict[str, Any]
_PAGE = 500


@dataclass(frozen=True)
class Resource:
    """A kind of object and where it lives."""

    kind: str
    root: str
    plural: str
    namespaced: bool = False

    def path(self, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
        """Return the URL path; without a namespace a namespaced kind means all of them."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{quote(namespace)}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


POLICIES = Resource("SchedulerPolicy", f"/apis/{API_VERSION}", "schedulerpolicies")
RUNS = Resource("OptimizationRun", f"/apis/{API_VERSION}", "optimizationruns")
STATES = Resource("SchedulerNodeState", f"/apis/{API_VERSION}", "schedulernodestates")
NODES = Resource("Node", "/api/v1", "nodes")
NAMESPACES = Resource("Namespace", "/api/v1", "namespaces")
PODS = Resource("Pod", "/api/v1", "pods", namespaced=True)
CONFIG_MAPS = Resource("ConfigMap", "/api/v1", "configmaps", namespaced=True)
DEPLOYMENTS = Resource("Deployment", "/apis/apps/v1", "deployments", namespaced=True)
STATEFUL_SETS = Resource("StatefulSet", "/apis/apps/v1", "statefulsets", namespaced=True)
DAEMON_SETS = Resource("DaemonSet", "/apis/apps/v1", "daemonsets", namespaced=True)
LEASES = Resource("Lease", "/apis/coordination.k8s.io/v1", "leases", namespaced=True)
JOBS = Resource("Job", "/apis/batch/v1", "jobs", namespaced=True)
CRDS = Resource(
    "CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"
)
TOKEN_REVIEWS = Resource("TokenReview", "/apis/authentication.k8s.io/v1", "tokenreviews")

WATCHED = (
    POLICIES,
    RUNS,
    STATES,
    NODES,
    NAMESPACES,
    PODS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
)
"""What the operator keeps an eye on."""


@dataclass(frozen=True)
class Connection:
    """How to reach the API server, for the one other client in this process (kopf's)."""

    server: str
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    token: str | None


@dataclass(frozen=True)
class Listing:
    """Every object of a kind, as of one version of the store."""

    items: list[Json]
    version: int


class KubeApi(Protocol):
    """What the operator needs of the API server."""

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Json:
        """Return one object; raise NotFound."""
        ...

    async def list(self, resource: Resource, *, namespace: str = "", selector: str = "") -> Listing:
        """Return every object of a kind."""
        ...

    async def create(self, resource: Resource, body: Json, *, namespace: str = "") -> Json:
        """Create an object; raise Conflict when it exists."""
        ...

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace an object (or its status); raise Conflict unless `body` is its latest version."""
        ...

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "", version: str = ""
    ) -> None:
        """Delete an object and what it owns; nothing to delete is not an error.

        Raise Conflict when a `version` is named and it is not the latest.
        """
        ...

    async def pod_log(
        self, name: str, *, namespace: str, container: str, limit_bytes: int
    ) -> bytes:
        """Return at most the first `limit_bytes` of the log of a pod's container."""
        ...


class Kube:
    """A connection to the API server with a deadline on every request."""

    def __init__(self, client: Any, configuration: Any, *, timeout_seconds: float) -> None:
        self._client = client
        self._configuration = configuration
        self._timeout_seconds = timeout_seconds

    @classmethod
    async def connect(cls, kubeconfig: Path | None, *, timeout_seconds: float) -> Self:
        """Return a connection from a kubeconfig file, or from the pod's service account."""
        configuration = Configuration()
        try:
            if kubeconfig is None:
                load_incluster_config(client_configuration=configuration)
            else:
                await load_kube_config(
                    config_file=str(kubeconfig), client_configuration=configuration
                )
        except (ConfigException, OSError) as err:
            where = kubeconfig or "the pod's service account"
            raise SettingsError(
                f"cannot load {where}: {err}; set SCHEDCP_OPERATOR_KUBECONFIG"
            ) from err
        return cls(ApiClient(configuration), configuration, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def connection(self) -> Connection:
        """Return how to reach the API server, with a token that is fresh."""
        headers: dict[str, str] = {}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        bearer = headers.get("authorization") or headers.get("Authorization") or ""
        return Connection(
            server=self._configuration.host,
            ca_file=self._configuration.ssl_ca_cert,
            cert_file=self._configuration.cert_file,
            key_file=self._configuration.key_file,
            token=bearer.partition(" ")[2] or None,
        )

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Json:
        """Return one object; raise NotFound."""
        return await self._json("GET", resource.path(name, namespace=namespace))

    async def list(self, resource: Resource, *, namespace: str = "", selector: str = "") -> Listing:
        """Return every object of a kind."""
        found: list[Json] = []
        version = 0
        query = {"limit": str(_PAGE)}
        if selector:
            query["labelSelector"] = selector
        while True:
            page = await self._json("GET", resource.path(namespace=namespace), query=query)
            found += page.get("items", [])
            metadata = page.get("metadata", {})
            version = version or int(metadata.get("resourceVersion") or 0)
            token = metadata.get("continue")
            if not token:
                return Listing(found, version)
            query["continue"] = token

    async def create(self, resource: Resource, body: Json, *, namespace: str = "") -> Json:
        """Create an object; raise Conflict when it exists."""
        return await self._json("POST", resource.path(namespace=namespace), body=body)

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace an object (or its status); raise Conflict unless `body` is its latest version."""
        metadata = body["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError(f"{resource.kind} {metadata['name']}: no resourceVersion to check")
        path = resource.path(
            metadata["name"],
            namespace=metadata.get("namespace", ""),
            subresource="status" if status else "",
        )
        return await self._json("PUT", path, body=body)

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "", version: str = ""
    ) -> None:
        """Delete an object and what it owns; nothing to delete is not an error.

        Raise Conflict when a `version` is named and it is not the latest.
        """
        body: Json = {"propagationPolicy": "Background"}
        if version:
            body["preconditions"] = {"resourceVersion": version}
        try:
            await self._json("DELETE", resource.path(name, namespace=namespace), body=body)
        except NotFound:
            return

    async def pod_log(
        self, name: str, *, namespace: str, container: str, limit_bytes: int
    ) -> bytes:
        """Return at most the first `limit_bytes` of the log of a pod's container."""
        path = PODS.path(name, namespace=namespace, subresource="log")
        return await self._bytes(
            "GET", path, query={"container": container, "limitBytes": str(limit_bytes)}
        )

    async def _json(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Json:
        data = await self._bytes(method, path, query=query, body=body)
        try:
            found = json.loads(data)
        except ValueError as err:
            raise KubeUnavailable(f"{method} {path}: the answer is not JSON") from err
        if not isinstance(found, dict):
            raise KubeUnavailable(f"{method} {path}: the answer is not an object")
        return found

    async def _bytes(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> bytes:
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*"},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=self._timeout_seconds)
            data = bytes(await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as err:
            raise KubeUnavailable(f"{method} {path}: {type(err).__name__}: {err}") from err
        if response.status >= 400:
            raise _refusal(method, path, int(response.status), data)
        return data


def _refusal(
    method: str, path: str, status: int, data: bytes
) -> NotFound | Conflict | Refused | KubeUnavailable:
    try:
        message = json.loads(data).get("message", "")
    except (ValueError, AttributeError):
        message = data[:500].decode(errors="replace")
    said = f"{method} {path}: {status}: {message}"
    if status == 404:
        return NotFound(said)
    if status == 409:
        return Conflict(said)
    if status in (400, 403, 405, 413, 415, 422):
        return Refused(said)
    return KubeUnavailable(said)
