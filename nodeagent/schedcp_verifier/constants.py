"""What a constant expression of a source comes to, as far as its text says. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from .ctokens import CText, Node, text_of

__all__ = ["enumerators", "number", "value_of"]

_DEPTH_MAX = 64
_SHIFT_MAX = 63
_BITS = (1 << 64) - 1


def _divided(left: int, right: int) -> int | None:
    return left // right if right else None


def _shifted(left: int, right: int) -> int | None:
    return (left << right) & _BITS if 0 <= right <= _SHIFT_MAX else None


_BINARY: Mapping[str, Callable[[int, int], int | None]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "<<": _shifted,
    ">>": lambda left, right: left >> right if 0 <= right <= _SHIFT_MAX else None,
    "|": operator.or_,
    "&": operator.and_,
    "^": operator.xor,
}


def number(text: str) -> int | None:
    """Return what a number literal says, None for one that is no integer."""
    plain = text.replace("'", "").rstrip("uUlL")
    try:
        return int(plain, 8) if plain[:1] == "0" and plain.isdigit() else int(plain, 0)
    except ValueError:
        return None


def enumerators(text: CText) -> dict[str, int]:
    """Return the enumerators of a source whose values its text gives."""
    known: dict[str, int] = {}
    for enum in text.of_kind("enumerator_list"):
        following: int | None = 0
        for node in enum.named_children:
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            if node.type != "enumerator" or name is None:
                continue
            given = following if value is None else value_of(value, known)
            if given is not None:
                known[text_of(name)] = given
            following = None if given is None else given + 1
    return known


def value_of(node: Node, names: Mapping[str, int], depth: int = 0) -> int | None:
    """Return what an expression comes to, None when its text does not say."""
    if depth > _DEPTH_MAX:
        return None
    if node.type == "number_literal":
        return number(text_of(node))
    if node.type == "identifier":
        return names.get(text_of(node))
    if node.type == "parenthesized_expression" and len(node.named_children) == 1:
        return value_of(node.named_children[0], names, depth + 1)
    if node.type == "cast_expression":
        inner = node.child_by_field_name("value")
        return None if inner is None else value_of(inner, names, depth + 1)
    left, sign, right = (node.child_by_field_name(part) for part in ("left", "operator", "right"))
    if node.type != "binary_expression" or left is None or sign is None or right is None:
        return None
    apply = _BINARY.get(text_of(sign))
    values = value_of(left, names, depth + 1), value_of(right, names, depth + 1)
    if apply is None or values[0] is None or values[1] is None:
        return None
    return apply(values[0], values[1])
