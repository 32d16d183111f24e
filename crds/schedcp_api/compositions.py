"""Composition: a scheduler said in a few lines, from which `schedcp-verifier compose` writes C.

A composition has classes of tasks, in order; each task belongs to the first class that it matches,
by what it does and never by its name or number. No composition that validates can keep a task
waiting for ever: every order, and every way of sharing between classes, is bounded by ageing, and
the last class takes whoever is left.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from .base import Noun

CLASSES_MAX = 3
CLASSES_PER_HOME_MAX = 2
"""With queues for each CPU or cache: what is emitted stays small enough to be analysed in full."""

_PREEMPTING_CAP_PERCENT = 80
_EQUAL_WEIGHT = 100
_BANDWIDTH_MOST_PERCENT = 95
"""What classes may be assured together: the last one is left a part, too."""

CompositionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ClassName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,9}$")]
"""Without underscores, which part a class from its knob in the names of knobs."""
Whole = Annotated[int, Field(strict=True)]
"""Neither text nor a boolean is taken for a number."""


class Range(Noun):
    """Numbers from `atLeast` to `atMost`, both included; one of them may be left out."""

    at_least: Whole | None = None
    at_most: Whole | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("a range needs atLeast, atMost or both")
        if low is not None and high is not None and low > high:
            raise ValueError("atLeast must not be more than atMost")
        return self


def _within(minimum: int, maximum: int) -> AfterValidator:
    """Return the check that the ends of a range are within bounds."""

    def check(value: Range) -> Range:
        for end in (value.at_least, value.at_most):
            if end is not None and not minimum <= end <= maximum:
                raise ValueError(f"both ends must be from {minimum} to {maximum}")
        return value

    return AfterValidator(check)


class Match(Noun):
    """What a task of a class is like; everything that is given must hold."""

    burst_us: Annotated[Range, _within(100, 50_000)] | None = None
    """CPU time between two sleeps, measured: on average, and in the present burst."""
    sleep_percent: Annotated[Range, _within(0, 100)] | None = None
    """The share of its time that it sleeps, measured."""
    wakeups_per_second: Annotated[Range, _within(1, 100_000)] | None = None
    """How often it wakes, as the measured averages say."""
    nice: Annotated[Range, _within(-20, 19)] | None = None
    kernel_thread: Annotated[bool, Field(strict=True)] | None = None
    cgroup_weight: Annotated[Range, _within(1, 10_000)] | None = None
    """`cpu.weight` of the nearest cgroup that has the controller."""
    threads: Annotated[Range, _within(1, 100_000)] | None = None
    """How many threads its process has."""
    age_ms: Annotated[Range, _within(1, 86_400_000)] | None = None
    """How long ago it was created."""
    parent_age_ms: Annotated[Range, _within(1, 86_400_000)] | None = None
    """How long ago the present parent of its process was created."""
    target: Annotated[bool, Field(strict=True)] | None = None
    """Whether it is in a pod of the policy's workloads, as the agent lists their cgroups."""
    expected_ms: Annotated[Range, _within(1000, 86_400_000)] | None = None
    """What a job of its cgroup is expected to take, where that is listed."""


class OrderKind(StrEnum):
    """Who of a class runs first."""

    FIFO = "Fifo"
    """Who came first."""
    WEIGHTED_VTIME = "WeightedVtime"
    """Who had the least CPU time for its weight."""
    DEADLINE = "Deadline"
    """Whose arrival and measured burst come to the earliest time."""
    SHORTEST_FIRST = "ShortestFirst"
    LONGEST_FIRST = "LongestFirst"


class WeightOf(StrEnum):
    """Whose weight counts in virtual time."""

    TASK = "Task"
    CGROUP = "Cgroup"


class WorkBy(StrEnum):
    """What is taken for the work of a job."""

    ATTAINED = "Attained"
    """The CPU time that it has had since it began."""
    EXPECTED = "Expected"
    """What user space lists for its cgroup, less what it has had; else what it has had."""


class Fifo(Noun):
    """In order of arrival."""

    kind: Literal[OrderKind.FIFO]


class WeightedVtime(Noun):
    """CPU time divided by weight, least first."""

    kind: Literal[OrderKind.WEIGHTED_VTIME]
    weight_of: WeightOf = WeightOf.TASK
    credit_us: Annotated[Whole, Field(ge=100, le=100_000)] = 8000
    """How much virtual time a sleeper keeps; of cgroups it is half a second."""


class Deadline(Noun):
    """Arrival, plus the measured burst divided by the weight."""

    kind: Literal[OrderKind.DEADLINE]
    budget_us: Annotated[Whole, Field(ge=100, le=1_000_000)] = 20_000
    """The most that is added to the arrival."""


class ByWork(Noun):
    """The shortest or the longest job first; ageing bounds how long one is overtaken."""

    kind: Literal[OrderKind.SHORTEST_FIRST, OrderKind.LONGEST_FIRST]
    by: WorkBy = WorkBy.ATTAINED
    job_gap_ms: Annotated[Whole, Field(ge=1, le=60_000)] = 1000
    """A sleep this long ends a job."""


Order = Annotated[Fifo | WeightedVtime | Deadline | ByWork, Field(discriminator="kind")]


class Placement(StrEnum):
    """Which idle CPU a waking task goes to; without one it waits in its queue."""

    PREVIOUS_CPU = "PreviousCpu"
    IDLE_SIBLING = "IdleSibling"
    ANY_IDLE = "AnyIdle"
    SYNC_WAKER = "SyncWaker"


class NoPreemption(Noun):
    """Nobody is preempted for tasks of this class."""

    kind: Literal["None"]


class WhenWoken(Noun):
    """A waking task takes the CPU from a task of a class below."""

    kind: Literal["WhenWoken"]
    minimum_run_us: Annotated[Whole, Field(ge=0, le=20_000)] = 500
    """How long the other one has had the CPU before that."""


Preemption = Annotated[NoPreemption | WhenWoken, Field(discriminator="kind")]


class Topology(StrEnum):
    """How many queues each class has."""

    GLOBAL = "Global"
    LLC = "Llc"
    """One for each last-level cache; who finds nothing at home takes from the others."""
    CPU = "Cpu"
    """One for each CPU; who finds nothing at home takes from the others."""


class Sharing(StrEnum):
    """How the classes share a CPU."""

    STRICT = "Strict"
    """An earlier class goes first, up to its cap and to ageing."""
    TURNS = "Turns"
    """Each class has turns in proportion to its weight."""
    VIRTUAL_TIME = "VirtualTime"
    """Each class has CPU time in proportion to its weight."""
    BANDWIDTH = "Bandwidth"
    """Each class is assured a share of each CPU; what it leaves is for the others."""


WEIGHED = frozenset({Sharing.TURNS, Sharing.VIRTUAL_TIME})
"""Where weights count; with the others classes go in order."""


class TaskClass(Noun):
    """A class of tasks, and how it is scheduled."""

    name: ClassName
    match: Match = Match()
    """Empty for the last class, which takes whoever is left."""
    order: Order = Fifo(kind=OrderKind.FIFO)
    slice_us: Annotated[Whole, Field(ge=100, le=20_000)] = 4000
    """How long a task runs before the next one; the kernel looks at ticks only."""
    placement: Placement = Placement.IDLE_SIBLING
    preemption: Preemption = NoPreemption(kind="None")
    cap_percent: Annotated[Whole, Field(ge=1, le=95)] | None = None
    """The share of each CPU up to which the class goes first (Strict) and preempts: as much of
    100 ms at once, and then as it has it back over time. Beyond it the class waits behind the
    others, and still has what they leave. 80 for one that preempts."""
    weight: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    """Its part when classes share by weight; 100 when it is left out."""
    bandwidth_percent: Annotated[Whole, Field(ge=1, le=_BANDWIDTH_MOST_PERCENT)] | None = None
    """The share of each CPU that it is assured with Bandwidth, counted as for a cap. Until then it
    goes before those that had theirs; it may have more of what others leave."""

    @property
    def cap(self) -> int | None:
        """The share in percent up to which it goes first, with its default."""
        if self.bandwidth_percent is not None:
            return self.bandwidth_percent
        if self.cap_percent is None and isinstance(self.preemption, WhenWoken):
            return _PREEMPTING_CAP_PERCENT
        return self.cap_percent

    @property
    def share(self) -> int:
        """The weight, with its default."""
        return _EQUAL_WEIGHT if self.weight is None else self.weight


def _problem_of_class(task_class: TaskClass, sharing: Sharing, *, last: bool) -> str:
    """Return what is wrong with a class in its place, empty when nothing is."""
    empty = task_class.match == Match()
    if last and not empty:
        return "the last class takes whoever is left: remove its match, or add a class without one"
    if not last and empty:
        return "only the last class may be without a match: say which tasks it is for"
    if last and isinstance(task_class.preemption, WhenWoken):
        return "no class is below the last one: remove its preemption"
    if last and task_class.cap_percent is not None:
        return "the last class has what the others leave: remove its capPercent"
    if sharing not in WEIGHED and task_class.weight is not None:
        return "weights count when sharing is Turns or VirtualTime: remove weight, or change that"
    preempts = isinstance(task_class.preemption, WhenWoken)
    if sharing in WEIGHED and task_class.cap_percent is not None and not preempts:
        return "a cap counts when sharing is Strict, or for preemption: remove capPercent"
    return _problem_of_bandwidth(task_class, sharing, last=last)


def _problem_of_bandwidth(task_class: TaskClass, sharing: Sharing, *, last: bool) -> str:
    assured = task_class.bandwidth_percent is not None
    if sharing is not Sharing.BANDWIDTH:
        return "bandwidthPercent counts when sharing is Bandwidth: remove it" if assured else ""
    if last and assured:
        return "the last class is assured what is left of 100 percent: remove its bandwidthPercent"
    if not last and not assured:
        return "with sharing Bandwidth each class but the last needs bandwidthPercent"
    if task_class.cap_percent is not None:
        return "with sharing Bandwidth bandwidthPercent is the cap: remove capPercent"
    return ""


class Composition(Noun):
    """A scheduler made of classes."""

    api_version: Literal["schedcp.io/v1alpha1"]
    kind: Literal["Composition"]
    name: CompositionName
    """The scheduler calls itself composed_NAME."""
    classes: Annotated[tuple[TaskClass, ...], Field(min_length=1, max_length=CLASSES_MAX)]
    sharing: Sharing = Sharing.STRICT
    topology: Topology = Topology.GLOBAL
    ageing_ms: Annotated[Whole, Field(ge=100, le=2000)] = 1000
    """Whoever has waited this long goes before all classes."""
    timeout_ms: Annotated[Whole, Field(ge=5000, le=20_000)] = 10_000
    """When the kernel's watchdog takes the scheduler away because a task was not run."""

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        names = [task_class.name for task_class in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("classes: each needs a name of its own")
        if self.topology is not Topology.GLOBAL and len(names) > CLASSES_PER_HOME_MAX:
            raise ValueError(
                f"classes: with topology {self.topology.value} there may be "
                f"{CLASSES_PER_HOME_MAX} at most: join classes, or use Global"
            )
        for index, task_class in enumerate(self.classes):
            last = index == len(self.classes) - 1
            problem = _problem_of_class(task_class, self.sharing, last=last)
            if problem:
                raise ValueError(f"classes.{index} ({task_class.name}): {problem}")
        assured = sum(task_class.bandwidth_percent or 0 for task_class in self.classes)
        if assured > _BANDWIDTH_MOST_PERCENT:
            raise ValueError(
                f"classes: bandwidthPercent comes to {assured} together, and no more than "
                f"{_BANDWIDTH_MOST_PERCENT} can be assured: lower some"
            )
        return self
