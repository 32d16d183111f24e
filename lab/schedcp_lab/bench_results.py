"""What the bench finds of each scheduler, and where findings are kept between two runs.

A finding is kept under the digest of everything that it depends on, so that an interrupted run is
continued and an unchanged one costs a look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from schedcp_api.base import canonical_json, digest_of
from schedcp_api.verdicts import Check, Phase, Stage

__all__ = ["Judgement", "Shelf", "Trial", "judgement_of"]

T = TypeVar("T")

_REASON_CHARS = 400


@dataclass(frozen=True)
class Judgement:
    """What the verifier said of one scheduler, and what that cost."""

    stage: Stage | None
    """The stage that refused it; none when nothing failed."""
    failed: tuple[str, ...]
    """The checks that refused it."""
    undecided: tuple[str, ...]
    """The checks that could not be made."""
    warnings: tuple[str, ...]
    reason: str
    cpu_seconds: float
    """Of the verifier and all its children, user and system."""
    wall_seconds: float
    whole: bool = False
    """Whether it went as far as it could; otherwise only the static stages were taken."""

    @property
    def accepted(self) -> bool:
        """Whether all of the pipeline was gone through and nothing was held against it."""
        return self.whole and self.stage is None and not self.undecided

    @property
    def open(self) -> bool:
        """Whether only the static stages were taken, and they let it pass."""
        return not self.whole and self.stage is None


@dataclass(frozen=True)
class Trial:
    """What the baselines saw of one scheduler."""

    built: bool
    said_error: bool
    """Whether "error" was found in what the compiler or the loader said."""
    enabled: bool
    """Whether the kernel still ran it, under its own name, when the workload ended."""
    crashed: bool = False
    """Whether the guest died or hung with it."""
    said: str = ""

    @property
    def by_error(self) -> bool:
        """Whether a search for "error" stops it; a guest that died cannot have passed."""
        return self.said_error or self.crashed

    @property
    def by_state(self) -> bool:
        """Whether a look at the state stops it."""
        return not self.enabled or self.crashed


def judgement_of(
    checks: tuple[Check, ...], *, cpu_seconds: float, wall_seconds: float, whole: bool
) -> Judgement:
    """Return what checks amount to; the first that failed names the stage."""
    failed = [check for check in checks if check.phase is Phase.FAILED]
    undecided = [check for check in checks if check.phase is Phase.ERROR]
    return Judgement(
        stage=failed[0].stage if failed else None,
        failed=_ids(failed),
        undecided=_ids(undecided),
        warnings=_ids([check for check in checks if check.phase is Phase.WARNING]),
        reason=next((c.message[:_REASON_CHARS] for c in (*failed, *undecided)), ""),
        cpu_seconds=cpu_seconds,
        wall_seconds=wall_seconds,
        whole=whole or bool(failed),
    )


def _ids(checks: list[Check]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{check.stage}/{check.id}" for check in checks))


@dataclass(frozen=True)
class Shelf(Generic[T]):
    """Findings of one kind in a folder, one file each."""

    folder: Path
    kind: type[T]

    def find(self, key: Mapping[str, str]) -> T | None:
        """Return what was found before of the same things; a damaged file counts as none."""
        try:
            return TypeAdapter(self.kind).validate_json(self._path(key).read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, key: Mapping[str, str], found: T) -> None:
        """Remember a finding; another program never sees half of it."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(TypeAdapter(self.kind).dump_json(found))
        fresh.replace(path)

    def _path(self, key: Mapping[str, str]) -> Path:
        digest = digest_of(canonical_json(dict(key))).removeprefix("sha256:")
        return self.folder / f"{digest[:32]}.json"
