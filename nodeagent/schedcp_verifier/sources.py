"""The Source stage: what can be seen in the C before anything is compiled.

Two looks at the same text: the one that was written (directives, macros), and the one that the
preprocessor makes of it, where nothing hides behind a macro. Pure: texts in, checks out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, zip_longest

from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed
from .constants import enumerators, value_of
from .ctokens import CText, Finding, Token, pieces, string_value, text_of, without_splices
from .directives import directives, misleading
from .narrowing import truncations
from .privacy import identities, memories
from .prose import addressed, addressings, hidden_characters
from .rules import (
    ALLOWED_INCLUDES,
    ALLOWED_SECTIONS,
    LIBBPF_ASSEMBLY,
    REPORTING_CALLS,
    imitated,
    watchdog_put_off,
)

__all__ = ["expanded_regions", "judge_expanded", "judge_written", "without_reports"]

_RAW = re.compile(rb"(?<![A-Za-z0-9_])(?:u8|[uUL])?R\Z")
_CALLABLE = re.compile(rb"\b([A-Za-z_]\w*)\(")
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
_SCHEDULER_FIELDS = ("timeout_ms", "name")


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
        _verdict("readable", [*hidden_characters(source)], "people read what the compiler does"),
        _verdict("prose", [*addressings(source)], "nothing speaks to whoever judges it"),
    )


def _directives(source: bytes) -> list[Finding]:
    """M05: nothing that renames lines or changes the compiler, nothing that differs each time."""
    found = [Finding(d.line, words) for d in directives(source) if (words := misleading(d))]
    for number, line in enumerate(without_splices(source).split(b"\n"), 1):
        if _UNREPEATABLE.search(line):
            found.append(Finding(number, "the time of the build makes each object another one"))
        if _PRAGMA.search(line):
            found.append(Finding(number, "_Pragma: write #pragma, which can be read"))
    words = "a raw string, which ends where it does not seem to"
    parts = list(pieces(source))
    found += [
        Finding(quoted.line, words)
        for code, quoted in pairwise(parts)
        if code.kind == "code" and quoted.text.startswith(b'"') and _RAW.search(code.text)
    ]
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
    """L15: a time-out that puts the watchdog off, a name that imitates; where the text tells."""
    found = []
    names = enumerators(text)
    for node in text.of_kind("initializer_pair"):
        value = node.child_by_field_name("value")
        field = next((text_of(n) for n in node.children if n.type == "field_designator"), "")
        words = ""
        if field == ".timeout_ms" and value is not None:
            words = watchdog_put_off(value_of(value, names) or 0)
        if field == ".name" and value is not None and not trusted:
            pieces_ = [n for n in text.walk(value) if n.type == "string_literal"]
            words = imitated("".join(string_value(piece) for piece in pieces_))
        if words:
            found.append(Finding(text.line(node), words))
    return found


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


def judge_expanded(preprocessed: bytes, unreported: bytes, *, trusted: bool) -> tuple[Check, ...]:
    """Return the checks on what the preprocessor made of the source.

    `unreported` is the same for the source without its reports (see `without_reports`).
    """
    text = CText(*expanded_regions(preprocessed))
    decides = text if unreported == preprocessed else CText(*expanded_regions(unreported))
    return (
        _verdict("inline-assembly", _assembly(preprocessed), "no inline assembly"),
        _verdict("sections", _sections(text.tokens), "only sections that a scheduler needs"),
        _verdict("identity", identities(decides), "does not ask who a task is by its name"),
        _verdict("task-memory", memories(text), "does not ask what a task has in memory"),
        _verdict("truncation", truncations(text), "no kernel constant is truncated"),
        _verdict("strings", _joined_strings(text.tokens), "no string speaks to its reader"),
        _verdict("table-fields", _table_fields(text, trusted=trusted), "no suspicious table"),
        _verdict("kernel-functions", _unknown(preprocessed, text), "calls what the kernel has"),
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


def _unknown(preprocessed: bytes, text: CText) -> list[Finding]:
    """L06, L08: kernel functions that the source declares, takes for granted, and are not there."""
    declared = [
        (text_of(name).partition("___")[0], text.line(node))
        for node in text.of_kind("declaration")
        if _is_strong_ksym([leaf.text for leaf in text.walk(node) if leaf.child_count == 0])
        for part in text.walk(node)
        if part.type == "function_declarator" and (name := part.child_by_field_name("declarator"))
    ]
    headers = b"\n".join(line for line, _, inside in _unmarked(preprocessed) if not inside)
    known = set(_CALLABLE.findall(headers)) if declared else set()
    return [
        Finding(line, f"this kernel has no {name}: declare it __weak and ask for it")
        for name, line in declared
        if known and name.encode() not in known
    ]


def _is_strong_ksym(words: list[bytes | None]) -> bool:
    return b".ksyms" in words and b"weak" not in words and b"__weak__" not in words


def _joined_strings(tokens: tuple[Token, ...]) -> list[Finding]:
    """M07: strings that macros put together."""
    found = []
    begun = ""
    for token, following in zip_longest(tokens, tokens[1:]):
        begun = begun + token.text if token.kind == "string" else ""
        if begun and (following is None or following.kind != "string") and addressed(begun):
            found.append(Finding(token.line, "a string that speaks to whoever judges it"))
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
