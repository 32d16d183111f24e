"""Good schedulers are accepted, bad ones are stopped at the stage that their comment names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schedcp_api.base import percent_value
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.verdicts import Phase, ReplayMode, Verdict
from schedcp_verifier.enduring import STARVED_NS
from schedcp_verifier.guests import proof_plan
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.payloads import LoadedObject
from schedcp_verifier.troubles import HEARTS, MAIN_COURSE, OTHER_COURSES, Course
from support.laboratory import CONTRACT, Laboratory, library_request
from support.verifier import workload_profile

DATA = Path(__file__).parent.parent / "data" / "schedulers"
GOOD = [DATA / f"good/{name}.bpf.c" for name in ("lives_with_hotplug", "takes_four_at_once")]
BAD = [
    DATA / f"bad/{name}.bpf.c"
    for name in (
        "L01-endless-dispatch",
        "L03-unchecked-lookup",
        "L09-truncated-local",
        "L15-watchdog-off",
        "M01-extra-program",
        "M05-borrowed-name",
        "Q11-knows-the-benchmark",
        "R01-unborn-queue",
        "T02-parked-elsewhere",
        "T08-strict-priority",
    )
]
"""Some of the examination set, through the whole pipeline; `make bench-verifier` takes all."""
ON_MACHINES = {
    "Q07-lower-half": ("work-conservation", MAIN_COURSE),
    "T13-four-cpus-at-most": ("trials", OTHER_COURSES[0]),
}
"""What guests must see by themselves, whether or not the bytecode tells it: which check, where."""
SOAKED = DATA / "bad/T12-after-a-quarter-of-an-hour.bpf.c"
LATENCY_CLASS, LONG_TAIL = "latency_class", "long_tail"
"""As the demo's planner chooses for services and for batches; `make bench-library` takes all."""
VERDICT_SECONDS = 900


def stages_named(path: Path) -> set[str]:
    """Return the stages that the top comment allows to stop the scheduler."""
    comment = path.read_text().partition("*/")[0].replace("\n *", "")
    found = re.search(r"Stopped at ([A-Z]\w+(?: or [A-Z]\w+)*)", comment)
    assert found is not None, f"{path.name} does not say which stage must stop it"
    return set(found[1].split(" or "))


@pytest.mark.parametrize("source_path", GOOD, ids=lambda path: path.name.partition(".")[0])
def test_a_good_scheduler_is_accepted(laboratory: Laboratory, source_path: Path) -> None:
    verdict = laboratory.begin(source_path).result(VERDICT_SECONDS).verdict
    assert verdict.accepted, verdict.reasons()
    assert not verdict.undecided
    assert verdict.digest is not None


@pytest.mark.parametrize("source_path", BAD, ids=lambda path: path.name.partition(".")[0])
def test_a_bad_scheduler_is_stopped_where_it_should(
    laboratory: Laboratory, source_path: Path
) -> None:
    verdict = laboratory.begin(source_path).result(VERDICT_SECONDS).verdict
    failed = [check for check in verdict.checks if check.phase is Phase.FAILED]
    assert not verdict.accepted
    assert failed, verdict.reasons()
    assert failed[0].stage.value in stages_named(source_path), verdict.reasons()
    assert all(check.message for check in failed)


@pytest.mark.parametrize(
    ("coursed", "check"),
    [((DATA / f"bad/{name}.bpf.c", course), id_) for name, (id_, course) in ON_MACHINES.items()],
    ids=ON_MACHINES,
)
def test_guests_see_it_too(
    coursed: tuple[Path, Course], check: str, laboratory: Laboratory
) -> None:
    path, course = coursed
    checks = laboratory.begin_course(path, course).result(VERDICT_SECONDS)
    failed = {found.id for found in checks if found.phase is Phase.FAILED}
    assert f"{check}-on-{course.topology}" in failed, checks


@pytest.mark.parametrize("soaked_path", [SOAKED], ids=lambda path: path.name.partition(".")[0])
def test_time_shows_what_is_bad_later(soaked_path: Path, laboratory: Laboratory) -> None:
    proof = laboratory.begin_main_guest(soaked_path).result(VERDICT_SECONDS)
    failed = {found.id for found in proof.checks if found.phase is Phase.FAILED}
    assert failed == {"soak"}, proof.checks


def test_the_same_source_gives_the_same_object(
    laboratory: Laboratory, kernel: KernelBundle
) -> None:
    request = library_request("simple_fifo", kernel)
    subject = laboratory.verifier.subject(request)
    first, second = (laboratory.verifier.analyse(subject, request, kernel).object for _ in range(2))
    assert first is not None
    assert first == second


@pytest.mark.parametrize("library_name", [LATENCY_CLASS])
def test_the_library_is_accepted_with_the_planners_knobs(
    library_name: str, laboratory: Laboratory, kernel: KernelBundle
) -> None:
    verdict = laboratory.begin_library(library_name, kernel).result(VERDICT_SECONDS).verdict
    assert verdict.accepted, verdict.reasons()
    assert verdict.ops_name == f"schedcp_{library_name}"
    assert verdict.replay is not None
    assert percent_value(verdict.replay.improvement) > 20
    assert counters(verdict)["aged_dispatches"] > 0


def counters(verdict: Verdict) -> dict[str, int]:
    """Return the scheduler's own statistics at the end of the trials."""
    (trials,) = [check for check in verdict.checks if check.id == "trials"]
    pairs = (line.split() for line in trials.evidence["counters"])
    return {name: int(count) for name, count in pairs}


def test_the_other_kernels_accept_the_library_too(
    laboratory: Laboratory, kernel: KernelBundle, kernels: tuple[KernelBundle, ...]
) -> None:
    others = [bundle for bundle in kernels if bundle.folder != kernel.folder]
    begun = {
        bundle.profile.release: laboratory.begin_library(LONG_TAIL, bundle) for bundle in others
    }
    if not begun:
        pytest.skip("there is one kernel bundle only")  # where the tier is required, there are two
    for release, future in begun.items():
        verdict = future.result(VERDICT_SECONDS).verdict
        assert verdict.accepted, (release, verdict.reasons())
        assert counters(verdict)["aged_dispatches"] > 0


def test_longest_first_is_no_gain_for_a_service(
    laboratory: Laboratory, kernel: KernelBundle
) -> None:
    verifier = laboratory.verifier
    request = library_request("long_tail", kernel).replace(
        profile=workload_profile(), contract=CONTRACT.replace(replay=ReplayMode.REQUIRED)
    )
    subject = verifier.subject(request)
    payload = subject.payload(verifier.analyse(subject, request, kernel).object)
    assert payload is not None
    found = verifier.replay(request, kernel, payload=payload, ops_name="schedcp_long_tail")
    assert [check.phase for check in found.checks] == [Phase.FAILED]
    assert found.replay is not None
    assert percent_value(found.replay.improvement) < 5


def test_the_kernels_own_scheduler_starves_nobody_by_the_same_measure(
    laboratory: Laboratory, kernel: KernelBundle
) -> None:
    plan = proof_plan(CONTRACT).without_candidate()
    report = laboratory.verifier.guests.run(plan, kernel, LoadedObject(b"", ())).report
    gaps = {beat.class_: beat.longest_gap_ns for beat in report.heartbeats}
    watched = report.trials[-1].longest_gaps_ns
    assert set(gaps) == set(HEARTS)
    assert len(watched) == 4
    assert max(*gaps.values(), *watched.values()) < STARVED_NS


def test_a_library_scheduler_takes_only_the_knobs_it_has(
    laboratory: Laboratory, kernel: KernelBundle
) -> None:
    short = Argument(name="slice_ns", value="1")
    candidate = Candidate(kind=PlanKind.CONFIGURE, scheduler="simple_fifo", arguments=(short,))
    request = library_request("simple_fifo", kernel).replace(candidate=candidate)
    verifier = laboratory.verifier
    analysed = verifier.analyse(verifier.subject(request), request, kernel)
    assert analysed.checks[0].id == "arguments"
    assert analysed.checks[0].phase is Phase.FAILED
