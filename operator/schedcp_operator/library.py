"""The schedulers that a plan may name: the library's manifests, and sources that were imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from schedcp_api.manifests import SchedulerManifest

from .errors import SettingsError

__all__ = ["Library", "LibraryEntry", "load_manifest", "load_manifests"]


@dataclass(frozen=True)
class LibraryEntry:
    """A scheduler with its manifest."""

    manifest: SchedulerManifest
    source_digest: str | None = None
    """Of an imported one, whose source is in the store."""
    program_digest: str | None = None
    """Of a program, once it is known which build the nodes have."""


@dataclass(frozen=True)
class Library:
    """Every scheduler by name."""

    entries: Mapping[str, LibraryEntry]

    def get(self, name: str) -> LibraryEntry | None:
        """Return the scheduler of that name."""
        return self.entries.get(name)


def load_manifests(folder: Path) -> Mapping[str, LibraryEntry]:
    """Return the library's schedulers from `folder`; each file must be a valid manifest.

    Raise SettingsError with the file's name when one is not, or when there are none.
    """
    found: dict[str, LibraryEntry] = {}
    for path in sorted(folder.glob("*.yaml")):
        manifest = load_manifest(path)
        if manifest.name != path.stem:
            raise SettingsError(f"{path} is the manifest of {manifest.name}: rename one of them")
        found[manifest.name] = LibraryEntry(manifest)
    if not found:
        raise SettingsError(f"{folder} has no manifests (*.yaml): set manifests_dir")
    return found


def load_manifest(path: Path) -> SchedulerManifest:
    """Return the manifest in a YAML or JSON file; raise SettingsError with the file's name."""
    try:
        return SchedulerManifest.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError, OSError) as err:
        raise SettingsError(f"{path} is not a scheduler's manifest: {err}") from err
