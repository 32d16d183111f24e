"""The Source stage sees what is written, also behind macros, splices and joined strings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_api.verdicts import Check, Phase
from schedcp_verifier.sources import expanded_regions, judge_expanded, judge_written

NAME = "x.bpf.c"


def failed(checks: tuple[Check, ...]) -> set[str]:
    return {check.id for check in checks if check.phase is Phase.FAILED}


def written(text: str, *, trusted: bool = False) -> set[str]:
    return failed(judge_written(text.encode(), trusted=trusted))


def expanded(text: str, source: str | None = None) -> set[str]:
    preprocessed = f'# 1 "{NAME}"\n{text}'.encode()
    return failed(judge_expanded((source or text).encode(), preprocessed, NAME))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n', set()),
        ('#include "schedcp/common.bpf.h"\n', set()),
        ("/* #include is a word */\nint x;\n", set()),
        ('#include "/etc/passwd"\n', {"includes"}),
        ('#include "../other.h"\n', {"includes"}),
        ("#include <linux/sched.h>\n", {"includes"}),
        ("#define H <bpf/bpf_helpers.h>\n#include H\n", {"includes"}),
        ('#inc\\\nlude "/etc/passwd"\n', {"includes"}),
        ('%:include "/etc/passwd"\n', {"includes"}),
        ('#embed "/etc/passwd"\n', {"includes"}),
        ('#include_next "vmlinux.h"\n', {"includes"}),
        ('#if __has_include("/etc/shadow")\n#endif\n', {"includes"}),
        ("#define SCX_DSQ_LOCAL 0\n", {"kernel-constants"}),
        ("enum { SCX_DSQ_LOCAL = 0 };\n", {"kernel-constants"}),
        ("struct o x = {.timeout_ms = 30000};\n", {"timeout-and-name"}),
        ("struct o x = {.timeout_ms = 0x7530};\n", {"timeout-and-name"}),
        ("struct o x = {.timeout_ms = 10000};\n", set()),
        ('struct o x = {.name = "scx_lavd"};\n', {"timeout-and-name"}),
        ('struct o x = {.name = "schedcp_gate"};\n', {"timeout-and-name"}),
        ('struct o x = {.name = "mine"};\n', set()),
    ],
)
def test_what_is_written(text: str, found: set[str]) -> None:
    assert written(text) == found


def test_the_library_may_use_its_own_names() -> None:
    assert written('struct o x = {.name = "schedcp_gate"};\n', trusted=True) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('void f(void) { __asm__ volatile("r0 = 0"); }\n', {"inline-assembly"}),
        ('void f(void) { asm("exit"); }\n', {"inline-assembly"}),
        ('void f(void) { __asm__ volatile("" ::: "memory"); }\n', set()),
        ('int f(void) __attribute__((section("kprobe/do_exit"), used));\n', {"sections"}),
        ('int f(void) __attribute__((section("struct" "_ops/x"), used));\n', set()),
        ('int f(void) __attribute__((section("x" "dp"), used));\n', {"sections"}),
        ('int f(void) __attribute__((__section__("lsm/bprm")));\n', {"sections"}),
        ('int f(void) __attribute__((section("struct_ops.s/init"), used));\n', set()),
        ('struct m m __attribute__((section(".maps"), used));\n', set()),
        ("int f(struct t *p) { return p->comm[0] == 's'; }\n", {"identity"}),
        ("void f(struct t *p) { copy(buf, p->comm); }\n", {"identity"}),
        ("void f(void) { bpf_get_current_comm(buf, 16); }\n", {"identity"}),
        ('int f(char *b) { return bpf_strncmp(b, 4, "nginx"); }\n', {"identity"}),
        ('int f(char *b) { return b == "nginx"; }\n', {"identity"}),
        ('int f(void) { return show("p->comm"); }\n', set()),
        ("u64 f(void) { return (u32)SCX_DSQ_LOCAL; }\n", {"truncation"}),
        ("u64 f(void) { return (int)(SCX_DSQ_LOCAL_ON | cpu); }\n", {"truncation"}),
        ("u64 f(void) { return (u64)SCX_DSQ_LOCAL; }\n", set()),
        ("u64 f(void) { return SCX_DSQ_LOCAL_ON | (u32)cpu; }\n", set()),
        ("this is } not ( C p->comm { at all\n", {"identity"}),
    ],
)
def test_what_the_preprocessor_makes_of_it(text: str, found: set[str]) -> None:
    assert expanded(text) == found


def test_a_name_may_be_shown_to_people() -> None:
    source = 'void f(struct t *p)\n{\n\tbpf_printk("%s", p->comm);\n}\n'
    made = "void f(struct t *p)\n{\n\t({ long long a[] = {(long long)p->comm}; trace(a); });\n}\n"
    assert expanded(made, source) == set()
    assert expanded(made, source.replace("bpf_printk", "decide")) == {"identity"}


def test_findings_name_the_line_of_the_source() -> None:
    text = '# 1 "vmlinux.h"\nint a;\n# 41 "x.bpf.c" 2\nint ok;\nvoid f(void) { asm("exit"); }\n'
    checks = judge_expanded(b"", text.encode(), NAME)
    (check,) = [check for check in checks if check.phase is Phase.FAILED]
    assert check.evidence["lines"] == [42]


def test_only_the_source_itself_is_judged() -> None:
    text = '# 1 "bpf/bpf_helpers.h"\nvoid f(void) { asm("exit"); }\n# 9 "x.bpf.c" 2\nint a;\n'
    assert failed(judge_expanded(b"", text.encode(), NAME)) == set()
    assert expanded_regions(text.encode(), NAME) == (b"int a;\n", (9, 10))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_stage(data: bytes) -> None:
    assert len(judge_written(data, trusted=False)) == 3
    assert len(judge_expanded(data, data, NAME)) == 4
