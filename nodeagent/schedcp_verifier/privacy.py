"""What a scheduler has no business to look at (Q11, M02).

Who a task is: its name, its control group's, its program's. And what it holds: its stacks, its
registers, the places of its memory. It sees fields by their names; what is read by bare numbers is
for the Bytecode stage. Pure.
"""

from __future__ import annotations

import re
from itertools import islice, pairwise

from .ctokens import CText, Finding, Node, text_of

__all__ = ["identities", "memories"]

_STRING_COMPARES = re.compile(
    r"(__builtin_)?(bpf_)?(str|mem)n?(case)?(cmp|str|chr|spn|pbrk)|bcmp|memcmp|bpf_strncmp|bpf_strn?str"
)
_BY_BEHAVIOUR = (
    "decide by behaviour (bursts, sleeps, weight), because a name says nothing and can be chosen"
)
_TASK_NAMES = frozenset({"comm", "bpf_get_current_comm"})
_FILE_NAMES = frozenset({"d_name", "d_iname", "d_shortname", "exe_file"})
_ACCESS = ("->", ".")
_PARTS_MAX = 500
"""Parts of one call that are looked at: calls in calls are looked at again."""
_OFFSETS = frozenset({"__builtin_offsetof", "offsetof"})
_KERNELS_OWN = frozenset({"task_struct", "cgroup", "kernfs_node", "mm_struct"})
_BYTE_POINTERS = re.compile(r"(const |volatile )*(void|(unsigned |signed )?char|(__)?[us]8) ?\*")
_MEMORY = frozenset(
    {
        *("stack", "sp", "sp0", "pgd", "mm_mt", "mmap_base", "sas_ss_sp"),
        *("arg_start", "arg_end", "env_start", "env_end", "start_stack"),
        *("start_code", "end_code", "start_data", "end_data", "start_brk", "brk"),
    }
)
"""Members of the kernel's structs that say where a task's memory is, or are a part of it."""


def identities(text: CText) -> list[Finding]:
    """Q11: return where a policy asks for names, or shows them to whoever listens."""
    return [*_named(text), *_compared(text), *_by_place(text)]


def _named(text: CText) -> list[Finding]:
    found = []
    nodes = _variables_of(text, "kernfs_node")
    tokens = text.tokens
    for index, token in enumerate(tokens):
        if token.kind == "string":
            continue
        before = [t.text for t in tokens[max(0, index - 2) : index]]
        words = ""
        if token.text in _TASK_NAMES:
            words = "reads the task's name"
        elif token.text in _FILE_NAMES:
            words = "reads the name of a file"
        elif token.text == "name" and before[1:] and before[1] in _ACCESS:
            words = "reads a control group's name" if before[0] in {"kn", *nodes} else ""
        if words:
            found.append(Finding(token.line, f"{words}: {_BY_BEHAVIOUR}"))
    return found


def _compared(text: CText) -> list[Finding]:
    found = []
    for node in text.of_kind("call_expression"):
        function = node.child_by_field_name("function")
        if function is None or function.type != "identifier":
            continue
        if _STRING_COMPARES.fullmatch(text_of(function)) and any(
            inner.type == "string_literal" for inner in islice(text.walk(node), _PARTS_MAX)
        ):
            found.append(Finding(text.line(node), "compares with a text: decide by behaviour"))
    for node in text.of_kind("binary_expression"):
        if any(child.type == "string_literal" for child in node.children):
            found.append(Finding(text.line(node), "compares with a text: decide by behaviour"))
    return found


def _by_place(text: CText) -> list[Finding]:
    """Return where the kernel's structs are read by distance instead of by field."""
    words = "works out where a member of the kernel's lies: name the member"
    found = []
    tokens = text.tokens
    for index, token in enumerate(tokens):
        if token.text in _OFFSETS and token.kind != "string":
            type_ = {t.text for t in tokens[index + 1 : index + 4]}
            if type_ & _KERNELS_OWN:
                found.append(Finding(token.line, words))
    tasks = _variables_of(text, "task_struct")
    for node in text.of_kind("binary_expression", "subscript_expression"):
        if any(_is_bytes_of(part, tasks) for part in _operands(node)):
            found.append(Finding(text.line(node), words))
    return found


def _operands(node: Node) -> list[Node]:
    operator = node.child_by_field_name("operator")
    if operator is not None and text_of(operator) not in ("+", "-"):
        return []
    names = ("left", "right", "argument")
    parts = [part for name in names if (part := node.child_by_field_name(name)) is not None]
    return [_bare(part) for part in parts]


def _is_bytes_of(node: Node, tasks: frozenset[str]) -> bool:
    """Whether the node is a task that is looked at as bytes."""
    kind, value = (node.child_by_field_name(name) for name in ("type", "value"))
    if node.type != "cast_expression" or kind is None or value is None:
        return False
    return text_of(_bare(value)) in tasks and bool(_BYTE_POINTERS.fullmatch(text_of(kind)))


def _bare(node: Node) -> Node:
    while node.type == "parenthesized_expression" and node.named_children:
        node = node.named_children[0]
    return node


def _variables_of(text: CText, struct: str) -> frozenset[str]:
    """Return the names of pointers to a struct of the kernel, flavours of it among them."""
    tokens = text.tokens
    found = set()
    for index, token in enumerate(tokens[:-3]):
        if token.text == "struct" and tokens[index + 1].text.partition("___")[0] == struct:
            rest = [t.text for t in tokens[index + 2 : index + 4]]
            if rest[0] == "*":
                found.add(rest[1])
    return frozenset(found)


def memories(text: CText) -> list[Finding]:
    """M02: return where a task's memory is looked for; members of the source's own are let be."""
    own = _own_members(text)
    found = []
    tokens = text.tokens
    for before, token in pairwise(tokens):
        if before.text in _ACCESS and token.text in _MEMORY - own:
            words = f"asks for {token.text}: what a task has in memory is nobody's business"
            found.append(Finding(token.line, words))
    return found


def _own_members(text: CText) -> frozenset[str]:
    """Return the members of structs that are the source's own and no view of the kernel's."""
    found = set()
    stack = [(text.root, True)]
    while stack:
        node, own = stack.pop()
        if node.type in ("struct_specifier", "union_specifier"):
            own = own and not _is_view(node)
        elif own and node.type == "field_identifier" and not _is_access(node.parent):
            found.add(text_of(node))
        stack.extend((child, own) for child in node.children)
    return frozenset(found)


def _is_view(struct: Node) -> bool:
    """Whether a struct is a flavour of one of the kernel's."""
    name = struct.child_by_field_name("name")
    attributes = [n for n in struct.children if n.type == "attribute_specifier"]
    return (name is not None and "___" in text_of(name)) or any(
        "preserve_access_index" in text_of(attribute) for attribute in attributes
    )


def _is_access(node: Node | None) -> bool:
    return node is not None and node.type == "field_expression"
