"""The chart's rules on a real API server: what they permit the operator, and what they refuse."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schedcp_agent.errors import RequestFailed
from schedcp_agent.web import Web
from schedcp_lab.control_plane import API_ONLY, ControlPlane
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.processes import wait_until
from schedcp_operator.job_verifier import job_manifest
from schedcp_operator.kube import WATCHED
from schedcp_operator.settings import JobSettings
from support.agent_installation import (
    NAMESPACE,
    Manifest,
    account_token,
    apply,
    find,
    install,
    render,
    web,
)
from support.control_planes import control_plane

OPERATOR = "schedcp-operator"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
NAME = "schedcp-verify-0123456789"
PRODUCT = "/apis/schedcp.io/v1alpha1"


@pytest.fixture(scope="module")
def plane(
    kube_binaries: KubeBinaries, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """An API server with the chart's accounts and rules, its ConfigMaps and its trusted keys."""
    with control_plane(tmp_path_factory.mktemp("chart"), kube_binaries, API_ONLY) as started:
        install(started, repository)
        rendered = render(repository)
        apply(started, find(rendered, "ConfigMap", "schedcp-operator-ca"))
        apply(started, find(rendered, "Secret", "schedcp-trusted-keys"))
        yield started


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A connection with the operator's token, once its rule is in force."""
    folder = tmp_path_factory.mktemp("operator")
    with web(plane, folder, account_token(plane, OPERATOR)) as connection:
        wait_until(
            lambda: "nothing but verifications" in refusal(connection, config_map("probe")),
            what="the operator's rule is in force",
            timeout_seconds=60.0,
        )
        yield connection


def config_map(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def verification(**pod: Any) -> Manifest:
    """Return the operator's own Job, with changes to its pod."""
    job = job_manifest(NAME, JobSettings(image=f"localhost/verifier:{version()}"))
    job["spec"]["template"]["spec"].update(pod)
    return job


def version() -> str:
    chart = Path(__file__).parents[2] / "charts" / "schedcp" / "Chart.yaml"
    line = next(x for x in chart.read_text().splitlines() if x.startswith("appVersion:"))
    return line.split(":", 1)[1].strip().strip('"')


def refusal(connection: Web, found: Manifest) -> str:
    """Return why the API server would not create an object; empty when it would."""
    path = JOBS if found["kind"] == "Job" else f"{CORE}/{found['kind'].lower()}s"
    try:
        connection.send(
            "POST",
            f"{path}?dryRun=All",
            body=json.dumps(found).encode(),
            content_type="application/json",
        )
    except RequestFailed as err:
        if err.status != 403:
            raise
        return str(err)
    return ""


def test_the_operators_own_verification_is_taken(operator: Web) -> None:
    assert refusal(operator, verification()) == ""
    assert refusal(operator, config_map(NAME)) == ""


POD = verification()["spec"]["template"]["spec"]
(PROVER,), (SIGNER,) = POD["initContainers"], POD["containers"]
PRIVILEGED = {**SIGNER["securityContext"], "privileged": True, "allowPrivilegeEscalation": True}
ROOT = {**SIGNER["securityContext"], "runAsUser": 0, "runAsNonRoot": False}
VOLUMES = POD["volumes"]
EMPTY = {"name": VOLUMES[2]["name"], "emptyDir": {}}
KEY_MOUNT = {"name": "signing", "mountPath": "/signing"}
OVER_A_PROGRAM = {"name": "request", "mountPath": "/opt/schedcp"}
ENTRY = {"name": "SCHEDCP_VERIFIER_CLANG", "value": "/request/evil"}


def prover(**changes: Any) -> Manifest:
    return {"initContainers": [{**PROVER, **changes}]}


def signer(**changes: Any) -> Manifest:
    return {"containers": [{**SIGNER, **changes}]}


def mounted(container: Manifest, mount: Manifest) -> list[Manifest]:
    others = [m for m in container["volumeMounts"] if m["name"] != mount["name"]]
    return [*others, mount]


def of_key(volume: Manifest) -> Manifest:
    """A volume of a Secret, with another of its keys under the same name."""
    items = [{"key": "keys.pem", "path": "revoked.json"}]
    return {**volume, "secret": {**volume["secret"], "items": items}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serviceAccountName": "schedcp-agent"}, "the verifier's account"),
        ({"automountServiceAccountToken": True}, "the verifier's account"),
        ({"hostNetwork": True}, "the verifier's account"),
        ({"hostPID": True}, "the verifier's account"),
        ({"shareProcessNamespace": True}, "the verifier's account"),
        (signer(image="evil"), "the verifier's image"),
        (signer(securityContext=PRIVILEGED), "the verifier's image"),
        (prover(image="evil"), "the verifier's image"),
        (
            {"volumes": [*VOLUMES, {"name": "x", "hostPath": {"path": "/"}}]},
            "and nothing else",
        ),
        (
            {"volumes": [*VOLUMES, {"name": "x", "secret": {"secretName": "schedcp-agent-tls"}}]},
            "and nothing else",
        ),
        (
            {"volumes": [*VOLUMES, {**VOLUMES[1], "name": "x"}]},
            "and nothing else",
        ),
        ({"volumes": [*VOLUMES[:2], EMPTY, *VOLUMES[3:]]}, "and nothing else"),
        ({"volumes": [*VOLUMES[:2], of_key(VOLUMES[2]), *VOLUMES[3:]]}, "and nothing else"),
        (signer(volumeMounts=mounted(SIGNER, OVER_A_PROGRAM)), "never over a program"),
        (prover(volumeMounts=mounted(PROVER, KEY_MOUNT)), "does not see the signing key"),
        ({"containers": [{**PROVER, "name": "signer"}]}, "a prover without the key"),
        ({"initContainers": []}, "a prover without the key"),
        ({"initContainers": [PROVER, {**PROVER, "name": "y"}]}, "a prover without the key"),
        (prover(restartPolicy="Always"), "a prover without the key"),
        (signer(args=["sign", "--key", "/request/key.pem"]), "a prover without the key"),
        (signer(args=SIGNER["args"][:-2]), "a prover without the key"),
        (signer(command=["cat", "/signing/key.pem"]), "the image's own program"),
        (prover(env=[ENTRY]), "the image's own program"),
        (
            signer(lifecycle={"postStart": {"exec": {"command": ["cat", "/signing/key.pem"]}}}),
            "the image's own program",
        ),
        (
            signer(livenessProbe={"exec": {"command": ["cat", "/signing/key.pem"]}}),
            "the image's own program",
        ),
        (prover(securityContext=ROOT), "as restricted as a pod can be"),
        ({"securityContext": {}}, "as restricted as a pod can be"),
        ({"runtimeClassName": "weak"}, "the runtime class"),
    ],
)
def test_a_job_that_does_more_is_refused(operator: Web, changes: dict[str, Any], said: str) -> None:
    assert said in refusal(operator, verification(**changes))


def test_a_job_that_the_network_policy_does_not_select_is_refused(operator: Web) -> None:
    job = verification()
    job["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    assert "cut off from the network" in refusal(operator, job)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{CORE}/secrets/schedcp-trusted-keys"),
        ("PUT", f"{CORE}/secrets/schedcp-trusted-keys"),
        ("DELETE", f"{CORE}/secrets/schedcp-trusted-keys"),
        ("POST", f"{CORE}/secrets"),
        ("DELETE", f"{CORE}/configmaps/schedcp-operator-ca"),
        ("PUT", f"{CORE}/configmaps/schedcp-operator-ca"),
        ("PUT", f"{LEASES}/another"),
        ("DELETE", f"{LEASES}/{OPERATOR}"),
        ("PATCH", f"{PRODUCT}/schedulernodestates/x"),
        ("DELETE", f"{PRODUCT}/schedulernodestates/x"),
        ("PUT", f"{PRODUCT}/optimizationruns/x"),
        ("DELETE", f"{PRODUCT}/schedulerpolicies/x"),
    ],
)
def test_what_is_out_of_the_operators_reach(operator: Web, method: str, path: str) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with pytest.raises(RequestFailed) as refused:
        operator.send(method, path, body=b"{}", content_type=kind)
    assert refused.value.status == 403


def forbidden(connection: Web, method: str, path: str) -> str:
    """Return with which words a call is forbidden; empty when it only lacks sense."""
    try:
        connection.send(method, path, body=b"{}", content_type="application/json")
    except RequestFailed as err:
        return str(err) if err.status == 403 else ""
    return ""


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.mark.parametrize("path", [*(resource.path() for resource in WATCHED), CRDS])
@pytest.mark.parametrize("query", ["?limit=1", "?watch=true&timeoutSeconds=1"])
def test_what_the_operator_watches_is_permitted(operator: Web, path: str, query: str) -> None:
    assert operator.get(f"{path}{query}", limit=10_000_000) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{PRODUCT}/schedulerpolicies/x"),
        ("PUT", f"{PRODUCT}/schedulerpolicies/x/status"),
        ("GET", f"{PRODUCT}/optimizationruns/x"),
        ("POST", f"{PRODUCT}/optimizationruns"),
        ("PUT", f"{PRODUCT}/optimizationruns/x/status"),
        ("DELETE", f"{PRODUCT}/optimizationruns/x"),
        ("GET", f"{PRODUCT}/schedulernodestates/x"),
        ("POST", f"{PRODUCT}/schedulernodestates"),
        ("PUT", f"{PRODUCT}/schedulernodestates/x"),
        ("GET", f"{LEASES}/{OPERATOR}"),
        ("POST", LEASES),
        ("PUT", f"{LEASES}/{OPERATOR}"),
        ("GET", f"{JOBS}/{NAME}"),
        ("POST", JOBS),
        ("DELETE", f"{JOBS}/{NAME}"),
        ("GET", f"{CORE}/configmaps/{NAME}"),
        ("POST", f"{CORE}/configmaps"),
        ("DELETE", f"{CORE}/configmaps/{NAME}"),
        ("GET", f"{CORE}/pods?labelSelector=a=b"),
        ("GET", f"{CORE}/pods/x/log"),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
    ],
)
def test_what_the_operator_calls_is_permitted(operator: Web, method: str, path: str) -> None:
    assert forbidden(operator, method, path) == ""
