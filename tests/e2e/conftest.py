"""A cluster of micro-VMs with the product installed, shared by the tests of this tier."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from schedcp_lab.cluster import Cluster
from schedcp_lab.product import Product
from schedcp_lab.views import Api
from schedcp_lab.workshop import prepare
from support.lab import Lab, Witness


@pytest.fixture(scope="session")
def lab(
    tmp_path_factory: pytest.TempPathFactory,
    required_tiers: frozenset[str],
    repository: Path,
    pytestconfig: pytest.Config,
) -> Iterator[Lab]:
    """Two nodes, Prometheus, the chart, operator, verifier, and the shop at work.

    What was begun again because the emulator broke a node's kernel is told at the end.
    """
    if "e2e" not in required_tiers:
        pytest.skip("a cluster takes minutes; run `make test-e2e`")
    folder = tmp_path_factory.mktemp("a lab with spaces") / "cluster"
    with Cluster.start(prepare(), folder) as cluster:
        product = Product.install(cluster)
        witness = Witness(cluster)
        witness.install()
        kubectl = cluster.plane.kubectl
        kubectl("apply", "-f", repository / "lab" / "workloads" / "shop.yaml")
        kubectl("-n", "shop", "rollout", "status", "deployment/checkout", "--timeout=100s")
        with closing(Api(cluster.plane.kubeconfig)) as api:
            yield Lab(cluster, product, api, witness)
        capture = pytestconfig.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            for why in cluster.faults.repeated:
                print(f"\nbegun again, once: {why}")


@pytest.fixture(scope="session")
def data(repository: Path) -> Path:
    """The folder of this tier's policies."""
    return repository / "tests" / "data" / "e2e"
