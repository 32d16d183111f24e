"""What the operator's loops work with, over an API server in memory."""

from collections.abc import Callable
from datetime import datetime, timedelta

from schedcp_operator.cluster import Cluster
from schedcp_operator.keeper import KeeperSettings, NodeKeeper
from schedcp_operator.leader import Leader
from schedcp_operator.loop import Desk
from schedcp_operator.perform import Performer
from schedcp_operator.trust import TrustedKeys

from .operator_doubles import MemoryFigures, MemoryKube, MemoryStore, MemoryVerifier
from .operator_library import LIBRARY
from .operator_nouns import RULES


def desk_over(
    kube: MemoryKube,
    cluster: Cluster,
    leader: Leader,
    *,
    store: MemoryStore,
    verifier: MemoryVerifier,
    figures: MemoryFigures,
    clock: Callable[[], datetime],
) -> Desk:
    """Return a desk whose other sides are these, with the library of the tests."""
    settings = KeeperSettings(lease_seconds=60, renew=timedelta(seconds=10), profile_seconds=1)
    keeper = NodeKeeper(
        kube, cluster, leader, settings=settings, expected=lambda _: None, clock=clock
    )
    performer = Performer(
        store=store,
        verifier=verifier,
        figures=figures,
        manifests=dict(LIBRARY.entries),
        sync_nodes=keeper.sync,
        trust=TrustedKeys(None, verifier),
        soak=timedelta(seconds=10),
        clock=clock,
    )
    return Desk(
        kube=kube,
        cluster=cluster,
        leader=leader,
        keeper=keeper,
        performer=performer,
        figures=figures,
        rules=lambda: RULES,
        poll_seconds=0.01,
        resync_seconds=0.01,
        clock=clock,
    )
