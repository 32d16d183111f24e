"""The operator's and the verifier's image, run as the chart runs them: as nobody, read-only.

The operator runs as its Deployment says, with the chart's account, rules, settings and volumes.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schedcp_lab.control_plane import API_ONLY, ControlPlane
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.ports import free_ports
from schedcp_lab.workshop import OPERATOR_IMAGE, VERIFIER_IMAGE, cache_of, product_images
from schedcp_operator.job_verifier import job_manifest
from schedcp_operator.settings import JobSettings
from schedcp_verifier.kernels import KernelShelf
from support.agent_installation import NAMESPACE, Manifest, account_token, find, install, render
from support.control_planes import control_plane
from support.image_roots import ImageRoot, unpacked

pytestmark = pytest.mark.timeout(1800)

OPERATOR = "schedcp-operator"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
READ_ONLY_ERROR = "Read-only file system"
KERNEL = "/kernels/newest"
SCHEDULER = "latency_class"


@pytest.fixture(scope="module")
def images(repository: Path, required_tiers: frozenset[str]) -> dict[str, Path]:
    """The product's images, built where they are not there yet."""
    if "kube" not in required_tiers:
        pytest.skip("building images takes root and minutes; run `make test-kube`")
    return product_images(repository, cache_of(repository))


@pytest.fixture(scope="module")
def rendered(repository: Path, images: dict[str, Path]) -> list[Manifest]:
    """What the chart makes."""
    return render(repository)


@pytest.fixture(scope="module")
def container(rendered: list[Manifest]) -> dict[str, Any]:
    """The operator's container in its Deployment."""
    (found,) = pod(rendered)["containers"]
    return dict(found)


@pytest.fixture(scope="module")
def operator(
    images: dict[str, Path],
    rendered: list[Manifest],
    container: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ImageRoot]:
    """The operator's image with the volumes of its Deployment, a new and empty store among them."""
    folder = tmp_path_factory.mktemp("operator-image")
    with unpacked(images[OPERATOR_IMAGE] / "image.tar", folder / "image") as image:
        volumes = {volume["name"]: volume for volume in pod(rendered)["volumes"]}
        secrets = tuple(
            ("copy", mount["mountPath"], str(filled(folder / name, rendered, volumes[name])))
            for mount in container["volumeMounts"]
            if mount.get("readOnly")
            for name in (mount["name"],)
        )
        yield replace(image, volumes=(*empty(container), *secrets))


@pytest.fixture(scope="module")
def plane(
    images: dict[str, Path],
    kube_binaries: KubeBinaries,
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ControlPlane]:
    """An API server with the chart's kinds, accounts and rules."""
    with control_plane(tmp_path_factory.mktemp("images"), kube_binaries, API_ONLY) as started:
        install(started, repository)
        yield started


def pod(rendered: list[Manifest]) -> dict[str, Any]:
    return dict(find(rendered, "Deployment", OPERATOR)["spec"]["template"]["spec"])


def empty(container: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the volumes that a container may write."""
    mounts = container["volumeMounts"]
    return tuple(("empty", mount["mountPath"]) for mount in mounts if not mount.get("readOnly"))


def filled(folder: Path, rendered: list[Manifest], volume: dict[str, Any]) -> Path:
    """Write a Secret's files into a folder."""
    folder.mkdir()
    secret = find(rendered, "Secret", volume["secret"]["secretName"])
    for name, text in secret.get("data", {}).items():
        (folder / name).write_bytes(base64.b64decode(text))
    for name, text in secret.get("stringData", {}).items():
        (folder / name).write_text(text)
    return folder


def variables(container: dict[str, Any], fields: dict[str, str]) -> dict[str, str]:
    return {
        entry["name"]: entry["value"]
        if "value" in entry
        else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }


def test_the_chart_runs_the_image_as_the_test_does(
    rendered: list[Manifest], container: dict[str, Any], operator: ImageRoot
) -> None:
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert str(pod(rendered)["securityContext"]["runAsUser"]) == operator.user
    denied = operator.run("-c", "id -u; touch /usr/x || touch /opt/schedcp/x", entrypoint=["sh"])
    assert denied.returncode != 0
    assert denied.stdout.strip() == operator.user
    assert denied.stderr.count(READ_ONLY_ERROR) == 2


def test_building_images_leaves_nothing_mounted(images: dict[str, Path], repository: Path) -> None:
    assert images
    mounts = Path("/proc/self/mounts").read_text().replace("\\040", " ").splitlines()
    assert [line for line in mounts if str(cache_of(repository).root) in line] == []


def test_the_operator_becomes_ready_in_its_image(
    plane: ControlPlane,
    container: dict[str, Any],
    operator: ImageRoot,
    repository: Path,
    tmp_path: Path,
) -> None:
    account = {"token": account_token(plane, OPERATOR), "ca.crt": plane.authority_pem}
    for name, text in {**account, "namespace": NAMESPACE}.items():
        (tmp_path / name).write_text(text)
    host, port = plane.server.removeprefix("https://").rsplit(":", 1)
    (https,) = free_ports(1)
    env = variables(container, {"metadata.namespace": NAMESPACE, "metadata.name": "operator-0"}) | {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "SCHEDCP_OPERATOR_HTTP_PORT": str(https),
    }
    in_cluster = replace(operator, volumes=(*operator.volumes, ("copy", ACCOUNT, str(tmp_path))))
    program = (repository / "tests" / "support" / "ready_then_stop.py").read_text()
    done = in_cluster.run(
        f"https://127.0.0.1:{https}/readyz",
        f"{OPERATOR}.{NAMESPACE}.svc",
        "/etc/schedcp/tls/ca.crt",
        *(*operator.entrypoint, *container["args"]),
        env=env,
        entrypoint=("/opt/schedcp/bin/python", "-c", program),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("ready, then 0\n")


def test_the_operators_other_commands_run_in_its_image(
    operator: ImageRoot, repository: Path
) -> None:
    listed = operator.run("repository", "list")
    assert listed.returncode == 0, listed.stderr
    for manifest in (repository / "schedulers" / "manifests").glob("*.yaml"):
        assert manifest.stem in listed.stdout
    assert operator.run("version").stdout.strip()


def test_the_verifier_analyses_in_its_image(
    images: dict[str, Path], repository: Path, tmp_path: Path
) -> None:
    spec = job_manifest("x", JobSettings())["spec"]["template"]["spec"]
    (prover,) = spec["initContainers"]
    assert prover["securityContext"]["readOnlyRootFilesystem"] is True
    kernels = KernelShelf(cache_of(repository).root.resolve() / "kernels").newest().folder
    with unpacked(images[VERIFIER_IMAGE] / "image.tar", tmp_path / "image") as image:
        assert image.user == str(spec["securityContext"]["runAsUser"])
        verifier = replace(image, volumes=(*empty(prover), ("bind", KERNEL, str(kernels))))
        shown = verifier.run("--help")
        assert shown.returncode == 0, shown.stderr
        assert "analyze" in shown.stdout
        done = verifier.run("analyze", SCHEDULER, "--kernel", KERNEL, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        stages = {check["stage"] for check in json.loads(done.stdout)["checks"]}
        assert stages >= {"Source", "Build", "Bytecode"}
