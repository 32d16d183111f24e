"""The chart on a cluster for the sake of its verifications, and the operator's own way to ask."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schedcp_api.services import Verification, VerificationState
from schedcp_lab.certificates import kubeconfig_with_token, write_private
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.errors import NotReady
from schedcp_lab.processes import environment, run
from schedcp_operator.errors import Refused
from schedcp_operator.job_verifier import JobVerifier
from schedcp_operator.kube import CONFIG_MAPS, Kube
from schedcp_operator.settings import JobSettings
from support.operator_doubles import MemoryStore

__all__ = ["Installation", "asking", "ended", "install"]

NAMESPACE = "schedcp-system"
OPERATOR = "schedcp-operator"
COMMAND_SECONDS = 120.0
RULE_SECONDS = 60.0
REQUEST_SECONDS = 30.0
POLL_SECONDS = 0.5
NOWHERE = {"nodeSelector": {"schedcp.io/nowhere": "true"}}


@dataclass(frozen=True)
class Installation:
    """What the chart made, and whose signatures count."""

    plane: ControlPlane
    settings: JobSettings
    """As the chart hands them to the operator."""
    public_key: str
    kubeconfig: Path
    """The operator's account."""

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the product's namespace as the administrator."""
        return self.plane.kubectl("--namespace", NAMESPACE, *arguments).stdout

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of verifications."""
        label = "app.kubernetes.io/component=verifier"
        found = json.loads(self.kubectl("get", "pods", "--selector", label, "-o", "json"))
        return list(found["items"])


def install(
    plane: ControlPlane, folder: Path, *, chart: Path, helm: Path, image: str, kernels: Path
) -> Installation:
    """Install the chart where pods must be restricted, with a volume of kernels and a new key.

    Agents and operator find no node: the agents need more rights than this namespace gives, and
    the operator's part is the test's.
    """
    folder.mkdir(mode=0o700)
    plane.kubectl("create", "namespace", NAMESPACE)
    label = "pod-security.kubernetes.io/enforce=restricted"
    plane.kubectl("label", "namespace", NAMESPACE, label)
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(_kernels(kernels)))
    public = _signing_key(plane, folder)
    values = write_private(folder / "values.json", json.dumps(_values(image, public)))
    run(
        [helm, "install", "schedcp", chart, "--namespace", NAMESPACE, "--values", values],
        timeout_seconds=COMMAND_SECONDS,
        env=environment({"KUBECONFIG": str(plane.kubeconfig)}),
    )
    token = plane.kubectl("-n", NAMESPACE, "create", "token", OPERATOR, "--duration=4h").stdout
    text = kubeconfig_with_token(
        plane.server, authority_pem=plane.authority_pem, user=OPERATOR, token=token.strip()
    )
    kubeconfig = write_private(folder / "operator.kubeconfig", text)
    return Installation(plane, _settings(plane), public, kubeconfig)


def _kernels(folder: Path) -> dict[str, Any]:
    """Return a volume of a folder of this machine and the claim to it: `restricted` has no other
    way to a node's folder.
    """
    access = {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "",
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "kernels"},
        "spec": {
            **access,
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kernels", "namespace": NAMESPACE},
        "spec": {
            **access,
            "volumeName": "kernels",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return {"apiVersion": "v1", "kind": "List", "items": [volume, claim]}


def _signing_key(plane: ControlPlane, folder: Path) -> str:
    """Put a new private key into the Secret that the chart names; return the public half."""
    public = run(
        [sys.executable, "-m", "schedcp_verifier", "keygen"],
        timeout_seconds=COMMAND_SECONDS,
        env=environment({"SCHEDCP_VERIFIER_STATE_DIR": str(folder / "signer")}),
    ).stdout
    key = folder / "signer" / "signing-key.pem"
    secret = ("create", "secret", "generic", "schedcp-signing-key", f"--from-file=key.pem={key}")
    plane.kubectl("--namespace", NAMESPACE, *secret)
    return public


def _values(image: str, public_key: str) -> dict[str, Any]:
    repository, tag = image.rsplit(":", 1)
    absent = {"image": {"repository": "localhost/absent"}, **NOWHERE}
    claim = {"claimName": "kernels", "readOnly": True}
    return {
        "trustedKeys": [public_key],
        "operator": absent,
        "agent": absent,
        "verifier": {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
            "kernels": {"volume": {"persistentVolumeClaim": claim}},
        },
    }


def _settings(plane: ControlPlane) -> JobSettings:
    """Return the settings of Jobs as the operator would read them from its environment."""
    found = plane.kubectl("-n", NAMESPACE, "get", "deployment", OPERATOR, "-o", "json").stdout
    (container,) = json.loads(found)["spec"]["template"]["spec"]["containers"]
    prefix = "SCHEDCP_OPERATOR_JOB__"
    values = {
        entry["name"].removeprefix(prefix).lower(): entry["value"]
        for entry in container["env"]
        if entry["name"].startswith(prefix)
    }
    volume = json.loads(values.pop("kernels_volume"))
    return JobSettings.model_validate({**values, "kernels_volume": volume})


@asynccontextmanager
async def asking(
    installation: Installation, settings: JobSettings | None = None
) -> AsyncIterator[JobVerifier]:
    """The operator's verifier under the operator's own account and the chart's rules."""
    kube = await Kube.connect(installation.kubeconfig, timeout_seconds=REQUEST_SECONDS)
    try:
        await _rule_in_force(kube)
        yield JobVerifier(
            kube,
            MemoryStore(),
            settings=settings or installation.settings,
            namespace=NAMESPACE,
            clock=lambda: datetime.now(UTC),
        )
    finally:
        await kube.close()


async def _rule_in_force(kube: Kube) -> None:
    """Wait until the operator may no more make what is no verification's."""
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}
    deadline = time.monotonic() + RULE_SECONDS
    while time.monotonic() < deadline:
        try:
            await kube.create(CONFIG_MAPS, probe, namespace=NAMESPACE)
        except Refused as refused:
            if "nothing but verifications" in str(refused):
                return
            raise
        await kube.delete(CONFIG_MAPS, "probe", namespace=NAMESPACE)
        await asyncio.sleep(POLL_SECONDS)
    raise NotReady(f"the operator's rule is not in force after {RULE_SECONDS:g} s")


async def ended(
    verifier: JobVerifier, verification: str, *, timeout_seconds: float
) -> Verification:
    """Ask how a verification stands until it no longer runs."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        found = await verifier.status(verification)
        if found.state is not VerificationState.RUNNING:
            return found
        await asyncio.sleep(POLL_SECONDS)
    raise NotReady(f"{verification} still runs after {timeout_seconds:g} s")
