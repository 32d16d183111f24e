from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.candidates import Argument, Candidate, Confidence, PlanKind, WorkloadClass
from schedcp_api.manifests import Knob
from schedcp_api.policies import BuiltinMetric, MetricSource, Objective, PinnedCandidate, Search
from schedcp_api.profiles import Distribution, GroupProfile
from schedcp_api.runs import AttemptResult, Lesson, Outcome, OutcomeKind
from schedcp_operator.describe import describe
from schedcp_operator.errors import SettingsError
from schedcp_operator.events import PlanningFailed, PlansMade
from schedcp_operator.library import Library, LibraryEntry, load_manifests
from schedcp_operator.planner import fitting, guardrail_limits, latency_knobs, make_plans, round_125
from support.operator_library import LIBRARY, manifest
from support.operator_nouns import KERNEL, NOW, policy_spec
from support.operator_profiles import HOGS, LATENCY_TARGET, NONE, distribution, group, profile
from support.workloads import COMPUTING, IDLE, LONG_TAIL, UNSURE

MS = 1_000_000


@pytest.mark.parametrize(
    ("target", "kind", "first"),
    [
        (LATENCY_TARGET, WorkloadClass.LATENCY_SENSITIVE, "latency_class"),
        (LONG_TAIL, WorkloadClass.LONG_TAIL_BATCH, "long_tail"),
        (COMPUTING, WorkloadClass.THROUGHPUT_BATCH, "throughput"),
        (UNSURE, WorkloadClass.MIXED, "mixed_service"),
        (IDLE, WorkloadClass.IDLE, None),
    ],
)
def test_behaviour_decides(target: GroupProfile, kind: WorkloadClass, first: str | None) -> None:
    made = plans(target)
    assert made.description.workload_class is kind
    names = [proposal.candidate.scheduler for proposal in made.proposals]
    assert names[:1] == ([first] if first else [])
    assert len(set(names)) == len(names)


def plans(
    target: GroupProfile = LATENCY_TARGET,
    *,
    search: Search | None = None,
    lessons: tuple[Lesson, ...] = (),
    library: Library = LIBRARY,
) -> PlansMade:
    """The planner's answer, which must be one."""
    made = make_plans(
        profile(target),
        policy_spec(search=search or Search()),
        library=library,
        lessons=lessons,
        kernel_digest=KERNEL.content_digest(),
        kernel_release=KERNEL.release,
    )
    assert isinstance(made, PlansMade)
    return made


def test_names_are_not_looked_at() -> None:
    first = plans()
    renamed = make_plans(
        profile().replace(workload="Deployment/batch/long-tail-hog", node="node-2"),
        policy_spec(),
        library=LIBRARY,
        kernel_digest=KERNEL.content_digest(),
        kernel_release=KERNEL.release,
    )
    assert first == renamed


def test_the_objective_decides_between_equals() -> None:
    waiting = plans(UNSURE).proposals[0].candidate.scheduler
    pressure = MetricSource(builtin=BuiltinMetric.CPU_PRESSURE)
    other = make_plans(
        profile(UNSURE),
        policy_spec(objective=Objective(metric=pressure)),
        library=LIBRARY,
        kernel_digest=KERNEL.content_digest(),
        kernel_release=KERNEL.release,
    )
    assert isinstance(other, PlansMade)
    assert waiting == "mixed_service"
    assert [p.candidate.scheduler for p in other.proposals][1] == "weighted_vtime"


def test_the_line_lies_between_target_and_neighbours() -> None:
    knobs = latency_knobs(profile())
    assert LATENCY_TARGET.burst.p90_ns < int(knobs["burst_limit_ns"]) < HOGS.burst.p50_ns
    assert knobs["sleep_percent"] == 50


def test_the_library_of_the_repository_takes_every_knob(repository: Path) -> None:
    library = Library(load_manifests(repository / "schedulers" / "manifests"))
    seen: set[str] = set()
    for target in (LATENCY_TARGET, LONG_TAIL, COMPUTING, UNSURE):
        for proposal in plans(target, library=library).proposals:
            found = library.get(proposal.candidate.scheduler)
            assert found is not None
            assert found.manifest.problems(proposal.candidate.arguments) == ()
            seen.add(proposal.candidate.scheduler)
    sources = {name for name, entry in library.entries.items() if entry.manifest.source}
    assert sources < set(library.entries), "no node has a program"
    assert seen == sources - {"locality"}, "nothing in a profile tells of caches yet"
    slow = LATENCY_TARGET.replace(burst=distribution(20_000, 3 * MS, 8 * MS))
    first = plans(slow, library=library).proposals[0].candidate
    assert [argument.name for argument in first.arguments][:1] == ["burst_limit_ns"]


@given(st.floats(1, 1e12))
def test_rounding_is_to_one_two_five_and_near(value: float) -> None:
    rounded = round_125(value)
    assert str(rounded).rstrip("0") in ("1", "2", "5")
    assert 0.5 <= rounded / value <= 2.0


SPAN = Knob(name="span", type="u32", default=5, minimum=2, maximum=9, summary="")
FLAG = Knob(name="flag", type="bool", default=0, minimum=0, maximum=1, summary="")


@pytest.mark.parametrize(
    ("knobs", "arguments"),
    [
        ({"span": 1}, {"span": "2"}),
        ({"span": 100}, {"span": "9"}),
        ({"span": 5}, {}),
        ({"flag": True}, {"flag": "true"}),
        ({"flag": False}, {}),
        ({"unknown": 1}, {}),
    ],
)
def test_knobs_fit_the_manifest(knobs: dict[str, int], arguments: dict[str, str]) -> None:
    found = fitting(manifest("x", SPAN, FLAG), knobs)
    assert {argument.name: argument.value for argument in found} == arguments


def lesson(
    candidate: Candidate,
    kind: OutcomeKind = OutcomeKind.WORSE,
    *,
    reason: str = "Worse",
    result: AttemptResult = AttemptResult.ROLLED_BACK,
    kernel: str = KERNEL.content_digest(),
) -> Lesson:
    """A lesson about `candidate` on latency-sensitive work."""
    return Lesson(
        run="before",
        policy="checkout",
        workload="Deployment/shop/checkout",
        description=plans().description,
        profile_digest=None,
        kernel_digest=kernel,
        candidate=candidate,
        result=result,
        outcome=Outcome(kind=kind, reason=reason),
        antipattern="do not",
        at=NOW,
    )


def test_what_was_rolled_back_is_not_proposed_again() -> None:
    first, second, *_ = plans().proposals
    after = plans(lessons=(lesson(first.candidate),))
    assert after.proposals[0] == second
    assert after.set_aside == ("do not",)


def test_what_crashed_is_not_proposed_with_other_knobs_either() -> None:
    first = plans().proposals[0].candidate
    other = first.replace(arguments=(Argument(name="slice_ns", value="1000000"),))
    crashed = lesson(other, reason="Ejected")
    assert plans(lessons=(crashed,)).proposals[0].candidate.scheduler != first.scheduler
    assert plans(lessons=(lesson(other),)).proposals[0].candidate == first


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": OutcomeKind.INCONCLUSIVE},
        {"kind": OutcomeKind.ERROR},
        {"result": AttemptResult.REJECTED},
        {"kernel": "sha256:" + 64 * "0"},
    ],
)
def test_lessons_that_prove_nothing_here_are_no_reason(changes: dict[str, object]) -> None:
    first = plans().proposals[0].candidate
    unproven = lesson(first, **changes)  # type: ignore[arg-type]
    assert plans(lessons=(unproven,)).proposals[0].candidate == first


def test_pinned_candidates_are_taken_in_order_whatever_the_lessons_say() -> None:
    argument = Argument(name="slice_ns", value="2000000")
    pinned = (
        PinnedCandidate(scheduler="long_tail", arguments=(argument,)),
        PinnedCandidate(scheduler="simple_fifo"),
    )
    made = plans(search=Search(pinned=pinned))
    assert [p.candidate.scheduler for p in made.proposals] == ["long_tail", "simple_fifo"]
    assert made.proposals[0].candidate.arguments == (argument,)


@pytest.mark.parametrize(
    ("pinned", "words"),
    [
        (PinnedCandidate(scheduler="nobody"), "there is no scheduler 'nobody'; there are:"),
        (
            PinnedCandidate(
                scheduler="simple_fifo", arguments=(Argument(name="colour", value="1"),)
            ),
            "simple_fifo has no knob 'colour'; it has: slice_ns",
        ),
        (
            PinnedCandidate(
                scheduler="simple_fifo", arguments=(Argument(name="slice_ns", value="1"),)
            ),
            "slice_ns=1 is outside",
        ),
        (
            PinnedCandidate(
                scheduler="simple_fifo",
                arguments=2 * (Argument(name="slice_ns", value="2000000"),),
            ),
            "given twice",
        ),
    ],
)
def test_pinned_candidates_must_exist_and_fit(pinned: PinnedCandidate, words: str) -> None:
    made = make_plans(
        profile(),
        policy_spec(search=Search(pinned=(pinned,))),
        library=LIBRARY,
        kernel_digest=KERNEL.content_digest(),
        kernel_release=KERNEL.release,
    )
    assert isinstance(made, PlanningFailed)
    assert words in made.message


def test_imported_sources_can_be_pinned() -> None:
    digest = "sha256:" + 64 * "a"
    library = Library({**LIBRARY.entries, "mine": LibraryEntry(manifest("mine"), digest)})
    made = plans(search=Search(pinned=(PinnedCandidate(scheduler="mine"),)), library=library)
    assert made.proposals[0].candidate.source_digest == digest


def test_nothing_is_proposed_when_configuring_is_not_allowed() -> None:
    assert plans(search=Search(allow=(PlanKind.GENERATE,))).proposals == ()


def test_a_profile_of_another_kernel_is_refused() -> None:
    made = make_plans(
        profile(),
        policy_spec(),
        library=LIBRARY,
        kernel_digest="sha256:" + 64 * "0",
        kernel_release=KERNEL.release,
    )
    assert isinstance(made, PlanningFailed)
    assert made.reason == "WrongProfile"


@pytest.mark.parametrize(
    ("count", "lost", "confidence"),
    [(20_000, 0, Confidence.HIGH), (20_000, 1000, Confidence.MEDIUM), (50, 0, Confidence.LOW)],
)
def test_confidence_follows_the_samples(count: int, lost: int, confidence: Confidence) -> None:
    seen = profile(LATENCY_TARGET.replace(wakeup_latency=distribution(count, MS, 2 * MS)))
    found = describe(seen.replace(lost_samples=lost), Objective())
    assert found.confidence is confidence


def test_limits_are_ones_that_the_workload_keeps_by_itself() -> None:
    crowded = guardrail_limits(profile())
    assert crowded.neighbour_pressure_permille == 950
    calm = guardrail_limits(profile().replace(neighbours=HOGS.replace(cpu_pressure_permille=100)))
    assert calm.neighbour_pressure_permille == 950
    slow = LATENCY_TARGET.replace(wakeup_latency=distribution(10, MS, 1500 * MS))
    assert guardrail_limits(profile(slow)).target_latency_ms == 12_000


durations = st.integers(0, 10**10)


@st.composite
def distributions(draw: st.DrawFn) -> Distribution:
    """Any distribution with ordered quantiles."""
    count = draw(st.integers(0, 10**6))
    if count == 0:
        return NONE
    points = sorted(draw(st.lists(durations, min_size=8, max_size=8)))
    names = ("p10_ns", "p25_ns", "p50_ns", "p75_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")
    return Distribution(
        count=count, mean_ns=draw(durations), **dict(zip(names, points, strict=True))
    )


@given(distributions(), distributions(), distributions(), st.integers(0, 10_000))
def test_every_profile_has_a_class_and_plans_that_fit(
    burst: Distribution, sleep: Distribution, latency: Distribution, cpu_milli: int
) -> None:
    made = plans(group(cpu_milli=cpu_milli, burst=burst, sleep=sleep, latency=latency))
    for proposal in made.proposals:
        entry = LIBRARY.get(proposal.candidate.scheduler)
        assert entry is not None
        assert entry.manifest.problems(proposal.candidate.arguments) == ()


def test_manifests_must_be_valid(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no manifests"):
        load_manifests(tmp_path)
    path = tmp_path / "other.yaml"
    path.write_text(manifest("simple_fifo").model_dump_json(by_alias=True))
    with pytest.raises(SettingsError, match="is the manifest of simple_fifo"):
        load_manifests(tmp_path)
    path.write_text("name: [")
    with pytest.raises(SettingsError, match="is not a scheduler's manifest"):
        load_manifests(tmp_path)
