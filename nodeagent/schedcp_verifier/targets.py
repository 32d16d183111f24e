"""What words on a command line name: a profile, a composition, a source, a program; as a request.

Whatever does not fit is a UsageError that says what would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.compositions import Composition
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.verdicts import EvaluationContract, VerificationRequest

from .composing import COMPOSITION_BYTES_MAX, compose, composition_of
from .documents import mapping_of
from .errors import UsageError
from .executables import Executable, executable_at, is_elf
from .kernels import KernelBundle
from .library import Library
from .patching import PATCH_BYTES_MAX, patch_of, patched_source

__all__ = [
    "TARGET_HELP",
    "Patched",
    "composition_in",
    "patched_of",
    "profile_of",
    "program_of",
    "request_of",
]

TARGET_HELP = (
    "SOURCE.bpf.c, a composition or a patch as YAML, a scheduler of the library, or the path of a "
    "program."
)
_COMPOSITIONS = (".yaml", ".yml", ".json")
_PATCH = "SchedulerPatch"


@dataclass(frozen=True)
class Patched:
    """What a patch makes of a scheduler of the library."""

    candidate: Candidate
    source: str


def profile_of(path: Path | None) -> WorkloadProfile | None:
    """Return the profile in a file, if one is named."""
    if path is None:
        return None
    try:
        return WorkloadProfile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is no workload profile: {error}") from error


def program_of(target: str, library: Library) -> Executable | None:
    """Return the program that a target names, if it names one: by its path, or the library's."""
    if target.endswith((".c", *_COMPOSITIONS)):
        return None
    if "/" not in target:
        found = library.program(target)
        return None if found is None else found.executable
    return executable_at(Path(target)) if is_elf(Path(target)) else None


def patched_of(target: str, library: Library) -> Patched | None:
    """Return what a target makes of its base in the library, if it is a patch."""
    if not target.endswith(_COMPOSITIONS):
        return None
    document = mapping_of(_document(Path(target), PATCH_BYTES_MAX), "document", PATCH_BYTES_MAX)
    if document.get("kind") != _PATCH:
        return None
    patch = patch_of(document)
    source = patched_source(library.scheduler(patch.base), patch)
    candidate = Candidate(
        kind=PlanKind.PATCH,
        scheduler=patch.name,
        source_digest=digest_of(source.encode()),
        base=patch.base,
        base_digest=patch.base_digest,
        patch_digest=patch.content_digest(),
    )
    return Patched(candidate, source)


def request_of(
    target: str,
    words: list[str],
    kernel: KernelBundle,
    *,
    contract: EvaluationContract,
    profile: WorkloadProfile | None,
    program: Executable | None = None,
    patched: Patched | None = None,
) -> VerificationRequest:
    """Return the request to verify what `target` names, with what stands behind `--`.

    For a program, which `program_of` has read, that is its command line, else knobs (NAME=VALUE).
    A patch is what `patched_of` has made of it.
    """
    source = None
    if program is not None:
        candidate = _program(Path(target), program, words)
    else:
        arguments = tuple(sorted(map(_argument, words), key=lambda argument: argument.name))
        candidate, source = (
            (patched.candidate, patched.source) if patched is not None else _candidate(target)
        )
        candidate = candidate.replace(arguments=arguments)
    return VerificationRequest(
        candidate=candidate,
        source=source,
        kernel_digest=kernel.profile.content_digest(),
        profile=profile,
        contract=contract,
    )


def _program(path: Path, program: Executable, words: list[str]) -> Candidate:
    try:
        return Candidate(
            kind=PlanKind.CONFIGURE,
            scheduler=_scheduler_name(path),
            program_digest=program.digest,
            command_line=tuple(words),
        )
    except ValidationError as error:
        raise UsageError(
            "a program's command line has at most 32 words of 128 letters, digits and _.,:=/@%+- "
            f"each; this one does not fit: {' '.join(words)!r}"
        ) from error


def _candidate(target: str) -> tuple[Candidate, str | None]:
    """Return what a target names: a composition, a source file, or a scheduler of the library."""
    if target.endswith(_COMPOSITIONS):
        composition = composition_in(Path(target))
        source = compose(composition)
        return Candidate(
            kind=PlanKind.COMPOSE,
            scheduler=composition.name,
            source_digest=digest_of(source.encode()),
            composition_digest=composition.content_digest(),
        ), source
    if not target.endswith(".c") and "/" not in target:
        return Candidate(kind=PlanKind.CONFIGURE, scheduler=target), None
    try:
        source = Path(target).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {target}: {error}") from error
    return Candidate(
        kind=PlanKind.GENERATE,
        scheduler=_scheduler_name(Path(target)),
        source_digest=digest_of(source.encode()),
    ), source


def composition_in(path: Path) -> Composition:
    """Return the composition that a file describes."""
    return composition_of(_document(path, COMPOSITION_BYTES_MAX))


def _document(path: Path, bytes_max: int) -> bytes:
    """Return a file, or one byte more than it may have."""
    try:
        with path.open("rb") as file:
            return file.read(bytes_max + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from error


def _scheduler_name(path: Path) -> str:
    stem = path.name.removesuffix(".c").removesuffix(".bpf").lower()
    name = re.sub(r"[^a-z0-9_]", "_", stem)[:63]
    return name if name[:1].isalpha() else f"s_{name}"[:63]


def _argument(text: str) -> Argument:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not NAME=VALUE")
    try:
        return Argument(name=name, value=value)
    except ValidationError as error:
        raise UsageError(f"{text!r}: a knob is NAME=NUMBER, NAME=true or NAME=false") from error
