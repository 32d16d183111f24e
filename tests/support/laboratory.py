"""Verification on a real kernel, for the tests of the kernel tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.verdicts import EvaluationContract, ReplayMode, VerificationRequest
from schedcp_lab.kernels import SECOND_SERIES
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library as SchedulerLibrary
from schedcp_verifier.objects import inspect
from schedcp_verifier.proving import Proof
from schedcp_verifier.sharing import WAIVED_WITHOUT_POLICY
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
    """Verifies sources on the newest kernel, two guests at a time, each source once."""

    verifier: Verifier
    kernel: KernelBundle
    pool: ThreadPoolExecutor
    started: dict[str, Future[Verified]] = field(default_factory=dict)
    proofs: dict[Path, Future[Proof]] = field(default_factory=dict)

    def begin(self, path: Path) -> Future[Verified]:
        """Start the verification of a source, unless it was started before."""
        if str(path) not in self.started:
            request = source_request(path, self.kernel, CONTRACT)
            self.started[str(path)] = self.submit(request)
        return self.started[str(path)]

    def begin_library(self, name: str, kernel: KernelBundle) -> Future[Verified]:
        """Start the proof of a scheduler of the library, unless it was started before.

        What it gains is asked on the nodes' kernel only: elsewhere the default may leave nothing.
        """
        key = f"{name} {kernel.folder}"
        if key not in self.started:
            gains = name == "latency_class" and kernel.folder == self.kernel.folder
            request = library_request(name, kernel, replays=gains)
            self.started[key] = self.pool.submit(self.verifier.verify, request, kernel)
        return self.started[key]

    def begin_proof(self, path: Path) -> Future[Proof]:
        """Start the guests of a source, whatever its bytecode tells, unless they were before."""
        if path not in self.proofs:
            self.proofs[path] = self.pool.submit(self._proven, path)
        return self.proofs[path]

    def _proven(self, path: Path) -> Proof:
        verifier, kernel = self.verifier, self.kernel
        request = source_request(path, kernel, CONTRACT)
        subject = verifier.subject(request)
        with BuildRoom.prepared(subject.file_name, kernel=kernel, tools=verifier.tools) as room:
            built = room.compile(subject.source).object
        payload = subject.payload(built)
        assert built is not None
        assert payload is not None
        name = inspect(built).ops_name
        return verifier.prove(request, kernel, payload=payload, ops_name=name)

    def begin_keeper(self, name: str) -> Future[Verified]:
        """Start the proof of a scheduler that may lose nothing of the CPU contract."""
        key = f"{name} keeps"
        if key not in self.started:
            self.started[key] = self.submit(keeping_request(name, self.kernel))
        return self.started[key]

    def submit(self, request: VerificationRequest) -> Future[Verified]:
        """Start any verification."""
        return self.pool.submit(self.verifier.verify, request, self.kernel)


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
