"""The agent's life: one tick a second, nothing in it that waits.

A tick looks (kernel, loader, pods, desired state), decides (`guard`, `reconcile`), acts, renews the
loader's lease, and says what it saw. Whatever can wait for another machine runs in a thread of its
own. The lease is renewed at the end of a tick: an agent that hangs lets the scheduler go.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import assert_never

from schedcp_api.kernels import KernelProfile
from schedcp_api.nodestates import (
    Assignment,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
)

from . import guard as guarding
from .admission import Rules, foreign
from .answering import Answering
from .blobs import ObjectCache
from .inputs import Inputs, inputs_of
from .kernel_probe import DISABLING, ENABLED, SchedExt
from .keys import TrustedKeys
from .kube import Seen, SpecWatcher, StatusWriter
from .load_requests import LoadRequest, ObjectFile, ProgramFile
from .loader import Loader
from .measuring import Measuring
from .memory import Desired, Key, Memory
from .metrics import Exporter, Snapshot
from .observations import (
    LoaderExit,
    LoaderOutcome,
    LoaderPhase,
    LoaderView,
    Observed,
    Trip,
)
from .ownership import Ours, is_ours, ours_after
from .programs import InstalledProgram, Statistics
from .reconcile import Attach, Detach, Fetch, follow, reconcile
from .records import Record, RecordFile
from .report import Facts, same_but_for_time, status_of
from .sides import Role, SideUsage

_LOG = logging.getLogger(__name__)
_SETTLE_POLL_SECONDS = 0.1
_HANGS_SECONDS = 30.0
_BAD_COPY = frozenset({LoaderOutcome.DIGEST_MISMATCH, LoaderOutcome.OBJECT_INVALID})


@dataclass(frozen=True)
class Parts:
    """Everything that an agent is made of; doubles stand in for any of them in tests."""

    node: str
    kernel: KernelProfile | None
    read_sched_ext: Callable[[], SchedExt]
    loader: Loader
    objects: ObjectCache
    record: RecordFile
    keys: TrustedKeys
    watcher: SpecWatcher
    writer: StatusWriter
    measuring: Measuring
    answering: Answering
    exporter: Exporter
    facts: Facts
    restart_limit: int
    tick_seconds: float
    heartbeat_seconds: float
    programs: Mapping[str, InstalledProgram] = field(default_factory=dict)
    """By digest: they came with the agent, and none is ever fetched."""
    statistics: Statistics | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """For tokens and reports only: it may be set at any time."""
    uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    """For deadlines: it only goes forward, also while the node sleeps."""


class Agent:
    """One node's agent. `run` returns after `stop`, with the node on the kernel's scheduler."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._memory = Memory.from_status(SchedulerNodeStateStatus(), parts.record.record)
        self._guard = guarding.Guard()
        self._facts = parts.facts
        self._status = SchedulerNodeStateStatus()
        self._written_at: float | None = None
        self._introduced = False
        self._stopping = threading.Event()
        self._hands_off = False
        self._kept_off: tuple[Assignment, ...] | None = None
        self._last_tick = time.monotonic()
        self._ours: Ours | None = None

    def late_seconds(self) -> float:
        """Return for how long the next tick has been due; at most 0 when it is not."""
        return time.monotonic() - self._last_tick - self._parts.tick_seconds

    def alive(self) -> bool:
        """Return whether the agent works and follows; answers the kubelet's liveness probe."""
        threads = self._parts.watcher.alive and self._parts.writer.alive
        return self.late_seconds() < _HANGS_SECONDS and threads

    def ready(self) -> bool:
        """Return whether the agent can be heard, too; answers the readiness probe."""
        return self.alive() and not self._parts.writer.refused

    def stop(self) -> None:
        """Have `run` detach and return; may be called from a signal handler."""
        self._stopping.set()

    def hands_off(self) -> None:
        """Detach, and attach nothing until the operator assigns something else."""
        self._hands_off = True

    def run(self, *, settle_timeout_seconds: float) -> bool:
        """Tick until `stop`; return whether the node is proven to be restored."""
        self._parts.watcher.start()
        self._parts.writer.start()
        while not self._stopping.is_set():
            started = time.monotonic()
            self.tick()
            self._stopping.wait(max(0.0, self._parts.tick_seconds - (time.monotonic() - started)))
        return self._wind_up(settle_timeout_seconds)

    def tick(self) -> Observed:
        """Look, decide, act, report; once. Return what was seen."""
        now, uptime = self._parts.now(), self._parts.uptime()
        self._take_in_desired(now, uptime)
        spec = self._memory.desired.spec if self._memory.desired else None
        view, ended = self._parts.loader.poll(now=now)
        sched_ext = self._parts.read_sched_ext()
        self._parts.measuring.refresh(spec.workloads if spec else (), now=now)
        trip = self._watch_guard(spec, view, sched_ext, uptime=uptime)
        self._see_to_objects(ended)
        observed = self._observed(view, ended, sched_ext, trip, uptime=uptime)
        self._decide(observed, now)
        self._answer_profile(spec, now)
        self._feed(view)
        self._parts.loader.renew()
        self._say(observed, now)
        self._last_tick = time.monotonic()
        return observed

    def _take_in_desired(self, now: datetime, uptime: float) -> None:
        for seen in self._parts.watcher.take():
            if not self._introduced:
                self._introduce(seen)
            self._facts = replace(self._facts, spec_problem=seen.problem)
            if seen.spec is not None:
                wish = Desired(seen.spec, seen.generation)
                self._memory = follow(self._memory, wish, now=now, uptime=uptime)
            elif not seen.problem:
                # The object is gone: nothing is wished for.
                empty = SchedulerNodeStateSpec(lease_epoch=self._memory.epoch)
                wish = Desired(empty, 0)
                self._memory = follow(self._memory, wish, now=now, uptime=uptime)

    def _introduce(self, seen: Seen) -> None:
        """Take over what a former agent of this node left in the status; once."""
        self._introduced = True
        if seen.status is not None:
            self._memory = Memory.from_status(seen.status, self._parts.record.record)
            self._status = seen.status
            if seen.status.boot_id == self._facts.boot_id:
                mine = (a for a in seen.status.attached if a.run is not None)
                self._ours = next((Ours(a.ops_name, a.enable_seq) for a in mine), None)

    def _watch_guard(
        self,
        spec: SchedulerNodeStateSpec | None,
        view: LoaderView,
        sched_ext: SchedExt,
        *,
        uptime: float,
    ) -> Trip | None:
        assignment = spec.assignments[0] if spec and spec.assignments else None
        measuring = self._parts.measuring
        policy = assignment.policy if assignment else ""
        known = measuring.ledger.accounts.get((policy, Role.NEIGHBOUR))
        usage = known or SideUsage()
        mine = view.phase is LoaderPhase.ATTACHED
        reading = guarding.Reading(
            attached=mine,
            enabled=sched_ext.state == ENABLED and sched_ext.ops == view.ops,
            leaving=sched_ext.state == DISABLING,
            idle=sched_ext.idle and view.phase is LoaderPhase.NONE,
            baseline_some_permille=known.average_some_permille if known else None,
            neighbour_some_permille=usage.some_permille,
            neighbour_full_permille=usage.full_permille,
            target_longest_ms=measuring.longest_target_ms(policy) if mine else 0,
            nr_rejected=sched_ext.nr_rejected if mine else 0,
            bypasses=sched_ext.bypasses if mine else 0,
        )
        limits = assignment.guardrails if assignment else None
        self._guard, trip = guarding.watch(self._guard, limits, reading, uptime=uptime)
        return trip

    def _observed(
        self,
        view: LoaderView,
        ended: LoaderExit | None,
        sched_ext: SchedExt,
        trip: Trip | None,
        *,
        uptime: float,
    ) -> Observed:
        self._ours = ours_after(self._ours, view, sched_ext)
        return Observed(
            uptime=uptime,
            kernel=self._parts.kernel,
            sched_ext=sched_ext,
            loader=view,
            ours=is_ours(self._ours, view, sched_ext),
            exit=ended,
            trip=trip,
            loaded=self._guard.loaded,
            objects=self._parts.objects.present,
            programs=tuple(found.built for found in self._parts.programs.values()),
            fetch_failures=self._parts.objects.failures,
            demands=self._parts.measuring.demands,
            probes_opening=self._parts.measuring.opening,
            stopping=self._stopping.is_set(),
            hands_off=self._keeps_off(),
        )

    def _keeps_off(self) -> bool:
        """Return whether hands are off: from the asking on, until something else is assigned."""
        desired = self._memory.desired
        if self._hands_off and desired is not None:
            self._hands_off, self._kept_off = False, desired.spec.assignments
        if desired is not None and desired.spec.assignments != self._kept_off:
            self._kept_off = None
        return self._hands_off or self._kept_off is not None

    def _decide(self, observed: Observed, now: datetime) -> None:
        rules = Rules(
            node=self._parts.node,
            keys=self._parts.keys.current(),
            revoked=self._parts.keys.revoked(),
            restart_limit=self._parts.restart_limit,
        )
        decision = reconcile(self._memory, observed, rules=rules, now=now)
        self._memory = decision.memory
        kept = Record(epoch=self._memory.epoch, quarantine=self._memory.quarantine)
        self._parts.record.keep(kept)
        for action in decision.actions:
            match action:
                case Fetch(digest):
                    self._parts.objects.request(digest)
                case Attach():
                    self._attach(action, now)
                case Detach(reason):
                    _LOG.info("detaching: %s", reason)
                    self._parts.loader.stop()
                case _:
                    assert_never(action)

    def _see_to_objects(self, ended: LoaderExit | None) -> None:
        """Give a new wish a new chance to be fetched, and a bad copy no second one."""
        desired, course = self._memory.desired, self._memory.course
        for assignment in desired.spec.assignments if desired else ():
            if course is None or course.key != Key.of(assignment):
                self._parts.objects.forgive(assignment.object_digest)
        if ended is not None and ended.outcome in _BAD_COPY:
            self._parts.objects.drop(ended.object_digest)
        self._parts.objects.collect()

    def _attach(self, action: Attach, now: datetime) -> None:
        assignment = action.assignment
        _LOG.info("attaching %s for run %s", assignment.ops_name, assignment.run)
        digest = assignment.object_digest
        request = LoadRequest(
            payload=ProgramFile(self._parts.programs[digest].path, assignment.command_line)
            if action.of_program
            else ObjectFile(self._parts.objects.path(digest), assignment.arguments),
            object_digest=digest,
            run=assignment.run,
            ops_name=assignment.ops_name,
            timeout_ms=action.timeout_ms,
            token_digest=action.token_digest,
            inputs=self._inputs(assignment.policy),
        )
        self._parts.loader.start(request, now=now)

    def _feed(self, view: LoaderView) -> None:
        """Have what runs know of its policy's pods, which come and go."""
        desired = self._memory.desired
        for assignment in desired.spec.assignments if desired else ():
            if assignment.run == view.run:
                self._parts.loader.feed(self._inputs(assignment.policy))

    def _inputs(self, policy: str) -> Inputs:
        desired = self._memory.desired
        workloads = desired.spec.workloads if desired else ()
        return inputs_of(policy, workloads, self._parts.measuring.pods)

    def _answer_profile(self, spec: SchedulerNodeStateSpec | None, now: datetime) -> None:
        kernel = self._parts.kernel
        if kernel is None or not self._introduced:
            return
        answer = self._parts.answering.tick(
            self._memory.profile, spec, kernel_digest=kernel.content_digest(), now=now
        )
        self._memory = replace(self._memory, profile=answer)

    def _say(self, observed: Observed, now: datetime) -> None:
        """Publish the metrics, and offer the status when it changed or a heartbeat is due."""
        self._publish(observed, now)
        if not self._introduced:
            # Without having read the object, a status would wipe out what a former agent left.
            return
        facts = replace(
            self._facts,
            probes_problem=self._parts.measuring.problem,
            unmeasured=self._unmeasured(),
            pressure_excused=self._guard.excused,
            record_problem=self._parts.record.problem,
            pod_pressure_permille=self._parts.measuring.pod_pressure_permille(),
            departed=self._parts.measuring.departures.gone,
        )
        status = status_of(self._memory, observed, facts, previous=self._status, now=now)
        due = (
            self._written_at is None
            or time.monotonic() - self._written_at >= self._parts.heartbeat_seconds
        )
        if due or not same_but_for_time(status, self._status):
            self._parts.writer.offer(status)
            self._written_at = time.monotonic()
        self._status = status

    def _unmeasured(self) -> str:
        """Return the assignment's policy if there is no account of it; empty otherwise."""
        desired, sides = self._memory.desired, self._parts.measuring.ledger.sides
        assignments = desired.spec.assignments if desired else ()
        return next((one.policy for one in assignments if one.policy not in sides), "")

    def _publish(self, observed: Observed, now: datetime) -> None:
        measuring = self._parts.measuring
        mine = observed.loader.ops == observed.sched_ext.ops
        self._parts.exporter.publish(
            Snapshot(
                node=self._parts.node,
                tick_at=now.timestamp(),
                latency=measuring.latency(),
                usage=measuring.ledger.accounts,
                ops=observed.sched_ext.ops,
                object_digest=observed.loader.object_digest if mine else "",
                enable_seq=observed.sched_ext.enable_seq,
                ejections=self._memory.ejections,
                reverts=self._memory.reverts,
                write_failures=self._parts.writer.failures,
                statistics=self._statistics(observed.loader),
            )
        )

    def _statistics(self, view: LoaderView) -> Mapping[str, float]:
        """Return what a program says of its scheduler, while it is in charge."""
        statistics = self._parts.statistics
        if statistics is None:
            return {}
        return statistics.tick(attached=view.of_program and view.phase is LoaderPhase.ATTACHED)

    def _wind_up(self, timeout_seconds: float) -> bool:
        """Detach, see the kernel's own scheduler back, and write that down."""
        deadline = time.monotonic() + timeout_seconds
        restored = _let_go(self.tick())
        while not restored and time.monotonic() < deadline:
            time.sleep(_SETTLE_POLL_SECONDS)
            restored = _let_go(self.tick())
        if not self._parts.writer.flush(max(1.0, deadline - time.monotonic())):
            _LOG.warning("the last status could not be written")
        self._parts.watcher.stop()
        self._parts.writer.stop()
        self._parts.measuring.close()
        return restored


def _let_go(observed: Observed) -> bool:
    """Whether nothing of ours is attached; somebody else's scheduler is not ours to detach."""
    free = observed.sched_ext.idle or foreign(observed)
    return observed.loader.phase is LoaderPhase.NONE and free
