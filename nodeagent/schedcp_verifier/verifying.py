"""The pipeline: a request and a kernel in, a verdict and an object out, cheapest stage first.

A stage that fails ends it, because what follows would judge something that is refused already. A
guest that was lost is neither a pass nor a rejection: its check says Error and nothing is accepted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Self

from schedcp_api.base import canonical_json, digest_of
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.verdicts import (
    Check,
    ContractLoss,
    Phase,
    ReplayMode,
    Stage,
    Verdict,
    VerificationRequest,
)

from .analysing import analyse_bytecode
from .booting import Tried, boot, prove
from .building import BuildRoom, Toolchain
from .checks import error, failed, passed, skipped
from .errors import LibraryInvalid
from .executables import Executable
from .guests import GuestFactory, replay_plan
from .kernels import KernelBundle
from .library import Library
from .manifests import command_line_checks, knobs_check, needs_check, require_name
from .objects import ObjectFacts, inspect, judge_object
from .payloads import Payload, StartedProgram
from .processes import run
from .proving import Proof, all_well
from .replaying import Replayed, judge_replay
from .settings import Settings
from .sources import judge_expanded, judge_written, without_reports
from .subjects import (
    Subject,
    stages_missing,
    subject_of,
    unseen_checks,
)
from .workloads import WorkloadSpec, workload_of

__all__ = ["Analysed", "Subject", "Verified", "Verifier"]

_TOOL_SECONDS = 30.0
Notify = Callable[[str], None]


@dataclass(frozen=True)
class Analysed:
    """What the static stages found."""

    checks: tuple[Check, ...]
    object: bytes | None = None
    facts: ObjectFacts | None = None

    @property
    def failed(self) -> bool:
        """Whether some check refuses the candidate."""
        return _any_failed(self.checks)


@dataclass(frozen=True)
class Verified:
    """A verdict with the object that it is about."""

    verdict: Verdict
    object: bytes | None


@dataclass(frozen=True)
class _Found:
    """What all stages but the replay found."""

    checks: tuple[Check, ...]
    losses: tuple[ContractLoss, ...]
    object: bytes | None
    ops_name: str

    @classmethod
    def without_replay(cls, proven: Verified) -> Self:
        """Return what an acceptance found, apart from its replay."""
        verdict = proven.verdict
        checks = tuple(check for check in verdict.checks if check.stage is not Stage.REPLAY)
        return cls(checks, verdict.contract_losses, proven.object, verdict.ops_name)


def _any_failed(checks: tuple[Check, ...]) -> bool:
    return any(check.phase is Phase.FAILED for check in checks)


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Verifier:
    """Everything that verification needs of this machine."""

    library: Library
    tools: Toolchain
    guests: GuestFactory
    executables: Mapping[str, Executable] = field(default_factory=dict)
    """Programs by their digests: no request carries one."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the verifier that `settings` describe."""
        folder = settings.schedulers_dir.resolve()
        return cls(
            Library(folder, settings.stock_dir.resolve()),
            Toolchain(
                settings.clang,
                settings.llvm_strip,
                settings.libbpf_headers,
                folder / "include",
                (settings.state_dir.absolute(),),
            ),
            GuestFactory(
                settings.programs.resolve(),
                settings.busybox,
                settings.qemu,
                settings.vm_deadline_seconds,
            ),
        )

    def having(self, executable: Executable | None) -> Self:
        """Return a verifier that has this program, too, if there is one."""
        if executable is None:
            return self
        return replace(self, executables={**self.executables, executable.digest: executable})

    def subject(self, request: VerificationRequest) -> Subject:
        """Return what a request is about; raise UsageError when it contradicts itself."""
        return subject_of(request, self.library, self.executables)

    def analyse(
        self, subject: Subject, request: VerificationRequest, kernel: KernelBundle
    ) -> Analysed:
        """Run the static stages: Source, Build, Bytecode. A program passes them by."""
        if subject.executable is not None:
            words, manifest = subject.command_line, subject.manifest
            known = command_line_checks(manifest, words) if manifest is not None else ()
            return Analysed((*known, *unseen_checks(subject.executable)))
        trusted = subject.manifest is not None
        checks: tuple[Check, ...] = judge_written(subject.source, trusted=trusted)
        if subject.manifest is not None:
            fits = knobs_check(subject.manifest, subject.arguments)
            checks = (fits, needs_check(subject.manifest, kernel), *checks)
        if _any_failed(checks):
            return Analysed(checks)
        with BuildRoom.prepared(subject.file_name, kernel=kernel, tools=self.tools) as room:
            checks += _expanded(room, subject.source, trusted=trusted)
            if _any_failed(checks):
                return Analysed(checks)
            built = room.compile(subject.source)
        checks += built.checks
        if built.object is None:
            return Analysed(checks)
        facts, found = self._bytecode(built.object, subject, request, kernel)
        return Analysed((*checks, *found), built.object, facts)

    def _bytecode(
        self, data: bytes, subject: Subject, request: VerificationRequest, kernel: KernelBundle
    ) -> tuple[ObjectFacts | None, tuple[Check, ...]]:
        try:
            facts = inspect(data)
        except ValueError as error_:
            return None, (failed("object", Stage.BYTECODE, f"the object cannot be read: {error_}"),)
        manifest = subject.manifest
        if manifest is not None and facts.ops_name != manifest.ops_name:
            raise LibraryInvalid(
                f"the manifest of {manifest.name} says {manifest.ops_name!r}, the object calls "
                f"itself {facts.ops_name!r}"
            )
        checks = judge_object(
            facts,
            request.contract,
            trusted=manifest is not None,
            kernel_has=kernel.has_function,
            knobs=manifest.knobs if manifest is not None else (),
            arguments=subject.arguments,
        )
        return facts, (*checks, *analyse_bytecode(data, kernel.facts, subject.arguments))

    def identity(self, request: VerificationRequest, kernel: KernelBundle) -> str:
        """Return the digest of all that a verdict depends on beside the request itself."""
        subject = self.subject(request)
        qemu = run([self.guests.qemu, "--version"], timeout_seconds=_TOOL_SECONDS).stdout
        parts = {
            "source": subject.source_digest or "none",
            "program": subject.executable.inventory() if subject.executable else [],
            "manifest": subject.manifest.to_json() if subject.manifest else {},
            "build": self.tools.fingerprint(kernel),
            "kernel": digest_of(kernel.image.read_bytes()),
            "config": digest_of(kernel.config) if subject.executable else "",
            "guest": self.guests.digest(),
            "qemu": digest_of(qemu),
            "verifier": _own_digest(),
        }
        return digest_of(canonical_json(parts))

    def verify(
        self,
        request: VerificationRequest,
        kernel: KernelBundle,
        notify: Notify = _silent,
        *,
        proven: Verified | None = None,
    ) -> Verified:
        """Return the verdict on a candidate; `notify` hears which stage begins.

        `proven` is an acceptance of the very same under another profile, or none: all of it still
        holds but its replay.
        """
        started = time.monotonic()
        subject = self.subject(request)
        payload = subject.payload(proven.object) if proven is not None else None
        if proven is not None and payload is not None:
            notify("Replay; the rest was proven before")
            found, name = _Found.without_replay(proven), proven.verdict.ops_name
            replayed = self.replay(request, kernel, payload=payload, ops_name=name)
        else:
            notify("Source, Build, Bytecode")
            found, replayed = self._prove_all(request, kernel, subject, notify)
        took = time.monotonic() - started
        verdict = _verdict(request, subject, kernel, found=found, replayed=replayed, seconds=took)
        # What was refused goes nowhere: nobody has a use for it but to load it.
        return Verified(verdict, found.object if verdict.accepted else None)

    def _prove_all(
        self, request: VerificationRequest, kernel: KernelBundle, subject: Subject, notify: Notify
    ) -> tuple[_Found, Replayed]:
        analysed = self.analyse(subject, request, kernel)
        payload = subject.payload(analysed.object)
        name = analysed.facts.ops_name if analysed.facts is not None else ""
        if payload is None or analysed.failed:
            return _Found(analysed.checks, (), analysed.object, name), Replayed(())
        if isinstance(payload, StartedProgram):
            return self._prove_program(request, kernel, subject, payload, analysed.checks, notify)
        notify("Attach, Dynamic, Contract; Replay beside them")
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="guest") as pool:
            proving = pool.submit(self.prove, request, kernel, payload=payload, ops_name=name)
            replaying = pool.submit(self.replay, request, kernel, payload=payload, ops_name=name)
            proof, replayed = proving.result(), replaying.result()
        checks = (*analysed.checks, *proof.checks)
        return _Found(checks, proof.losses, analysed.object, name), replayed

    def _prove_program(
        self,
        request: VerificationRequest,
        kernel: KernelBundle,
        subject: Subject,
        payload: StartedProgram,
        checks: tuple[Check, ...],
        notify: Notify,
    ) -> tuple[_Found, Replayed]:
        """Prove a program, then replay it: what its scheduler is called shows when it attaches."""
        notify("Attach, Dynamic, Contract")
        proof = self.prove(request, kernel, payload=payload, ops_name="")
        require_name(subject.manifest, proof.ops_name)
        found = _Found((*checks, *proof.checks), proof.losses, None, proof.ops_name)
        if not all_well(proof.checks):
            return found, Replayed(())
        notify("Replay")
        return found, self.replay(request, kernel, payload=payload, ops_name=proof.ops_name)

    def prove(
        self,
        request: VerificationRequest,
        kernel: KernelBundle,
        *,
        payload: Payload,
        ops_name: str,
    ) -> Proof:
        """Boot the proof's guests and judge what they report."""
        return prove(self.guests, Tried(payload, ops_name, kernel, request.contract))

    def replay(
        self,
        request: VerificationRequest,
        kernel: KernelBundle,
        *,
        payload: Payload,
        ops_name: str,
    ) -> Replayed:
        """Boot the replay's guest and judge its figures, or say why there is nothing to replay."""
        profile = request.profile
        if profile is None:
            return Replayed((_without_profile(request),))
        spec, refusal = _spec_of(profile)
        if spec is None:
            return Replayed((refusal,))
        plan = replay_plan(request.contract, spec)
        found = boot(self.guests, plan, Tried(payload, ops_name, kernel, request.contract))
        if isinstance(found, Check):
            return Replayed((found.replace(id="replay", stage=Stage.REPLAY),))
        return judge_replay(found.report, ops_name, request.contract, profile=profile, spec=spec)


def _expanded(room: BuildRoom, source: bytes, *, trusted: bool) -> tuple[Check, ...]:
    """Return the checks on what the preprocessor makes of a source."""
    text, problems = room.preprocess(source)
    if problems:
        return problems
    silent = without_reports(source)
    if silent == source:
        return judge_expanded(text, text, trusted=trusted)
    unreported, problems = room.preprocess(silent)
    return judge_expanded(text, text if problems else unreported, trusted=trusted)


@cache
def _own_digest() -> str:
    """Return the digest of this package as it was when it was first asked for."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return digest_of(b"".join(path.read_bytes() for path in sources))


def _spec_of(profile: WorkloadProfile) -> tuple[WorkloadSpec | None, Check]:
    try:
        return workload_of(profile), passed("replay", Stage.REPLAY, "the profile can be replayed")
    except ValueError as reason:
        return None, error("replay", Stage.REPLAY, str(reason))


def _without_profile(request: VerificationRequest) -> Check:
    """A contract that requires a replay cannot be met without a profile."""
    if request.contract.replay is ReplayMode.REQUIRED:
        return failed(
            "replay",
            Stage.REPLAY,
            "the contract requires a replay, but the request has no profile: send one, or make "
            "the replay advisory",
        )
    return skipped("replay", Stage.REPLAY, "no profile was given, so there is nothing to replay")


def _verdict(
    request: VerificationRequest,
    subject: Subject,
    kernel: KernelBundle,
    *,
    found: _Found,
    replayed: Replayed,
    seconds: float,
) -> Verdict:
    checks = (*found.checks, *replayed.checks)
    candidate, payload = request.candidate, subject.payload(found.object)
    return Verdict(
        accepted=all_well(checks) and not stages_missing(candidate, checks),
        checks=checks,
        contract_losses=found.losses,
        replay=replayed.replay,
        scheduler=candidate.scheduler,
        ops_name=found.ops_name[:256],
        arguments=subject.arguments,
        candidate_digest=candidate.content_digest(),
        source_digest=subject.source_digest,
        program_digest=subject.executable.digest if subject.executable is not None else None,
        command_line=subject.command_line,
        digest=payload.digest if payload is not None else None,
        contract_digest=request.contract.content_digest(),
        kernel=kernel.profile,
        duration_seconds=round(seconds),
    )
