"""Good schedulers are accepted, bad ones are stopped at the stage that their comment names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.verdicts import Phase, VerificationRequest
from schedcp_verifier.kernels import KernelBundle
from support.laboratory import CONTRACT, Laboratory

DATA = Path(__file__).parent.parent / "data" / "schedulers"
GOOD = sorted((DATA / "good").glob("*.bpf.c"))
BAD = sorted((DATA / "bad").glob("*.bpf.c"))
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


def test_the_same_source_gives_the_same_object(
    laboratory: Laboratory, kernel: KernelBundle
) -> None:
    request = library_request("simple_fifo", kernel)
    subject = laboratory.verifier.subject(request)
    first, second = (laboratory.verifier.analyse(subject, request, kernel).object for _ in range(2))
    assert first is not None
    assert first == second


def test_the_library_is_accepted_on_every_kernel(
    laboratory: Laboratory, kernels: tuple[KernelBundle, ...]
) -> None:
    futures = {
        bundle.profile.release: laboratory.pool.submit(
            laboratory.verifier.verify, library_request("simple_fifo", bundle), bundle
        )
        for bundle in kernels
    }
    for release, future in futures.items():
        verdict = future.result(VERDICT_SECONDS).verdict
        assert verdict.accepted, (release, verdict.reasons())
        assert verdict.ops_name == "schedcp_simple_fifo"


@pytest.mark.parametrize("name", ["latency_class", "long_tail", "simple_fifo", "weighted_vtime"])
def test_every_kernel_can_build_the_whole_library(
    name: str, laboratory: Laboratory, kernels: tuple[KernelBundle, ...]
) -> None:
    for bundle in kernels:
        request = library_request(name, bundle)
        subject = laboratory.verifier.subject(request)
        analysed = laboratory.verifier.analyse(subject, request, bundle)
        assert not analysed.failed, [check.message for check in analysed.checks]


def library_request(name: str, kernel: KernelBundle) -> VerificationRequest:
    return VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler=name),
        kernel_digest=kernel.profile.content_digest(),
        contract=CONTRACT,
    )


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
