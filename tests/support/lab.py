"""What the tests on a whole cluster act on."""

from dataclasses import dataclass

from schedcp_lab.cluster import Cluster
from schedcp_lab.product import Product
from schedcp_lab.views import Api


@dataclass(frozen=True)
class Lab:
    """What the tests act on."""

    cluster: Cluster
    product: Product
    api: Api
