"""In-memory twins of the agent's edges, and builders of what flows through it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schedcp_agent.admission import Rules
from schedcp_agent.errors import RequestFailed
from schedcp_agent.histograms import Histogram
from schedcp_agent.inputs import Inputs
from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.kube import Seen
from schedcp_agent.load_requests import LoadRequest, ProgramFile
from schedcp_agent.observations import LoaderExit, LoaderOutcome, LoaderPhase, LoaderView
from schedcp_agent.probes.port import GroupReading, SideReading, Tracked
from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument
from schedcp_api.kernels import KernelFeature, KernelProfile
from schedcp_api.manifests import BuiltProgram
from schedcp_api.nodestates import (
    Arm,
    Assignment,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    Switchback,
    TrackedPod,
    TrackedWorkload,
)
from schedcp_api.signatures import key_id_of
from schedcp_api.tokens import DeploymentToken, sign

NODE = "node-1"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KERNEL = KernelProfile(
    release="7.3.4", btf_digest=digest_of(b"btf"), features=(KernelFeature.SCHED_EXT,)
)
OBJECT = b"\x7fELF a scheduler"
RULES = Rules(node=NODE, keys=(SIGNER.public_key(),))
IDLE = SchedExt(supported=True, state="disabled", enable_seq=7)
POD_UID = "11111111-2222-3333-4444-555555555555"
OTHER_UID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


def built(data: bytes, **changes: Any) -> BuiltProgram:
    """Return what a catalogue says of a program that is `data`."""
    return BuiltProgram(
        crate="scx_tried",
        version="1.2.3",
        crate_digest=digest_of(b"crate"),
        digest=digest_of(data),
        built_with="rustc",
    ).replace(**changes)


def claims(**changes: Any) -> DeploymentToken:
    """Return claims that hold on `NODE` from `NOW` on for an hour."""
    return DeploymentToken(
        object_digest=digest_of(OBJECT),
        candidate_digest=digest_of(b"candidate"),
        scheduler="latency_class",
        ops_name="schedcp_latency_class",
        arguments=(Argument(name="slice_us", value="3000"),),
        timeout_ms=10_000,
        kernel_digest=KERNEL.content_digest(),
        contract_digest=digest_of(b"contract"),
        evidence_digest=digest_of(b"evidence"),
        run="checkout-1",
        nodes=(NODE,),
        not_before=NOW - timedelta(minutes=1),
        expires_at=NOW + timedelta(hours=1),
        nonce="0" * 32,
        key_id=key_id_of(SIGNER.public_key()),
    ).replace(**changes)


def token(key: Ed25519PrivateKey = SIGNER, **changes: Any) -> str:
    """Return a signed token for `claims(**changes)`."""
    return sign(claims(key_id=key_id_of(key.public_key()), **changes), key)


def assignment(**changes: Any) -> Assignment:
    """Return an assignment that its token allows."""
    signed = claims()
    return Assignment(
        run=signed.run,
        policy="checkout",
        scheduler=signed.scheduler,
        ops_name=signed.ops_name,
        object_digest=signed.object_digest,
        arguments=signed.arguments,
        token=token(),
    ).replace(**changes)


def switchback(*arms: Arm, block_seconds: int = 10, washout_seconds: int = 3) -> Switchback:
    """Return a schedule."""
    return Switchback(
        id="checkout-1-0",
        blocks=arms or (Arm.ON, Arm.OFF, Arm.OFF, Arm.ON),
        block_seconds=block_seconds,
        washout_seconds=washout_seconds,
    )


def wish(*assignments: Assignment, **changes: Any) -> SchedulerNodeStateSpec:
    """Return a spec whose lease was renewed at `NOW`."""
    return SchedulerNodeStateSpec(
        lease_epoch=3,
        lease_renewed_at=NOW,
        lease_seconds=30,
        workloads=(
            TrackedWorkload(
                policy="checkout",
                workload="Deployment/shop/checkout",
                pods=(TrackedPod(namespace="shop", name="checkout-x", uid=POD_UID),),
            ),
        ),
        assignments=assignments,
    ).replace(**changes)


@dataclass
class FakeKernel:
    """sched_ext as a loader drives it: one scheduler at a time, a sequence that only grows."""

    state: SchedExt = IDLE

    def read(self) -> SchedExt:
        """Return what sysfs would say."""
        return self.state

    def enable(self, ops: str) -> int:
        """Attach; return the new sequence number."""
        sequence = self.state.enable_seq + 1
        self.state = replace(self.state, state="enabled", ops=ops, enable_seq=sequence)
        return sequence

    def disable(self) -> None:
        """Detach."""
        self.state = replace(self.state, state="disabled", ops="")


@dataclass
class FakeLoader:
    """`Loader` on a fake kernel: attaches at the second poll, detaches at the one after `stop`."""

    kernel: FakeKernel
    starts: list[LoadRequest] = field(default_factory=list)
    renewals: int = 0
    told: list[Inputs] = field(default_factory=list)
    """What its schedulers were told, each change once."""
    view: LoaderView = field(default_factory=LoaderView)
    next_exit: LoaderExit | None = None
    stuck: bool = False
    """Whether the kernel does not come to an end with taking a scheduler away."""

    def start(self, request: LoadRequest, *, now: datetime) -> None:
        """Begin to start."""
        self.starts.append(request)
        self.told.append(request.inputs)
        self.view = LoaderView(
            LoaderPhase.STARTING,
            request.object_digest,
            request.run,
            request.ops_name,
            since=now,
            token_digest=request.token_digest,
            of_program=isinstance(request.payload, ProgramFile),
        )

    def stop(self) -> None:
        """Begin to stop."""
        self.view = replace(self.view, phase=LoaderPhase.STOPPING)

    def renew(self) -> None:
        """Count."""
        self.renewals += 1

    def feed(self, inputs: Inputs) -> None:
        """Take in what changed."""
        if self.view.phase is LoaderPhase.ATTACHED and inputs != self.told[-1]:
            self.told.append(inputs)

    def eject(self, kind: int, message: str, *, now: datetime) -> None:
        """Have the kernel end the scheduler."""
        self._end(LoaderOutcome.EJECTED, now=now, kind=kind, message=message)

    def die(self, *, now: datetime) -> None:
        """Have the process killed: the kernel detaches by itself."""
        self._end(LoaderOutcome.KILLED, now=now)

    def starve(self, *, now: datetime) -> None:
        """Have the loader's lease run out: nobody renewed it."""
        self._end(LoaderOutcome.LEASE_EXPIRED, now=now)

    def poll(self, *, now: datetime) -> tuple[LoaderView, LoaderExit | None]:
        """Move one step on."""
        if self.view.phase is LoaderPhase.STARTING:
            ops = self.starts[-1].ops_name
            sequence = self.kernel.enable(ops)
            self.view = replace(
                self.view, phase=LoaderPhase.ATTACHED, ops=ops, enable_seq=sequence, since=now
            )
            return replace(self.view, phase=LoaderPhase.ATTACHED), None
        if self.view.phase is LoaderPhase.STOPPING and not self.stuck:
            self._end(LoaderOutcome.DETACHED, now=now)
        ended, self.next_exit = self.next_exit, None
        return self.view, ended

    def _end(
        self, outcome: LoaderOutcome, *, now: datetime, kind: int = 0, message: str = ""
    ) -> None:
        self.kernel.disable()
        self.next_exit = LoaderExit(
            outcome=outcome,
            message=message,
            at=now,
            object_digest=self.view.object_digest,
            run=self.view.run,
            kind=kind,
            was_attached=True,
            token_digest=self.view.token_digest,
        )
        self.view = LoaderView()


@dataclass
class FakeProbes:
    """`Probes` whose readings are set by the test."""

    readings: dict[int, SideReading] = field(default_factory=dict)
    longest: dict[int, int] = field(default_factory=dict)
    groups: tuple[GroupReading, ...] = ()
    tracked: Tracked = field(default_factory=Tracked)
    grouping: bool = False
    dropped: int = 0
    closed: bool = False

    def track(self, tracked: Tracked) -> None:
        """Remember."""
        self.tracked = tracked

    def read(self, sides: frozenset[int]) -> Mapping[int, SideReading]:
        """Return what was set, empty sides otherwise."""
        return {side: self.readings.get(side, SideReading()) for side in sides}

    def longest_ns(self, sides: frozenset[int]) -> Mapping[int, int]:
        """Return what was set."""
        return {side: self.longest.get(side, 0) for side in sides}

    def begin_groups(self) -> None:
        """Remember."""
        self.grouping = True

    def end_groups(self) -> tuple[GroupReading, ...]:
        """Return what was set."""
        self.grouping = False
        return self.groups

    def lost(self) -> int:
        """Return what was set."""
        return self.dropped

    def close(self) -> None:
        """Remember."""
        self.closed = True


def group(side: int, tgid: int, comm: str, *, cpu_ns: int = 1_000_000) -> GroupReading:
    """Return a process that was woken ten times."""
    return GroupReading(
        side=side,
        tgid=tgid,
        comm=comm,
        threads=2,
        cpu_ns=cpu_ns,
        switches=20,
        wakeups=10,
        latency=Histogram.of([50_000] * 10),
        burst=Histogram.of([100_000] * 10),
        sleep=Histogram.of([5_000_000] * 10),
    )


@dataclass
class MemoryBlobs:
    """`Blobs` in a dictionary; `failures` are raised first, one a call."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    gets: int = 0

    def get(self, digest: str) -> bytes:
        """Return the blob."""
        self.gets += 1
        if self.failures:
            raise self.failures.pop(0)
        if digest not in self.blobs:
            raise RequestFailed(f"no blob {digest}", status=404)
        return self.blobs[digest]

    def put(self, data: bytes) -> str:
        """Store it."""
        if self.failures:
            raise self.failures.pop(0)
        self.blobs[digest_of(data)] = data
        return digest_of(data)


class ImmediateExecutor(Executor):
    """Runs at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as err:  # noqa: BLE001  (a future carries whatever was raised)
            future.set_exception(err)
        return future


class MemoryNodeStates:
    """`NodeStates` in memory; `watch` ends when the test says so."""

    def __init__(self) -> None:
        self.versions: list[Seen] = [Seen("1")]
        self.written: list[SchedulerNodeStateStatus] = []
        self.failures: list[RequestFailed] = []
        self.changed = threading.Condition()
        self.ended = False

    def publish(self, spec: SchedulerNodeStateSpec, *, generation: int) -> None:
        """Make a new version."""
        with self.changed:
            version = str(len(self.versions) + 1)
            self.versions.append(Seen(version, spec=spec, generation=generation))
            self.changed.notify_all()

    def end(self) -> None:
        """Have watches end."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def read(self) -> Seen:
        """Return the latest version."""
        with self.changed:
            if self.failures:
                raise self.failures.pop(0)
            return self.versions[-1]

    def watch(self, resource_version: str) -> Iterator[Seen]:
        """Yield later versions."""
        position = int(resource_version)
        while True:
            with self.changed:
                later = self.versions[position:]
                if not later and not self.ended:
                    self.changed.wait(timeout=30)
                    continue
                if self.ended:
                    return
            position += len(later)
            yield from later

    def write(self, status: SchedulerNodeStateStatus) -> None:
        """Remember the status."""
        with self.changed:
            if self.failures:
                raise self.failures.pop(0)
            self.written.append(status)
            self.changed.notify_all()

    def close(self) -> None:
        """Nothing is open."""

    def wait_written(
        self, condition: Callable[[SchedulerNodeStateStatus], bool], *, seconds: float = 30.0
    ) -> SchedulerNodeStateStatus:
        """Return the first latest status that fulfils `condition`; fail after the deadline."""
        with self.changed:
            if not self.changed.wait_for(
                lambda: bool(self.written) and condition(self.written[-1]), timeout=seconds
            ):
                raise AssertionError(f"no such status was written; last: {self.written[-1:]}")
            return self.written[-1]
