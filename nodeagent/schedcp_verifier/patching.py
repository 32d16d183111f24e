"""From a scheduler of the library and a patch to the patched source, exactly or not at all. Pure.

What comes of it is judged like any stranger's source: it bears the patch's name, not the library's.
"""

from __future__ import annotations

from itertools import pairwise

from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.patches import Edit, SchedulerPatch

from .documents import problems_of
from .errors import UsageError
from .library import LibraryScheduler
from .unifieddiff import DiffRefused, applied_diff

__all__ = ["PATCH_BYTES_MAX", "SOURCE_BYTES_MAX", "applied_edits", "patch_of", "patched_source"]

PATCH_BYTES_MAX = 65_536
SOURCE_BYTES_MAX = 131_072
_SHOWN_CHARS = 100


def patch_of(document: dict[str, object]) -> SchedulerPatch:
    """Return the patch that a document describes, or raise UsageError with every problem."""
    try:
        return SchedulerPatch.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"the patch cannot be used:\n{problems_of(error)}") from error


def patched_source(base: LibraryScheduler, patch: SchedulerPatch) -> str:
    """Return the source that a patch makes of its base; raise UsageError when it does not fit."""
    name = base.manifest.name
    if digest_of(base.source) != patch.base_digest:
        raise UsageError(
            f"the patch was written against another {name}: its source has digest "
            f"{digest_of(base.source)} here, the patch says {patch.base_digest}; write it anew"
        )
    text = base.source.decode()
    try:
        found = applied_edits(text, patch.edits) if patch.edits else _by_diff(text, patch)
    except DiffRefused as refusal:
        raise UsageError(f"the patch does not fit {name}: {refusal}") from refusal
    if found == text:
        raise UsageError(f"the patch changes nothing of {name}")
    if len(found.encode()) > SOURCE_BYTES_MAX:
        raise UsageError(f"what the patch makes of {name} is more than {SOURCE_BYTES_MAX} bytes")
    return _renamed(found, base.manifest.ops_name, f"patched_{patch.name}")


def _by_diff(text: str, patch: SchedulerPatch) -> str:
    return applied_diff(text, patch.diff or "")


def applied_edits(text: str, edits: tuple[Edit, ...]) -> str:
    """Return the text with all edits made at once; raise DiffRefused for one that does not fit."""
    places: list[tuple[int, int, Edit]] = []
    for number, edit in enumerate(edits, 1):
        first = text.find(edit.find)
        if first < 0:
            raise DiffRefused(f"edit {number}: {_shown(edit.find)} is not there{_near(text, edit)}")
        again = text.find(edit.find, first + 1)
        if again >= 0:
            raise DiffRefused(
                f"edit {number}: {_shown(edit.find)} is there more than once, at lines "
                f"{_line(text, first)} and {_line(text, again)}: give more of what is around it"
            )
        places.append((first, number, edit))
    places.sort(key=lambda place: place[0])
    for (start, one, edit), (following, other, _) in pairwise(places):
        if start + len(edit.find) > following:
            raise DiffRefused(f"edits {one} and {other} overlap: make one of them")
    parts, at = list[str](), 0
    for start, _, edit in places:
        parts += [text[at:start], edit.replacement]
        at = start + len(edit.find)
    return "".join([*parts, text[at:]])


def _near(text: str, edit: Edit) -> str:
    """Return where the same words stand with other blanks, the most frequent slip."""
    wanted = edit.find.split()
    if not wanted:
        return ""
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if words and words == wanted[: len(words)]:
            return f"; line {number} is {_shown(line)}: every blank counts"
    return ""


def _renamed(text: str, ops_name: str, name: str) -> str:
    """Give the scheduler its own name: the library's would pass for what was not proven."""
    quoted = f'"{ops_name}"'
    if text.count(quoted) != 1:
        raise UsageError(
            f"the patched source has {quoted} {text.count(quoted)} times; leave the table's name "
            f"as it is, {name} takes its place"
        )
    return text.replace(quoted, f'"{name}"')


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _shown(text: str) -> str:
    more = "..." if len(text) > _SHOWN_CHARS else ""
    return f"{text[:_SHOWN_CHARS]!r}{more}"
