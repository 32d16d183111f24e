"""Put an agent together from its settings."""

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor

from schedcp_api.kernels import KernelProfile

from .agent import Agent, Parts
from .answering import Answering
from .blobs import ObjectCache, OperatorBlobs
from .errors import NodeUnsuitable
from .inputs import InputFiles
from .kernel_probe import read_boot_id, read_kernel_profile, read_sched_ext
from .keys import TrustedKeys
from .kube import KubeNodeStates, SpecWatcher, StatusWriter
from .loader import ProcessLoader
from .measuring import Measuring
from .metrics import Exporter
from .probes.bcc_probes import open_probes
from .probes.port import Probes
from .programs import Statistics, programs_in
from .records import RecordFile
from .report import Facts
from .settings import AgentSettings
from .web import Web

RECORD_FILE = "record.json"
_LOG = logging.getLogger(__name__)


def node_states(settings: AgentSettings) -> KubeNodeStates:
    """Return access to this node's object, over a connection of its own."""
    return KubeNodeStates(
        kube_web(settings), node=settings.node_name, watch_seconds=settings.watch_seconds
    )


def kube_web(settings: AgentSettings) -> Web:
    """Return a connection to the API server."""
    return Web(
        settings.kube_url,
        ca_file=settings.kube_ca_file,
        token_file=settings.kube_token_file,
        timeout_seconds=settings.request_timeout_seconds,
    )


def operator_web(settings: AgentSettings) -> Web:
    """Return a connection to the operator."""
    return Web(
        settings.operator_url,
        ca_file=settings.operator_ca_file,
        token_file=settings.operator_token_file,
        timeout_seconds=settings.request_timeout_seconds,
    )


def make_loader(settings: AgentSettings) -> ProcessLoader:
    """Return the supervisor of the loader program."""
    return ProcessLoader(
        settings.loader_path,
        inputs=InputFiles(settings.state_dir),
        lease_ms=settings.loader_lease_ms,
        realtime_priority=settings.realtime_priority,
        attach_timeout_seconds=settings.attach_timeout_seconds,
        detach_timeout_seconds=settings.detach_timeout_seconds,
    )


def make_agent(settings: AgentSettings, exporter: Exporter, *, rank: str) -> Agent:
    """Return an agent whose probes are being compiled; `rank` says what the node did not permit."""
    background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blobs")
    compiler = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probes")
    opening: Future[Probes] = compiler.submit(open_probes)
    compiler.shutdown(wait=False)
    blobs = OperatorBlobs(operator_web(settings))
    measuring = Measuring(opening, cgroup_root=settings.cgroup_root, own_pod=settings.pod_uid)
    return Agent(
        Parts(
            node=settings.node_name,
            kernel=_kernel(settings),
            read_sched_ext=lambda: read_sched_ext(settings.sys_root),
            loader=make_loader(settings),
            objects=ObjectCache(blobs, settings.state_dir / "objects", background),
            record=RecordFile(settings.state_dir / RECORD_FILE),
            keys=TrustedKeys(settings.trusted_keys_file),
            watcher=SpecWatcher(node_states(settings)),
            writer=StatusWriter(node_states(settings)),
            measuring=measuring,
            answering=Answering(
                measuring,
                blobs,
                background,
                node=settings.node_name,
                cpus=os.cpu_count() or 1,
            ),
            exporter=exporter,
            facts=Facts(
                boot_id=read_boot_id(),
                metrics_address=_metrics_address(settings),
                rank=rank,
            ),
            programs=programs_in(settings.programs_dir) if settings.programs_dir else {},
            statistics=Statistics(
                settings.statistics_socket,
                ThreadPoolExecutor(max_workers=1, thread_name_prefix="statistics"),
            ),
            restart_limit=settings.restart_limit,
            tick_seconds=settings.tick_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
        )
    )


def _kernel(settings: AgentSettings) -> KernelProfile | None:
    try:
        return read_kernel_profile(settings.sys_root)
    except NodeUnsuitable as err:
        _LOG.error("this node can be observed but not scheduled: %s", err)
        return None


def _metrics_address(settings: AgentSettings) -> str:
    host = settings.advertise_host
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{settings.metrics_port}" if host else ""
