"""The Source stage: what can be seen in the C before anything is compiled.

Two looks at the same text: the one that was written (directives, macros), and the one that the
preprocessor makes of it, where nothing hides behind a macro. Pure: texts in, checks out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed
from .ctokens import CText, Node, Token, string_value, text_of, without_splices
from .directives import directives, misleading
from .rules import (
    ALLOWED_INCLUDES,
    ALLOWED_SECTIONS,
    LIBBPF_ASSEMBLY,
    REPORTING_CALLS,
    imitated,
    watchdog_put_off,
)

__all__ = ["expanded_regions", "judge_expanded", "judge_written", "without_reports"]

_SECTION = frozenset({"section", "__section__"})
_PROBING = re.compile(rb"\b__has_(include|include_next|embed)\b")
_UNREPEATABLE = re.compile(rb"\b(__TIME__|__DATE__|__TIMESTAMP__)\b")
_PRAGMA = re.compile(rb"\b(_Pragma|__pragma)\b")
_MARKER = re.compile(rb'^# (\d+) "((?:[^"\\]|\\.)*)"((?: [1-4])*)[ \r]*$')
_ASSEMBLY = re.compile(
    rb"\b(?:asm|__asm|__asm__)\b(?:\s|__|volatile|goto|inline)*\("
    rb'\s*(?P<template>(?:"(?:[^"\\]|\\.)*"\s*)*)'
)
_PIECE = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_STRING_COMPARES = re.compile(
    r"(__builtin_)?(bpf_)?(str|mem)n?(case)?(cmp|str|chr|spn|pbrk)|bcmp|memcmp|bpf_strncmp|bpf_strn?str"
)
_NARROW = re.compile(r"\b(u8|u16|u32|s8|s16|s32|__u8|__u16|__u32|__s32|int|short|char|unsigned)\b")
_SCHEDULER_FIELDS = ("timeout_ms", "name")


@dataclass(frozen=True)
class Finding:
    """Something that must not be there, with its line."""

    line: int
    words: str


def _verdict(id_: str, findings: list[Finding], good: str) -> Check:
    if not findings:
        return passed(id_, Stage.SOURCE, good)
    ordered = sorted(set(findings), key=lambda finding: finding.line)[:16]
    return failed(
        id_,
        Stage.SOURCE,
        "; ".join(f"line {finding.line}: {finding.words}" for finding in ordered[:4]),
        lines=[finding.line for finding in ordered],
    )


def judge_written(source: bytes, *, trusted: bool) -> tuple[Check, ...]:
    """Return the checks on the text as it was written; `trusted` sources are the library's."""
    text = CText(without_splices(source))
    return (
        _verdict("directives", _directives(source), "only directives that a scheduler needs"),
        _verdict("includes", _includes(source, text), "only headers that a scheduler needs"),
        _verdict("kernel-constants", _redefinitions(text), "no kernel constant is redefined"),
        _verdict("timeout-and-name", _table_fields(text, trusted=trusted), "no suspicious table"),
    )


def _directives(source: bytes) -> list[Finding]:
    """M05: nothing that renames lines or changes the compiler, nothing that differs each time."""
    found = [Finding(d.line, words) for d in directives(source) if (words := misleading(d))]
    for number, line in enumerate(without_splices(source).split(b"\n"), 1):
        if _UNREPEATABLE.search(line):
            found.append(Finding(number, "the time of the build makes each object another one"))
        if _PRAGMA.search(line):
            found.append(Finding(number, "_Pragma: write #pragma, which can be read"))
    return found


def _includes(source: bytes, text: CText) -> list[Finding]:
    found = []
    for node in text.of_kind("preproc_include"):
        path = node.child_by_field_name("path")
        name = string_value(path) if path is not None else ""
        if path is None or path.type not in ("string_literal", "system_lib_string"):
            found.append(Finding(text.line(node), "an include that is not a plain file name"))
        elif not ALLOWED_INCLUDES.fullmatch(name):
            found.append(
                Finding(
                    text.line(node),
                    f"includes {name!r}: only vmlinux.h, <bpf/bpf_*.h> and our schedcp/ headers "
                    "are allowed",
                )
            )
    known = {text.line(node) for node in text.of_kind("preproc_include")}
    found += [
        Finding(directive.line, "an include that only the compiler understands")
        for directive in directives(source)
        if directive.name == b"include" and directive.line not in known
    ]
    for number, line in enumerate(without_splices(source).split(b"\n"), 1):
        if _PROBING.search(line):
            found.append(Finding(number, "asks which files exist"))
    return found


def _redefinitions(text: CText) -> list[Finding]:
    """L09: a kernel constant that is defined again is a truncated constant sooner or later."""
    found = []
    for node in text.of_kind("preproc_def", "preproc_function_def", "enumerator"):
        name = node.child_by_field_name("name")
        if name is not None and text_of(name).startswith("SCX_"):
            found.append(
                Finding(
                    text.line(node),
                    f"defines {text_of(name)}, which is the kernel's: take it from vmlinux.h",
                )
            )
    return found


def _table_fields(text: CText, *, trusted: bool) -> list[Finding]:
    """L15: a time-out that puts the watchdog off, a name that imitates; literals only."""
    found = []
    for node in text.of_kind("initializer_pair"):
        value = node.child_by_field_name("value")
        field = next((text_of(n) for n in node.children if n.type == "field_designator"), "")
        if value is None or field.lstrip(".") not in _SCHEDULER_FIELDS:
            continue
        words = ""
        if field == ".timeout_ms" and value.type == "number_literal":
            words = watchdog_put_off(_number(text_of(value)))
        if field == ".name" and value.type == "string_literal" and not trusted:
            words = imitated(string_value(value))
        if words:
            found.append(Finding(text.line(node), words))
    return found


def _number(text: str) -> int:
    try:
        return int(text.rstrip("uUlL"), 0)
    except ValueError:
        return 0


def _unmarked(preprocessed: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """Yield each line but the preprocessor's own, with its number and whether it is the source's.

    Where the source begins and ends is told by the markers that say "a file begins" and "back":
    names and numbers can be chosen.
    """
    current, depth = 0, 0
    for line in preprocessed.split(b"\n"):
        marker = _MARKER.match(line)
        if marker:
            current = int(marker[1])
            flags = marker[3].split()
            depth += (b"1" in flags) - (b"2" in flags)
            continue
        if not line.startswith(b"#"):
            yield line, current, depth <= 0
        current += 1


def expanded_regions(preprocessed: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return what the preprocessor made of the source itself, and the source line of each line."""
    kept = [(line, number) for line, number, inside in _unmarked(preprocessed) if inside]
    return b"\n".join(line for line, _ in kept), tuple(number for _, number in kept)


def judge_expanded(preprocessed: bytes, unreported: bytes) -> tuple[Check, ...]:
    """Return the checks on what the preprocessor made of the source.

    `unreported` is the same for the source without its reports (see `without_reports`).
    """
    text = CText(*expanded_regions(preprocessed))
    decides = text if unreported == preprocessed else CText(*expanded_regions(unreported))
    return (
        _verdict("inline-assembly", _assembly(preprocessed), "no inline assembly"),
        _verdict("sections", _sections(text.tokens), "only sections that a scheduler needs"),
        _verdict("identity", _identity(decides), "does not ask who a task is by its name"),
        _verdict("truncation", _truncations(text), "no kernel constant is truncated"),
    )


def _assembly(preprocessed: bytes) -> list[Finding]:
    """Refuse any assembly but that of libbpf's headers, wherever it seems to come from."""
    lines = list(_unmarked(preprocessed))
    text = b"\n".join(line for line, _, _ in lines)
    found = []
    for asm in _ASSEMBLY.finditer(text):
        pieces = _PIECE.findall(asm["template"])
        template = b"".join(pieces)
        if not pieces or (template.strip() and template not in LIBBPF_ASSEMBLY):
            number = lines[text.count(b"\n", 0, asm.start())][1]
            found.append(Finding(number, "inline assembly: write it in C"))
    return found


def _sections(tokens: tuple[Token, ...]) -> list[Finding]:
    found = []
    for index, token in enumerate(tokens):
        if token.text not in _SECTION or token.kind == "string":
            continue
        parts: list[str] = []
        for following in tokens[index + 1 : index + 32]:
            if following.kind == "string":
                parts.append(following.text)
            elif following.text != "(":
                break
        name = "".join(parts)
        if parts and not ALLOWED_SECTIONS.fullmatch(name):
            found.append(
                Finding(token.line, f"section {name!r}: a scheduler has struct_ops programs only")
            )
    return found


def _identity(text: CText) -> list[Finding]:
    """Q11: no policy by a task's name, and nothing that shows names to whoever listens."""
    found = []
    for token in text.tokens:
        if token.text in ("comm", "bpf_get_current_comm") and token.kind != "string":
            found.append(
                Finding(
                    token.line,
                    "reads the task's name: decide by behaviour (bursts, sleeps, weight), because "
                    "a name says nothing and can be chosen",
                )
            )
    for node in text.of_kind("call_expression"):
        function = node.child_by_field_name("function")
        if function is None or not _STRING_COMPARES.fullmatch(text_of(function)):
            continue
        if any(inner.type == "string_literal" for inner in text.walk(node)):
            found.append(Finding(text.line(node), "compares with a text: decide by behaviour"))
    for node in text.of_kind("binary_expression"):
        if any(child.type == "string_literal" for child in node.children):
            found.append(Finding(text.line(node), "compares with a text: decide by behaviour"))
    return found


def without_reports(source: bytes) -> bytes:
    """Return the source with the arguments of its reports blanked, but no line moved.

    What a scheduler tells the kernel when it ends or is dumped may name tasks: people read it, and
    nothing is decided by it. A call that the source itself defines is no report. A source without
    reports is returned as it is.
    """
    text = CText(without_splices(source))
    directed = {directive.line for directive in directives(source)}
    undefined = {d.rest.strip().decode(errors="replace") for d in directives(source)}
    defined = undefined | {
        text_of(name)
        for node in text.of_kind("preproc_def", "preproc_function_def", "function_declarator")
        if (name := node.child_by_field_name("name") or node.child_by_field_name("declarator"))
    }
    blanked = bytearray(without_splices(source))
    found = False
    for node in text.of_kind("call_expression"):
        function, given = (node.child_by_field_name(part) for part in ("function", "arguments"))
        called = text_of(function) if function is not None else ""
        if given is None or called not in REPORTING_CALLS - defined:
            continue
        # A macro or a directive among the arguments could end them, or change what follows.
        lines = range(given.start_point[0] + 1, given.end_point[0] + 2)
        leaves = {text_of(leaf) for leaf in text.walk(given) if leaf.child_count == 0}
        if leaves & defined or directed.intersection(lines):
            continue
        found = True
        for at in range(given.start_byte + 1, given.end_byte - 1):
            if blanked[at] not in b"\n":
                blanked[at] = 0x20
    return bytes(blanked) if found else source


def _truncations(text: CText) -> list[Finding]:
    """L09: a 64-bit constant of the kernel squeezed into a smaller type by a cast."""
    found = []
    for node in text.of_kind("cast_expression"):
        kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        if kind is None or value is None or not _NARROW.search(text_of(kind)):
            continue
        if "long" in text_of(kind) or "*" in text_of(kind):
            continue
        wide = next((n for n in text.walk(value) if _is_wide(n)), None)
        if wide is not None:
            found.append(
                Finding(
                    text.line(node),
                    f"casts {text_of(wide)}, which has 64 bits, to {text_of(kind)}",
                )
            )
    return found


def _is_wide(node: Node) -> bool:
    return node.type == "identifier" and text_of(node).startswith(("SCX_DSQ_", "SCX_ENQ_"))
