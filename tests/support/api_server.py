"""A small client of a real API server for tests: plain JSON, client certificate, deadlines."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from ssl import create_default_context
from typing import Any

import httpx
import yaml

from schedcp_lab.processes import wait_until

Json = dict[str, Any]

SCHEDCP = "/apis/schedcp.io/v1alpha1"
POLICIES = f"{SCHEDCP}/schedulerpolicies"
RUNS = f"{SCHEDCP}/optimizationruns"
STATES = f"{SCHEDCP}/schedulernodestates"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_RESTART_SECONDS = 30.0
_POLL_SECONDS = 0.05
_MERGE = {"Content-Type": "application/merge-patch+json"}


class ApiError(Exception):
    """The API server said no; `status` and its words."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            self.message = str(response.json().get("message", ""))
        except ValueError:
            self.message = response.text
        self.status = response.status_code
        super().__init__(f"{response.request.method} {response.request.url}: {self.message}")


class Api:
    """Requests as the user of a kubeconfig."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = create_default_context(cadata=authority)
        folder.mkdir(parents=True, exist_ok=True)
        cert, key = folder / "client.crt", folder / "client.key"
        cert.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        context.load_cert_chain(cert, key)
        self._client = httpx.Client(
            base_url=cluster["server"], verify=context, timeout=30, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(self, method: str, path: str, body: Json | None = None, **options: Any) -> Json:
        """One request; raise ApiError when it is refused.

        Reading is tried again while a server is not ready: a connection that died with it, its 503
        after a restart, its 429 while it makes the storage of a new kind.
        """
        deadline = time.monotonic() + _RESTART_SECONDS
        while True:
            try:
                response = self._client.request(method, path, json=body, **options)
            except httpx.TransportError:
                if method != "GET" or time.monotonic() > deadline:
                    raise
            else:
                passing = method == "GET" and response.status_code in (429, 503)
                if not passing or time.monotonic() > deadline:
                    break
            time.sleep(_POLL_SECONDS)
        if response.status_code >= 400:
            raise ApiError(response)
        found: Json = response.json()
        return found

    def get(self, path: str) -> Json | None:
        """One object, or None."""
        try:
            return self.request("GET", path)
        except ApiError as err:
            if err.status == 404:
                return None
            raise

    def items(self, path: str) -> list[Json]:
        """Every object of a kind."""
        found: list[Json] = self.request("GET", path)["items"]
        return found

    def create(self, path: str, body: Json) -> Json:
        """Create an object."""
        return self.request("POST", path, body)

    def ensure(self, path: str, body: Json) -> Json:
        """Create an object unless it is there."""
        return self.get(f"{path}/{body['metadata']['name']}") or self.create(path, body)

    def merge(self, path: str, patch: Json) -> Json:
        """Merge-patch an object or its status."""
        return self.request("PATCH", path, patch, headers=_MERGE)

    def replace(self, path: str, body: Json) -> Json:
        """Replace an object or its status."""
        return self.request("PUT", path, body)

    def delete(self, path: str) -> None:
        """Delete an object at once; nothing to delete is fine."""
        try:
            self.request("DELETE", path, {"gracePeriodSeconds": 0})
        except ApiError as err:
            if err.status != 404:
                raise

    def apply_crds(self, folder: Path) -> None:
        """Install the CRDs of a folder and wait until they are served."""
        names = []
        for path in sorted(folder.glob("schedcp.io_*.yaml")):
            crd = yaml.safe_load(path.read_text())
            self.ensure(CRDS, crd)
            names.append(crd["metadata"]["name"])
        for name in names:
            wait_for(partial(self._established, name), what=f"{name} is established")

    def _established(self, name: str) -> bool:
        crd = self.get(f"{CRDS}/{name}") or {}
        conditions = (crd.get("status") or {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def wait_for(
    condition: Callable[[], Any],
    *,
    what: str,
    timeout_seconds: float = 60.0,
    hint: Callable[[], str] = str,
) -> Any:
    """Poll until `condition` is truthy; return it. Fail with `what` and `hint` at the deadline."""
    found: Any = None

    def holds() -> bool:
        nonlocal found
        found = condition()
        return bool(found)

    wait_until(
        holds,
        what=what,
        timeout_seconds=timeout_seconds,
        interval_seconds=_POLL_SECONDS,
        hint=hint,
    )
    return found


@contextmanager
def api_client(kubeconfig: Path, folder: Path) -> Iterator[Api]:
    """A client for as long as the block lasts."""
    api = Api(kubeconfig, folder)
    try:
        yield api
    finally:
        api.close()
