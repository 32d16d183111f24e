"""What a request is about: a source with its knobs, or a program with its command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, CommandLine
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.verdicts import Check, Phase, Stage, VerificationRequest

from .checks import skipped, warning
from .errors import ToolMissing, UsageError
from .executables import Executable
from .library import Library
from .payloads import LoadedObject, StartedProgram

__all__ = ["Subject", "stages_missing", "subject_of", "unseen_checks"]


@dataclass(frozen=True)
class Subject:
    """What is to be judged: a source with its knobs, or a program; from the library or not."""

    name: str
    source: bytes
    arguments: tuple[Argument, ...] = ()
    manifest: SchedulerManifest | None = None
    """Given for schedulers of the library, which may carry its names."""
    executable: Executable | None = None
    """Given for programs, which have no source."""
    command_line: CommandLine = ()

    @property
    def file_name(self) -> str:
        """What the compiler is told that the source is called."""
        return f"{self.name}.bpf.c"

    @property
    def source_digest(self) -> str | None:
        """The digest of the source, where there is one."""
        return None if self.executable is not None else digest_of(self.source)

    def payload(self, built: bytes | None) -> LoadedObject | StartedProgram | None:
        """Return what a guest is given of it; `built` is what became of its source, if it has one.

        There is none of a source that nothing was built of.
        """
        if self.executable is not None:
            return StartedProgram(self.executable, self.command_line)
        return LoadedObject(built, self.arguments) if built is not None else None


def subject_of(
    request: VerificationRequest, library: Library, executables: Mapping[str, Executable]
) -> Subject:
    """Return what a request is about; raise UsageError when it contradicts itself."""
    candidate, source = request.candidate, request.source
    if candidate.program_digest is not None:
        if source is not None:
            raise UsageError("a program came with a source; one candidate is one of the two")
        return _program(candidate, candidate.program_digest, library, executables)
    if candidate.source_digest is None:
        if source is not None:
            raise UsageError("a source came without its digest in the candidate")
        found = library.scheduler(candidate.scheduler)
        return Subject(candidate.scheduler, found.source, candidate.arguments, found.manifest)
    if candidate.base is not None:
        _require_base(candidate, library)
    if source is None:
        raise UsageError(f"the source {candidate.source_digest} was not sent along")
    text = source.encode()
    if digest_of(text) != candidate.source_digest:
        raise UsageError(
            f"the source that came has digest {digest_of(text)}, the candidate says "
            f"{candidate.source_digest}"
        )
    return Subject(candidate.scheduler, text, candidate.arguments)


def _program(
    candidate: Candidate, digest: str, library: Library, executables: Mapping[str, Executable]
) -> Subject:
    """Return a program as a subject: with a manifest if it is the library's of that name."""
    name, words = candidate.scheduler, candidate.command_line
    executable = executables.get(digest)
    if executable is not None and name not in library.names():
        return Subject(name, b"", executable=executable, command_line=words)
    try:
        known = library.program(name)
    except ToolMissing:
        known = None
    if known is not None and known.executable.digest == digest:
        return Subject(
            name, b"", manifest=known.manifest, executable=known.executable, command_line=words
        )
    if executable is None:
        raise UsageError(
            f"the program {digest} is not here, and a request carries none: build verifier and "
            "agents with the same programs, or give `schedcp-verifier verify` its path or its name "
            "in the library"
        )
    return Subject(name, b"", executable=executable, command_line=words)


def _require_base(candidate: Candidate, library: Library) -> None:
    """Refuse what says that it was made from a scheduler that is not in the library."""
    here = digest_of(library.scheduler(candidate.base or "").source)
    if here != candidate.base_digest:
        raise UsageError(
            f"the candidate is a patch of a {candidate.base} with digest {candidate.base_digest}; "
            f"the one of the library has {here}: make it anew"
        )


def unseen_checks(executable: Executable) -> tuple[Check, ...]:
    """Return what the static stages say of a program: that they have seen nothing."""
    return (
        skipped("source", Stage.SOURCE, "a program comes without a source; none was read"),
        warning(
            "program",
            Stage.SOURCE,
            "the program runs as root in its guest, where it could also change what the guest "
            "says of it: the verdict holds for programs of good faith; run none whose origin you "
            "do not trust",
            files=executable.inventory(),
        ),
        skipped("build", Stage.BUILD, "a program brings its own BPF code; nothing was built"),
        skipped(
            "bytecode",
            Stage.BYTECODE,
            "a program brings its own BPF code, which nobody has analysed: what shows late, seldom "
            "or elsewhere only is not looked for",
        ),
    )


def stages_missing(candidate: Candidate, checks: tuple[Check, ...]) -> tuple[Stage, ...]:
    """Return the stages that an acceptance needs and that no check was judged in.

    A part of the CPU contract that is lost and waived is a warning, and there may be no more.
    """
    needed = [Stage.ATTACH, Stage.DYNAMIC, Stage.CONTRACT]
    if candidate.program_digest is None:
        needed = [Stage.BUILD, Stage.BYTECODE, *needed]
    judged = {c.stage for c in checks if c.phase in (Phase.PASSED, Phase.WARNING)}
    return tuple(stage for stage in needed if stage not in judged)
