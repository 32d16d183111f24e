"""A cluster of micro-VMs with the product installed, shared by the tests of this tier."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from schedcp_lab.cluster import Cluster
from schedcp_lab.product import Product
from schedcp_lab.views import Api
from schedcp_lab.workshop import prepare
from support.lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, required_tiers: frozenset[str]) -> Iterator[Lab]:
    """Two nodes, Prometheus, the chart, operator and verifier."""
    if "e2e" not in required_tiers:
        pytest.skip("a cluster takes minutes; run `make test-e2e`")
    with Cluster.start(prepare(), tmp_path_factory.mktemp("lab") / "cluster") as cluster:
        product = Product.install(cluster)
        with closing(Api(cluster.plane.kubeconfig)) as api:
            yield Lab(cluster, product, api)
