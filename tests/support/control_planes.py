"""A real API server for tests: started once, or the test says why it cannot be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_lab.cache import Cache
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.kube_binaries import KubeBinaries, ensure_kube_binaries, kube_binaries_ready


def kube_binaries(repository: Path, required_tiers: frozenset[str]) -> KubeBinaries:
    """The Kubernetes programs; built where the tier is required, else skip when absent."""
    cache = Cache(repository / ".cache")
    if "kube" not in required_tiers and not kube_binaries_ready(cache):
        pytest.skip("no kube-apiserver or etcd here; run `make setup`")
    return ensure_kube_binaries(cache)


@contextmanager
def control_plane(
    state_dir: Path, binaries: KubeBinaries, components: frozenset[str]
) -> Iterator[ControlPlane]:
    """A control plane for as long as the block lasts."""
    with ControlPlane.start(state_dir, binaries=binaries, components=components) as plane:
        yield plane
