"""C as tokens and trees: what the Source stage looks at.

The only module that knows the parser. Rules on tokens hold also where a tree has errors, because
every token of the text is in the tree, in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import tree_sitter_c
from tree_sitter import Language, Node, Parser

__all__ = [
    "LITERALS",
    "CText",
    "Finding",
    "Node",
    "Piece",
    "Token",
    "pieces",
    "string_value",
    "text_of",
    "without_splices",
]

_SPLICED = re.compile(rb"\\[ \t]*\r?\Z")
LITERALS = re.compile(
    rb"""//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:[^"\\\n]|\\[^\n])*(?:"|\\?(?=\n)|\\?\Z)|"""
    rb"""'(?:[^'\\\n]|\\[^\n])*(?:'|\\?(?=\n)|\\?\Z)""",
    re.DOTALL,
)
"""Comments and what stands in quotes, as the compiler cuts them out of a text without splices."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be there, with its line."""

    line: int
    words: str


@dataclass(frozen=True)
class Token:
    """One token with its line in the source that a person wrote."""

    text: str
    kind: str
    line: int


def without_splices(text: bytes) -> bytes:
    """Join spliced lines, so that a token cannot hide in two halves; line numbers are kept."""
    joined: list[bytes] = []
    begun, splices = b"", 0
    lines = text.split(b"\n")
    for number, line in enumerate(lines, 1):
        splice = _SPLICED.search(line)
        if splice and number < len(lines):
            begun += line[: splice.start()]
            splices += 1
            continue
        joined += [begun + line, *[b""] * splices]
        begun, splices = b"", 0
    return b"\n".join(joined)


@dataclass(frozen=True)
class Piece:
    """A part of a text as it was written: `comment`, `quoted` (with its quotes) or `code`."""

    kind: str
    text: bytes
    line: int


def pieces(source: bytes) -> Iterator[Piece]:
    """Yield all of a text in pieces, splices joined, in order."""
    text = without_splices(source)
    at, line = 0, 1
    for found in LITERALS.finditer(text):
        for kind, part in (
            ("code", text[at : found.start()]),
            ("comment" if found[0].startswith(b"/") else "quoted", found[0]),
        ):
            if part:
                yield Piece(kind, part, line)
                line += part.count(b"\n")
        at = found.end()
    if text[at:]:
        yield Piece("code", text[at:], line)


class CText:
    """A parsed text; `lines` maps its lines to those of the source (identity when not given)."""

    def __init__(self, text: bytes, lines: tuple[int, ...] | None = None) -> None:
        self._lines = lines
        self.root = Parser(Language(tree_sitter_c.language())).parse(text).root_node

    def line(self, node: Node) -> int:
        """Return the line of a node in the source."""
        row = int(node.start_point[0])
        if self._lines is None:
            return row + 1
        return self._lines[min(row, len(self._lines) - 1)] if self._lines else 0

    def walk(self, start: Node | None = None) -> Iterator[Node]:
        """Yield every node in the order of the text."""
        stack = [start or self.root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def of_kind(self, *kinds: str) -> Iterator[Node]:
        """Yield the nodes of some kinds."""
        return (node for node in self.walk() if node.type in kinds)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Every token but comments; a string literal is one token, without its quotes."""
        found: list[Token] = []
        stack = [self.root]
        while stack:
            node = stack.pop()
            if node.type == "comment":
                continue
            if node.type in ("string_literal", "system_lib_string"):
                found.append(Token(string_value(node), "string", self.line(node)))
            elif node.child_count == 0:
                found.append(Token(text_of(node), node.type, self.line(node)))
            else:
                stack.extend(reversed(node.children))
        return tuple(found)


def text_of(node: Node) -> str:
    """Return a node's text."""
    return (node.text or b"").decode(errors="replace")


def string_value(node: Node) -> str:
    """Return what stands between the quotes of a string literal."""
    return text_of(node)[1:-1]
