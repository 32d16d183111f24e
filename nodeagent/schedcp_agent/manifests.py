"""The library's manifests as they lie in the agent's image, and what this kernel lacks of each.

No scheduler is judged here: a node loads what it has a token for, and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from schedcp_api.capabilities import KernelCapabilities
from schedcp_api.manifests import SchedulerManifest

from .errors import ManifestInvalid

__all__ = ["Readiness", "read_manifests", "readiness_of"]


@dataclass(frozen=True)
class Readiness:
    """Whether a kernel has what one scheduler needs."""

    scheduler: str
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "name": self.scheduler,
            "ready": not self.missing,
            "missing": list(self.missing),
        }


def read_manifests(folder: Path) -> tuple[SchedulerManifest, ...]:
    """Return every manifest in a folder, by name; raise ManifestInvalid for one that is none."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            found.append(SchedulerManifest.model_validate(yaml.safe_load(path.read_text())))
        except (ValidationError, yaml.YAMLError, OSError) as err:
            raise ManifestInvalid(f"{path} is not a scheduler's manifest: {err}") from err
    return tuple(found)


def readiness_of(
    manifests: Iterable[SchedulerManifest], capabilities: KernelCapabilities
) -> tuple[Readiness, ...]:
    """Return of each scheduler what a kernel lacks for it."""
    return tuple(Readiness(m.name, capabilities.missing(m.needs)) for m in manifests)
