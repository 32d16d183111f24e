"""Patch: a change to a scheduler of the library, to be applied exactly or not at all.

It names its base and the digest of the source that it was written against. What comes of it is a
stranger's source: it has none of the library's privileges.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from .base import Digest, Noun, SchedulerName

EDITS_MAX = 16

PatchName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Snippet = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
Replacement = Annotated[str, StringConstraints(max_length=16_384)]
UnifiedDiff = Annotated[str, StringConstraints(min_length=1, max_length=49_152)]


class Edit(Noun):
    """Put `replacement` where `find` stands."""

    find: Snippet
    """Text that occurs exactly once in the base, to the last blank; an edit may not overlap another
    one.
    """
    replacement: Replacement
    """What stands there instead; empty to remove it."""


class SchedulerPatch(Noun):
    """A patch against a scheduler of the library: edits, or a unified diff."""

    api_version: Literal["schedcp.io/v1alpha1"]
    kind: Literal["SchedulerPatch"]
    name: PatchName
    """The scheduler calls itself patched_NAME."""
    base: SchedulerName
    base_digest: Digest
    """Of the base's source; the patch fits no other."""
    edits: Annotated[tuple[Edit, ...], Field(max_length=EDITS_MAX)] = ()
    diff: UnifiedDiff | None = None
    """Hunks with exact positions and context; what names the files is passed over."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.edits) == (self.diff is not None):
            raise ValueError("a patch has either edits or a diff: give one of them")
        return self
