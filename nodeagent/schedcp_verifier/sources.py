"""The Source stage: what can be seen in the C before anything is compiled.

Two looks at the same text: the one that was written (includes, macros), and the one that the
preprocessor makes of it, where nothing hides behind a macro. Pure: texts in, checks out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schedcp_api.verdicts import Check, Stage

from .checks import failed, passed
from .ctokens import CText, Node, Token, string_value, text_of, without_splices
from .rules import (
    ALLOWED_INCLUDES,
    ALLOWED_SECTIONS,
    PRINTING_CALLS,
    TRUSTED_PREFIXES,
    WATCHDOG_LEAST_MS,
    WATCHDOG_MOST_MS,
)

__all__ = ["expanded_regions", "judge_expanded", "judge_written"]

_ASM = frozenset({"asm", "__asm", "__asm__"})
_SECTION = frozenset({"section", "__section__"})
_INCLUDING = re.compile(rb"^[ \t]*(?:#|%:|\?\?=)[ \t]*(include|include_next|import|embed)\b")
_PROBING = re.compile(rb"\b__has_(include|include_next|embed)\b")
_MARKER = re.compile(rb'^# (\d+) "((?:[^"\\]|\\.)*)"')
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
    checks = [
        _verdict("includes", _includes(source, text), "only headers that a scheduler needs"),
        _verdict("kernel-constants", _redefinitions(text), "no kernel constant is redefined"),
        _verdict("timeout-and-name", _table_fields(text, trusted=trusted), "no suspicious table"),
    ]
    return tuple(checks)


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
    for number, line in enumerate(without_splices(source).split(b"\n"), 1):
        directive = _INCLUDING.match(line)
        if directive and (number not in known or directive.group(1) != b"include"):
            # In a comment or a string it would be harmless, but nobody needs it there.
            found.append(
                Finding(
                    number, f"a directive that reads files: {line[:60].decode(errors='replace')!r}"
                )
            )
        elif _PROBING.search(line):
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
        if field == ".timeout_ms" and value.type == "number_literal":
            timeout = _number(text_of(value))
            if timeout and not WATCHDOG_LEAST_MS <= timeout < WATCHDOG_MOST_MS:
                found.append(
                    Finding(
                        text.line(node),
                        f"timeout_ms {timeout} puts the watchdog off: keep it from "
                        f"{WATCHDOG_LEAST_MS} to below {WATCHDOG_MOST_MS}",
                    )
                )
        if field == ".name" and value.type == "string_literal" and not trusted:
            name = string_value(value)
            if name.startswith(TRUSTED_PREFIXES):
                found.append(
                    Finding(
                        text.line(node),
                        f"the name {name!r} imitates a scheduler of the library or of the scx "
                        "project: choose another",
                    )
                )
    return found


def _number(text: str) -> int:
    try:
        return int(text.rstrip("uUlL"), 0)
    except ValueError:
        return 0


def expanded_regions(preprocessed: bytes, source_name: str) -> tuple[bytes, tuple[int, ...]]:
    """Return what the preprocessor made of the source itself, and the source line of each line."""
    kept: list[bytes] = []
    lines: list[int] = []
    current, inside = 0, False
    for line in preprocessed.split(b"\n"):
        marker = _MARKER.match(line)
        if marker:
            current = int(marker.group(1))
            inside = marker.group(2).decode(errors="replace") == source_name
            continue
        if inside and not line.lstrip().startswith(b"#pragma"):
            kept.append(line)
            lines.append(current)
        current += 1
    return b"\n".join(kept), tuple(lines)


def judge_expanded(source: bytes, preprocessed: bytes, source_name: str) -> tuple[Check, ...]:
    """Return the checks on what the preprocessor made of the source."""
    text = CText(*expanded_regions(preprocessed, source_name))
    return (
        _verdict("inline-assembly", _assembly(text.tokens), "no inline assembly"),
        _verdict("sections", _sections(text.tokens), "only sections that a scheduler needs"),
        _verdict("identity", _identity(text, source), "does not ask who a task is by its name"),
        _verdict("truncation", _truncations(text), "no kernel constant is truncated"),
    )


def _assembly(tokens: tuple[Token, ...]) -> list[Finding]:
    """Refuse any assembly with instructions; an empty template is the barrier of libbpf."""
    found = []
    for index, token in enumerate(tokens):
        if token.text not in _ASM or token.kind == "string":
            continue
        rest = iter(tokens[index + 1 : index + 8])
        template = next((t for t in rest if t.kind == "string"), None)
        if template is None or template.text.strip():
            found.append(Finding(token.line, "inline assembly: write it in C"))
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


def _identity(text: CText, source: bytes) -> list[Finding]:
    """Q11: no policy by a task's name. Showing the name to people is allowed."""
    shown = _printing_lines(source)
    found = []
    for token in text.tokens:
        by_name = token.text in ("comm", "bpf_get_current_comm") and token.kind != "string"
        if by_name and token.line not in shown:
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


def _printing_lines(source: bytes) -> frozenset[int]:
    text = CText(without_splices(source))
    lines: set[int] = set()
    for node in text.of_kind("call_expression"):
        function = node.child_by_field_name("function")
        if function is not None and text_of(function) in PRINTING_CALLS:
            lines.update(range(node.start_point[0] + 1, node.end_point[0] + 2))
    return frozenset(lines)


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
