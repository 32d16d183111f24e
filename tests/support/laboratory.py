"""Verification on a real kernel, for the tests of the kernel tier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.verdicts import Check, EvaluationContract, ReplayMode, VerificationRequest
from schedcp_lab.kernels import SECOND_SERIES
from schedcp_verifier.booting import Tried, boot
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.guests import GuestPlan, GuestRun, course_plan, proof_plan
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library as SchedulerLibrary
from schedcp_verifier.objects import inspect
from schedcp_verifier.payloads import Payload
from schedcp_verifier.proving import Proof, judge_course, judge_proof
from schedcp_verifier.records import GuestReport
from schedcp_verifier.sharing import WAIVED_WITHOUT_POLICY
from schedcp_verifier.troubles import Course
from schedcp_verifier.verifying import Verified, Verifier
from support.verifier import source_request, workload_profile

CONTRACT = EvaluationContract(
    replay=ReplayMode.ADVISORY, waived_losses=WAIVED_WITHOUT_POLICY, seeds=1
)
PARALLEL_GUESTS = 2
PLANNED = {
    "latency_class": {"burst_limit_ns": "2000000"},
    "long_tail": {"slice_ns": "20000000"},
    "simple_fifo": {"slice_ns": "20000000"},
    "weighted_vtime": {"slice_ns": "5000000"},
}
"""Knobs as the planner sets them."""
LIBRARY = SchedulerLibrary(Path(__file__).parents[2] / "schedulers").own_names()
"""Every scheduler of the repository; programs of others are none."""


@dataclass
class Laboratory:
    """Verifies on the newest kernel, two guests at a time, each thing once."""

    verifier: Verifier
    kernel: KernelBundle
    pool: ThreadPoolExecutor
    started: dict[str, Future[Any]] = field(default_factory=dict)

    def begin(self, path: Path) -> Future[Verified]:
        """Start the verification of a source."""
        request = source_request(path, self.kernel, CONTRACT)
        return self._begun(f"{path}", lambda: self.verifier.verify(request, self.kernel))

    def begin_library(self, name: str, kernel: KernelBundle) -> Future[Verified]:
        """Start the proof of a scheduler of the library.

        What it gains is asked on the nodes' kernel only: elsewhere the default may leave nothing.
        """
        gains = name == "latency_class" and kernel.folder == self.kernel.folder
        request = library_request(name, kernel, replays=gains)
        work = partial(self.verifier.verify, request, kernel)
        return self._begun(f"{name} on {kernel.folder}", work)

    def begin_course(self, path: Path, course: Course) -> Future[tuple[Check, ...]]:
        """Start the trials of a source on one machine, whatever its bytecode tells."""

        def work() -> tuple[Check, ...]:
            payload, name = self._compiled(path)
            report = self._guest(course_plan(CONTRACT, course), payload, name)
            return judge_course(report, name, course)

        return self._begun(f"{path} on {course.topology}", work)

    def begin_main_guest(self, path: Path) -> Future[Proof]:
        """Start a source's main guest, whatever its bytecode tells."""

        def work() -> Proof:
            payload, name = self._compiled(path)
            return judge_proof(self._guest(proof_plan(CONTRACT), payload, name), name, CONTRACT)

        return self._begun(f"{path} in the main guest", work)

    def begin_keeper(self, name: str) -> Future[Proof]:
        """Start the main guest of a library scheduler that may lose nothing of the contract."""
        request = keeping_request(name, self.kernel)

        def work() -> Proof:
            subject = self.verifier.subject(request)
            analysed = self.verifier.analyse(subject, request, self.kernel)
            payload, facts = subject.payload(analysed.object), analysed.facts
            assert not analysed.failed, analysed.checks
            assert payload is not None
            assert facts is not None
            report = self._guest(proof_plan(request.contract), payload, facts.ops_name)
            return judge_proof(report, facts.ops_name, request.contract)

        return self._begun(f"{name} keeps", work)

    def submit(self, request: VerificationRequest) -> Future[Verified]:
        """Start any verification."""
        return self.pool.submit(self.verifier.verify, request, self.kernel)

    def _begun(self, key: str, work: Callable[[], object]) -> Future[Any]:
        if key not in self.started:
            self.started[key] = self.pool.submit(work)
        return self.started[key]

    def _compiled(self, path: Path) -> tuple[Payload, str]:
        """Return the object of a source, and what it calls itself."""
        subject = self.verifier.subject(source_request(path, self.kernel, CONTRACT))
        tools = self.verifier.tools
        with BuildRoom.prepared(subject.file_name, kernel=self.kernel, tools=tools) as room:
            built = room.compile(subject.source).object
        payload = subject.payload(built)
        assert built is not None
        assert payload is not None
        return payload, inspect(built).ops_name

    def _guest(self, plan: GuestPlan, payload: Payload, name: str) -> GuestReport:
        """Return what a guest reports; it must come through."""
        found = boot(self.verifier.guests, plan, Tried(payload, name, self.kernel, CONTRACT))
        assert isinstance(found, GuestRun), found
        return found.report


def keeping_request(name: str, kernel: KernelBundle) -> VerificationRequest:
    """Return the request for a scheduler of the library that may lose nothing."""
    return VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler=name),
        kernel_digest=kernel.profile.content_digest(),
        contract=CONTRACT.replace(waived_losses=()),
    )


def library_request(
    name: str,
    kernel: KernelBundle,
    *,
    replays: bool = False,
    knobs: Mapping[str, str] | None = None,
) -> VerificationRequest:
    """Return the request for a scheduler of the library, with a service's profile if asked.

    Without `knobs` they are as the planner sets them, if it does.
    """
    knobs = PLANNED.get(name, {}) if knobs is None else knobs
    contract = CONTRACT.replace(replay=ReplayMode.REQUIRED) if replays else CONTRACT
    return VerificationRequest(
        candidate=Candidate(
            kind=PlanKind.CONFIGURE,
            scheduler=name,
            arguments=tuple(Argument(name=knob, value=knobs[knob]) for knob in sorted(knobs)),
        ),
        kernel_digest=kernel.profile.content_digest(),
        profile=workload_profile() if replays else None,
        contract=contract,
    )


def unfit(missing: str, required_tiers: frozenset[str]) -> NoReturn:
    """Skip on a laptop, fail where the tier is required; `missing` says what is not there."""
    if "kernel" in required_tiers:
        pytest.fail(f"the kernel tier is required here, but {missing}; run `make setup`")
    pytest.skip(f"{missing}; run `make setup`")


def require_second_series(releases: Iterable[str], required_tiers: frozenset[str]) -> None:
    """Fail where the tier is required and no kernel of the second series is among the releases."""
    if "kernel" not in required_tiers:
        return
    if not any(release.startswith(f"{SECOND_SERIES}.") for release in releases):
        pytest.fail(
            f"the kernel tier is required here, but there is no kernel bundle of {SECOND_SERIES}: "
            "`make setup` makes one where the package source still has that series; otherwise put "
            "a bundle of another machine into .cache/kernels/RELEASE"
        )
