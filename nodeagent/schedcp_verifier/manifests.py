"""What a manifest of the library says of a candidate, held against the candidate. Pure."""

from __future__ import annotations

from schedcp_api.candidates import Argument, CommandLine
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed
from .errors import LibraryInvalid
from .kernels import KernelBundle

__all__ = ["command_line_checks", "knobs_check", "needs_check", "require_name"]


def command_line_checks(manifest: SchedulerManifest, words: CommandLine) -> tuple[Check, ...]:
    """Return what is known of a program of the library before it is started."""
    program = manifest.program
    if program is None:
        raise ValueError(f"{manifest.name} is no program")
    problems = program.problems(words)
    if problems:
        return (failed("arguments", Stage.SOURCE, "; ".join(problems)),)
    built = f"{program.crate} {program.version}"
    return (
        passed("arguments", Stage.SOURCE, f"{len(words)} words fit the manifest"),
        passed(
            "pinned",
            Stage.SOURCE,
            f"it was built from {built}, whose sources are pinned",
            crateDigest=program.crate_digest,
        ),
    )


def needs_check(manifest: SchedulerManifest, kernel: KernelBundle) -> Check:
    """Return whether a kernel has what a scheduler of the library needs, before it is built."""
    missing = kernel.capabilities.missing(manifest.needs)
    if missing:
        words = f"the kernel {kernel.profile.release} lacks {'; '.join(missing)}"
        return failed("needs", Stage.SOURCE, words, missing=missing)
    return passed("needs", Stage.SOURCE, f"the kernel has all {len(manifest.needs)} needs")


def knobs_check(manifest: SchedulerManifest, arguments: tuple[Argument, ...]) -> Check:
    """Return whether a scheduler's knobs are its manifest's, and within their ranges."""
    problems = manifest.problems(arguments)
    if problems:
        return failed("arguments", Stage.SOURCE, "; ".join(problems))
    return passed("arguments", Stage.SOURCE, f"{len(arguments)} arguments fit the manifest")


def require_name(manifest: SchedulerManifest | None, ops_name: str) -> None:
    """Raise LibraryInvalid when a program's scheduler is called other than its manifest says."""
    if manifest is not None and ops_name and not manifest.calls_itself(ops_name):
        raise LibraryInvalid(
            f"the manifest of {manifest.name} says {manifest.ops_name!r}, its program's scheduler "
            f"calls itself {ops_name!r}"
        )
