"""The library of schedulers: their manifests and sources, looked up by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from schedcp_api.candidates import SchedulerManifest

from .errors import LibraryInvalid, UsageError

__all__ = ["Library", "LibraryScheduler"]


@dataclass(frozen=True)
class LibraryScheduler:
    """A scheduler of the library with its source."""

    manifest: SchedulerManifest
    source: bytes


@dataclass(frozen=True)
class Library:
    """A folder with `manifests/NAME.yaml` and the sources that they name."""

    folder: Path

    def names(self) -> tuple[str, ...]:
        """Return the names of all schedulers."""
        return tuple(sorted(path.stem for path in (self.folder / "manifests").glob("*.yaml")))

    def scheduler(self, name: str) -> LibraryScheduler:
        """Return one scheduler; raise UsageError for an unknown name."""
        if name not in self.names():
            known = ", ".join(self.names()) or f"none in {self.folder}"
            raise UsageError(f"no scheduler {name!r} in the library; there are: {known}")
        path = self.folder / "manifests" / f"{name}.yaml"
        try:
            manifest = SchedulerManifest.model_validate(yaml.safe_load(path.read_text()))
            source = self._source(manifest)
        except (ValidationError, yaml.YAMLError, OSError) as error:
            raise LibraryInvalid(f"{path} cannot be used: {error}") from error
        if manifest.name != name:
            raise LibraryInvalid(f"{path} describes {manifest.name!r}: rename one of them")
        return LibraryScheduler(manifest, source)

    def _source(self, manifest: SchedulerManifest) -> bytes:
        path = (self.folder / manifest.source).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise LibraryInvalid(
                f"{manifest.name}: source {manifest.source} leads out of the library"
            )
        return path.read_bytes()
