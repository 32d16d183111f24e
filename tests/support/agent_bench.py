"""A whole agent without a thread: in-memory edges, ticked by the test on the test's own clock."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schedcp_agent.agent import Agent, Parts
from schedcp_agent.answering import Answering
from schedcp_agent.blobs import ObjectCache
from schedcp_agent.keys import TrustedKeys
from schedcp_agent.kube import Seen, SpecWatcher, StatusWriter
from schedcp_agent.measuring import Measuring
from schedcp_agent.metrics import Exporter, Snapshot
from schedcp_agent.probes.port import Probes
from schedcp_agent.programs import InstalledProgram
from schedcp_agent.records import RecordFile
from schedcp_agent.report import Facts
from schedcp_api.base import digest_of
from schedcp_api.nodestates import SchedulerNodeStateSpec, SchedulerNodeStateStatus
from support.agent import (
    KERNEL,
    NODE,
    NOW,
    OBJECT,
    SIGNER,
    FakeKernel,
    FakeLoader,
    FakeProbes,
    ImmediateExecutor,
    MemoryBlobs,
    MemoryNodeStates,
)


class HeldWatcher(SpecWatcher):
    """A watcher that sees what the test hands it."""

    def __init__(self) -> None:
        super().__init__(MemoryNodeStates())
        self.held: list[Seen] = []

    def take(self) -> tuple[Seen, ...]:
        """Return what was handed in since the last call."""
        taken, self.held = tuple(self.held), []
        return taken


class LastStatus(StatusWriter):
    """A writer that keeps the latest status."""

    def __init__(self) -> None:
        self.states = MemoryNodeStates()
        super().__init__(self.states)
        self.status = SchedulerNodeStateStatus()

    def offer(self, status: SchedulerNodeStateStatus) -> None:
        """Keep it."""
        self.status = status


class KeptExports(Exporter):
    """Keeps everything that was ever exported."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: list[Snapshot] = []

    def publish(self, snapshot: Snapshot) -> None:
        """Keep it, too."""
        self.snapshots.append(snapshot)
        super().publish(snapshot)


@dataclass
class AgentBench:
    """One agent; `tick` moves its clock by a second."""

    folder: Path
    seconds: float = 0.0
    kernel: FakeKernel = field(default_factory=FakeKernel)
    blobs: MemoryBlobs = field(default_factory=lambda: MemoryBlobs({digest_of(OBJECT): OBJECT}))
    probes: FakeProbes = field(default_factory=FakeProbes)
    watcher: HeldWatcher = field(default_factory=HeldWatcher)
    writer: LastStatus = field(default_factory=LastStatus)
    exporter: KeptExports = field(default_factory=KeptExports)
    loader: FakeLoader = field(init=False)
    objects: ObjectCache = field(init=False)
    programs: Mapping[str, InstalledProgram] = field(default_factory=dict)
    agent: Agent = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        keys = self.folder / "keys.pem"
        keys.write_bytes(
            SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        opening: Future[Probes] = Future()
        opening.set_result(self.probes)
        measuring = Measuring(opening, cgroup_root=self.folder, own_pod="")
        executor = ImmediateExecutor()
        self.loader = FakeLoader(self.kernel)
        self.objects = ObjectCache(
            self.blobs, self.folder / "objects", executor, clock=lambda: self.seconds
        )
        self.agent = Agent(
            Parts(
                node=NODE,
                kernel=KERNEL,
                read_sched_ext=self.kernel.read,
                loader=self.loader,
                objects=self.objects,
                record=RecordFile(self.folder / "record.json"),
                keys=TrustedKeys(keys),
                watcher=self.watcher,
                writer=self.writer,
                measuring=measuring,
                answering=Answering(measuring, self.blobs, executor, node=NODE, cpus=2),
                exporter=self.exporter,
                facts=Facts(boot_id="boot"),
                programs=self.programs,
                restart_limit=3,
                tick_seconds=1.0,
                heartbeat_seconds=0.0,
                now=lambda: NOW + timedelta(seconds=self.seconds),
                uptime=lambda: self.seconds,
            )
        )

    def see(
        self,
        spec: SchedulerNodeStateSpec | None,
        *,
        status: SchedulerNodeStateStatus | None = None,
        generation: int = 1,
    ) -> None:
        """Have the watcher see a version of the object."""
        if spec is not None:
            spec = spec.replace(lease_renewed_at=NOW + timedelta(seconds=self.seconds))
        self.watcher.held.append(Seen("1", spec=spec, generation=generation, status=status))

    def tick(self, seconds: int = 1) -> SchedulerNodeStateStatus:
        """Move on, and return the latest status."""
        for _ in range(seconds):
            self.seconds += 1
            self.agent.tick()
        return self.writer.status

    def condition(self, type_: str) -> str:
        """Return a condition of the latest status as `Status/Reason`."""
        found = next(c for c in self.writer.status.conditions if c.type == type_)
        return f"{found.status}/{found.reason}"


__all__ = ["AgentBench", "replace"]
