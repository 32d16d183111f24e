"""What the preprocessor is told: its directives, found as the compiler finds them.

A directive can hide behind a comment, a splice or a digraph, and what it does (reading files,
renaming lines, changing the compiler's mind) is done before anybody looks at C. So the directives
are an allow-list. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .ctokens import LITERALS, without_splices

__all__ = ["Directive", "directives", "misleading"]

_HASH = re.compile(rb"[ \t\v\f]*(?:#|%:|\?\?=)[ \t\v\f]*([A-Za-z_]\w*)?(.*)", re.DOTALL)
_ALLOWED = frozenset(
    {
        *(b"include", b"define", b"undef", b"error", b"warning"),
        *(b"if", b"ifdef", b"ifndef", b"elif", b"elifdef", b"elifndef", b"else", b"endif"),
    }
)
_PRAGMAS = re.compile(
    rb"\s*(once|(no)?unroll\b.*|clang\s+loop\s+unroll(_count)?\s*\(\s*\w+\s*\))\s*", re.DOTALL
)


@dataclass(frozen=True)
class Directive:
    """One directive with its line."""

    line: int
    name: bytes
    rest: bytes


def directives(source: bytes) -> Iterator[Directive]:
    """Yield every directive of a source; null directives, which do nothing, are left out."""
    for number, line in enumerate(_uncommented(without_splices(source)).split(b"\n"), 1):
        found = _HASH.match(line)
        if found and (found[1] or found[2].strip()):
            yield Directive(number, found[1] or b"", found[2])


def misleading(directive: Directive) -> str:
    """Return what is wrong with a directive, empty when nothing is."""
    shown = (directive.name + directive.rest)[:60].decode(errors="replace").strip()
    if directive.name == b"pragma":
        if _PRAGMAS.fullmatch(directive.rest):
            return ""
        return f"#{shown}: of pragmas only once and those of loop unrolling are allowed"
    if directive.name in _ALLOWED:
        return ""
    if not directive.name or directive.name == b"line":
        return f"#{shown}: lines keep their own names and numbers"
    return f"#{shown}: a directive that no scheduler needs"


def _uncommented(text: bytes) -> bytes:
    """Return the text without comments and what stands in quotes; lines stay where they are."""
    return LITERALS.sub(_blank, text)


def _blank(found: re.Match[bytes]) -> bytes:
    text = found[0]
    if text.startswith(b"/"):
        return b" " + b"\n" * text.count(b"\n")
    return text
