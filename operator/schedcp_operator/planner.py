"""The Planning agent, by rule: which schedulers to try for a description, and with which knobs.

Pure. Plans come from behaviour and from lessons, best first; a lesson sets a plan aside that was
rolled back before for the same kind of work on the same kernel. Where pods on the nodes ask for
weights or limits, schedulers that were measured to keep them come first; programs of others
come after ours, and what the verifier was measured to refuse on such a kernel is not tried. A
program is set by its words as a source is by its knobs, and is no candidate unless every node of
the run has it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from schedcp_api.candidates import (
    Argument,
    Candidate,
    CommandLine,
    PlanKind,
    SchedulingPlan,
    WorkloadClass,
    WorkloadDescription,
)
from schedcp_api.manifests import Measured, SchedulerManifest
from schedcp_api.nodestates import GuardrailLimits
from schedcp_api.policies import BuiltinMetric, PinnedCandidate, SchedulerPolicySpec
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.runs import AttemptResult, Lesson, OutcomeKind
from schedcp_api.verdicts import ContractLoss

from .describe import Reading, describe
from .events import PlanningFailed, PlansMade, Proposal
from .library import Library, LibraryEntry
from .programs import NOWHERE, Missing, NodePrograms, build_on_all
from .search import pinned_problem

_MS = 1_000_000
_CRASHED = ("Ejected", "GuardrailTripped")

Knobs = Mapping[str, int | bool]


@dataclass(frozen=True)
class _Rule:
    """A scheduler of the library, why it is tried, and how its knobs follow from a profile."""

    scheduler: str
    why: str
    knobs: Callable[[WorkloadProfile], Knobs]


_Choice = tuple[_Rule, LibraryEntry]


def round_125(value: float) -> int:
    """Return the nearest of 1, 2, 5, 10, 20, ...: like profiles shall give the same candidate."""
    if value <= 1:
        return 1
    base: int = 10 ** (len(str(int(value))) - 1)
    return min((step * base for step in (1, 2, 5, 10)), key=lambda step: abs(step - value))


def _clamped(value: float, low: int, high: int) -> int:
    return round_125(max(low, min(high, value)))


def latency_knobs(profile: WorkloadProfile) -> Knobs:
    """Put the lines between latency and throughput work where this target and these neighbours are.

    Burst: the target's 90th percentile, doubled for head room; between that and the neighbours'
    median (where they have one that is longer) the geometric mean. Sleep: three quarters of the
    share that the target sleeps, in tens of percent, never more than half.
    """
    target = 2 * max(profile.target.burst.p90_ns, 50_000)
    other = profile.neighbours.burst.p50_ns
    line = (target * other) ** 0.5 if other > target else float(target)
    asleep = 1 - Reading.of(profile).duty
    return {
        "burst_limit_ns": _clamped(line, 100_000, 20 * _MS),
        "sleep_percent": min(50, int(7.5 * asleep) * 10),
    }


def vtime_knobs(profile: WorkloadProfile) -> Knobs:
    """Take a slice that the target's usual burst fits into, and that others cannot stretch."""
    return {"slice_ns": _clamped(2 * profile.target.burst.p90_ns, 1 * _MS, 20 * _MS)}


def short_fifo_knobs(profile: WorkloadProfile) -> Knobs:
    """Take a short slice: with first in, first out the queue's turn is the waiting time."""
    return {"slice_ns": _clamped(profile.target.burst.p90_ns, 1 * _MS, 5 * _MS)}


def long_slice_knobs(_profile: WorkloadProfile) -> Knobs:
    """Take a long slice: computing threads lose by being switched."""
    return {"slice_ns": 20 * _MS}


def no_knobs(_profile: WorkloadProfile) -> Knobs:
    """Leave the scheduler as it is: nothing in a profile says better."""
    return {}


def long_tail_knobs(profile: WorkloadProfile) -> Knobs:
    """Take a slice of about a tenth of the usual piece of work, so that order can be mended."""
    return {"slice_ns": _clamped(profile.target.burst.p50_ns / 10, 2 * _MS, 20 * _MS)}


_LATENCY = _Rule(
    "latency_class", "short bursts and sleepers first, by measured burst length", latency_knobs
)
_SERVICE = _Rule(
    "mixed_service", "short bursts and sleepers first within their cgroups' shares", latency_knobs
)
_MESSAGES = _Rule(
    "message_passing", "who is woken runs beside its waker, or instead of a hog", latency_knobs
)
_DEADLINE = _Rule("deadline", "the shorter the burst, the sooner", vtime_knobs)
_GROUPS = _Rule("cgroup_fair", "weights and limits of cgroups, soon for who uses little", no_knobs)
_LAYERS = _Rule("cgroup_layers", "weights and limits of cgroups, level by level", no_knobs)
_VTIME = _Rule("weighted_vtime", "fair shares with a slice that fits the bursts", vtime_knobs)
_FIFO_SHORT = _Rule("simple_fifo", "one queue and short slices", short_fifo_knobs)
_FIFO_LONG = _Rule("simple_fifo", "one queue and long slices: few switches", long_slice_knobs)
_WARM = _Rule("throughput", "long slices where the caches are warm", no_knobs)
_BUILD = _Rule("parallel_build", "who starts others goes first, then who has run long", no_knobs)
_SHORTEST = _Rule("shortest_first", "the shortest job first: the mean is the least", no_knobs)
_LONG_TAIL = _Rule(
    "long_tail", "longest work first, so that none is left at the end", long_tail_knobs
)
_BPFLAND = _Rule("scx_bpfland", "who sleeps often goes before who keeps CPUs busy", no_knobs)
_LAVD = _Rule("scx_lavd", "the more others wait for a thread, the sooner", no_knobs)
_RUSTY = _Rule("scx_rusty", "a queue for each cache, and a balancer between them", no_knobs)

_RULES: Mapping[WorkloadClass, tuple[_Rule, ...]] = {
    WorkloadClass.LATENCY_SENSITIVE: (
        *(_LATENCY, _SERVICE, _MESSAGES, _GROUPS, _DEADLINE, _VTIME, _FIFO_SHORT),
        *(_BPFLAND, _LAVD),
    ),
    WorkloadClass.LONG_TAIL_BATCH: (_LONG_TAIL, _BUILD, _FIFO_LONG, _SHORTEST, _WARM, _LAYERS),
    WorkloadClass.THROUGHPUT_BATCH: (_WARM, _FIFO_LONG, _LONG_TAIL, _BUILD, _LAYERS),
    WorkloadClass.MIXED: (
        *(_SERVICE, _VTIME, _LATENCY, _GROUPS, _DEADLINE, _FIFO_SHORT),
        *(_BPFLAND, _RUSTY),
    ),
    WorkloadClass.IDLE: (),
}
"""What is tried for a kind of work, best first; last the programs of others that are good for it by
their manifests. None is for batches, and scx_layered's layers are for an owner to write."""
_SERVING = (_LATENCY, _SERVICE, _MESSAGES)
_WAITING = (BuiltinMetric.WAKEUP_LATENCY_P50, BuiltinMetric.WAKEUP_LATENCY_P99)


def make_plans(
    profile: WorkloadProfile,
    spec: SchedulerPolicySpec,
    *,
    library: Library,
    lessons: tuple[Lesson, ...] = (),
    kernel_digest: str,
    kernel_release: str,
    needed: frozenset[ContractLoss] = frozenset(),
    programs: NodePrograms = NOWHERE,
) -> PlansMade | PlanningFailed:
    """Return the description and the proposals, best first.

    `kernel_release` is that of the run's nodes, for what was measured there. `needed` is what of
    the CPU contract may not be lost: no waiver covers it, and pods may ask.
    `programs` is what the run's nodes have.
    """
    if profile.kernel_digest != kernel_digest:
        message = f"the profile is of kernel {profile.kernel_digest}, the run of {kernel_digest}"
        return PlanningFailed("WrongProfile", message)
    description = describe(profile, spec.objective)
    limits = guardrail_limits(profile)
    if spec.search.pinned:
        proposed = _pinned(spec.search.pinned, library, programs)
        if isinstance(proposed, PlanningFailed):
            return proposed
        return PlansMade(description, proposed, limits)
    if PlanKind.CONFIGURE not in spec.search.allow:
        return PlansMade(description, (), limits)
    proposals: list[Proposal] = []
    aside: list[str] = []
    known = _there(_rules_for(description, spec), library, programs)
    for rule, entry in _ordered(known, needed, kernel_release):
        proposal = _by_rule(rule, entry, profile)
        against = _refusal(entry.manifest, kernel_release) or _lesson_against(
            proposal.candidate, description, lessons, kernel_digest
        )
        if against is not None:
            aside.append(against)
        else:
            proposals.append(proposal)
    return PlansMade(description, tuple(proposals), limits, tuple(aside))


def _rules_for(description: WorkloadDescription, spec: SchedulerPolicySpec) -> tuple[_Rule, ...]:
    rules = _RULES[description.workload_class]
    if spec.objective.metric.builtin in _WAITING:
        return tuple(sorted(rules, key=lambda rule: rule not in _SERVING))
    return rules


def _there(rules: tuple[_Rule, ...], library: Library, programs: NodePrograms) -> list[_Choice]:
    """Return the rules whose schedulers there are, programs as the nodes have them."""
    known = [(rule, entry) for rule in rules if (entry := library.get(rule.scheduler)) is not None]
    had = [(rule, _had(entry, programs)) for rule, entry in known]
    return [(rule, entry) for rule, entry in had if isinstance(entry, LibraryEntry)]


def _ordered(
    choices: list[_Choice], needed: frozenset[ContractLoss], kernel_release: str
) -> list[_Choice]:
    """Return ours before programs of others, who loses least of what is needed first."""

    def rank(choice: _Choice) -> tuple[bool, int]:
        manifest = choice[1].manifest
        return manifest.program is not None, len(needed & _losses(manifest, kernel_release))

    return sorted(choices, key=rank)


def _measured_on(manifest: SchedulerManifest, kernel_release: str) -> tuple[Measured, ...]:
    """Return what was measured on kernels of the release's series."""
    return tuple(m for m in manifest.measured if kernel_release.startswith(f"{m.kernels}."))


def _refusal(manifest: SchedulerManifest, kernel_release: str) -> str | None:
    """Return why the verifier has refused it on such a kernel, if it has: it would again."""
    for found in _measured_on(manifest, kernel_release):
        if not found.accepted:
            return f"{manifest.name}: refused on {found.kernels}: {'; '.join(found.refused_for)}"
    return None


def _losses(manifest: SchedulerManifest, kernel_release: str) -> frozenset[ContractLoss]:
    """Return what was measured to be lost on such a kernel, or else on any.

    Where nothing was measured that is everything.
    """
    measured = _measured_on(manifest, kernel_release) or manifest.measured
    accepted = [found for found in measured if found.accepted]
    if not accepted:
        return frozenset(ContractLoss)
    return frozenset(loss for found in accepted for loss in found.contract_losses)


def _had(entry: LibraryEntry, programs: NodePrograms) -> LibraryEntry | Missing:
    """Return a scheduler as the nodes can have it: of a program, with the build that they have."""
    if entry.manifest.program is None:
        return entry
    build = build_on_all(entry.manifest, programs)
    return build if isinstance(build, Missing) else replace(entry, program_digest=build.digest)


def _by_rule(rule: _Rule, entry: LibraryEntry, profile: WorkloadProfile) -> Proposal:
    return _proposal(
        entry,
        fitting(entry.manifest, rule.knobs(profile)),
        entry.manifest.default_command_line,
        why=rule.why,
        expected=entry.manifest.good_for[:256],
    )


def _proposal(
    entry: LibraryEntry,
    arguments: tuple[Argument, ...],
    command_line: CommandLine,
    *,
    why: str,
    expected: str = "",
) -> Proposal:
    """Return a scheduler of the library, set like that, as a plan and a candidate."""
    name = entry.manifest.name
    plan = SchedulingPlan(
        kind=PlanKind.CONFIGURE,
        scheduler=name,
        arguments=arguments,
        command_line=command_line,
        rationale=f"{name}: {why}",
        expected=expected,
    )
    candidate = Candidate(
        kind=PlanKind.CONFIGURE,
        scheduler=name,
        arguments=arguments,
        source_digest=entry.source_digest,
        program_digest=entry.program_digest,
        command_line=command_line,
    )
    return Proposal(plan, candidate)


def fitting(manifest: SchedulerManifest, knobs: Knobs) -> tuple[Argument, ...]:
    """Return `knobs` as arguments that the manifest allows: unknown ones dropped, values clamped.

    A value that is the knob's default is left out.
    """
    known = {knob.name: knob for knob in manifest.knobs}
    arguments: list[Argument] = []
    for name, value in sorted(knobs.items()):
        knob = known.get(name)
        if knob is None:
            continue
        fits = max(knob.minimum, min(knob.maximum, int(value)))
        if fits != knob.default:
            text = ("true" if fits else "false") if knob.type == "bool" else str(fits)
            arguments.append(Argument(name=name, value=text))
    return tuple(arguments)


def _lesson_against(
    candidate: Candidate,
    description: WorkloadDescription,
    lessons: tuple[Lesson, ...],
    kernel_digest: str,
) -> str | None:
    """Return the words of a lesson that speaks against `candidate`, if there is one."""
    for lesson in lessons:
        outcome = lesson.outcome
        if lesson.result is not AttemptResult.ROLLED_BACK or outcome is None:
            continue
        if outcome.kind not in (OutcomeKind.WORSE, OutcomeKind.NO_EFFECT):
            continue
        kind = lesson.description.workload_class if lesson.description else None
        if lesson.kernel_digest != kernel_digest or kind is not description.workload_class:
            continue
        same = lesson.candidate.content_digest() == candidate.content_digest()
        crashed = outcome.reason in _CRASHED and lesson.candidate.scheduler == candidate.scheduler
        if same or crashed:
            return lesson.antipattern or f"{candidate.scheduler}: {outcome.reason}"
    return None


def _pinned(
    pinned: tuple[PinnedCandidate, ...], library: Library, programs: NodePrograms
) -> tuple[Proposal, ...] | PlanningFailed:
    problem = pinned_problem(pinned, library)
    if problem is not None:
        return problem
    proposals: list[Proposal] = []
    for wanted in pinned:
        entry = _had(library.entries[wanted.scheduler], programs)
        if isinstance(entry, Missing):
            message = f"pinned {wanted.scheduler}: {entry.message}"
            return PlanningFailed("ProgramNotOnNodes", message)
        arguments = tuple(sorted(wanted.arguments, key=lambda argument: argument.name))
        why = "pinned by the policy"
        proposals.append(_proposal(entry, arguments, wanted.command_line, why=why))
    return tuple(proposals)


def guardrail_limits(profile: WorkloadProfile) -> GuardrailLimits:
    """Return limits for the agents that the workload does not already break by itself.

    Neighbours that always wait are above the limit for pressure from the start; the agents then go
    by the pressure under which none of a pod's threads runs.
    """
    worst_ms = profile.target.wakeup_latency.max_ns // _MS
    return GuardrailLimits(
        target_latency_ms=max(2000, min(30_000, 4 * worst_ms)),
    )
