"""64-bit constants of the kernel that end up in fewer bits (L09).

A queue id of the kernel or a flag above the 32nd becomes another one, mostly 0, in a cast, a
variable, a parameter, a member or a return value of 32 bits. Types are those that the source itself
gives, by name; a name that it gives twice, with two widths, is left alone. It sees constants that
are put there by name; what comes through a variable of 64 bits is for the later stages. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .ctokens import CText, Finding, Node, text_of

__all__ = ["truncations"]

_NARROW = re.compile(
    r"(?:(?:const|volatile|static|signed|unsigned|_Atomic) )*"
    r"(?:(?:__)?[us](?:8|16|32)|u?int(?:8|16|32)_t|int|short(?: int)?|char|unsigned|signed)"
)
_WIDE = ("SCX_DSQ_", "SCX_ENQ_", "SCX_SLICE_INF")
_FITS = re.compile(r"SCX_DSQ_ITER_\w+|SCX_DSQ_LOCAL_CPU_MASK|SCX_ENQ_(?:WAKEUP|HEAD|CPU_SELECTED)")
_CARRYING = ("|", "&", "+", "-", "^")
_KEEPING = ("=", "|=", "+=", "^=")
_NAMES = ("identifier", "field_identifier")
_PARTS_MAX = 500
"""Parts of one expression that are looked at: expressions in expressions are looked at again."""
_PLAIN_DECLARATORS = ("init_declarator", "array_declarator", "parenthesized_declarator")


@dataclass
class _Widths:
    """Which names of a source are narrow."""

    narrow: set[str] = field(default_factory=set)
    wide: set[str] = field(default_factory=set)
    parameters: dict[str, list[bool]] = field(default_factory=dict)
    """By function, whether each parameter is narrow."""

    def note(self, name: str, *, narrow: bool) -> None:
        """Take note of a declaration."""
        (self.narrow if narrow else self.wide).add(name)

    def is_narrow(self, name: str) -> bool:
        """Whether every declaration of the name is narrow."""
        return name in self.narrow and name not in self.wide


def truncations(text: CText) -> list[Finding]:
    """Return where a constant of the kernel loses its upper half."""
    widths = _widths(text)
    found = []
    for node in text.walk():
        for value, target in _narrowed(node, widths):
            wide = _carried(value)
            if wide:
                words = f"puts {wide}, which has 64 bits, into {target}: make it a u64"
                found.append(Finding(text.line(node), words))
    return found


def _narrowed(node: Node, widths: _Widths) -> Iterator[tuple[Node, str]]:
    """Yield each value that the node puts into something narrow, and what that is."""
    value = node.child_by_field_name("value")
    if node.type == "cast_expression":
        kind = node.child_by_field_name("type")
        if kind is not None and value is not None and _is_narrow_type(text_of(kind)):
            yield value, text_of(kind)
    elif node.type == "init_declarator" and value is not None:
        declarator = node.child_by_field_name("declarator")
        if declarator is not None and widths.is_narrow(text_of(declarator)):
            yield value, text_of(declarator)
    elif node.type == "initializer_pair" and value is not None:
        name = next((text_of(n).lstrip(".") for n in node.children), "")
        if widths.is_narrow(name):
            yield value, name
    elif node.type == "assignment_expression":
        yield from _assigned(node, widths)
    elif node.type == "call_expression":
        yield from _passed(node, widths)
    elif node.type == "function_definition":
        yield from _returned(node)


def _assigned(node: Node, widths: _Widths) -> Iterator[tuple[Node, str]]:
    left, operator, right = (node.child_by_field_name(n) for n in ("left", "operator", "right"))
    if left is None or operator is None or right is None or text_of(operator) not in _KEEPING:
        return
    if left.type == "subscript_expression":
        left = left.child_by_field_name("argument") or left
    name = left.child_by_field_name("field") if left.type == "field_expression" else left
    if name is not None and name.type in _NAMES and widths.is_narrow(text_of(name)):
        yield right, text_of(name)


def _passed(node: Node, widths: _Widths) -> Iterator[tuple[Node, str]]:
    function, given = (node.child_by_field_name(n) for n in ("function", "arguments"))
    if function is None or given is None or function.type != "identifier":
        return
    narrow = widths.parameters.get(text_of(function), [])
    for number, (argument, is_narrow) in enumerate(
        zip(given.named_children, narrow, strict=False), 1
    ):
        if is_narrow:
            yield argument, f"argument {number} of {text_of(function)}"


def _returned(node: Node) -> Iterator[tuple[Node, str]]:
    kind, declarator = (node.child_by_field_name(n) for n in ("type", "declarator"))
    if kind is None or declarator is None or declarator.type != "function_declarator":
        return
    if not _is_narrow_type(text_of(kind)):
        return
    stack = [node]
    while stack:
        inner = stack.pop()
        if inner.type == "return_statement":
            for value in inner.named_children:
                yield value, f"a return value of {text_of(kind)}"
        stack.extend(inner.children)


def _is_narrow_type(kind: str) -> bool:
    return _NARROW.fullmatch(" ".join(kind.split())) is not None


def _widths(text: CText) -> _Widths:
    """Collect what the source declares: variables, parameters and members."""
    widths = _Widths()
    for node in text.of_kind("declaration", "parameter_declaration", "field_declaration"):
        kind = node.child_by_field_name("type")
        if kind is None:
            continue
        for declarator in node.children_by_field_name("declarator"):
            name, plain = _declared(declarator)
            if name is not None:
                widths.note(text_of(name), narrow=plain and _is_narrow_type(text_of(kind)))
    for node in text.of_kind("function_declarator"):
        name, given = (node.child_by_field_name(n) for n in ("declarator", "parameters"))
        if name is not None and name.type == "identifier" and given is not None:
            widths.parameters[text_of(name)] = [_is_narrow(p) for p in given.named_children]
    return widths


def _is_narrow(parameter: Node) -> bool:
    kind, declarator = (parameter.child_by_field_name(n) for n in ("type", "declarator"))
    if kind is None or not _is_narrow_type(text_of(kind)):
        return False
    return declarator is None or declarator.type == "identifier"


def _declared(declarator: Node) -> tuple[Node | None, bool]:
    """Return the name that a declarator gives, and whether it is of the plain type."""
    while declarator.type in _PLAIN_DECLARATORS:
        inner = declarator.child_by_field_name("declarator") or next(
            (n for n in declarator.named_children), None
        )
        if inner is None:
            return None, False
        declarator = inner
    if declarator.type in _NAMES:
        return declarator, True
    name = next((n for n in _walk(declarator) if n.type in _NAMES), None)
    return name, False


def _walk(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(reversed(found.children))


def _carried(value: Node) -> str:
    """Return the wide constant whose upper bits the value of an expression has, if any."""
    stack = [value]
    for _ in range(_PARTS_MAX):
        if not stack:
            break
        node = stack.pop()
        if node.type == "identifier" and _is_wide(text_of(node)):
            return text_of(node)
        stack.extend(_carriers(node))
    return ""


def _carriers(node: Node) -> list[Node]:
    """Return the parts of an expression whose bits are bits of its value."""
    if node.type in ("parenthesized_expression", "comma_expression"):
        return node.named_children[-1:]
    names: tuple[str, ...] = ()
    operator = node.child_by_field_name("operator")
    if node.type == "binary_expression" and operator is not None:
        names = ("left", "right") if text_of(operator) in _CARRYING else ()
        names = ("left",) if text_of(operator) == "<<" else names
    elif node.type == "conditional_expression":
        names = ("consequence", "alternative")
    elif node.type == "cast_expression":
        names = ("value",)
    elif node.type == "assignment_expression":
        names = ("right",)
    return [part for name in names if (part := node.child_by_field_name(name)) is not None]


def _is_wide(name: str) -> bool:
    return name.startswith(_WIDE) and _FITS.fullmatch(name) is None
