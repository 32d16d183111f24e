"""The chart: what it refuses to render, and what its rules keep the operator from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schedcp_agent.errors import RequestFailed
from schedcp_agent.web import Web
from schedcp_lab.control_plane import API_ONLY, ControlPlane
from schedcp_lab.errors import CommandFailed
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.processes import wait_until
from schedcp_operator.job_verifier import job_manifest
from schedcp_operator.settings import JobSettings
from support.agent_installation import (
    NAMESPACE,
    Manifest,
    account_token,
    apply,
    install,
    render,
    web,
)
from support.control_planes import control_plane

OPERATOR = "schedcp-operator"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
NAME = "schedcp-verify-0123456789"


def find(rendered: list[Manifest], kind: str, name: str) -> Manifest:
    return next(f for f in rendered if (f["kind"], f["metadata"]["name"]) == (kind, name))


class TestRendering:
    """What helm makes of values."""

    @pytest.mark.parametrize("part", ["operator", "verifier", "agent"])
    def test_an_image_that_is_not_named_is_asked_for(self, repository: Path, part: str) -> None:
        with pytest.raises(CommandFailed, match=f"{part}.image.repository is needed"):
            render(repository, f"--set={part}.image.repository=")

    def test_an_operator_elsewhere_needs_the_agents_image_alone(self, repository: Path) -> None:
        options = ["operator.enabled=false", "operator.externalURL=https://10.0.0.1:8443"]
        options += ["operator.image.repository=", "verifier.image.repository="]
        rendered = render(repository, *(f"--set={option}" for option in options))
        assert not any(found["kind"] == "Deployment" for found in rendered)

    @pytest.mark.parametrize(
        ("option", "volume"),
        [
            (
                "persistentVolumeClaim.claimName=kernels",
                {"persistentVolumeClaim": {"claimName": "kernels"}},
            ),
            ("hostPath.path=/srv/kernels", {"hostPath": {"path": "/srv/kernels"}}),
            ("image.reference=r/k:1", {"image": {"reference": "r/k:1"}}),
        ],
    )
    def test_the_kernels_volume_reaches_the_operator(
        self, repository: Path, option: str, volume: Manifest
    ) -> None:
        rendered = render(repository, f"--set=verifier.kernels.volume.{option}")
        pod = find(rendered, "Deployment", OPERATOR)["spec"]["template"]["spec"]
        environment = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        assert json.loads(environment["SCHEDCP_OPERATOR_JOB__KERNELS_VOLUME"]) == volume
        assert environment["SCHEDCP_OPERATOR_JOB__SERVICE_ACCOUNT"] == "schedcp-verifier"

    def test_two_kinds_of_kernels_volume_are_refused(self, repository: Path) -> None:
        options = ("hostPath.path=/a", "image.reference=b")
        with pytest.raises(CommandFailed, match=r"maxProperties|at most 1"):
            render(repository, *(f"--set=verifier.kernels.volume.{o}" for o in options))

    def test_the_agent_can_read_the_kernels_log_and_no_device(self, repository: Path) -> None:
        pod = find(render(repository), "DaemonSet", "schedcp-agent")["spec"]["template"]["spec"]
        context = pod["containers"][0]["securityContext"]
        assert context["capabilities"]["add"] == [
            *("BPF", "PERFMON", "SYS_NICE", "IPC_LOCK", "SYS_RESOURCE", "SYSLOG")
        ]
        assert "privileged" not in context
        assert not any("/dev" in str(volume) for volume in pod["volumes"])


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


CONTAINER = verification()["spec"]["template"]["spec"]["containers"][0]
PRIVILEGED = {**CONTAINER["securityContext"], "privileged": True, "allowPrivilegeEscalation": True}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serviceAccountName": "schedcp-agent"}, "the verifier's account"),
        ({"automountServiceAccountToken": True}, "the verifier's account"),
        ({"hostNetwork": True}, "the verifier's account"),
        ({"hostPID": True}, "the verifier's account"),
        ({"containers": [{**CONTAINER, "image": "evil"}]}, "the verifier's image"),
        ({"containers": [{**CONTAINER, "securityContext": PRIVILEGED}]}, "the verifier's image"),
        ({"initContainers": [{"name": "x", "image": "evil"}]}, "the verifier's image"),
        (
            {"volumes": [{"name": "request", "hostPath": {"path": "/"}}]},
            "and nothing else",
        ),
        (
            {"volumes": [{"name": "request", "secret": {"secretName": "schedcp-agent-tls"}}]},
            "and nothing else",
        ),
    ],
)
def test_a_job_that_does_more_is_refused(operator: Web, changes: dict[str, Any], said: str) -> None:
    job = verification(**changes)
    for container in job["spec"]["template"]["spec"]["containers"]:
        if "volumes" in changes:
            container["volumeMounts"] = []
    assert said in refusal(operator, job)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{CORE}/secrets/schedcp-trusted-keys"),
        ("PUT", f"{CORE}/secrets/schedcp-trusted-keys"),
        ("DELETE", f"{CORE}/secrets/schedcp-trusted-keys"),
        ("POST", f"{CORE}/secrets"),
        ("DELETE", f"{CORE}/configmaps/schedcp-operator-ca"),
        ("PUT", f"{CORE}/configmaps/schedcp-operator-ca"),
        ("PATCH", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/another"),
    ],
)
def test_the_trust_is_out_of_the_operators_reach(operator: Web, method: str, path: str) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with pytest.raises(RequestFailed) as refused:
        operator.send(method, path, body=b"{}", content_type=kind)
    assert refused.value.status == 403
