"""The operator put together: what is built once, and the tasks that run side by side."""

import asyncio
import logging
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from .cluster import Cluster
from .errors import NotLeader, OperatorError, TemporaryError
from .handlers import watch
from .job_learner import JobLearner
from .job_verifier import JobVerifier
from .keeper import KeeperSettings, NodeKeeper
from .kube import STATES, Kube
from .leader import Leader, LeaseSettings, highest_epoch
from .library import load_manifests
from .loop import Desk, PolicyLoop, RunLoops
from .observability import metrics_registry
from .perform import Performer
from .prometheus import Prometheus
from .schemas import require_schemas
from .server import TokenReviewer, application
from .serving import Certificate, serve
from .settings import Settings, VerifierKind
from .store import SqliteStore, Store
from .store_redis import RedisStore
from .trust import TrustedKeys
from .verifier_client import SocketVerifier, Verifier
from .views import Rules

__all__ = ["open_store", "run_operator"]

_log = logging.getLogger(__name__)
_RELIST_SECONDS = 60.0


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store that the settings name."""
    store: Store
    if settings.redis_url:
        store = RedisStore(settings.redis_url)
    else:
        store = SqliteStore(settings.store_path, max_bytes=settings.store_max_bytes)
    try:
        yield store
    finally:
        await store.close()


@dataclass(frozen=True)
class _Parts:
    """Everything that lives as long as the process."""

    settings: Settings
    certificate: Certificate
    kube: Kube
    cluster: Cluster
    leader: Leader
    store: Store
    verifier: Verifier
    trust: TrustedKeys
    figures: Prometheus


def _verifier(settings: Settings, kube: Kube, store: Store, stack: AsyncExitStack) -> Verifier:
    if settings.verifier is VerifierKind.JOB:
        return JobVerifier(
            kube, store, settings=settings.job, namespace=settings.namespace, clock=_now
        )
    verifier = SocketVerifier(settings.verifier_socket)
    stack.push_async_callback(verifier.close)
    return verifier


@dataclass(frozen=True)
class _Flags:
    """How the end comes about: `stop` is asked for, then `unwatch` ends the watches, last."""

    stop: asyncio.Event
    watching: asyncio.Event
    unwatch: asyncio.Event


async def run_operator(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    flags = _Flags(asyncio.Event(), asyncio.Event(), asyncio.Event())
    async with AsyncExitStack() as stack:
        parts = await _parts(settings, stack)
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(parts, flags), name="watch")
            tasks = [
                group.create_task(_take_signals(flags), name="signals"),
                group.create_task(_serve(parts), name="server"),
                group.create_task(_contend(parts), name="leader"),
            ]
            await flags.stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            flags.unwatch.set()


async def _take_signals(flags: _Flags) -> None:
    """Take the signals over from kopf, which claims them when it starts.

    The Lease is given back and the loops end before the watches do.
    """
    await flags.watching.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, flags.stop.set)


async def _parts(settings: Settings, stack: AsyncExitStack) -> _Parts:
    certificate = Certificate(settings.tls_cert_file, settings.tls_key_file)
    kube = await Kube.connect(settings.kubeconfig, timeout_seconds=settings.request_timeout_seconds)
    stack.push_async_callback(kube.close)
    store = await stack.enter_async_context(open_store(settings))
    figures = Prometheus(
        settings.prometheus_url,
        timeout_seconds=settings.prometheus_timeout_seconds,
        ca_file=settings.prometheus_ca_file,
        token_file=settings.prometheus_token_file,
    )
    stack.push_async_callback(figures.close)
    lease = LeaseSettings(
        name=settings.lease_name,
        namespace=settings.namespace,
        identity=settings.identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        seconds=settings.leader_lease_seconds,
    )

    async def epoch_floor() -> int:
        return highest_epoch((await kube.list(STATES)).items)

    verifier = _verifier(settings, kube, store, stack)
    return _Parts(
        settings=settings,
        certificate=certificate,
        kube=kube,
        cluster=Cluster(),
        leader=Leader(kube, lease, epoch_floor=epoch_floor),
        store=store,
        verifier=verifier,
        trust=TrustedKeys(settings.trusted_keys_file, verifier),
        figures=figures,
    )


async def _watch(parts: _Parts, flags: _Flags) -> None:
    await watch(parts.cluster, parts.kube, started=flags.watching, stop=flags.unwatch)
    flags.stop.set()


async def _serve(parts: _Parts) -> None:
    settings = parts.settings
    app = application(
        parts.store,
        TokenReviewer(parts.kube),
        agent=settings.agent_service_account,
        registry=metrics_registry(parts.cluster, parts.leader),
        not_ready=lambda: "" if parts.cluster.primed else "it has not begun; the log says why",
    )
    await serve(
        app,
        host=settings.http_host,
        port=settings.http_port,
        certificate=parts.certificate,
    )


async def _contend(parts: _Parts) -> None:
    """Contend for the Lease once there is a world to act on: who cannot act must not hold it."""
    await _primed(parts)
    async with asyncio.TaskGroup() as group:
        group.create_task(parts.leader.run(), name="lease")
        group.create_task(_lead(parts), name="lead")


async def _lead(parts: _Parts) -> None:
    """Act while leading; stop at once when the Lease is lost, and begin anew when it is back."""
    while True:
        await parts.leader.wait_until(leading=True)
        term = asyncio.create_task(_term(parts), name="term")
        lost = asyncio.create_task(parts.leader.wait_until(leading=False), name="lost")
        try:
            await asyncio.wait((term, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (term, lost):
                task.cancel()
            ended = await asyncio.gather(term, lost, return_exceptions=True)
        _raise_unless_lost(ended[0])
        await asyncio.sleep(parts.settings.poll_seconds)


def _raise_unless_lost(ended: object) -> None:
    """Raise what ended a term, unless it was the loss of the Lease or a cancellation."""
    if isinstance(ended, BaseExceptionGroup):
        rest = ended.split((NotLeader, asyncio.CancelledError, TemporaryError))[1]
        if rest is not None:
            raise rest
        _log.warning("the term is over: %s", ended.exceptions[0])
    elif isinstance(ended, NotLeader | TemporaryError):
        _log.warning("the term is over: %s", ended)
    elif isinstance(ended, Exception):
        raise ended


async def _primed(parts: _Parts) -> None:
    """List the world, however long the API server takes to answer, or to get our kinds."""
    while True:
        try:
            await require_schemas(parts.kube)
            await parts.cluster.prime(parts.kube)
        except OperatorError as err:
            _log.warning("cannot begin yet: %s", err)
            await asyncio.sleep(parts.settings.poll_seconds)
        else:
            return


async def _term(parts: _Parts) -> None:
    """Everything that only the leader does."""
    settings = parts.settings
    await parts.cluster.prime(parts.kube)
    began = _now()

    def rules() -> Rules:
        return replace(settings.rules(), keys=parts.trust.keys, leading_since=began)

    jobs = JobLearner(parts.store, parts.cluster)
    keeper = _keeper(parts, jobs)
    performer = Performer(
        store=parts.store,
        verifier=parts.verifier,
        figures=parts.figures,
        manifests=dict(load_manifests(settings.manifests_dir)),
        sync_nodes=keeper.sync,
        trust=parts.trust,
        soak=settings.rules().soak,
        clock=_now,
    )
    desk = Desk(
        kube=parts.kube,
        cluster=parts.cluster,
        leader=parts.leader,
        keeper=keeper,
        performer=performer,
        figures=parts.figures,
        rules=rules,
        poll_seconds=settings.poll_seconds,
        resync_seconds=settings.resync_seconds,
        clock=_now,
    )
    policies = PolicyLoop(desk)
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep(parts, keeper), name="keeper")
        group.create_task(_learn(parts, jobs), name="jobs")
        group.create_task(RunLoops(desk).run(), name="runs")
        group.create_task(policies.run(), name="policies")
        group.create_task(policies.watch_needs(), name="needs")
        group.create_task(_relist(parts), name="relist")


def _keeper(parts: _Parts, jobs: JobLearner) -> NodeKeeper:
    settings = parts.settings
    return NodeKeeper(
        parts.kube,
        parts.cluster,
        parts.leader,
        settings=KeeperSettings(
            lease_seconds=settings.node_lease_seconds,
            renew=timedelta(seconds=settings.node_lease_renew_seconds),
            profile_seconds=settings.profile_seconds,
        ),
        expected=jobs.expected_seconds,
        clock=_now,
    )


async def _keep(parts: _Parts, keeper: NodeKeeper) -> None:
    while True:
        try:
            await keeper.sync()
        except NotLeader:
            raise
        except OperatorError as err:
            _log.warning("nodes: %s", err)
        pause = min(parts.settings.resync_seconds, parts.settings.node_lease_renew_seconds / 2)
        await parts.cluster.wait(pause)


async def _learn(parts: _Parts, jobs: JobLearner) -> None:
    """Learn beside the keeper: leases must not wait for a store that does not answer."""
    while True:
        try:
            await jobs.learn()
        except OperatorError as err:
            _log.warning("jobs: %s", err)
        await parts.cluster.wait(parts.settings.resync_seconds)


async def _relist(parts: _Parts) -> None:
    """List the world now and then: a deletion that happens while a watch is down is never told."""
    while True:
        await asyncio.sleep(_RELIST_SECONDS)
        try:
            await parts.cluster.prime(parts.kube)
        except OperatorError as err:
            _log.warning("cannot list the world: %s", err)
