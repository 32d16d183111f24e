"""What kopf tells us: every watched object, on every event, put into the cluster's memory.

Only `on.event` handlers: nothing of ours is ever written into a user's object, no annotation and no
finalizer, neither for change detection nor for deletion. The only module that imports kopf.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import kopf

from schedcp_api.base import GROUP

from .cluster import Cluster
from .kube import WATCHED, Kube, Resource

__all__ = ["registry_of", "settings_of", "watch"]


class _Forever:
    """Pauses between tries at the API server: it may be gone for long, and the watches stay."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.5
        while True:
            yield pause
            pause = min(5.0, pause * 2)


async def watch(
    cluster: Cluster, kube: Kube, *, started: asyncio.Event, stop: asyncio.Event
) -> None:
    """Watch until `stop` (or a signal, which kopf takes); `started` says that it has begun."""
    await kopf.operator(
        registry=registry_of(cluster, kube),
        settings=settings_of(),
        standalone=True,
        clusterwide=True,
        ready_flag=started,
        stop_flag=stop,
    )


def settings_of() -> kopf.OperatorSettings:
    """Return kopf's settings: it watches, and does nothing else."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # kopf takes its own finalizer off whatever carries it; its usual one may be another operator's.
    settings.persistence.finalizer = f"{GROUP}/never-set"
    settings.scanning.disabled = False
    settings.queueing.exit_timeout = 0.5
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.reconnect_backoff = 0.5
    settings.networking.error_backoffs = _Forever()
    settings.networking.request_timeout = 30
    return settings


def registry_of(cluster: Cluster, kube: Kube) -> kopf.OperatorRegistry:
    """Return a registry whose handlers feed `cluster`."""
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> kopf.ConnectionInfo:
        found = await kube.connection()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_file,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
            token=found.token,
        )

    kopf.on.login(registry=registry, retries=3, backoff=1.0)(login)
    for resource in WATCHED:
        group = resource.root.removeprefix("/apis/").removeprefix("/api/")
        kopf.on.event(group, resource.plural, registry=registry, id=resource.plural)(
            _feeding(cluster, resource)
        )
    return registry


def _feeding(cluster: Cluster, resource: Resource) -> Callable[..., Awaitable[None]]:
    async def handle(event: dict[str, Any], **_: Any) -> None:
        if event["type"] == "DELETED":
            cluster.drop(resource, event["object"])
        else:
            # What kopf has from a listing has no type, and may have been written long ago.
            cluster.put(resource, event["object"], live=event["type"] is not None)

    return handle
