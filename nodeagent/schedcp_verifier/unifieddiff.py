"""Unified diffs, applied exactly: each hunk at its place, each line of context to the last blank.

Pure. Tools that patch look for a place where a hunk fits nearly; a scheduler that somebody proves
must be the one that somebody wrote, so that here the first difference is a refusal, which names the
hunk, what it expects and what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["DiffRefused", "applied_diff", "lines_of"]

_HEAD = re.compile(r"@@ -(\d{1,7})(?:,(\d{1,7}))? \+(\d{1,7})(?:,(\d{1,7}))? @@.*")
_NO_NEWLINE = "\\"
_PREAMBLE = ("--- ", "+++ ", "diff ", "index ", "new file mode ", "old mode ", "new mode ")
_SHOWN_CHARS = 100


class DiffRefused(ValueError):
    """A diff is none, or does not fit the text that it is for."""


@dataclass(frozen=True)
class _Hunk:
    number: int
    start: int
    """Index of the first line that it covers in the old text."""
    new_start: int
    old: tuple[str, ...]
    new: tuple[str, ...]


def lines_of(text: str) -> list[str]:
    """Return the lines with their ends; only a newline ends one, and the last may have none."""
    found = text.split("\n")
    last = found.pop()
    return [f"{line}\n" for line in found] + ([last] if last else [])


def applied_diff(text: str, diff: str) -> str:
    """Return what the diff makes of a text, or raise DiffRefused."""
    old, new = lines_of(text), list[str]()
    at = 0
    for hunk in _hunks(diff):
        if hunk.start < at:
            raise DiffRefused(
                f"hunk {hunk.number} begins at line {hunk.start + 1}, before the end of the one "
                "before it"
            )
        _require_match(old, hunk)
        new += old[at : hunk.start]
        if len(new) != hunk.new_start:
            raise DiffRefused(
                f"hunk {hunk.number} says that its lines begin at line {hunk.new_start + 1} of the "
                f"result, where they begin at line {len(new) + 1}"
            )
        new += hunk.new
        at = hunk.start + len(hunk.old)
    return _joined([*new, *old[at:]])


def _joined(lines: list[str]) -> str:
    """Return the text of the lines; one without its newline would run into the next."""
    for number, line in enumerate(lines[:-1], 1):
        if not line.endswith("\n"):
            raise DiffRefused(
                f"line {number} of the result would be {_shown(line)}, and it is not the last: "
                f"{_shown(lines[number])} follows"
            )
    return "".join(lines)


def _require_match(lines: list[str], hunk: _Hunk) -> None:
    end = hunk.start + len(hunk.old)
    for number, expected in enumerate(hunk.old, hunk.start):
        there = lines[number] if number < len(lines) else None
        if there != expected:
            found = "the end of the text" if there is None else _shown(there)
            raise DiffRefused(
                f"hunk {hunk.number} does not fit: line {number + 1} should be {_shown(expected)}, "
                f"there is {found}{_elsewhere(lines, hunk)}"
            )
    if end > len(lines):
        raise DiffRefused(f"hunk {hunk.number} begins after the end of the text")


def _elsewhere(lines: list[str], hunk: _Hunk) -> str:
    """Return where the lines of a hunk are, when they are in exactly one other place."""
    size = len(hunk.old)
    places = [at for at in range(len(lines) - size + 1) if tuple(lines[at : at + size]) == hunk.old]
    if len(places) != 1:
        return ""
    return f" (the hunk's lines are at line {places[0] + 1}: correct its @@ line)"


def _hunks(diff: str) -> Iterator[_Hunk]:
    """Yield the hunks; whatever is no part of one is refused, but for what names the files."""
    lines = lines_of(diff)
    at, number, files = 0, 0, 0
    while at < len(lines):
        line = lines[at].removesuffix("\n")
        head = _HEAD.fullmatch(line)
        if head is not None:
            number += 1
            hunk, at = _hunk(lines, at, number, head)
            yield hunk
        elif line.startswith(_PREAMBLE) and (number == 0 or line.startswith("--- ")):
            files += line.startswith("--- ")
            if files > 1:
                raise DiffRefused("the diff is of more than one file; a scheduler is one")
            at += 1
        elif not line.strip() and not any(rest.strip() for rest in lines[at:]):
            break
        else:
            raise DiffRefused(f"line {at + 1} of the diff begins no hunk: {_shown(lines[at])}")
    if number == 0:
        raise DiffRefused("the diff has no hunk: one begins with @@ -LINE,COUNT +LINE,COUNT @@")


def _hunk(lines: list[str], at: int, number: int, head: re.Match[str]) -> tuple[_Hunk, int]:
    """Return a hunk, and where the diff goes on after it."""
    old_start, new_start = int(head[1]), int(head[3])
    old_count, new_count = (int(count) if count else 1 for count in (head[2], head[4]))
    old: list[str] = []
    new: list[str] = []
    at += 1
    while len(old) < old_count or len(new) < new_count:
        if at >= len(lines):
            raise DiffRefused(
                f"hunk {number} ends after {len(old)} old and {len(new)} new lines; its @@ line "
                f"says {old_count} and {new_count}"
            )
        # Editors strip the blank of an empty line of context.
        line = lines[at] if lines[at] != "\n" else " \n"
        bare, at = at + 1 < len(lines) and lines[at + 1].startswith(_NO_NEWLINE), at + 1
        mark, body = line[:1], line[1:].removesuffix("\n") if bare else line[1:]
        if mark not in (" ", "-", "+"):
            raise DiffRefused(
                f"line {at} of the diff, in hunk {number}, begins with neither a blank nor - nor "
                f"+: {_shown(line)}"
            )
        if mark != "+":
            old.append(body)
        if mark != "-":
            new.append(body)
        at += bare
    if (len(old), len(new)) != (old_count, new_count):
        raise DiffRefused(
            f"hunk {number} has {len(old)} old and {len(new)} new lines; its @@ line says "
            f"{old_count} and {new_count}"
        )
    # Of no lines, the place is counted from the line before.
    start = old_start - 1 if old_count else old_start
    return _Hunk(
        number,
        _place(start, number),
        _place(new_start - 1 if new_count else new_start, number),
        tuple(old),
        tuple(new),
    ), at


def _place(start: int, number: int) -> int:
    if start < 0:
        raise DiffRefused(f"hunk {number} begins at line 0; lines are counted from 1")
    return start


def _shown(line: str) -> str:
    text = line.removesuffix("\n")
    more = "..." if len(text) > _SHOWN_CHARS else ""
    end = "" if line.endswith("\n") else " without a newline"
    return f"{text[:_SHOWN_CHARS]!r}{more}{end}"
