"""A real kube-apiserver and etcd, shared by the tests of this tier."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schedcp_lab.control_plane import API_ONLY, ControlPlane
from schedcp_lab.kube_binaries import KubeBinaries
from support.control_planes import control_plane
from support.control_planes import kube_binaries as find_kube_binaries


@pytest.fixture(scope="session")
def kube_binaries(repository: Path, required_tiers: frozenset[str]) -> KubeBinaries:
    """The Kubernetes programs."""
    return find_kube_binaries(repository, required_tiers)


@pytest.fixture(scope="session")
def kube(
    kube_binaries: KubeBinaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """An API server: `kube.kubeconfig`, `kube.server`, `kube.kubectl(...)`."""
    with control_plane(tmp_path_factory.mktemp("kube"), kube_binaries, API_ONLY) as plane:
        yield plane
