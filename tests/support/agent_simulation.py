"""Drive `reconcile` tick by tick against a fake kernel and loader."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from schedcp_agent.load_requests import LoadRequest, ObjectFile
from schedcp_agent.memory import Desired, Memory
from schedcp_agent.observations import FetchFailure, LoaderPhase, Observed, Pressure, Trip
from schedcp_agent.ownership import Ours, is_ours, ours_after
from schedcp_agent.pressure import BACKLOG_SECONDS
from schedcp_agent.reconcile import Action, Attach, Decision, Detach, Fetch, follow, reconcile
from schedcp_api.base import digest_of
from schedcp_api.nodestates import SchedulerNodeStateSpec
from support.agent import KERNEL, NOW, OBJECT, RULES, FakeKernel, FakeLoader


@dataclass
class Simulation:
    """One node: `tick` moves the clock one second on and does what was decided."""

    rules = RULES
    now: datetime = NOW
    up_before: float = 3600.0
    """For how long the node had been up at `NOW`."""
    clock_error: timedelta = timedelta(0)
    """By how much the node's own clock is wrong."""
    memory: Memory = field(default_factory=Memory)
    kernel: FakeKernel = field(default_factory=FakeKernel)
    objects: frozenset[str] = frozenset({digest_of(OBJECT)})
    fetch_failures: dict[str, FetchFailure] = field(default_factory=dict)
    trip: Trip | None = None
    loaded: bool = False
    """Whether neighbours wait as much under the kernel's own scheduler, when it is settled."""
    idle_seconds: int = 0
    stopping: bool = False
    hands_off: bool = False
    loader: FakeLoader = field(init=False)
    actions: list[Action] = field(default_factory=list)
    observed: Observed = field(default_factory=Observed)
    probes_opening: bool = False
    ours: Ours | None = None

    def __post_init__(self) -> None:
        self.loader = FakeLoader(self.kernel)

    def wish(self, spec: SchedulerNodeStateSpec, *, generation: int = 1) -> None:
        """Have the operator want something."""
        wish = Desired(spec, generation)
        self.memory = follow(self.memory, wish, now=self.now + self.clock_error, uptime=self.uptime)

    def renew(self) -> None:
        """Have the operator renew its lease."""
        assert self.memory.desired is not None
        spec = self.memory.desired.spec.replace(lease_renewed_at=self.now)
        self.wish(spec, generation=self.memory.desired.generation + 1)

    def tick(self, seconds: int = 1, *, renewing: bool = True) -> tuple[Action, ...]:
        """Move on, and return the actions of the last second."""
        decision = Decision(self.memory)
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            if renewing and self.memory.desired is not None:
                self.renew()
            view, ended = self.loader.poll(now=self.now)
            self.ours = ours_after(self.ours, view, self.kernel.read())
            loaded = self._load()
            self.observed = Observed(
                uptime=self.uptime,
                kernel=KERNEL,
                sched_ext=self.kernel.read(),
                loader=view,
                ours=is_ours(self.ours, view, self.kernel.read()),
                exit=ended,
                trip=self.trip,
                loaded=loaded,
                objects=self.objects,
                fetch_failures=self.fetch_failures,
                probes_opening=self.probes_opening,
                stopping=self.stopping,
                hands_off=self.hands_off,
            )
            wrong = self.now + self.clock_error
            decision = reconcile(self.memory, self.observed, rules=self.rules, now=wrong)
            self.memory = decision.memory
            self.actions += decision.actions
            for action in decision.actions:
                self.perform(action)
        return decision.actions

    def _load(self) -> frozenset[Pressure]:
        """Return what the guard sees of the load without a scheduler of ours."""
        free = self.kernel.state.idle and self.loader.view.phase is LoaderPhase.NONE
        self.idle_seconds = self.idle_seconds + 1 if free else 0
        if not self.loaded or self.idle_seconds <= BACKLOG_SECONDS:
            return frozenset()
        return frozenset(Pressure)

    def perform(self, action: Action) -> None:
        """Do what was decided."""
        match action:
            case Attach(assignment, token_digest, timeout_ms):
                request = LoadRequest(
                    ObjectFile(Path("object"), assignment.arguments),
                    assignment.object_digest,
                    assignment.run,
                    assignment.ops_name,
                    timeout_ms,
                    token_digest,
                )
                self.loader.start(request, now=self.now)
            case Detach():
                self.loader.stop()
            case Fetch():
                pass

    @property
    def uptime(self) -> float:
        """Return the seconds since the node's boot, whatever its clock says."""
        return self.up_before + (self.now - NOW).total_seconds()

    @property
    def attached(self) -> bool:
        """Return whether the kernel runs a scheduler."""
        return not self.kernel.state.idle

    @property
    def standing(self) -> str:
        """Return the course's standing as `State/Reason`, or empty."""
        course = self.memory.course
        if course is None or course.standing is None:
            return ""
        return f"{course.standing.state}/{course.standing.reason}"

    def restart_agent(self, memory: Memory) -> None:
        """Have another agent take over; the loader went with the old one."""
        self.memory = memory
        self.kernel.disable()
        self.loader = FakeLoader(self.kernel)
        self.now += timedelta(seconds=1)


__all__ = ["Simulation", "replace"]
