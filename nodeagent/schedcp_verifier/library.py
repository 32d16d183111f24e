"""The library of schedulers: their manifests with sources or programs, looked up by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from schedcp_api.manifests import CATALOGUE_NAME, BuiltProgram, Catalogue, SchedulerManifest

from .errors import LibraryInvalid, ToolMissing, UsageError
from .executables import Executable, executable_at

__all__ = ["Library", "LibraryProgram", "LibraryScheduler"]


@dataclass(frozen=True)
class LibraryScheduler:
    """A scheduler of the library with its source."""

    manifest: SchedulerManifest
    source: bytes


@dataclass(frozen=True)
class LibraryProgram:
    """A scheduler of the library that is a program, as it was built here."""

    manifest: SchedulerManifest
    executable: Executable


@dataclass(frozen=True)
class Library:
    """A folder with `manifests/NAME.yaml` and the sources that they name, and one of programs."""

    folder: Path
    programs: Path | None = None
    """Where the programs lie with their catalogue; None: there are none here."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all schedulers."""
        return tuple(sorted(path.stem for path in (self.folder / "manifests").glob("*.yaml")))

    def own_names(self) -> tuple[str, ...]:
        """Return the names of those with a source; the others are programs."""
        return tuple(name for name in self.names() if self.manifest(name).source is not None)

    def manifest(self, name: str) -> SchedulerManifest:
        """Return what is known of a scheduler; raise UsageError for an unknown name."""
        if name not in self.names():
            known = ", ".join(self.names()) or f"none in {self.folder}"
            raise UsageError(f"no scheduler {name!r} in the library; there are: {known}")
        path = self.folder / "manifests" / f"{name}.yaml"
        try:
            manifest = SchedulerManifest.model_validate(yaml.safe_load(path.read_text()))
        except (ValidationError, yaml.YAMLError, OSError) as error:
            raise LibraryInvalid(f"{path} cannot be used: {error}") from error
        if manifest.name != name:
            raise LibraryInvalid(f"{path} describes {manifest.name!r}: rename one of them")
        return manifest

    def scheduler(self, name: str) -> LibraryScheduler:
        """Return one scheduler with its source; raise UsageError for an unknown name."""
        manifest = self.manifest(name)
        if manifest.source is None:
            raise UsageError(f"{name} is a program and has no source: verify it with its digest")
        path = (self.folder / manifest.source).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise LibraryInvalid(f"{name}: source {manifest.source} leads out of the library")
        try:
            return LibraryScheduler(manifest, path.read_bytes())
        except OSError as error:
            raise LibraryInvalid(f"the source of {name} cannot be read: {error}") from error

    def program(self, name: str) -> LibraryProgram | None:
        """Return a scheduler that is a program; None for a name of another kind, or of none.

        Raise ToolMissing when it is not built, LibraryInvalid when it is not what its manifest pins
        or not what its catalogue says.
        """
        manifest = self.manifest(name) if name in self.names() else None
        if manifest is None or manifest.program is None:
            return None
        built = self._built(manifest.program.crate)
        if built is None or self.programs is None:
            raise ToolMissing(
                f"{name} is not built in {self.programs or 'any folder'}: run "
                "`schedcp-lab setup --only stock`"
            )
        pinned = f"{manifest.program.crate} {manifest.program.version}"
        if not built.is_of(manifest.program):
            raise LibraryInvalid(f"{name} was not built from the {pinned} that its manifest pins")
        executable = executable_at(self.programs / manifest.program.crate)
        if executable.digest != built.digest:
            raise LibraryInvalid(
                f"{executable.path} is {executable.digest}, but its catalogue says {built.digest}: "
                "build it anew"
            )
        return LibraryProgram(manifest, executable)

    def _built(self, crate: str) -> BuiltProgram | None:
        if self.programs is None:
            return None
        path = self.programs / CATALOGUE_NAME
        try:
            return Catalogue.model_validate_json(path.read_bytes()).program(crate)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise LibraryInvalid(f"{path} cannot be used: {error}") from error
